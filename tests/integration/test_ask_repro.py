"""Reproductions."""
import asyncio, json
from pathlib import Path
import pytest
from llmock.scenarios import Delay
from agents.domain.profile import Profile
from bot.bootstrap import Fakes
from resilience.saga import RunStatus, StepFailed
from tests.fakes.llmock_server import LlmServer
from tests.fakes.sources import TestSources
from tests.integration.test_ask import GIGS
from tests.integration.test_ask_restart import Desk, Noticing, after, model_asked
from tests.integration.test_llm_matching import counting_down, write_jobs
from agents.discovery.port import Reading
from tests.fakes.opportunities import opportunity
DRAFT = "Hello,\n\nI would like to take this on. [fill in: a result of yours]\n\nKind regards"

@pytest.fixture
def source(tmp_path: Path) -> str:
    return write_jobs(tmp_path / "gigs.jsonl", GIGS)

async def test_a_act_fails_three_drafts(tmp_path, server, source, monkeypatch):
    from agents.scout import ScoutSteps
    async def fails(*a, **k): raise StepFailed("it is full", type="x")
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(5), "Five.")
    desk = Desk(tmp_path, source, server)
    async with desk.core() as core:
        await desk.asked(core, "rust work")
        monkeypatch.setattr(ScoutSteps, "draft", fails)
        server.calls(*(("draft", {"ranks": [n]}) for n in (1, 2, 3)))
        server.replies("None.")
        r = await desk.asked(core, "draft the first three")
    assert [(a.tool, a.ok) for a in r.actions] == [("draft", False)] * 3

async def test_b_odd_skill(tmp_path, server, source):
    server.calls(("scout", {"skills": ["\u001c"]}))
    server.replies("Hm.")
    desk = Desk(tmp_path, source, server)
    async with desk.core() as core:
        r = await desk.asked(core, "rust work")
    said = server.asked_for("triage")[1]["messages"][-1]["content"]
    assert "another agent" not in said, said

async def test_c_surrogate_tool(tmp_path, server, source):
    server.calls(("te\ud83e", {"x": 1}))
    server.replies("Hm.")
    desk = Desk(tmp_path, source, server)
    async with desk.core() as core:
        r = await desk.asked(core, "rust work")
    assert r.status == "completed", r.error

async def test_d_surrogate_args(tmp_path, server, source):
    server.calls(("scout", {"query": "ru\ud83e"}))
    server.replies("Hm.")
    desk = Desk(tmp_path, source, server)
    async with desk.core() as core:
        r = await desk.asked(core, "rust work")
    assert r.status == "completed", r.error

class Two:
    label="two"; deadline_s=None
    def __init__(self): self.n=0
    async def read(self):
        self.n+=1
        return Reading(opportunities=tuple(opportunity(id=f"p{self.n}{i}", title=f"Rust parser {self.n}{i}", organisation=f"Org{self.n}{i}") for i in range(self.n)))

async def test_e_cancel_in_second_match(tmp_path, server):
    desk = Desk(tmp_path, "two", server, Fakes(sources=TestSources({"two": Two()})))
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(1))
    server.calls(("scout", {"query": "rust parser"}))
    server.will(*[Delay(0.0)]*3, Delay(3.0))
    async with desk.core() as core:
        run_id = await desk.create(core, "rust or zig")
        n = Noticing(core, model_asked, 4)
        await core.runner.launch(run_id)
        await n.wait()
        await core.runner.cancel(run_id)
        r = await core.runner.wait(run_id)
    assert (r.partial, len(r.matches), r.funnel.found) == (True, 2, 2)

async def test_f_literal(tmp_path, source):
    desk = Desk(tmp_path, source)
    async with desk.core() as core:
        r = await desk.asked(core, "rust \\u0000 jobs")
    assert r.actions[0].ok, r

async def test_g_stop_before_reply_with_two_scouts_second_failed(tmp_path, server):
    from agents.discovery.port import SourceFailed
    class Flaky(Two):
        async def read(self):
            self.n+=1
            if self.n==2: raise SourceFailed("two: down")
            return Reading(opportunities=(opportunity(id="p1", title="Rust parser"),))
    outs=[]
    for stop in (False, True):
        server.forget()
        f = tmp_path/str(stop); f.mkdir()
        desk = Desk(f, "two", server, Fakes(sources=TestSources({"two": Flaky()})))
        server.calls(("scout", {"query": "rust"}))
        server.replies(counting_down(1))
        server.calls(("scout", {"query": "zig"}))
        server.replies("One.")
        async with desk.core() as core:
            run_id = await desk.create(core, "rust or zig")
            if stop:
                n = Noticing(core, after("reply"))
                await core.runner.launch(run_id); await n.wait()
            else:
                await desk.ended(core, run_id)
        async with desk.core() as core:
            r = await desk.ended(core, run_id)
            outs.append((r.funnel, r.notices, len(r.matches), r.actions, r.reply))
    assert outs[0]==outs[1]

async def test_h_scout_draft_same_turn_rules(tmp_path, source):
    desk = Desk(tmp_path, source)
    async with desk.core() as core:
        r = await desk.asked(core, "find rust gigs, draft the first two, save 1 and why 2")
        saved = await desk.saved(core)
    print(r.reply)
    assert [(a.tool, a.ok) for a in r.actions] == [("scout", True), ("draft", True), ("save", True), ("explain", True)]
    assert [s.title for s in saved] == [r.matches[0].opportunity.title]

async def test_i_two_scouts_same_turn(tmp_path, server, source):
    desk = Desk(tmp_path, source, server)
    server.calls(("scout", {"query": "rust"}), ("scout", {"query": "rust kiosk"}), ("draft", {"ranks": [1]}))
    server.replies(counting_down(5), counting_down(5), DRAFT, "ok")
    async with desk.core() as core:
        r = await desk.asked(core, "x")
    assert [(a.tool, a.ok) for a in r.actions] == [("scout", True), ("scout", True), ("draft", True)], r.actions
    assert r.drafts[0].opportunity_id == r.matches[0].opportunity.id

async def test_j_same_id(tmp_path, server, source):
    pass

"""Tests that fail because of bugs of the product; run from /work/main:

cp /tmp/ask_failing.py tests/integration/test_ask_failing.py && pytest that, then remove it.
"""

import asyncio
import json
import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from llmock.scenarios import Delay

from agents.ask_state import AskState, Talk, restore_found, restore_written
from agents.discovery.port import Reading, SourceFailed
from agents.domain.ask import AskRequest, AskResult, ToolUse
from agents.domain.draft import Draft, DraftMethod
from agents.domain.match import Funnel, Match, MatchMethod, Provenance
from agents.domain.opportunity import Listing, Opportunity
from agents.domain.profile import Profile
from agents.domain.run import Usage
from agents.llm.port import Message, Role, ToolCall
from agents.llm.tokens import pack_conversation
from agents.triage.router import route
from agents.triage.tools import ChangeProfileCall, DraftCall, SaveCall
from bot.bootstrap import Fakes
from bot.telegram import views
from bot.web.server import serve
from resilience.saga import RunStatus, StepContext
from tests.fakes.bot_api import BotApi
from tests.fakes.clock import NOON
from tests.fakes.llmock_server import LlmServer
from tests.fakes.opportunities import opportunity
from tests.fakes.people import Person, telegram_bot
from tests.fakes.sources import FailingSource, TestSources
from tests.integration.test_ask import GIGS, SENTENCE
from tests.integration.test_ask_restart import Desk, Noticing, after, model_asked
from tests.integration.test_llm_matching import counting_down, write_jobs

PLENTY: dict[str, Any] = {"commands_burst": 1_000, "scouts_burst": 1_000}
DRAFT = "Hello,\n\nI would like to take this on. [fill in: a result of yours]\n\nKind regards"


@pytest.fixture
def source(tmp_path: Path) -> str:
    return write_jobs(tmp_path / "gigs.jsonl", GIGS)


# --- 1: what somebody changes while an ask is under way is lost ---------------------------------


async def test_01_profile_changed_meanwhile_is_kept(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """/profile while the model thinks: the ask's own change is added to it, not put over it."""
    server.calls(("change_profile", {"add_skills": ["Rust"]}))
    server.replies("Noted.")
    server.will(Delay(0.0), Delay(1.0))
    desk = Desk(tmp_path, source, server)
    async with desk.core() as core:
        run_id = await desk.create(core, "I know Rust")
        noticing = Noticing(core, model_asked, 2)
        await core.runner.launch(run_id)
        await noticing.wait()
        user = await core.people.person("test", "1")
        await core.people.keep_profile(user.id, Profile(locations=("Berlin",)))
        await core.runner.wait(run_id)
        kept = await core.people.profile(user.id)
    assert kept == Profile(skills=("Rust",), locations=("Berlin",))


# --- 2: three drafts of one turn use up the handoffs --------------------------------------------


async def test_02_three_drafts_of_one_turn(tmp_path: Path, server: LlmServer, source: str) -> None:
    """Models call a tool once a posting: three drafts asked side by side are written."""
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(5), "Five.")
    desk = Desk(tmp_path, source, server)
    async with desk.core() as core:
        await desk.asked(core, "rust work")
        server.calls(*(("draft", {"ranks": [n]}) for n in (1, 2, 3)))
        server.replies(DRAFT, DRAFT, DRAFT, "All three.")
        result = await desk.asked(core, "draft the first three")
    assert result.error is None, result.error
    assert (result.status, len(result.drafts)) == (RunStatus.COMPLETED, 3)


# --- 3: restarts --------------------------------------------------------------------------------


async def test_03_stopped_before_the_end_is_written(tmp_path: Path, source: str) -> None:
    """After `reply`, before run.completed: the funnel and the notices are as without the stop.
    (restore_talk, as the part of `reply`, puts a blank scout over the restored one.)"""
    desk = Desk(tmp_path, source)
    async with desk.core() as core:
        whole = await desk.asked(core, SENTENCE)
        run_id = await desk.create(core, SENTENCE)
        noticing = Noticing(core, after("reply"))
        await core.runner.launch(run_id)
        await noticing.wait()
    async with desk.core() as core:
        again = await desk.ended(core, run_id)
    assert again.funnel == whole.funnel
    assert again.notices == whole.notices


async def test_04_an_old_failure_is_not_told_of_new_work(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """A draft that failed, a scout that worked, a stop: the scout did work. (restore_found leaves
    `failed` as `act` left it.)"""
    server.calls(("draft", {"ranks": [99]}), ("scout", {"query": "rust"}))
    server.replies(counting_down(5))
    server.will(Delay(0.0), Delay(0.0), Delay(2.0))
    desk = Desk(tmp_path, source, server)
    async with desk.core() as core:
        run_id = await desk.create(core, "draft 99 and find rust work")
        noticing = Noticing(core, model_asked, 3)
        await core.runner.launch(run_id)
        await noticing.wait()
    server.replies("Five.")
    async with desk.core() as core:
        result = await desk.ended(core, run_id)
    assert [(use.tool, use.ok) for use in result.actions] == [("draft", False), ("scout", True)]


async def test_05_a_reply_that_is_done_again_is_undone_whole(tmp_path: Path, source: str) -> None:
    """Killed between two saves, done again, then cancelled: nothing stays saved."""
    desk = Desk(tmp_path, source)
    async with desk.core() as core:
        first = await desk.asked(core, "rust work")
        run_id = await desk.create(core, "save 1 and 2")
        user = await core.people.person("test", "1")
        ids = tuple(match.opportunity.id for match in first.matches[:2])
        state = AskState(
            run_id=run_id,
            user_id=user.id,
            request=AskRequest(text="save 1 and 2", remember=True),
            talk=Talk(profile=Profile(), saves=ids, reply="Saved."),
        )

        async def nothing(*_: object) -> None: ...

        context: Any = StepContext(
            run_id=run_id,
            report=nothing,
            degrade=nothing,
            spends=None,  # type: ignore[arg-type]
        )
        step = core.runner.saga("ask", "ask@1").step("reply")
        await step.do(state, context)
        await core.people.unsave(user.id, ids[1])  # the process was killed before it
        await step.do(state, context)
        assert step.undo is not None
        await step.undo(run_id)
        assert await core.people.saved(user.id) == []


# --- 4: two scouts in one run -------------------------------------------------------------------


@dataclass
class Twice:
    """Gives postings the first time; later it waits for the gate, or fails."""

    fails: bool
    label: str = "twice"
    deadline_s: float | None = None
    reads: int = 0
    held: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> Reading:
        self.reads += 1
        if self.reads == 1:
            return Reading(opportunities=(opportunity(id="p1", title="Rust parser"),))
        self.held.set()
        if self.fails:
            raise SourceFailed("twice: it is down")
        await asyncio.Event().wait()
        raise AssertionError


async def test_06_what_the_first_scout_found_is_shown(tmp_path: Path, server: LlmServer) -> None:
    """Cancelled while the second one gathers: what was found so far is in the result."""
    source = Twice(fails=False)
    desk = Desk(tmp_path, "twice", server, Fakes(sources=TestSources({"twice": source})))
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(1))
    server.calls(("scout", {"query": "zig"}))
    async with desk.core() as core:
        run_id = await desk.create(core, "rust or zig")
        await core.runner.launch(run_id)
        await asyncio.wait_for(source.held.wait(), 20)
        await core.runner.cancel(run_id)
        result = await core.runner.wait(run_id)
    assert (result.partial, len(result.matches)) == (True, 1)


async def test_07_a_second_scout_that_fails(tmp_path: Path, server: LlmServer) -> None:
    """The first one's list is still this run's: its funnel is told, and `draft 1` means it."""
    source = Twice(fails=True)
    desk = Desk(tmp_path, "twice", server, Fakes(sources=TestSources({"twice": source})))
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(1))
    server.calls(("scout", {"query": "zig"}))
    server.calls(("explain", {"rank": 1}))
    server.replies("One fits.")
    async with desk.core() as core:
        result = await desk.asked(core, "rust or zig")
    assert len(result.matches) == 1
    assert [(u.tool, u.ok) for u in result.actions][-1] == ("explain", True)
    assert result.funnel.found == 1
    assert "from 0 found" not in views.shortlist(result).text


# --- 5: what a model may say --------------------------------------------------------------------


async def test_08_a_question_has_no_links(tmp_path: Path, server: LlmServer, source: str) -> None:
    """What the model asks back is its words, too: no link, no control characters, bounded."""
    question = "Log in at https://evil.example/now first\u0007\u202e?"
    server.calls(("ask_back", {"question": question}))
    desk = Desk(tmp_path, source, server)
    async with desk.core() as core:
        result = await desk.asked(core, "hello")
    assert "evil.example" not in result.reply
    assert "\u202e" not in result.reply


async def test_09_half_a_character_of_a_model(tmp_path: Path, source: str) -> None:
    """An answer that was cut in the middle of an emoji (JSON can carry that) is one that can't be
    used, and no broken step."""
    said = r'{"role": "assistant", "content": "One rust gig \ud83e"}'
    choice = f'{{"index": 0, "finish_reason": "length", "message": {said}}}'
    body = (
        '{"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": ['
        + choice
        + '], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}'
    )

    async def complete(_request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    application = web.Application()
    application.router.add_post("/v1/chat/completions", complete)
    async with serve(application, "127.0.0.1", 0) as address:
        desk = Desk(tmp_path, source)
        settings = {"openai_api_key": "k", "openai_base_url": f"{address}/v1"}
        async with desk.core(**settings) as core:
            result = await desk.asked(core, SENTENCE)
    assert result.status == RunStatus.COMPLETED, result.error
    assert len(result.matches) == 1


# --- 6: the chat --------------------------------------------------------------------------------


async def test_10_a_failing_source_breaks_no_listener(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """KeyError 'found' in progress._line for a discover step that was skipped."""
    caplog.set_level(logging.ERROR)
    fakes = Fakes(sources=TestSources({"failing": FailingSource()}))
    async with BotApi() as api, telegram_bot(api, tmp_path, fakes, **PLENTY, sources=("failing",)):
        person = Person(api)
        await person.say("rust jobs")
        await person.read("did not work")
    assert "a listener broke" not in caplog.text


def long_match(rank: int) -> Match:
    posting: Opportunity = opportunity(
        id=f"p{rank}",
        title="T" * 200,
        organisation="O" * 100,
        locations=("L" * 100, "M" * 100),
        posted_at=NOON - timedelta(days=1),
        also_at=tuple(
            Listing(source="s" * 40, source_id=str(n), url=None, title="t") for n in range(5)
        ),
    )
    return Match(
        rank=rank,
        score=100.0,
        method=MatchMethod.LLM,
        reasons=("r" * 100, "s" * 100),
        cautions=("c" * 200,),
        provenance=Provenance(source="s" * 80, fetched_at=NOON, from_cache=False, age_s=60.0),
        opportunity=posting,
    )


def long_result(reply: str, **more: object) -> AskResult:
    result = AskResult(
        run_id="r",
        status="completed",
        partial=False,
        receipt=None,
        matches=(),
        drafts=(),
        funnel=Funnel(found=200_000, ranked=200_000, shown=30),
        notices=("n" * 200,) * 9,
        usage=Usage(),
        reply=reply,
        actions=(ToolUse("scout", True),),
        drafted_for=("T" * 200,) * len(more.get("drafts", ())),
    )
    return replace(result, **more)  # type: ignore[arg-type]


def units(view: views.View) -> int:
    from bot.telegram.markup import parse_html

    return len(parse_html(view.text).text.encode("utf-16-le")) // 2


@pytest.mark.parametrize("reply", ["x" * 900, "🦀🦀🦀🦀🦀🦀🦀🦀🦀\n" * 90])
def test_11_the_longest_shortlist_with_a_reply(reply: str) -> None:
    """Within 4096 by construction. A list of nothing but bounds has 4,0xx without the reply."""
    result = long_result(reply, matches=tuple(map(long_match, range(1, 31))))
    sizes = [units(views.shortlist(result, page=page)) for page in range(6)]
    assert max(sizes) <= 4_096, sizes


@pytest.mark.parametrize("reply", ["x" * 900, "🦀🦀🦀🦀🦀🦀🦀🦀🦀\n" * 90])
def test_12_the_longest_answer_with_drafts(reply: str) -> None:
    """A reply of short lines of characters that count double is bounded line by line only."""
    for count in (1, 5, 10):
        drafts = tuple(
            Draft(opportunity_id=str(n), method=DraftMethod.LLM, text="🦀" * 4_000)
            for n in range(count)
        )
        size = units(views.answer(long_result(reply, drafts=drafts)))
        assert size <= 4_096, (count, size)


async def test_13_export_has_the_answers(tmp_path: Path, source: str) -> None:
    """Everything kept about a person: the reply stands in run_texts (report), not in /export."""
    desk = Desk(tmp_path, source)
    async with desk.core() as core:
        result = await desk.asked(core, "how are you?")
        user = await core.people.person("test", "1")
        exported = json.dumps(await core.people.export(user.id), default=str, ensure_ascii=False)
    assert result.reply in exported


# --- 7: small -----------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["null", "[]", "7", '"x"', "true", "", "{", "rubbish"])
async def test_14_broken_parts_are_none(body: str) -> None:
    """restore_found and restore_written never raise (the orchestrator logs a traceback now)."""

    class NoDrafts:
        async def drafts(self, _run_id: str) -> list[Draft]:
            return []

    async def nothing(*_: object) -> None:
        return None

    state = AskState(
        run_id="r", user_id="p", request=AskRequest(text="x"), talk=Talk(profile=Profile())
    )
    raised = []
    for restoring in (
        restore_found(nothing, state, body),
        restore_written(NoDrafts(), state, body),  # type: ignore[arg-type]
        restore_written(NoDrafts(), state, '{"failed": null}'),  # type: ignore[arg-type]
    ):
        try:
            assert await restoring is None
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001
            raised.append(repr(error))
    assert raised == []


def test_15_rules_end_a_list_of_skills_where_another_wish_begins() -> None:
    """`draft 2` is no skill."""
    calls = route("I know Rust and Zig, draft 2, save 1 and 3")
    assert DraftCall(ranks=[2]) in calls
    assert SaveCall(ranks=[1, 3]) in calls
    assert ChangeProfileCall(add_skills=["Rust", "Zig"]) in calls


def test_16_packing_keeps_the_words_that_are_answered() -> None:
    """2,000 Chinese characters and a long tool call: the request itself is taken out first, and the
    model goes on without knowing what was asked."""
    call = ToolCall(id="1", name="change_profile", arguments=json.dumps({"about": "é" * 1_500}))
    packed = pack_conversation(
        (
            Message(role=Role.SYSTEM, text="x" * 1_000),
            Message(role=Role.USER, text="我" * 2_000),
            Message(role=Role.ASSISTANT, text="", calls=(call,)),
            Message(role=Role.TOOL, text="{}", call_id="1"),
        ),
        3_000,
    )
    called = {c.id for m in packed for c in m.calls}
    assert {m.call_id for m in packed if m.role is Role.TOOL} <= called
    assert any(m.role is Role.USER for m in packed)


async def test_17_singular(tmp_path: Path) -> None:
    """Not: `Of 1 postings found 1 fit; the best 1 are:`."""
    one = write_jobs(tmp_path / "one.jsonl", [{"title": "Rust engineer"}])
    desk = Desk(tmp_path, one)
    async with desk.core() as core:
        assert "1 postings" not in (await desk.asked(core, "rust jobs")).reply


async def test_18_a_draft_says_what_it_is_for(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """Found and drafted in one request: the chat shows what was found, or at least whose draft it
    is, with its link; now `Draft 1, by a language model` and nothing of the list or its buttons."""
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(5))
    server.calls(("draft", {"ranks": [1]}))
    server.replies(DRAFT, "Found five, and drafted for the best.")
    settings = PLENTY | server.settings() | {"sources": (source,)}
    async with BotApi() as api, telegram_bot(api, tmp_path, **settings):
        person = Person(api)
        await person.say("find rust work and draft for the best")
        answer = await person.read("Found five, and drafted for the best.")
    assert "https://example.com/" in answer.source
    assert answer.buttons != ()


async def test_19_the_undo_of_a_first_profile(tmp_path: Path, source: str) -> None:
    """Who had no profile has none after the undo: else the set-up is never offered."""
    desk = Desk(tmp_path, source)
    async with desk.core() as core:
        user = await core.people.person("test", "1")
        result = await desk.asked(core, "I know Rust")
        step = core.runner.saga("ask", "ask@1").step("reply")
        assert step.undo is not None
        await step.undo(result.run_id)
        assert not await core.people.has_profile(user.id)


async def test_20_words_start_a_scout_only_as_often_as_the_command(
    tmp_path: Path, source: str
) -> None:
    """SCOUTS_BURST is passed by: free text that scouts takes from the bucket of commands."""
    settings = {"commands_burst": 100, "scouts_burst": 1, "sources": (source,)}
    async with BotApi() as api, telegram_bot(api, tmp_path, **settings):
        person = Person(api)
        for _ in range(3):
            await person.ask("rust gigs")
            await api.wait_for(lambda: "On it" not in person.texts[-1])
        assert any("a lot at once" in text for text in person.texts)

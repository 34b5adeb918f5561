"""A model's answer does not fit its schema: it is sent back twice, then done without; where no
stand-in is allowed the run ends failed, undone, with the answer kept."""

import json
from pathlib import Path

from llmock.scenarios import Match, Reply

from agents.domain.draft import DraftMethod
from agents.domain.match import MatchMethod
from bot.bootstrap.core import build_core
from resilience.saga import RunStatus
from tests.conftest import local_settings
from tests.failure_modes.test_llm_outage import scouted
from tests.fakes.llmock_server import LlmServer

WRONG = json.dumps({"p1": {"score": "high", "why": "it fits"}})


async def test_a_judgement_of_the_wrong_shape(tmp_path: Path, server: LlmServer) -> None:
    """Three requests, each later one with what was wrong; then the heuristic ranks and says so,
    and the last answer is kept with the run."""
    server.replies(WRONG, times=None)
    async with build_core(local_settings(tmp_path, **server.settings())) as core:
        result = await scouted(core, drafts=0)
        assert await core.runs.text(result.run_id, "raw-match") == WRONG
    assert {m.method for m in result.matches} == {MatchMethod.HEURISTIC}
    assert "Ranked without AI: the language model's answers could not be used." in result.notices
    _first, *repairs = server.asked_for("match")
    assert len(repairs) == 2
    assert all("can't be used" in body["messages"][-1]["content"] for body in repairs)


async def test_a_draft_that_can_t_be_used(tmp_path: Path, server: LlmServer) -> None:
    """The template drafts, and says so; what the model wrote is kept with the run."""
    server.answers_in_text()
    server.replies("Hire me.", times=None)
    async with build_core(local_settings(tmp_path, **server.settings())) as core:
        result = await scouted(core)
        kept = await core.runs.text(result.run_id, f"raw-draft-{result.drafts[0].opportunity_id}")
    assert kept == "Hire me."
    assert [d.method for d in result.drafts] == [DraftMethod.TEMPLATE]


async def test_where_no_stand_in_is_allowed(tmp_path: Path, server: LlmServer) -> None:
    """`scout-strict@1`: a draft that stays invalid ends the run as failed with `output-invalid`,
    its matching undone and the raw answer kept."""
    server.will(Reply(text="Hire me.", times=None, match=Match()))
    async with build_core(local_settings(tmp_path, **server.settings())) as core:
        result = await scouted(core, config="scout-strict@1")
        run = await core.runs.get(result.run_id)
        texts = [
            await core.runs.text(result.run_id, f"raw-draft-{m.opportunity.id}")
            for m in await core.outcomes.unscored(result.run_id)
        ]
        assert await core.outcomes.matches(result.run_id) == []
    assert run is not None
    assert run.status is RunStatus.FAILED
    assert run.error_type == "output-invalid"
    assert "Hire me." in texts

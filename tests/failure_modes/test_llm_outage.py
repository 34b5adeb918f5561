"""No language model answers: a heuristic ranks, a template drafts, both say so; when the vendor is
back it is asked again."""

import asyncio
from pathlib import Path

import pytest
from llmock.scenarios import Fail, Match

from agents.domain.draft import DraftMethod
from agents.domain.match import MatchMethod
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest, ScoutResult
from bot.bootstrap.core import Core, build_core
from resilience.breaker import OPEN
from resilience.saga import RunStatus
from tests.conftest import local_settings
from tests.fakes.llmock_server import GROQ, OPENAI, LlmServer

PERSON = Profile(skills=("python",), about="I keep data in order.")


async def scouted(core: Core, **fields: object) -> ScoutResult:
    """A scout of the sample postings, to its end."""
    user = await core.people.person("test", "1")
    request = ScoutRequest(profile=PERSON, sources=("sample",), **fields)  # type: ignore[arg-type]
    run_id = await core.runner.create(user.id, request)
    await core.runner.launch(run_id)
    return await core.runner.wait(run_id)


@pytest.mark.unmeasured
async def test_an_outage_of_all_vendors(tmp_path: Path, server: LlmServer) -> None:
    """The scout completes with both stand-ins, and the notice and `degraded` name them."""
    server.is_out(503)
    async with build_core(local_settings(tmp_path, **server.settings())) as core:
        result = await scouted(core)
        events = await core.ledger.events(result.run_id)
    assert result.status == RunStatus.COMPLETED
    assert {m.method for m in result.matches} == {MatchMethod.HEURISTIC}
    assert [d.method for d in result.drafts] == [DraftMethod.TEMPLATE]
    assert "Ranked and drafted without AI: no language model answers now." in result.notices
    degraded = [event.data["what"] for event in events if "what" in event.data]
    assert degraded == ["ranked without AI", "drafted without AI"]
    assert result.usage.tokens == 0  # a vendor that refuses bills nothing


async def test_a_vendor_that_is_out_is_left_alone(tmp_path: Path, server: LlmServer) -> None:
    """After five failures in a row its breaker opens: the next scout does not ask it at all."""
    server.is_out(503, vendor=OPENAI)
    settings = local_settings(tmp_path, **server.settings(OPENAI))
    async with build_core(settings) as core:
        for number in range(2):
            await scouted(core, query=f"query {number}")
        asked = len(server.requests)
        assert core.guards.by_name[OPENAI].breaker.state is OPEN
        result = await scouted(core, query="another")
    assert asked == 5
    assert len(server.requests) == asked
    assert "Ranked and drafted without AI: no language model answers now." in result.notices


async def test_it_is_asked_again_when_it_is_back(tmp_path: Path, server: LlmServer) -> None:
    """Once its time is over one request finds out; then the model ranks again."""
    server.will(Fail(503, times=5, match=Match(provider=OPENAI)))
    settings = local_settings(tmp_path, **server.settings(OPENAI), breaker_open_s=0.2)
    async with build_core(settings) as core:
        methods: list[MatchMethod] = []
        async with asyncio.timeout(20):
            while MatchMethod.LLM not in methods:
                result = await scouted(core, query=f"query {len(methods)}", drafts=0)
                methods.append(result.matches[0].method)
    assert methods[0] is MatchMethod.HEURISTIC
    assert len(server.requests) == 6


async def test_a_strict_configuration_has_no_stand_in(tmp_path: Path, server: LlmServer) -> None:
    """`scout-strict@1`: the draft fails, the matching is undone, and the person is told."""
    server.is_out(503)
    async with build_core(local_settings(tmp_path, **server.settings(GROQ))) as core:
        result = await scouted(core, config="scout-strict@1")
        assert await core.outcomes.matches(result.run_id) == []
    assert result.status == RunStatus.COMPENSATED
    assert result.error is not None
    assert result.error.type == "llm-unavailable"
    assert "Nothing of this scout was kept" in result.error.message

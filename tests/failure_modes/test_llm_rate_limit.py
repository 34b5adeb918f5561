"""A vendor says 429: its Retry-After is obeyed, the other vendor or the stand-in answers
meanwhile, and one that is out of quota is left alone for long."""

from pathlib import Path

import pytest
from llmock.scenarios import Fail, Match

from agents.domain.match import MatchMethod
from bot.bootstrap.core import build_core
from tests.conftest import local_settings
from tests.failure_modes.test_llm_outage import scouted
from tests.fakes.llmock_server import GROQ, OPENAI, LlmServer


async def test_a_short_wait_is_waited(tmp_path: Path, server: LlmServer) -> None:
    """After a Retry-After that the step has time for, the same vendor is asked again and ranks;
    llmock's own verdict finds no request that came too early."""
    server.will(Fail(429, retry_after=1))
    async with build_core(local_settings(tmp_path, **server.settings(OPENAI))) as core:
        result = await scouted(core, drafts=0)
    assert {m.method for m in result.matches} == {MatchMethod.LLM}
    first, second = server.requests
    assert second.started_at - first.ended_at >= 1.0
    assert server.verdict_errors == []


async def test_the_other_vendor_answers_meanwhile(tmp_path: Path, server: LlmServer) -> None:
    """A wait that is too long for the run: Groq ranks, and OpenAI is not asked until it is over."""
    server.will(Fail(429, retry_after=300, times=None, match=Match(provider=OPENAI)))
    async with build_core(local_settings(tmp_path, **server.settings())) as core:
        first = await scouted(core, drafts=0)
        second = await scouted(core, drafts=0, query="another")
    assert {m.method for m in (*first.matches, *second.matches)} == {MatchMethod.LLM}
    assert [request.provider for request in server.requests] == [OPENAI, GROQ, GROQ]


@pytest.mark.parametrize("code", [None, "insufficient_quota"])
async def test_alone_the_heuristic_stands_in(
    tmp_path: Path, server: LlmServer, code: str | None
) -> None:
    """With no other vendor the heuristic ranks and says so; nobody hammers on the one that asked
    for patience, also where it is out of quota, which no retry mends."""
    server.will(Fail(429, retry_after=60, code=code, times=None))
    async with build_core(local_settings(tmp_path, **server.settings(OPENAI))) as core:
        for number in range(3):
            result = await scouted(core, drafts=0, query=f"query {number}")
            assert "Ranked without AI: no language model answers now." in result.notices
    assert len(server.requests) == 1

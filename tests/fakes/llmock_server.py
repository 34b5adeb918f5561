"""llmock, an independent stand-in for OpenAI and Groq over HTTP, scripted by tests."""

import json
import re
from typing import Any

import pytest
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Behavior, Fail, Match, Reply
from llmock.scenarios import ToolCall as MockCall
from llmock.simulation import MockResponseSettings
from llmock.testing import LLMockServer
from llmock.verdict import judge

OPENAI, GROQ = "openai", "groq"


class LlmServer:
    """A server that runs, in the words of the tests."""

    def __init__(self, server: LLMockServer) -> None:
        self._server = server

    def settings(self, *vendors: str, **changes: object) -> dict[str, object]:
        """Settings that lead here, with keys for these vendors (default: both)."""
        values: dict[str, object] = {"retry_base_s": 0.01}
        for vendor in vendors or (OPENAI, GROQ):
            base = self._server.base_url(vendor).removesuffix("/openai/v1")
            values |= {f"{vendor}_api_key": "not-a-key", f"{vendor}_base_url": base}
        return values | changes

    def environment(self, *vendors: str) -> dict[str, str]:
        """The same for another process."""
        return {name.upper(): str(value) for name, value in self.settings(*vendors).items()}

    def replies(self, *texts: str, times: int | None = 1, vendor: str | None = None) -> None:
        """The next answers."""
        match = Match(provider=vendor)
        self.will(*(Reply(text=text, times=times, match=match) for text in texts))

    def calls(self, *wanted: tuple[str, dict[str, object]], text: str | None = None) -> None:
        """The next answer calls these tools."""
        self.will(Reply(text=text, tool_calls=tuple(MockCall(*call) for call in wanted)))

    def is_out(self, status: int = 503, vendor: str | None = None) -> None:
        """Every request fails from now on."""
        self.will(Fail(status, times=None, match=Match(provider=vendor)))

    def will(self, *behaviours: Behavior) -> None:
        """Queue behaviours of llmock's own."""
        self._server.state.scenarios.add(*behaviours)

    def forget(self) -> None:
        """Nothing is scripted any more, and nothing was asked."""
        self._server.state.reset()

    def answers_in_text(self) -> None:
        """Unscripted answers are text, also where tools are offered."""
        self._server.app.state.mock_response_settings = MockResponseSettings(tool_mode="off")

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was asked, in order."""
        records = self._server.state.journal.records(wait=2.0)
        return [json.loads(json.dumps(record.body)) for record in records]

    @property
    def requests(self) -> list[Any]:
        """The requests with their times and statuses."""
        return list(self._server.state.journal.records(wait=2.0))

    @property
    def verdict_errors(self) -> list[str]:
        """What llmock holds against the client: a Retry-After ignored, a storm of retries."""
        return [str(finding) for finding in judge(self.requests).errors]

    def asked_for(self, purpose: str) -> list[dict[str, Any]]:
        """The requests for `match`, `draft` or `triage`."""
        return [body for body in self.bodies if _purpose(body) == purpose]


def _purpose(body: dict[str, Any]) -> str:
    if "tools" in body:
        return "triage"
    return "match" if "response_format" in body else "draft"


def postings_asked(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The postings in a question that asks to judge them, by their names there."""
    text = body["messages"][1]["content"].partition("The postings:\n")[2]
    decoder, found = json.JSONDecoder(), {}
    for line in text.splitlines():
        if match := re.match(r"(p\d+) (?=\{)", line):
            found[match.group(1)], _ = decoder.raw_decode(line[match.end() :])
    return found


@pytest.fixture
def server(llmock_server: LLMockServer) -> LlmServer:
    """The session's server, which llmock's own plugin starts, with nothing scripted or asked."""
    LLMock(llmock_server).reset()
    return LlmServer(llmock_server)

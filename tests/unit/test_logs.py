"""Log lines: for people on a terminal, JSON elsewhere, with labels and without secrets."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from agents.llm.port import LlmFailed
from bot import logs
from bot.guards import Guards, llm_fault, log_trouble
from resilience.errors import Refused
from resilience.fault import CALLERS, TRANSIENT
from resilience.guard import GuardPolicy
from resilience.labels import labelled
from resilience.retry import RetryPolicy
from tests.fakes.clock import FixedClock

log = logging.getLogger("webscout.test")


class Terminal(io.StringIO):
    """A stream that people look at."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """The root logger is as before afterwards."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    root.handlers[:] = before


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    """The lines as JSON."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_elsewhere_each_line_is_json() -> None:
    """With when, where, how grave, and the labels; people are hashed, the same each time."""
    stream = io.StringIO()
    logs.configure("INFO", stream)
    with labelled(run="ab12", user="a-random-id"):
        log.warning("it took %d s", 5)
        log.info("again")
    log.debug("not at this level")
    first, second = written(stream)
    assert first["event"] == "it took 5 s"
    assert (first["level"], first["logger"], first["run"]) == ("warning", "webscout.test", "ab12")
    assert first["timestamp"].endswith("Z")
    assert first["user"] == second["user"] == logs.hashed("a-random-id")
    assert "a-random-id" not in stream.getvalue()


def test_an_exception_is_in_its_line() -> None:
    """One line a record, however long the traceback."""
    stream = io.StringIO()
    logs.configure("INFO", stream)
    try:
        raise ZeroDivisionError("words")
    except ZeroDivisionError:
        log.exception("it broke")
    (line,) = written(stream)
    assert "ZeroDivisionError: words" in line["exception"]


def test_on_a_terminal_lines_are_for_people() -> None:
    """No JSON, and no values of variables in a traceback."""
    stream = Terminal()
    logs.configure("INFO", stream)
    try:
        secret = "in a variable"
        raise ZeroDivisionError(len(secret))
    except ZeroDivisionError:
        log.exception("it broke")
    assert "it broke" in stream.getvalue()
    assert "in a variable" not in stream.getvalue().replace('secret = "in a variable"', "")
    assert not stream.getvalue().startswith("{")


def test_configured_again_nothing_is_written_twice() -> None:
    """The newest stream has it."""
    first, second = io.StringIO(), io.StringIO()
    logs.configure("INFO", first)
    logs.configure("INFO", second)
    log.warning("once")
    assert first.getvalue() == ""
    assert len(written(second)) == 1


async def test_a_dependencys_trouble_is_said_once_and_its_end_once() -> None:
    """However often it fails in between, and its breaker tries; a caller's mistake is none."""
    stream, clock = io.StringIO(), FixedClock()
    logs.configure("INFO", stream)
    policy = GuardPolicy(retry=RetryPolicy(retries_max=0))
    guard = Guards(clock).make("openai", policy, llm_fault)
    log_trouble(guard)

    async def ask(error: Exception | None) -> None:
        async def work() -> None:
            if error is not None:
                raise error

        with suppress(LlmFailed, Refused, KeyError):
            await guard.call(work)

    for _ in range(2):
        await ask(LlmFailed("openai: your mistake", CALLERS))
        for _ in range(20):
            clock.advance(100)
            await ask(LlmFailed("openai: it answered 500", TRANSIENT))
        clock.advance(400)
        await ask(None)
    await ask(KeyError("what somebody asked"))
    said = [line["event"] for line in written(stream)]
    once = ["openai fails: openai: it answered 500", "openai answers again"]
    assert said == [*once, *once, "openai fails: KeyError"]

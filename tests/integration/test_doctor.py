"""`webscout doctor` on feeds, on Apify and on language models, against stand-ins."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llmock.scenarios import Fail, Match
from llmock.testing import LLMockServer

from tests.fakes.apify import TOKEN, FakeApify, Fault
from tests.fakes.feed_server import FeedServer
from tests.fakes.llmock_server import LlmServer
from tests.fakes.threaded import threaded
from tests.integration.test_cli import Run, webscout
from tests.integration.test_feeds import JOBS, feed, feeds_file

__all__ = ["webscout"]  # a fixture

Checks = dict[str, dict[str, Any]]


@pytest.fixture
def server() -> Iterator[FeedServer]:
    """A web server with a feed that works and one that doesn't."""
    with threaded(FeedServer()) as standin:
        standin.route("/good").json({"jobs": JOBS})
        standin.route("/bad").status(500)
        yield standin


@pytest.fixture
def feeds(server: FeedServer, tmp_path: Path) -> str:
    """The FEEDS_FILE of both."""
    return str(feeds_file(tmp_path, [feed(server, name, pause_s=0) for name in ("good", "bad")]))


@pytest.fixture
def apify() -> Iterator[FakeApify]:
    """The stand-in of Apify."""
    with threaded(FakeApify()) as standin:
        yield standin


def checked(webscout: Run, **environment: str) -> tuple[int, Checks, str]:
    """The doctor's exit code, its checks by name, and all that it printed."""
    code, out, err = webscout("doctor", "--json", PORT="0", **environment)
    return code, {check["name"]: check for check in json.loads(out)}, out + err


def test_one_of_many_feeds_that_is_down(webscout: Run, feeds: str) -> None:
    """It is said, with what to do, and is no failure: the others are there."""
    code, checks, _ = checked(webscout, FEEDS_FILE=feeds, SOURCES="feeds")
    assert code == 0
    good, bad = checks["source good"], checks["source bad"]
    assert (good["ok"], good["detail"]) == (True, "2 postings")
    assert (bad["ok"], bad["required"]) == (False, False)
    assert "bad: it answered 500" in bad["detail"]
    assert "FEEDS_FILE" in bad["mend"]


def test_all_feeds_are_down(webscout: Run, server: FeedServer, feeds: str) -> None:
    """Then nothing can be scouted: it is a failure."""
    server.route("/good").status(500)
    code, checks, _ = checked(webscout, FEEDS_FILE=feeds, SOURCES="feeds")
    assert (code, checks["source good"]["required"]) == (1, True)


def test_a_feed_that_is_named_has_to_work(webscout: Run, feeds: str) -> None:
    """SOURCES asks for it."""
    code, checks, _ = checked(webscout, FEEDS_FILE=feeds, SOURCES="good,bad")
    assert (code, checks["source bad"]["required"]) == (1, True)


@pytest.mark.parametrize("name", ["FEEDS_FILE", "APIFY_ACTORS_FILE"])
def test_a_list_that_can_not_be_read(webscout: Run, name: str) -> None:
    """A finding as any other, with the setting's name."""
    code, checks, _ = checked(webscout, SOURCES="sample", **{name: "nosuch.json"})
    assert code == 1
    assert checks["sources"]["detail"].startswith(f"{name}: No such file")


def test_the_apify_account(webscout: Run, apify: FakeApify) -> None:
    """What it has used and where it ends; no actor is run for that, no secret is printed."""
    apify.used_usd = 1.5
    environment = {"APIFY_API_TOKEN": TOKEN, "APIFY_API_BASE_URL": apify.url, "SOURCES": "apify"}
    code, checks, printed = checked(webscout, **environment)
    assert code == 0
    assert checks["apify account"]["detail"] == "1.50 of 5.00 USD used this month"
    assert apify.starts == 0
    assert TOKEN not in printed


def test_an_apify_token_that_is_refused(webscout: Run, apify: FakeApify) -> None:
    """It fails the doctor, and says which setting to look at."""
    secret = "apify_api_other00000000000000000000000"
    environment = {"APIFY_API_TOKEN": secret, "APIFY_API_BASE_URL": apify.url, "SOURCES": "apify"}
    code, checks, printed = checked(webscout, **environment)
    assert code == 1
    assert "the Apify token is refused" in checks["apify account"]["detail"]
    assert "APIFY_API_TOKEN" in checks["apify account"]["mend"]
    assert secret not in printed


def test_apify_is_down(webscout: Run, apify: FakeApify) -> None:
    """So is the doctor's finding."""
    apify.faults["limits"] = Fault(status=503)
    environment = {"APIFY_API_TOKEN": TOKEN, "APIFY_API_BASE_URL": apify.url, "SOURCES": "sample"}
    code, checks, _ = checked(webscout, **environment)
    assert code == 1
    assert "Apify has trouble (HTTP 503)" in checks["apify account"]["detail"]


@pytest.fixture
def vendors() -> Iterator[LLMockServer]:
    """OpenAI and Groq, for another process to ask."""
    with LLMockServer() as running:
        yield running


def test_language_models(webscout: Run, vendors: LLMockServer) -> None:
    """Each vendor that has a key is asked for its models: one that answers, one that does not."""
    llm = LlmServer(vendors)
    llm.will(Fail(401, times=None, match=Match(provider="groq")))
    code, found, out = checked(webscout, SOURCES="sample", **llm.environment())
    assert code == 0
    assert found["groq"]["ok"] is False
    assert "its key is not accepted" in found["groq"]["detail"]
    assert "GROQ_API_KEY" in found["groq"]["mend"]
    assert "not-a-key" not in out
    assert found["openai"]["ok"] or "the account has no gpt-4.1-mini" in found["openai"]["detail"]


@pytest.mark.parametrize(
    ("environment", "ok"),
    [
        ({}, True),
        ({"HOST": "0.0.0.0"}, False),
        ({"HOST": "0.0.0.0", "OPS_TOKEN": "a-token-of-some-length"}, True),
    ],
)
def test_a_dashboard_that_is_closed_to_everybody(
    webscout: Run, environment: dict[str, str], ok: bool
) -> None:
    """It is said what opens it; the token is not shown."""
    _, checks, printed = checked(webscout, SOURCES="sample", **environment)
    assert checks["dashboard"]["ok"] is ok
    assert ("OPS_TOKEN" in checks["dashboard"]["mend"]) is not ok
    assert "a-token-of-some-length" not in printed

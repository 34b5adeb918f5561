"""Free text over the run API: what may be asked, what is answered, and to whom."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from llmock.scenarios import Delay
from referencing import Registry, Resource

from bot.bootstrap import Fakes
from resilience.saga import CLOSING
from tests.fakes.api_client import RED, SCOUT, ApiClient, Seen, api_bot, database, numbered
from tests.fakes.llmock_server import LlmServer
from tests.fakes.opportunities import opportunity
from tests.fakes.sources import FailingSource, HeldSource, TestSources
from tests.integration.test_llm_matching import counting_down

RUST = tuple(
    opportunity(id=f"r{n}", title=f"Rust {what}", locations=(), remote=True, skills=("rust",))
    for n, what in enumerate(("parser", "kiosk", "tutor"))
)
PROFILE = {
    "skills": ["cobol"],
    "locations": ["Lagos"],
    "remote": True,
    "kinds": ["job"],
    "min_pay": {"amount": 1000.0, "currency": "EUR", "period": "month"},
    "about": "I mend mainframes.",
}
DRAFT = "Hello,\n\nI would like to take this on. [fill in: a result of yours]\n\nKind regards"


def ask(text: str = "rust work", **fields: object) -> dict[str, object]:
    """A request in free words."""
    return {"kind": "ask", "text": text, "sources": ["rust"], **fields}


def fakes(**more: Any) -> Fakes:
    """Sources of the tests' own: three Rust jobs, and others."""
    free = HeldSource(RUST, "rust")
    free.gate.set()
    return Fakes(sources=TestSources({"rust": free, **more}))


@pytest.fixture
async def blue(tmp_path: Path) -> AsyncIterator[ApiClient]:
    """The blue team's program at a bot without a model."""
    async with api_bot(tmp_path, fakes()) as client:
        yield client


@pytest.fixture
async def clever(tmp_path: Path, server: LlmServer) -> AsyncIterator[ApiClient]:
    """The same at a bot with one."""
    async with api_bot(tmp_path, fakes(), **server.settings()) as client:
        yield client


@pytest.fixture(scope="module")
def validator(real_data: Path) -> jsonschema.Draft202012Validator:
    """Checks what `GET /v1/runs/{id}` answers against the contract's schemas."""
    folder = real_data.parent / "schemas"
    schemas = {path.name: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}
    resources = [(name, Resource.from_contents(schema)) for name, schema in schemas.items()]
    registry: Any = Registry().with_resources(resources)
    run = schemas["run.json"]
    run["properties"]["result"] = {
        "anyOf": [{"$ref": "ask-result.json"}, {"type": "null"}]  # an ask's, and no other's
    }
    return jsonschema.Draft202012Validator(run, registry=registry)


async def started(client: ApiClient, text: str = "rust work", **fields: object) -> str:
    """Start a run that is accepted; its id."""
    answer = await client.start(ask(text, **fields))
    assert answer.status == 202, answer.body
    return str(answer.body["run_id"])


async def done(client: ApiClient, text: str = "rust work", **fields: object) -> dict[str, Any]:
    """The run at its end."""
    return await client.ended(await started(client, text, **fields))


def types(events: list[Seen]) -> list[str]:
    """What happened, by type."""
    return [event.type for event in events]


# --- a run from its start to its end ------------------------------------------------------------


async def test_free_text_is_accepted_and_answered(
    clever: ApiClient, server: LlmServer, validator: jsonschema.Draft202012Validator
) -> None:
    """202 with where to go on; each link leads there, and the end is as the schemas say."""
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(3))
    server.calls(("draft", {"ranks": [1]}), ("explain", {"rank": 2}))
    server.replies(DRAFT, "Three fit, and a draft for the best.")
    answer = await clever.start(ask())
    assert answer.status == 202
    links = answer.body["links"]
    assert answer.body == {"run_id": answer.body["run_id"], "status": "queued", "links": links}
    assert answer.headers["Location"] == links["self"]
    events = await clever.events(answer.body["run_id"])
    run = (await clever.ask("GET", links["self"])).body
    validator.validate(run)
    assert (run["kind"], run["config"], run["status"]) == ("ask", "ask@1", "completed")
    result = run["result"]
    assert result["reply"] == "Three fit, and a draft for the best."
    uses = {(use["tool"], use["ok"]) for use in result["actions"]}
    assert uses == {("scout", True), ("draft", True), ("explain", True)}
    assert len(result["matches"]) == 3
    best = result["matches"][0]["opportunity"]["id"]
    assert [draft["opportunity_id"] for draft in result["drafts"]] == [best]
    assert result["drafted_for"] == [result["matches"][0]["opportunity"]["title"]]
    assert result["usage"] == run["usage"]
    assert run["usage"]["handoffs"] == 4
    steps = [step["name"] for step in run["steps"]]
    work = ["discover", "match", "plan", "plan", "act", "plan", "plan"]
    assert steps == ["plan", *work, "reply"]
    assert [step["seq"] for step in run["steps"]] == list(range(1, 10))
    assert numbered(events)
    assert types(events).count("step.started") == len(steps)


async def test_without_a_model_it_is_answered_too(
    blue: ApiClient, validator: jsonschema.Draft202012Validator
) -> None:
    """The rules scout, and the result says so; what they cannot tell they ask back."""
    for text, tool in (
        ("remote rust jobs", "scout"),
        ("how are you?", "ask_back"),
        ("draft 1", "draft"),
    ):
        run = await done(blue, text)
        validator.validate(run)
        assert run["status"] == "completed"
        assert [use["tool"] for use in run["result"]["actions"]] == [tool]
        assert run["result"]["reply"]
        assert any("without AI" in notice for notice in run["result"]["notices"])


async def test_a_reader_goes_on_after_what_it_has(blue: ApiClient) -> None:
    """From every event on, by header or in the address; a number that is none is refused."""
    run_id = await started(blue)
    events = await blue.events(run_id)
    assert numbered(events)
    assert events[-1].type in CLOSING
    for has in range(len(events) + 1):
        assert await blue.events(run_id, has) == events[has:]
        assert await blue.events(run_id, query={"after": has}) == events[has:]
    assert await blue.events(run_id, 5, query={"after": 2}) == events[5:]
    bad = await blue.ask("GET", f"/v1/runs/{run_id}/events", headers={"Last-Event-ID": "x"})
    assert (bad.status, bad.problem) == (400, "invalid-last-event-id")


async def test_a_reader_that_leaves_stops_nothing(tmp_path: Path) -> None:
    """It comes again with the number of what it had, and misses nothing."""
    held = HeldSource(RUST)
    async with api_bot(tmp_path, fakes(held=held)) as blue:
        run_id = await started(blue, sources=["held"])
        async with blue.stream(run_id) as stream:
            seen = [await anext(stream) for _ in range(4)]
        await asyncio.wait_for(held.asked.wait(), 20)
        held.gate.set()
        seen += await blue.events(run_id, seen[-1].id)
        assert numbered(seen)
        assert seen == await blue.events(run_id)


async def test_events_hold_nothing_that_was_said(clever: ApiClient, server: LlmServer) -> None:
    """Ids and counts alone, since events stay when texts are forgotten."""
    server.calls(("change_profile", {"about": "secret-about"}), ("scout", {"query": "secret-q"}))
    server.replies(counting_down(3), "secret-reply")
    run_id = await started(clever, "secret-text", profile={"skills": ["secret-skill"]})
    events = await clever.events(run_id)
    assert events[-1].type == "run.completed"
    assert "secret" not in json.dumps([event.data for event in events])


async def test_a_failing_source_is_an_answer_that_says_so(
    tmp_path: Path, validator: jsonschema.Draft202012Validator
) -> None:
    """The scout that came to nothing is an action that is not ok; the run completes, degraded."""
    async with api_bot(tmp_path, fakes(failing=FailingSource())) as blue:
        run = await done(blue, sources=["failing"])
    validator.validate(run)
    assert (run["status"], run["degraded"]) == ("completed", ["scout skipped"])
    assert run["result"]["actions"] == [{"tool": "scout", "ok": False}]
    assert "it is down" in run["result"]["reply"]


# --- what may be asked --------------------------------------------------------------------------


async def test_wrong_fields_are_named(blue: ApiClient, tmp_path: Path) -> None:
    """422 with each place, and nothing is journaled; a scout's fields are not an ask's."""
    wrong: list[tuple[dict[str, object], list[str]]] = [
        ({"text": ""}, ["text"]),
        ({"text": " \n\t"}, ["text"]),
        ({"text": "\x00"}, ["text"]),
        ({"text": "x" * 2_001}, ["text"]),
        ({"text": ["rust"]}, ["text"]),
        ({"text": None}, ["text"]),
        ({"query": "rust"}, ["query"]),
        ({"limit": 3, "drafts": 1}, ["drafts", "limit"]),
        ({"remember": True}, ["remember"]),
        ({"profile": {"skills": "rust"}}, ["profile.skills"]),
        ({"profile": {"remote": 1}}, ["profile.remote"]),
        ({"sources": ["file:/etc/passwd", "nosuch"]}, ["sources.0", "sources.1"]),
        ({"config": 1}, ["config"]),
    ]
    for fields, places in wrong:
        answer = await blue.start(ask() | fields)
        assert (answer.status, answer.problem) == (422, "invalid-request"), fields
        assert sorted(answer.places) == places, fields
    assert (await blue.start({"kind": "scout", "text": "rust"})).places == ["text"]
    assert (await blue.start(b'{"kind": "ask", "text": "\\ud800"}')).problem == "invalid-json"
    assert database(tmp_path, "SELECT count(*) FROM runs") == [(0,)]


async def test_the_longest_text_is_taken(blue: ApiClient) -> None:
    """Two thousand characters of any script."""
    for text in ("é" * 2_000, "🦀" * 2_000, "rust " * 400):
        assert (await done(blue, text))["status"] == "completed"


@pytest.mark.parametrize("config", ["ask@2", "scout@1", "scout-strict@1", "ask", "", "ASK@1"])
async def test_an_unknown_configuration_starts_nothing(
    blue: ApiClient, tmp_path: Path, config: str
) -> None:
    """400, naming those that there are for free text."""
    answer = await blue.start(ask(config=config))
    assert (answer.status, answer.problem) == (400, "config-not-found")
    assert answer.body["detail"].endswith("there are ask@1")
    assert database(tmp_path, "SELECT count(*) FROM runs") == [(0,)]


async def test_a_scout_does_not_run_as_an_ask(blue: ApiClient, tmp_path: Path) -> None:
    """400 for the other kind's configuration, either way round."""
    answer = await blue.start(SCOUT | {"config": "ask@1"})
    assert (answer.status, answer.problem) == (400, "config-not-found")
    assert "scout@1" in answer.body["detail"]
    assert database(tmp_path, "SELECT count(*) FROM runs") == [(0,)]


async def test_the_profile_that_is_given_counts(
    clever: ApiClient, server: LlmServer, tmp_path: Path
) -> None:
    """What the words leave open is the given profile's; no run leaves anything in another's, and
    what a model would remember of it is refused."""
    given = PROFILE | {"min_pay": None}
    server.calls(("scout", {"query": "mainframe"}), ("change_profile", {"add_skills": ["zig"]}))
    server.replies(counting_down(3), "None.")
    run_id = await started(clever, "mainframes", profile=given)
    run = await clever.ended(run_id)
    ((text,),) = database(tmp_path, "SELECT body FROM run_texts WHERE name = 'request'")
    assert json.loads(str(text))["profile"] == given
    assert run["status"] == "completed"
    uses = [(use["tool"], use["ok"]) for use in run["result"]["actions"]]
    assert uses == [("change_profile", False), ("scout", True)]
    server.calls(("scout", {"query": "zeppelin"}))
    server.replies(counting_down(3), "None.")
    await done(clever, "and zeppelins")
    judged = [json.dumps(body["messages"]) for body in server.asked_for("match")]
    assert ["cobol" in words for words in judged] == [True, False]
    assert not any("zig" in words for words in judged)
    told = [json.dumps(body["messages"]) for body in server.asked_for("triage")]
    assert "nothing is remembered for this caller" in told[1]
    assert not any("cobol" in words for words in told[2:])
    assert database(tmp_path, "SELECT count(*) FROM profiles") == [(0,)]


async def test_nothing_is_remembered_for_a_team(blue: ApiClient, tmp_path: Path) -> None:
    """Neither what somebody tells of themselves nor what they save: the answer says so, and where
    to say it."""
    for text, tool in (("I know zig", "change_profile"), ("find rust work, save 1", "save")):
        run = await done(blue, text)
        assert run["status"] == "completed"
        assert run["result"]["actions"][-1] == {"tool": tool, "ok": False}
        assert "nothing is remembered for this caller" in run["result"]["reply"]
    for table in ("profiles", "saved"):
        assert database(tmp_path, f"SELECT count(*) FROM {table}") == [(0,)]


# --- idempotency --------------------------------------------------------------------------------


async def test_the_same_key_is_the_same_run(blue: ApiClient, tmp_path: Path) -> None:
    """200 and the first run, however often at once; another body, or kind, is refused."""
    answers = await asyncio.gather(*(blue.start(ask(), key="k") for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200] * 9 + [202]
    (run_id,) = {answer.body["run_id"] for answer in answers}
    await blue.ended(run_id)
    again = await blue.start(ask(config="ask@1"), key="k")
    assert (again.status, again.body["run_id"]) == (200, run_id)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.body["status"] == "completed"
    for other in (ask("rust  work"), ask(profile={"remote": True}), SCOUT):
        refused = await blue.start(other, key="k")
        assert (refused.status, refused.problem) == (422, "idempotency-key-reused")
    assert (await blue.of(RED).start(ask(), key="k")).status == 202
    assert database(tmp_path, "SELECT count(*) FROM runs") == [(2,)]


# --- cancelling ---------------------------------------------------------------------------------


async def test_cancelled_while_the_model_is_asked(
    clever: ApiClient, server: LlmServer, validator: jsonschema.Draft202012Validator
) -> None:
    """202, also when repeated; a receipt says what was stopped, and no answer stands there."""
    server.will(Delay(3.0))
    run_id = await started(clever)
    async with clever.stream(run_id) as stream:
        async for event in stream:
            if event.data.get("settled") is False:
                break
        answers = await asyncio.gather(*(clever.cancel(run_id) for _ in range(5)))
    assert {answer.status for answer in answers} == {202}
    run = await clever.ended(run_id)
    validator.validate(run)
    assert (run["status"], run["error"]["type"]) == ("cancelled", "cancelled")
    result = run["result"]
    assert (result["reply"], result["actions"], result["matches"]) == ("", [], [])
    assert result["receipt"]["stopped"] == ["understanding your words"]
    assert result["receipt"]["undone"] == []
    assert result["receipt"]["spent"] == run["usage"]
    assert run["usage"]["tokens"] > 0  # whether it is billed nobody can tell
    assert (await clever.cancel(run_id)).status == 202


async def test_cancelled_when_something_was_found(
    clever: ApiClient, server: LlmServer, validator: jsonschema.Draft202012Validator
) -> None:
    """Cancelled in the turn after a scout: the ranking is undone, the postings are shown."""
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(3))
    server.will(Delay(0.0), Delay(0.0), Delay(3.0))
    run_id = await started(clever)
    async with clever.stream(run_id) as stream:
        asked = 0
        async for event in stream:
            asked += event.data.get("settled") is False
            if asked == 3:
                break
        assert (await clever.cancel(run_id)).status == 202
    run = await clever.ended(run_id)
    validator.validate(run)
    result = run["result"]
    assert (run["status"], result["partial"], len(result["matches"])) == ("cancelled", True, 3)
    assert {match["score"] for match in result["matches"]} == {None}
    assert result["receipt"]["undone"] == ["3 scores removed"]
    assert result["reply"] == ""


async def test_a_run_that_has_ended_is_not_cancelled(blue: ApiClient) -> None:
    """409, and its answer stays."""
    run = await done(blue)
    answer = await blue.cancel(run["run_id"])
    assert (answer.status, answer.problem) == (409, "run-ended")
    assert await blue.run(run["run_id"]) == run


# --- whose it is --------------------------------------------------------------------------------


async def test_another_teams_conversation_does_not_exist(blue: ApiClient) -> None:
    """404 on every route, as for a run that never was; it is in no list of theirs."""
    run, red = await done(blue, "secret rust work"), blue.of(RED)
    path = f"/v1/runs/{run['run_id']}"
    for method, where in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
        answer = await red.ask(method, path + where)
        assert (answer.status, answer.problem) == (404, "run-not-found")
    assert (await red.ask("GET", "/v1/runs")).body["runs"] == []
    assert [r["kind"] for r in (await blue.ask("GET", "/v1/runs")).body["runs"]] == ["ask"]


async def test_runs_know_nothing_of_each_other(clever: ApiClient, server: LlmServer) -> None:
    """Neither words, nor replies, nor a shortlist of an earlier run, of one's own team or another,
    reach the model or the answer."""
    server.calls(("scout", {"query": "rust"}), ("change_profile", {"about": "secret-about"}))
    server.replies(counting_down(3), "secret-reply")
    await done(clever, "secret-text")
    for client in (clever, clever.of(RED)):
        server.calls(("explain", {"rank": 1}), ("save", {"ranks": [1]}), ("draft", {"ranks": [1]}))
        server.replies("No list.")
        run = await done(client, "why is 1 there, save it, draft it")
        assert {use["ok"] for use in run["result"]["actions"]} == {False}
        assert (run["result"]["matches"], run["result"]["drafts"]) == ([], [])
        told = json.dumps(server.asked_for("triage")[-1]["messages"])
        assert "there is no shortlist yet" in told
        assert "secret" not in told


async def test_conversations_at_once_do_not_mix(blue: ApiClient) -> None:
    """Four runs side by side, each answered for its own words."""
    wanted: dict[str, list[tuple[str, bool]]] = {
        "find a rust parser, not kiosk, not tutor. Draft 1": [("scout", True), ("draft", True)],
        "find a rust kiosk, not parser, not tutor. Why 1": [("scout", True), ("explain", True)],
        "rust tutor, not parser, not kiosk": [("scout", True)],
        "why 2": [("explain", False)],
    }
    runs = await asyncio.gather(*(done(blue, text) for text in wanted))
    titles = []
    for uses, run in zip(wanted.values(), runs, strict=True):
        result = run["result"]
        assert [(use["tool"], use["ok"]) for use in result["actions"]] == uses
        titles.append([match["opportunity"]["title"] for match in result["matches"]])
        assert result["drafted_for"] == (titles[-1] if ("draft", True) in uses else [])
    assert titles == [["Rust parser"], ["Rust kiosk"], ["Rust tutor"], []]
    assert "“Rust kiosk”" in runs[1]["result"]["reply"]
    assert "no shortlist yet" in runs[3]["result"]["reply"]


# --- quotas -------------------------------------------------------------------------------------


async def test_asks_count_among_a_teams_runs(tmp_path: Path) -> None:
    """Asks and scouts share the quota; the next is refused with when to come again."""
    held = HeldSource(RUST)
    async with api_bot(tmp_path, fakes(held=held), team_runs=2) as blue:
        first = await started(blue, sources=["held"])
        await blue.started(sources=["held"])
        for body in (ask(), SCOUT):
            refused = await blue.start(body)
            assert (refused.status, refused.problem) == (429, "too-many-runs")
            assert int(refused.headers["Retry-After"]) >= 1
        assert (await blue.of(RED).start(ask())).status == 202
        held.gate.set()
        await blue.ended(first)
        assert (await blue.start(ask())).status == 202


async def test_what_triage_takes_is_the_teams(tmp_path: Path, server: LlmServer) -> None:
    """Tokens of an ask use up the team's day, and no other team's."""
    server.replies("Hello.", "Hello to you.")
    settings = server.settings() | {"team_tokens_per_day": 10}
    async with api_bot(tmp_path, fakes(), **settings) as blue:
        run = await done(blue, "hello")
        assert run["usage"]["tokens"] >= 10
        refused = await blue.start(ask())
        assert (refused.status, refused.problem) == (429, "token-budget-exhausted")
        assert int(refused.headers["Retry-After"]) > 60
        assert (await done(blue.of(RED), "hello"))["result"]["reply"] == "Hello to you."


# --- limits of one run --------------------------------------------------------------------------


async def test_a_kill_switch_is_a_failure_with_its_type(
    tmp_path: Path, server: LlmServer, validator: jsonschema.Draft202012Validator
) -> None:
    """What was found is in the result, labelled partial."""
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(3))
    settings = server.settings() | {"run_handoffs": 1}
    async with api_bot(tmp_path, fakes(), **settings) as blue:
        run = await done(blue)
        events = await blue.events(run["run_id"])
    validator.validate(run)
    assert (run["status"], run["error"]["type"]) == ("failed", "routing-exhausted")
    assert (run["result"]["partial"], len(run["result"]["matches"])) == (True, 3)
    assert events[-1].type == "run.failed"
    assert events[-1].data["error"] == "routing-exhausted"

"""The run API over HTTP: who may ask, what may be asked, and what is answered."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.api_client import BLUE, RED, SCOUT, ApiClient, api_bot
from tests.fakes.people import rows

BODY_MAX = 64 * 1024
EVERY_ROUTE = [
    ("POST", "/v1/runs"),
    ("GET", "/v1/runs"),
    ("GET", "/v1/runs/abc"),
    ("GET", "/v1/runs/abc/events"),
    ("POST", "/v1/runs/abc/cancel"),
]


@pytest.fixture
async def blue(tmp_path: Path) -> AsyncIterator[ApiClient]:
    """The blue team's program at a running bot; the red team has a key, too."""
    async with api_bot(tmp_path, team_runs=1_000) as client:
        yield client


def runs_of(folder: Path) -> int:
    """How many runs are journaled."""
    return int(str(rows(folder, "SELECT count(*) FROM runs")[0][0]))


# --- who may ask --------------------------------------------------------------------------------


NO_KEYS = [
    None,
    "",
    BLUE,
    "Bearer",
    "Bearer ",
    "Bearer wrong-key-of-16-chars",
    f"Basic {BLUE}",
    f"Bearer {BLUE}x",
    f"Bearer {BLUE[:-1]}",
    f"Bearer {BLUE.upper()}",
    f"Bearer {BLUE} {BLUE}",
    f"Bearer {BLUE},{RED}",
    f"Bearer blue:{BLUE}",
    "Bearer ключ-ключ-ключ-ключ",
    "Bearer " + "x" * 8_000,
]


async def test_who_has_no_key_gets_nothing(blue: ApiClient, tmp_path: Path) -> None:
    """Every route answers 401 and how to ask; nothing is journaled."""
    nobody = blue.of(None)
    for authorization, (method, path) in itertools.product(NO_KEYS, EVERY_ROUTE):
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = await nobody.ask(method, path, body=SCOUT, headers=headers)
        assert (answer.status, answer.problem) == (401, "unauthorized"), authorization
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert runs_of(tmp_path) == 0


async def test_a_key_in_the_address_is_no_key(blue: ApiClient) -> None:
    """Addresses end up in logs: a key there does not count."""
    for name in ("key", "token", "access_token", "Authorization"):
        answer = await blue.of(None).ask("GET", "/v1/runs", query={name: BLUE})
        assert answer.status == 401


async def test_the_scheme_is_read_in_any_case(blue: ApiClient) -> None:
    """`bearer` is as good as `Bearer`, as RFC 9110 has it."""
    for scheme in ("bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {BLUE}"}
        assert (await blue.of(None).ask("GET", "/v1/runs", headers=headers)).status == 200


async def test_another_teams_run_does_not_exist(blue: ApiClient) -> None:
    """What another team gets is what it gets for a run that never was, on every route."""
    red, run_id = blue.of(RED), await blue.started()
    await blue.ended(run_id)
    for method, path in EVERY_ROUTE[2:]:
        theirs = await red.ask(method, path.replace("abc", run_id))
        nobodys = await red.ask(method, path.replace("abc", run_id[::-1]))
        assert theirs.status == 404
        assert theirs.problem == "run-not-found"
        assert theirs.body == nobodys.body
    assert (await red.ask("GET", "/v1/runs")).body == {"runs": [], "next_cursor": None}
    assert (await blue.run(run_id))["status"] == "completed"


async def test_what_is_no_id_is_no_run(blue: ApiClient) -> None:
    """Whatever stands in the place of an id is answered with 404."""
    for run_id in ("%00", "%ED%A0%80", "%FF", "a" * 4_000, "%0A", "'--", "..%2F"):
        async with blue.raw("GET", f"/v1/runs/{run_id}") as response:
            assert response.status == 404
        async with blue.raw("POST", f"/v1/runs/{run_id}/cancel") as response:
            assert response.status == 404


async def test_other_methods_are_refused(blue: ApiClient) -> None:
    """405 with the methods that there are."""
    for method, path in (("DELETE", "/v1/runs"), ("PUT", "/v1/runs/abc"), ("GET", "/v1/runs/a/x")):
        answer = await blue.ask(method, path)
        assert answer.status in {404, 405}
        assert answer.problem in {"not-found", "method-not-allowed"}
        assert answer.status == 404 or "GET" in answer.headers["Allow"]


# --- starting a run -----------------------------------------------------------------------------


async def test_a_run_is_accepted_and_completes(blue: ApiClient) -> None:
    """202 with where to go on; each link leads there."""
    answer = await blue.start()
    assert answer.status == 202
    run_id = answer.body["run_id"]
    assert answer.body == {
        "run_id": run_id,
        "status": "queued",
        "links": {
            "self": f"/v1/runs/{run_id}",
            "events": f"/v1/runs/{run_id}/events",
            "cancel": f"/v1/runs/{run_id}/cancel",
        },
    }
    assert answer.headers["Location"] == answer.body["links"]["self"]
    assert answer.kind == "application/json"
    await blue.ended(run_id)
    run = (await blue.ask("GET", answer.headers["Location"])).body
    assert (run["status"], run["error"], run["config"]) == ("completed", None, "scout@1")
    assert len(run["result"]["matches"]) == 10
    assert [step["name"] for step in run["steps"]] == ["discover", "match", "act"]


async def test_everything_that_may_be_asked_is_heard(blue: ApiClient, tmp_path: Path) -> None:
    """Each field of the contract is taken, and stands in what is journaled."""
    pay = {"amount": 1000.0, "currency": "EUR", "period": "month"}
    profile = {
        "skills": ["python", "c++"],
        "locations": ["Berlin", "Lagos"],
        "remote": True,
        "kinds": ["job", "grant"],
        "min_pay": pay | {"amount": 1000},
        "about": "I build 🏗 things\nand more",
    }
    body = SCOUT | {"query": "wind", "profile": profile, "limit": 3, "drafts": 2}
    run_id = await blue.started(**body)
    run = await blue.ended(run_id)
    assert run["result"]["funnel"]["shown"] <= 3
    ((text,),) = rows(tmp_path, "SELECT body FROM run_texts WHERE name = 'request'")
    kept = json.loads(str(text))
    assert kept["profile"] == profile | {"min_pay": pay}
    assert (kept["query"], kept["limit"], kept["drafts"]) == ("wind", 3, 2)
    assert kept["sample_fallback"] is False


async def test_only_the_kind_has_to_be_said(blue: ApiClient) -> None:
    """Without sources those of the settings are asked."""
    answer = await blue.start({"kind": "scout"})
    assert answer.status == 202
    assert (await blue.ended(answer.body["run_id"]))["result"]["funnel"]["found"] > 0


PAY = {"amount": 5, "currency": "EUR", "period": "year"}
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"colour": "red"}, ["colour"]),
    ({"Limit": 3}, ["Limit"]),
    ({"limit": "3"}, ["limit"]),
    ({"limit": 3.0}, ["limit"]),
    ({"limit": 3.5}, ["limit"]),
    ({"limit": True}, ["limit"]),
    ({"limit": None}, ["limit"]),
    ({"limit": [3]}, ["limit"]),
    ({"limit": 0}, ["limit"]),
    ({"limit": -1}, ["limit"]),
    ({"limit": 101}, ["limit"]),
    ({"limit": 10**30}, ["limit"]),
    ({"drafts": 11}, ["drafts"]),
    ({"drafts": "all"}, ["drafts"]),
    ({"query": 5}, ["query"]),
    ({"query": None}, ["query"]),
    ({"query": "x" * 201}, ["query"]),
    ({"query": "\x00"}, ["query"]),
    ({"profile": []}, ["profile"]),
    ({"profile": None}, ["profile"]),
    ({"profile": {"remote": 1}}, ["profile.remote"]),
    ({"profile": {"remote": "true"}}, ["profile.remote"]),
    ({"profile": {"skills": "python"}}, ["profile.skills"]),
    ({"profile": {"skills": ["python", 5]}}, ["profile.skills.1"]),
    ({"profile": {"skills": ["ok", " ", ""]}}, ["profile.skills.1", "profile.skills.2"]),
    ({"profile": {"skills": {"0": "python"}}}, ["profile.skills"]),
    ({"profile": {"locations": ["x" * 1_000]}}, ["profile.locations.0"]),
    ({"profile": {"kinds": ["job", "Job"]}}, ["profile.kinds.1"]),
    ({"profile": {"min_pay": {}}}, [f"profile.min_pay.{name}" for name in PAY]),
    ({"profile": {"min_pay": PAY | {"amount": "5"}}}, ["profile.min_pay.amount"]),
    ({"profile": {"min_pay": PAY | {"amount": True}}}, ["profile.min_pay.amount"]),
    ({"profile": {"min_pay": PAY | {"amount": 0}}}, ["profile.min_pay.amount"]),
    ({"profile": {"min_pay": PAY | {"currency": "eur"}}}, ["profile.min_pay.currency"]),
    ({"profile": {"min_pay": PAY | {"period": "decade"}}}, ["profile.min_pay.period"]),
    ({"profile": {"min_pay": PAY | {"net": True}}}, ["profile.min_pay.net"]),
    ({"sources": "sample"}, ["sources"]),
    ({"sources": [None]}, ["sources.0"]),
    ({"sources": ["sample"] * 21}, ["sources"]),
    ({"sources": ["sample", "nosuch"]}, ["sources.1"]),
    ({"sources": ["nosuch", "sample", "other"]}, ["sources.0", "sources.2"]),
    ({"sources": ["sample", "file:/etc/passwd"]}, ["sources.1"]),
    ({"sources": ["file:"]}, ["sources.0"]),
    ({"sources": ["FILE:/etc/passwd", " file:x"]}, ["sources.0", "sources.1"]),
    ({"sources": ["apify"]}, ["sources.0"]),
    ({"config": 1}, ["config"]),
    ({"kind": "asks"}, ["kind"]),
    ({"kind": "ask"}, ["text"]),
    ({"kind": "ask", "text": " ", "limit": 3}, ["text", "limit"]),
    ({"kind": "ask", "text": "x" * 2_001, "query": "y"}, ["text", "query"]),
    ({"kind": "ask", "text": 7, "profile": {"skills": [7]}}, ["text", "profile.skills.0"]),
    ({"kind": None}, ["kind"]),
]  # fmt: skip


async def test_wrong_fields_are_named(blue: ApiClient, tmp_path: Path) -> None:
    """422 with the place of each thing that is wrong; nothing is coerced, nothing is journaled."""
    for fields, places in WRONG:
        answer = await blue.start(SCOUT | fields)
        assert (answer.status, answer.problem) == (422, "invalid-request"), fields
        assert sorted(answer.places) == sorted(places), fields
        assert all(error["problem"] for error in answer.body["errors"])
    for whole in ("[]", '"scout"', "5", "null", "true"):
        answer = await blue.start(whole.encode())
        assert (answer.status, answer.places) == (422, ["body"])
    assert (await blue.start({})).places == ["kind"]
    assert runs_of(tmp_path) == 0


NO_JSON: dict[str, bytes] = {
    "nothing": b"",
    "blank": b"  \n",
    "a word": b"scout",
    "cut off": b'{"kind": "scout"',
    "more than one": b'{"kind": "scout"}{"kind": "scout"}',
    "single quotes": b"{'kind': 'scout'}",
    "a comma too many": b'{"kind": "scout",}',
    "a comment": b'{"kind": "scout"} // please',
    "a form": b"kind=scout",
    "a byte order mark": b'\xef\xbb\xbf{"kind": "scout"}',
    "Latin-1": '{"kind": "scout", "query": "é"}'.encode("latin-1"),
    "UTF-16": '{"kind": "scout"}'.encode("utf-16"),
    "bytes": bytes(range(256)),
    "half a character": b'{"kind": "scout", "query": "\\ud800"}',
    "deep lists": b"[" * 60_000,
    "deep lists, closed": b"[" * 30_000 + b"]" * 30_000,
    "deep objects": b'{"a":' * 12_000,
    "deep in a field": b'{"kind": "scout", "profile": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
    "a long number": b'{"kind": "scout", "limit": ' + b"9" * 5_000 + b"}",
}


async def test_what_is_no_json_is_said(blue: ApiClient, tmp_path: Path) -> None:
    """400 invalid-json for whatever can't be read, however it is called."""
    for name, body in NO_JSON.items():
        answer = await blue.start(body)
        assert (answer.status, answer.problem) == (400, "invalid-json"), name
    assert runs_of(tmp_path) == 0


async def test_odd_numbers_are_refused(blue: ApiClient) -> None:
    """No number breaks the server, or comes through where it does not belong."""
    for number in ("1e999", "-1e999", "NaN", "Infinity", "1e-999", "9" * 400, "-0", "1e5"):
        answer = await blue.start(f'{{"kind": "scout", "limit": {number}}}'.encode())
        assert answer.status in {400, 422}, number
        pay = f'{{"amount": {number}, "currency": "EUR", "period": "year"}}'
        body = f'{{"kind": "scout", "profile": {{"min_pay": {pay}}}}}'
        answer = await blue.start(body.encode())
        assert answer.status in ({202} if number == "1e5" else {400, 422}), number


async def test_the_body_is_at_most_64_kib(blue: ApiClient, tmp_path: Path) -> None:
    """A byte more is refused, also when the length was not said before."""
    body = json.dumps(SCOUT).encode()
    whole = body + b" " * (BODY_MAX - len(body))

    async def in_parts(sent: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(sent), 1_000):
            yield sent[start : start + 1_000]

    assert (await blue.start(whole)).status == 202
    assert (await blue.start(in_parts(whole))).status == 202
    for over in (whole + b" ", in_parts(whole + b" "), b"x" * 10 * BODY_MAX):
        answer = await blue.start(over)
        assert (answer.status, answer.problem) == (413, "body-too-large")
    assert runs_of(tmp_path) == 2


async def test_a_length_that_is_a_lie_waits_for_nobody(blue: ApiClient) -> None:
    """A body that never comes holds up its own connection only."""
    reader, writer = await asyncio.open_connection(blue.host, blue.port)
    head = f"POST /v1/runs HTTP/1.1\r\nHost: {blue.host}:{blue.port}\r\n"
    head += f"Authorization: Bearer {BLUE}\r\nContent-Length: 500\r\n\r\n{{"
    writer.write(head.encode())
    await writer.drain()
    await blue.ended(await blue.started())
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""


async def test_a_lost_answer_stops_nothing(blue: ApiClient) -> None:
    """Who leaves while POST is being answered finds the run in the list."""
    reader, writer = await asyncio.open_connection(blue.host, blue.port)
    body = json.dumps(SCOUT)
    head = (
        f"POST /v1/runs HTTP/1.1\r\nHost: {blue.host}:{blue.port}\r\nAuthorization: Bearer {BLUE}"
    )
    writer.write(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    await writer.drain()
    await reader.read(1)
    writer.transport.abort()
    (run,) = (await blue.ask("GET", "/v1/runs")).body["runs"]
    assert (await blue.ended(run["run_id"]))["status"] == "completed"


async def test_the_api_needs_no_origin_but_obeys_a_foreign_host(blue: ApiClient) -> None:
    """In local mode a page elsewhere can't reach it by a name of its own."""
    answer = await blue.ask("GET", "/v1/runs", headers={"Host": "evil.example"})
    assert (answer.status, answer.problem) == (403, "foreign-host")

"""What the Supabase tier makes of an answer, whoever gave it. See also tests/contract."""

import asyncio
import base64
import json
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
import respx

from cache.port import Stored, TierFailed, ValueRefused
from cache.supabase import RETRY_AFTER_MAX_S, RETRY_AFTER_S, UNPACKED_BYTES_MAX, SupabaseTier
from tests.fakes.clock import NOON

URL = "https://project.supabase.test"
KEY = "sb_secret_of_the_service_role"
TABLE = f"{URL}/rest/v1/cache_entries"
_BOMB = zlib.compress(bytes(UNPACKED_BYTES_MAX + 1))
VALUE = Stored(
    data=b"value",
    stored_at=NOON,
    fresh_until=NOON + timedelta(hours=1),
    kept_until=NOON + timedelta(days=7),
)
ROW = {
    "value": "dmFsdWU=",
    "stored_at": "2026-06-01T12:00:00+00:00",
    "fresh_until": "2026-06-01T15:00:00+02:00",
    "kept_until": "2026-06-08T12:00:00.000000+00:00",
    "tag": None,
}


@pytest.fixture
async def tier() -> AsyncIterator[SupabaseTier]:
    """A tier of a project that only respx knows."""
    async with SupabaseTier(URL, KEY) as one:
        yield one


async def failure(tier: SupabaseTier) -> TierFailed:
    """What a get raises."""
    with pytest.raises(TierFailed) as caught:
        await tier.get("a")
    assert KEY not in repr(caught.value)
    return caught.value


@respx.mock
async def test_nothing_is_asked_before_the_first_use() -> None:
    """Not when it is made, entered and left."""
    async with SupabaseTier(URL, KEY):
        pass
    assert respx.calls.call_count == 0


@respx.mock
async def test_the_key_goes_where_supabase_looks_for_it(tier: SupabaseTier) -> None:
    """In two headers, and nowhere else."""
    route = respx.get(TABLE).respond(json=[])
    await tier.get("a")
    request = route.calls.last.request
    assert (request.headers["apikey"], request.headers["authorization"]) == (KEY, f"Bearer {KEY}")
    assert KEY not in str(request.url)


@respx.mock
async def test_a_batch_is_sent_in_the_order_of_its_keys(tier: SupabaseTier) -> None:
    """Two processes then lock the rows of the same keys in the same order."""
    route = respx.post(TABLE).respond(201)
    await tier.put(dict.fromkeys("cab", VALUE))
    assert [row["key"] for row in json.loads(route.calls.last.request.content)] == ["a", "b", "c"]


@respx.mock
async def test_a_row_is_read_in_any_time_zone(tier: SupabaseTier) -> None:
    """The instants are the same."""
    respx.get(TABLE).respond(json=[ROW])
    assert await tier.get("a") == VALUE


@pytest.mark.parametrize(
    ("status", "transient"),
    [
        *((status, False) for status in (301, 302, 400, 401, 403, 404, 405, 406, 409, 410, 431)),
        *((status, True) for status in (408, 429, 500, 502, 503, 504, 520, 522, 540)),
    ],
)
@respx.mock
async def test_a_status_says_if_waiting_helps(
    status: int, transient: bool, tier: SupabaseTier
) -> None:
    """One request, no redirect followed, and no value is to blame."""
    respx.get(TABLE).respond(status, headers={"Location": URL}, text="<html>")
    failed = await failure(tier)
    assert (str(failed), failed.transient) == (f"Supabase answers {status}", transient)
    assert not isinstance(failed, ValueRefused)
    assert respx.calls.call_count == 1


@pytest.mark.parametrize(
    ("status", "code", "refused"),
    [
        (400, "22P05", True),
        (400, "22021", True),
        (400, "23514", True),
        (409, "23505", True),
        (413, "54000", True),
        (414, "", True),
        (422, "", True),
        (400, "42703", False),
        (400, "42P10", False),
        (400, "PGRST204", False),
        (409, "40001", False),
        (500, "22P05", False),
    ],
)
@respx.mock
async def test_only_what_is_wrong_with_the_value_refuses_it(
    status: int, code: str, refused: bool, tier: SupabaseTier
) -> None:
    """A wrong schema or a busy database takes the same value another time."""
    respx.post(TABLE).respond(status, json={"code": code, "message": "no"})
    with pytest.raises(TierFailed, match=f"^Supabase answers {status}$") as caught:
        await tier.put({"a": VALUE})
    assert isinstance(caught.value, ValueRefused) == refused
    assert caught.value.transient == (status == 500)


@respx.mock
async def test_a_request_that_the_gateway_did_not_wait_for(tier: SupabaseTier) -> None:
    """408 is about the way, not about the value: it may work in a moment."""
    respx.post(TABLE).respond(408, headers={"Retry-After": "7"}, text="<html>")
    with pytest.raises(TierFailed, match=r"^Supabase answers 408$") as caught:
        await tier.put({"a": VALUE})
    assert not isinstance(caught.value, ValueRefused)
    assert (caught.value.transient, caught.value.retry_after_s) == (True, None)


@pytest.mark.parametrize("body", ["", "<html>", "[]", "null", "{}", '"22"', "22", "\xff"])
@respx.mock
async def test_an_error_without_a_code_refuses_nothing(body: str, tier: SupabaseTier) -> None:
    """Whoever gave it, it was not PostgreSQL."""
    respx.post(TABLE).respond(400, content=body.encode("latin-1"))
    with pytest.raises(TierFailed, match=r"^Supabase answers 400$") as caught:
        await tier.put({"a": VALUE})
    assert not isinstance(caught.value, ValueRefused)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("86400", RETRY_AFTER_MAX_S),
        ("9" * 400, RETRY_AFTER_S),
        ("-1", RETRY_AFTER_S),
        ("1.5", RETRY_AFTER_S),
        ("", RETRY_AFTER_S),
        ("nan", RETRY_AFTER_S),
        ("Mon, 01 Jun 2026 12:00:00 GMT", RETRY_AFTER_S),
    ],
)
@respx.mock
async def test_the_wait_it_asks_for_is_bounded(
    header: str, wait_s: float, tier: SupabaseTier
) -> None:
    """Whole seconds, an hour at most; anything else is as if it were not said: a minute."""
    respx.get(TABLE).respond(429, headers={"Retry-After": header})
    assert (await failure(tier)).retry_after_s == wait_s


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        {"message": "hello"},
        0,
        False,
        "",
        "text",
        [None],
        [[]],
        [{}],
        [ROW, ROW],
        *([ROW | {name: None}] for name in ROW if name != "tag"),
        *([ROW | {name: 7}] for name in ROW),
        [ROW | {"value": "not base64!"}],
        [ROW | {"value": "z:not base64!"}],
        [ROW | {"value": "z:" + base64.b64encode(b"not packed").decode()}],
        [ROW | {"value": "z:" + base64.b64encode(zlib.compress(b"cut short")[:-4]).decode()}],
        [ROW | {"value": "z:" + base64.b64encode(_BOMB).decode()}],
        [ROW | {"stored_at": "yesterday"}],
        *([ROW | {name: "2026-06-01T12:00:00"}] for name in ROW if name.endswith(("_at", "l"))),
    ],
)
@respx.mock
async def test_an_answer_to_something_else(answer: object, tier: SupabaseTier) -> None:
    """Is neither a value nor that there is none."""
    respx.get(TABLE).respond(content=json.dumps(answer))
    failed = await failure(tier)
    assert str(failed).startswith("Supabase's answer makes no sense (")
    assert failed.transient


@respx.mock
async def test_a_broken_encoding(tier: SupabaseTier) -> None:
    """What says it is compressed and is not can't be read."""

    async def body() -> AsyncIterator[bytes]:
        yield b"no gzip"

    answer = httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=body())
    respx.get(TABLE).mock(return_value=answer)
    assert str(await failure(tier)) == "Supabase can't be reached (DecodingError)"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError, "Supabase can't be reached (ConnectError)"),
        (httpx.RemoteProtocolError, "Supabase can't be reached (RemoteProtocolError)"),
        (ConnectionResetError, "Supabase can't be reached (ConnectionResetError)"),
        (httpx.PoolTimeout, "Supabase does not answer"),
        (httpx.ConnectTimeout, "Supabase does not answer"),
        (RecursionError, "Supabase's answer makes no sense (RecursionError)"),
    ],
)
@respx.mock
async def test_what_the_way_there_raises_is_told_in_one_line(
    error: type[Exception], words: str, tier: SupabaseTier
) -> None:
    """And not in its own words, which may quote what was sent."""
    respx.get(TABLE).mock(side_effect=error(f"{KEY}\nin two lines"))
    assert str(await failure(tier)) == words


@respx.mock
async def test_an_answer_that_never_ends() -> None:
    """Each piece is in time; all of them together are not."""

    async def drops() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.01)
            yield b" "

    respx.get(TABLE).mock(side_effect=lambda _: httpx.Response(200, content=drops()))
    async with SupabaseTier(URL, KEY, timeout_s=0.05) as tier, asyncio.timeout(10):
        assert str(await failure(tier)) == "Supabase does not answer"


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("", KEY),
        ("project.supabase.test", KEY),
        ("ftp://project.supabase.test", KEY),
        ("https://[::1", KEY),
        (URL, ""),
        (URL, f"{KEY}\n"),
        (URL, f"{KEY}é"),
    ],
)
@respx.mock
async def test_settings_that_cannot_be_right(url: str, key: str) -> None:
    """Are told at each use, for good, and nobody is asked."""
    async with SupabaseTier(url, key) as tier:
        for _ in range(2):
            failed = await failure(tier)
            assert str(failed) == "Supabase's address or its service role key can't be right"
            assert not failed.transient
    assert respx.calls.call_count == 0

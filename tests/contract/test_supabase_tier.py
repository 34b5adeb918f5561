"""Supabase as a second tier, on the real thing: PostgREST, the trigger and row level security."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from cache.port import Stored, TierFailed, ValueRefused
from cache.supabase import RETRY_AFTER_S, TABLE, SupabaseTier
from tests.fakes.clock import NOON
from tests.fakes.fault_proxy import FaultProxy
from tests.fakes.supabase import Request, Supabase

TIMEOUT_S = 5.0
SHORT_S = 0.2
ODD = ("", " ", "a.b,c(d)", '"q"', "null", "%00+&=#?/\\", "eq.x", "*", "é漢😀\n\t")
"""Keys and tags that mean something on the way, and must not."""

Call = Callable[[SupabaseTier], Awaitable[object]]


def stored(data: bytes = b"value", *, later_s: float = 0.0, tag: str | None = None) -> Stored:
    """A value that was stored `later_s` after noon."""
    at = NOON + timedelta(seconds=later_s, microseconds=1)
    return Stored(
        data=data,
        stored_at=at,
        fresh_until=at + timedelta(hours=1),
        kept_until=at + timedelta(days=7),
        tag=tag,
    )


CALLS: Mapping[str, Call] = {
    "get": lambda tier: tier.get("a"),
    "put": lambda tier: tier.put({"a": stored()}),
    "forget": lambda tier: tier.forget("tag"),
    "sweep": lambda tier: tier.sweep(NOON),
}
EVERY_CALL = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture
async def tier(supabase: Supabase) -> AsyncIterator[SupabaseTier]:
    """The tier over an empty table."""
    async with tier_of(supabase) as one:
        yield one


@pytest.fixture
async def proxy(supabase: Supabase) -> AsyncIterator[FaultProxy]:
    """A network before Supabase."""
    async with FaultProxy(supabase.port) as network:
        yield network


def tier_of(
    supabase: Supabase, *, url: str = "", key: str = "", timeout_s: float = TIMEOUT_S
) -> SupabaseTier:
    """A tier with the service role's key, unless told another."""
    return SupabaseTier(url or supabase.url, key or supabase.service_role_key, timeout_s=timeout_s)


async def failure(call: Call, tier: SupabaseTier) -> TierFailed:
    """What the call raises; it is one clean line, without the key."""
    with pytest.raises(TierFailed) as caught:
        await call(tier)
    words = f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    assert words.isprintable()
    assert str(caught.value).startswith("Supabase")
    assert "eyJ" not in words
    return caught.value


async def keys(supabase: Supabase) -> list[str]:
    """The keys that are in the table."""
    return [row["key"] for row in await supabase.sql(f"SELECT key FROM {TABLE} ORDER BY key")]


# --- what a tier does ------------------------------------------------------------------------


async def test_every_byte_comes_back(tier: SupabaseTier) -> None:
    """Values of any bytes, also none, with their times to the microsecond and their tag."""
    values = {
        "all": stored(bytes(range(256)) * 8, later_s=0.5, tag="user:1"),
        "none": stored(b""),
        "large": stored(bytes(300_000), tag=""),
    }
    await tier.put(values)
    assert {key: await tier.get(key) for key in values} == values


async def test_what_is_long_is_compressed(tier: SupabaseTier, supabase: Supabase) -> None:
    """Postings say much twice: a read has 300 ms for all of them."""
    await tier.put({"a": stored(b'{"title": "Python Developer", "remote": true}\n' * 1_000)})
    (row,) = await supabase.sql(f"SELECT length(value) AS n FROM {TABLE}")
    assert row["n"] < 1_000


async def test_what_is_not_there_is_none(tier: SupabaseTier) -> None:
    """An unknown key is no failure."""
    assert await tier.get("unknown") is None


async def test_odd_keys_and_tags_are_only_text(tier: SupabaseTier, supabase: Supabase) -> None:
    """Each finds its own and forgets its own, whatever a filter would make of it."""
    values = {key: stored(key.encode(), tag=key) for key in ODD}
    await tier.put(values)
    assert {key: await tier.get(key) for key in ODD} == values
    for done, key in enumerate(ODD, start=1):
        await tier.forget(key)
        assert await tier.get(key) is None
        assert len(await keys(supabase)) == len(ODD) - done


async def test_a_newer_value_replaces_an_older_one(tier: SupabaseTier) -> None:
    """With all that belongs to it."""
    await tier.put({"a": stored(b"old", tag="old")})
    await tier.put({"a": stored(b"new", later_s=1)})
    assert await tier.get("a") == stored(b"new", later_s=1)


async def test_an_older_value_never_replaces_a_newer_one(tier: SupabaseTier) -> None:
    """It is ignored, and within a batch only it."""
    newer = {"a": stored(b"new a", later_s=1), "c": stored(b"old c")}
    await tier.put(newer)
    await tier.put({"a": stored(b"old a")})
    assert await tier.get("a") == newer["a"]
    batch = {
        "a": stored(b"old a", later_s=0.999_999),
        "b": stored(b"b"),
        "c": stored(b"new c", later_s=1),
    }
    await tier.put(batch)
    assert {key: await tier.get(key) for key in "abc"} == batch | {"a": newer["a"]}


async def test_of_two_values_of_one_instant_the_last_one_stands(tier: SupabaseTier) -> None:
    """A write that is done again is no older one."""
    await tier.put({"a": stored(b"first")})
    await tier.put({"a": stored(b"second")})
    assert await tier.get("a") == stored(b"second")


async def test_forgetting_a_tag_leaves_the_others(tier: SupabaseTier, supabase: Supabase) -> None:
    """Also those without one; and forgetting again is no failure."""
    await tier.put({"a": stored(tag="one"), "b": stored(tag="one"), "c": stored(tag="two")})
    await tier.put({"d": stored()})
    await tier.forget("one")
    await tier.forget("one")
    assert await keys(supabase) == ["c", "d"]


async def test_a_sweep_takes_what_is_over(tier: SupabaseTier, supabase: Supabase) -> None:
    """On the instant, not before it."""
    until = stored().kept_until
    await tier.put({"a": stored(), "b": replace(stored(), kept_until=until + timedelta(seconds=1))})
    await tier.sweep(until - timedelta(microseconds=1))
    assert await keys(supabase) == ["a", "b"]
    await tier.sweep(until)
    assert await keys(supabase) == ["b"]


async def test_two_writers_of_the_same_keys_never_deadlock(supabase: Supabase) -> None:
    """Whatever order each of them had them in."""
    there = {str(number): stored(b"there") for number in range(200)}
    back = dict(reversed(there.items()))
    async with tier_of(supabase) as one, tier_of(supabase) as two:
        for _ in range(10):
            await asyncio.gather(
                *(tier.put(batch) for tier in (one, two) for batch in (there, back))
            )
    assert len(await keys(supabase)) == 200


# --- how it asks -----------------------------------------------------------------------------


async def test_each_call_is_one_request(tier: SupabaseTier, supabase: Supabase) -> None:
    """None at construction, and none behind our back; a batch of 50 is one."""
    assert supabase.requests == []
    await tier.put({str(number): stored() for number in range(50)})
    await tier.get("1")
    await tier.forget("tag")
    await tier.sweep(NOON)
    path = f"/rest/v1/{TABLE}"
    methods = ("POST", "GET", "DELETE", "DELETE")
    assert supabase.requests == [Request(method, path) for method in methods]
    assert len(await keys(supabase)) == 50


async def test_many_first_calls_at_once(supabase: Supabase) -> None:
    """All of them are answered, with one request each."""
    async with tier_of(supabase) as tier:
        assert await asyncio.gather(*(tier.get(str(n)) for n in range(20))) == [None] * 20
    assert len(supabase.requests) == 20


async def test_a_cancelled_call_leaves_the_tier_usable(
    supabase: Supabase, proxy: FaultProxy
) -> None:
    """The cancel is the caller's, not a failure of the tier."""
    async with tier_of(supabase, url=proxy.url) as tier:
        await tier.put({"a": stored()})
        proxy.blackhole()
        waiting = asyncio.create_task(tier.get("a"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await proxy.heal()
        assert await tier.get("a") == stored()


# --- who may ---------------------------------------------------------------------------------


@EVERY_CALL
async def test_the_public_key_is_told_that_it_may_not(
    call: Call, tier: SupabaseTier, supabase: Supabase
) -> None:
    """Each call says so, rather than that nothing is there; and nothing has happened."""
    await tier.put({"a": replace(stored(tag="tag"), kept_until=NOON)})
    async with tier_of(supabase, key=supabase.anon_key) as public:
        failed = await failure(call, public)
    assert (str(failed), failed.transient) == ("Supabase answers 401", False)
    assert (await tier.get("a")) == replace(stored(tag="tag"), kept_until=NOON)


async def test_the_public_roles_touch_no_table(supabase: Supabase) -> None:
    """By raw HTTP on each table of the project: they read nothing, and change nothing. The service
    role reads the same rows: there is something to read."""
    filled = await fill_every_table(supabase)
    assert len(filled) >= 22
    before = await contents(supabase, filled)
    for role in ("anon", "authenticated"):
        for table, row in filled.items():
            async with rest(supabase, role) as ask:
                status, rows = await ask("GET", table)
                assert (status, rows) == (200, []) or status in (401, 403), table
                assert (await ask("POST", table, row))[0] in (401, 403), table
                assert (await ask("PATCH", table, row))[0] in (204, 401, 403), table
                assert (await ask("DELETE", table))[0] in (204, 401, 403), table
    assert await contents(supabase, filled) == before
    async with rest(supabase, "service_role") as ask:
        for table in filled:
            status, rows = await ask("GET", table)
            assert (status, len(rows)) == (200, int(before[table])), table


async def test_rights_that_somebody_gives_back_open_nothing(
    tier: SupabaseTier, supabase: Supabase
) -> None:
    """An owner who grants the public roles all of `public` still has row level security."""
    await tier.put({"a": stored()})
    roles = "anon, authenticated"
    await supabase.run(f"GRANT ALL ON {TABLE} TO {roles}")
    try:
        for role in roles.split(", "):
            async with rest(supabase, role) as ask:
                assert await ask("GET", TABLE) == (200, [])
                assert (await ask("POST", TABLE, {"key": "b"}))[0] in (401, 403)
                assert (await ask("PATCH", TABLE, {"value": ""}))[0] == 204
                assert (await ask("DELETE", TABLE))[0] == 204
    finally:
        await supabase.run(f"REVOKE ALL ON {TABLE} FROM {roles}")
    assert await keys(supabase) == ["a"]
    assert await tier.get("a") == stored()


async def test_the_trigger_is_nobodys_to_call(supabase: Supabase) -> None:
    """The function is not part of the public interface."""
    async with rest(supabase, "anon") as ask:
        assert (await ask("POST", "rpc/cache_entries_newest_wins", {}))[0] == 404


Ask = Callable[..., Awaitable[tuple[int, list[Any]]]]


@asynccontextmanager
async def rest(supabase: Supabase, role: str) -> AsyncIterator[Ask]:
    """Raw requests of a role; the status and the rows of the answer."""
    service = role == "service_role"
    headers = {
        "apikey": supabase.service_role_key if service else supabase.anon_key,
        "Authorization": f"Bearer {supabase.servers.key(role)}",
    }
    async with aiohttp.ClientSession(headers=headers) as session:

        async def ask(method: str, path: str, body: object = None) -> tuple[int, list[Any]]:
            url = f"{supabase.url}/rest/v1/{path}"
            async with session.request(method, url, json=body) as answer:
                return answer.status, await answer.json() if method == "GET" else []

        yield ask


VALUES = {"bigint": 1, "integer": 1, "boolean": True, "double precision": 0.5, "json": {}}


async def fill_every_table(supabase: Supabase) -> dict[str, dict[str, object]]:
    """A row for each table there is, as it would be sent."""
    rows: dict[str, dict[str, object]] = {}
    for column in await supabase.sql(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public'"
    ):
        kind = column["data_type"]
        value = NOON.isoformat() if "time" in kind else VALUES.get(kind, "x")
        rows.setdefault(column["table_name"], {})[column["column_name"]] = value
    rows.pop("alembic_version")  # has its row
    literals = "SET session_replication_role = replica;"  # in any order, whoever refers to whom
    for table, row in rows.items():
        json = str(row).replace("'", '"').replace("True", "true")
        literals += (
            f"INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, '{json}');"
        )
    await supabase.run(literals)
    return rows | {"alembic_version": {"version_num": "x"}}


async def contents(supabase: Supabase, tables: Mapping[str, object]) -> dict[str, str]:
    """What stands in each table, and how many rows that are."""
    found = {}
    for table in tables:
        rows = await supabase.sql(
            f"SELECT count(*) AS rows, md5(string_agg(t::text, '')) AS sum FROM {table} t"
        )
        found[table] = rows[0]["rows"]
        found[f"{table}: sum"] = rows[0]["sum"]
    return found


# --- what goes wrong -------------------------------------------------------------------------


@EVERY_CALL
async def test_a_wrong_key(call: Call, supabase: Supabase) -> None:
    """A key that the gateway does not know is refused for good."""
    async with tier_of(supabase, key="eyJhbGciOi.wrong") as tier:
        failed = await failure(call, tier)
    assert (str(failed), failed.transient) == ("Supabase answers 401", False)


@EVERY_CALL
async def test_a_missing_table(call: Call, tier: SupabaseTier, supabase: Supabase) -> None:
    """Where nobody has migrated, no wait helps, and no value is to blame."""
    await supabase.run(f"ALTER TABLE {TABLE} RENAME TO elsewhere")
    try:
        failed = await failure(call, tier)
    finally:
        await supabase.run(f"ALTER TABLE elsewhere RENAME TO {TABLE}")
    assert (str(failed), failed.transient) == ("Supabase answers 404", False)


async def test_a_table_of_another_layout(tier: SupabaseTier, supabase: Supabase) -> None:
    """No value is to blame for it: they wait until it is as it should be."""
    await supabase.run(f"ALTER TABLE {TABLE} RENAME COLUMN tag TO owner")
    try:
        for name in ("get", "put", "forget"):
            failed = await failure(CALLS[name], tier)
            assert (str(failed), failed.transient) == ("Supabase answers 400", False)
            assert not isinstance(failed, ValueRefused)
    finally:
        await supabase.run(f"ALTER TABLE {TABLE} RENAME COLUMN owner TO tag")


@pytest.mark.parametrize("text", ["NUL \0", "half of a pair \ud800", "x" * 3_000_000])
async def test_what_postgresql_never_takes(
    text: str, tier: SupabaseTier, supabase: Supabase
) -> None:
    """Is refused, as a tag and as a key, and the rest of its batch is not stored either."""
    for batch in ({"a": stored(tag=text), "b": stored()}, {text: stored(), "b": stored()}):
        with pytest.raises(ValueRefused) as caught:
            await tier.put(batch)
        assert not caught.value.transient
    assert await keys(supabase) == []


@EVERY_CALL
@pytest.mark.parametrize("wait", [None, "7"])
@pytest.mark.parametrize("status", [429, 503])
async def test_not_now(status: int, wait: str | None, call: Call, supabase: Supabase) -> None:
    """It is asked once, and says when to ask again."""
    supabase.answers(status, "later", **({"Retry_After": wait} if wait else {}))
    async with tier_of(supabase) as tier:
        failed = await failure(call, tier)
    assert str(failed) == f"Supabase answers {status}"
    unsaid = RETRY_AFTER_S if status == 429 else None
    assert (failed.transient, failed.retry_after_s) == (True, 7.0 if wait else unsaid)
    assert len(supabase.requests) == 1


@EVERY_CALL
async def test_a_page_instead_of_an_answer(call: Call, supabase: Supabase) -> None:
    """A portal's 200 is no answer, and what was to be written is not written."""
    supabase.answers(200, "<html>Sign in to the hotel's network</html>", Content_Type="text/html")
    async with tier_of(supabase) as tier:
        failed = await failure(call, tier)
    assert (str(failed), failed.transient) == (
        "Supabase's answer makes no sense (ValueError)",
        True,
    )


@EVERY_CALL
async def test_a_reset(call: Call, supabase: Supabase, proxy: FaultProxy) -> None:
    """On a new connection and on one that was open; then it works again."""
    async with tier_of(supabase, url=proxy.url) as tier:
        for _ in range(2):
            proxy.reset()
            failed = await failure(call, tier)
            assert str(failed).startswith("Supabase can't be reached (")
            assert failed.transient
            await proxy.heal()
            await call(tier)


@EVERY_CALL
async def test_nobody_listens(call: Call, supabase: Supabase, proxy: FaultProxy) -> None:
    """One attempt, and it works again when somebody does."""
    proxy.refuse()
    async with tier_of(supabase, url=proxy.url) as tier:
        failed = await failure(call, tier)
        assert (str(failed), failed.transient) == (
            "Supabase can't be reached (ConnectError)",
            True,
        )
        await proxy.heal()
        await call(tier)
    assert proxy.connections == len(supabase.requests) == 1


@EVERY_CALL
async def test_a_blackhole(call: Call, supabase: Supabase, proxy: FaultProxy) -> None:
    """The time is over, in time, on a new connection and on one that was open."""
    async with tier_of(supabase, url=proxy.url, timeout_s=SHORT_S) as tier:
        for _ in range(2):
            proxy.blackhole()
            async with asyncio.timeout(TIMEOUT_S):
                failed = await failure(call, tier)
            assert (str(failed), failed.transient) == ("Supabase does not answer", True)
            await proxy.heal()
            await supabase.until(lambda: supabase.answered == len(supabase.requests))
    async with tier_of(supabase, url=proxy.url) as tier:
        await call(tier)


@pytest.mark.parametrize("after_bytes", [0, 1, 100, 300])
async def test_a_cut_answer(after_bytes: int, supabase: Supabase, proxy: FaultProxy) -> None:
    """In the status line, in the headers or in the body: half a value is none."""
    async with tier_of(supabase) as tier:
        await tier.put({"a": stored(bytes(1_000))})
    async with tier_of(supabase, url=proxy.url) as tier:
        proxy.cut(after_bytes)
        failed = await failure(CALLS["get"], tier)
        assert (str(failed), failed.transient) == (
            "Supabase can't be reached (RemoteProtocolError)",
            True,
        )
        await proxy.heal()
        assert await tier.get("a") == stored(bytes(1_000))


async def test_a_slow_network(supabase: Supabase, proxy: FaultProxy) -> None:
    """What comes late but in time is taken."""
    proxy.latency(0.05)
    async with tier_of(supabase, url=proxy.url) as tier:
        await tier.put({"a": stored()})
        assert await tier.get("a") == stored()


async def test_a_write_that_arrives_late_replaces_nothing(
    tier: SupabaseTier, supabase: Supabase, proxy: FaultProxy
) -> None:
    """What a network swallowed and delivers when a newer value is there is ignored."""
    async with tier_of(supabase, url=proxy.url, timeout_s=SHORT_S) as behind:
        proxy.blackhole()
        failed = await failure(lambda one: one.put({"a": stored(b"old")}), behind)
        assert failed.transient
    await tier.put({"a": stored(b"new", later_s=1)})
    await proxy.heal()
    await supabase.until(lambda: supabase.answered == 2)
    assert [request.method for request in supabase.requests] == ["POST", "POST"]
    assert await tier.get("a") == stored(b"new", later_s=1)


@pytest.mark.parametrize(
    "poison",
    [
        "value = 'no base64!'",
        "value = 'AAA'",
        "value = 'é'",
        "stored_at = '0044-03-15 12:00:00+00 BC'",
        "fresh_until = '12026-01-01 12:00:00+00'",
        "kept_until = 'infinity'",
    ],
)
async def test_a_row_that_is_none_of_ours(
    poison: str, tier: SupabaseTier, supabase: Supabase
) -> None:
    """What cannot be read is a failure of the tier, and a newer value heals it."""
    await tier.put({"a": stored()})
    await supabase.run(f"SET session_replication_role = replica; UPDATE {TABLE} SET {poison}")
    failed = await failure(CALLS["get"], tier)
    assert str(failed).startswith("Supabase's answer makes no sense (")
    await tier.put({"a": stored(b"new", later_s=1)})
    assert await tier.get("a") == stored(b"new", later_s=1)

"""Supabase as a second tier, on the real thing: PostgREST, the trigger and row level security."""

import asyncio
import random
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from agents.store.database import async_url
from cache.port import Stored, TierFailed, ValueRefused
from cache.supabase import (
    FORGOTTEN_TABLE,
    RETRY_AFTER_S,
    TABLE,
    SupabaseTier,
)
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.fault_proxy import FaultProxy
from tests.fakes.supabase import OWNER, Request, Supabase

TIMEOUT_S = 5.0
SHORT_S = 0.2
SECOND = timedelta(seconds=1)
SLACK = timedelta(minutes=5)
"""How far the clocks of two processes may be apart."""
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
    supabase: Supabase,
    *,
    url: str = "",
    key: str = "",
    timeout_s: float = TIMEOUT_S,
    now: Callable[[], datetime] = lambda: NOON + SECOND,
) -> SupabaseTier:
    """A tier with the service role's key, unless told another; a second after noon."""
    return SupabaseTier(
        url or supabase.url, key or supabase.service_role_key, timeout_s=timeout_s, now=now
    )


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


async def tombstones(supabase: Supabase) -> dict[str, datetime]:
    """The tags that were forgotten, and when."""
    rows = await supabase.sql(f"SELECT tag, forgotten_at FROM {FORGOTTEN_TABLE}")
    return {row["tag"]: row["forgotten_at"] for row in rows}


def from_now(ahead: timedelta) -> Stored:
    """A value whose writer's clock was ahead of the database's."""
    return replace(stored(b"ahead"), stored_at=datetime.now(UTC) + ahead)


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


# --- clocks that are ahead --------------------------------------------------------------------


async def test_a_value_from_the_future_is_replaced(tier: SupabaseTier) -> None:
    """A writer whose clock was ahead for a moment does not win until then."""
    await tier.put({"a": from_now(timedelta(days=365))})
    await tier.put({"a": stored(b"new")})
    assert await tier.get("a") == stored(b"new")


async def test_clocks_that_are_a_little_apart_are_no_future(tier: SupabaseTier) -> None:
    """Within five minutes the newer one wins, as ever."""
    ahead = from_now(SLACK - timedelta(minutes=1))
    await tier.put({"a": ahead})
    await tier.put({"a": stored(b"old")})
    assert await tier.get("a") == ahead


async def test_a_sweep_takes_what_comes_from_the_future(
    tier: SupabaseTier, supabase: Supabase
) -> None:
    """What is more than five minutes ahead of the database: nobody would take it for a value."""
    await tier.put({"a": from_now(SLACK - timedelta(minutes=1))})
    await tier.put({"b": from_now(SLACK + timedelta(minutes=1)), "c": stored()})
    await tier.sweep(NOON)
    assert await keys(supabase) == ["a", "c"]


async def test_a_sweeper_whose_clock_is_behind_takes_nothing(
    tier: SupabaseTier, supabase: Supabase
) -> None:
    """Nor does a sweep that arrives late: what others have stored is no future."""
    await tier.put({"a": stored(later_s=3600)})
    await tier.sweep(NOON)
    await tier.sweep(NOON - timedelta(days=365))
    assert await keys(supabase) == ["a"]


# --- what is forgotten ------------------------------------------------------------------------


async def test_what_was_made_before_a_forget_is_not_stored_after_it(
    tier: SupabaseTier, supabase: Supabase
) -> None:
    """Neither as a new row nor in the place of another's; the rest of its batch is stored."""
    await tier.put({"a": stored(tag="two")})
    await tier.forget("one")
    at = NOON + SECOND
    late = replace(stored(b"late", tag="one"), stored_at=at)
    await tier.put({"a": late, "b": late, "c": stored(later_s=1, tag="two"), "d": stored()})
    assert await keys(supabase) == ["a", "c", "d"]
    assert await tier.get("a") == stored(tag="two")
    assert await tombstones(supabase) == {"one": at}


async def test_what_is_made_after_a_forget_is_stored(tier: SupabaseTier) -> None:
    """From the next microsecond on."""
    await tier.forget("one")
    new = stored(b"new", later_s=1, tag="one")
    await tier.put({"a": new})
    assert await tier.get("a") == new


async def test_the_latest_forget_counts(supabase: Supabase) -> None:
    """Also when an earlier one arrives after it."""
    clock = FixedClock()
    async with tier_of(supabase, now=clock.now) as late, tier_of(supabase) as tier:
        await late.forget("one")
        await tier.forget("one")
        await late.forget("one")
        assert await tombstones(supabase) == {"one": NOON + SECOND}
        clock.advance(2)
        await late.forget("one")
    assert await tombstones(supabase) == {"one": NOON + 2 * SECOND}


async def test_a_forget_takes_values_of_clocks_that_are_ahead(
    tier: SupabaseTier, supabase: Supabase
) -> None:
    """What is there goes, whenever it says it was made."""
    await tier.put({"a": stored(later_s=60, tag="one")})
    await tier.put({"b": replace(from_now(timedelta(days=1)), tag="one")})
    await tier.forget("one")
    assert await keys(supabase) == []


async def test_without_a_clock_a_tag_is_forgotten_now(supabase: Supabase) -> None:
    """The machine's own clock tells."""
    before = datetime.now(UTC)
    async with SupabaseTier(supabase.url, supabase.service_role_key) as tier:
        await tier.forget("one")
    assert before <= (await tombstones(supabase))["one"] <= datetime.now(UTC)


async def test_a_write_that_arrives_after_a_forget_brings_nothing_back(
    tier: SupabaseTier, supabase: Supabase, proxy: FaultProxy
) -> None:
    """The network holds a put that its caller has given up, and delivers it later."""
    async with tier_of(supabase, url=proxy.url, timeout_s=SHORT_S) as behind:
        proxy.blackhole()
        assert (await failure(lambda one: one.put({"a": stored(tag="me")}), behind)).transient
    await tier.forget("me")
    await proxy.heal()
    await supabase.until(lambda: supabase.answered == 2)
    assert [request.path for request in supabase.requests] == [
        f"/rest/v1/{FORGOTTEN_TABLE}",
        f"/rest/v1/{TABLE}",
    ]
    assert await keys(supabase) == []


async def test_a_write_that_is_not_committed_yet_is_forgotten(
    tier: SupabaseTier, supabase: Supabase
) -> None:
    """The forget waits for it: it could not see its rows."""
    async with transaction(supabase) as other:
        await other.execute(
            sa.text(
                f"INSERT INTO {TABLE} VALUES ('a', '', '{NOON}', '{NOON}', '{NOON}', 'me'),"
                f" ('b', '', '{NOON}', '{NOON}', '{NOON}', 'you')"
            )
        )
        forgetting = asyncio.create_task(tier.forget("me"))
        await in_turn(supabase, forgetting)
    await forgetting
    assert await keys(supabase) == ["b"]


async def test_a_write_waits_for_a_forget_that_is_not_committed_yet(
    tier: SupabaseTier, supabase: Supabase
) -> None:
    """It could not see that its tag was forgotten."""
    async with transaction(supabase) as other:
        await other.execute(
            sa.text(f"INSERT INTO {FORGOTTEN_TABLE} VALUES ('me', '{NOON + SECOND}')")
        )
        writing = asyncio.create_task(tier.put({"a": stored(tag="me"), "b": stored(tag="you")}))
        await in_turn(supabase, writing)
    await writing
    assert await keys(supabase) == ["b"]


async def test_writes_and_forgets_never_deadlock(supabase: Supabase) -> None:
    """Keys that change hands while their owners are forgotten: each call is answered."""
    order = random.Random(1)

    def batch() -> dict[str, Stored]:
        return {f"{n}": stored(later_s=60, tag=order.choice("xyz")) for n in range(100)}

    async with tier_of(supabase) as one, tier_of(supabase) as two:
        for _ in range(10):
            writes = (tier.put(batch()) for tier in (one, two) for _ in range(2))
            forgets = (tier.forget(tag) for tier in (one, two) for tag in "xyz")
            await asyncio.gather(*writes, *forgets)
    assert set(await tombstones(supabase)) == set("xyz")


async def test_a_sweep_takes_tags_that_were_forgotten_long_ago(
    tier: SupabaseTier, supabase: Supabase
) -> None:
    """After 30 days: no write is under way for longer."""
    at = NOON + SECOND
    await tier.forget("one")
    await tier.sweep(at + timedelta(days=30))
    assert await tombstones(supabase) == {"one": at}
    await tier.sweep(at + timedelta(days=30, microseconds=1))
    assert await tombstones(supabase) == {}


@asynccontextmanager
async def transaction(supabase: Supabase) -> AsyncIterator[AsyncConnection]:
    """Somebody else's, committed at the end."""
    engine = create_async_engine(async_url(supabase.servers.database_url), poolclass=NullPool)
    async with engine.begin() as connection:
        yield connection
    await engine.dispose()


async def in_turn(supabase: Supabase, task: asyncio.Task[None]) -> None:
    """Wait until the task's statement waits in PostgreSQL for a lock."""
    waits = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    async with asyncio.timeout(TIMEOUT_S):
        while not await supabase.sql(waits):
            assert not task.done()


# --- how it asks -----------------------------------------------------------------------------


async def test_each_call_is_one_request(tier: SupabaseTier, supabase: Supabase) -> None:
    """None at construction, and none behind our back; a batch of 50 is one, a sweep two: one for
    each table."""
    assert supabase.requests == []
    await tier.put({str(number): stored() for number in range(50)})
    await tier.get("1")
    await tier.forget("tag")
    await tier.sweep(NOON)
    entries, forgotten = f"/rest/v1/{TABLE}", f"/rest/v1/{FORGOTTEN_TABLE}"
    assert supabase.requests == [
        Request("POST", entries),
        Request("GET", entries),
        Request("POST", forgotten),
        Request("DELETE", entries),
        Request("DELETE", forgotten),
    ]
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
    """By raw HTTP on each table of the project: they read nothing, and change nothing. The owner
    reads the same rows: there is something to read."""
    filled = await fill_every_table(supabase)
    assert len(filled) >= 23
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
    async with rest(supabase, OWNER) as ask:
        for table in filled:
            status, rows = await ask("GET", table)
            assert (status, len(rows)) == (200, int(before[table])), table


@pytest.mark.parametrize("table", [TABLE, FORGOTTEN_TABLE])
@pytest.mark.parametrize("role", ["anon", "authenticated"])
async def test_the_public_roles_are_refused(role: str, table: str, supabase: Supabase) -> None:
    """On the cache's tables they are told so, whatever they ask: an empty answer would be one."""
    async with rest(supabase, role) as ask:
        for method, body in (("GET", None), ("PATCH", {"tag": "x"}), ("DELETE", None)):
            assert (await ask(method, table, body))[0] in (401, 403)


async def test_the_service_role_is_granted_what_it_needs(supabase: Supabase) -> None:
    """By the migration: projects differ in what Supabase gives it on new tables."""
    granted = await supabase.sql(
        "SELECT table_name, string_agg(privilege_type, ' ' ORDER BY privilege_type) AS rights"
        " FROM information_schema.role_table_grants WHERE grantee = 'service_role'"
        " AND table_schema = 'public' GROUP BY table_name"
    )
    rights = "DELETE INSERT SELECT UPDATE"
    assert {row["table_name"]: row["rights"] for row in granted} == {
        TABLE: rights,
        FORGOTTEN_TABLE: rights,
    }


async def test_rights_that_somebody_gives_back_open_nothing(
    tier: SupabaseTier, supabase: Supabase
) -> None:
    """An owner who grants the public roles all of `public` still has row level security."""
    await tier.put({"a": stored()})
    roles = "anon, authenticated"
    await tier.forget("tag")
    await supabase.run(f"GRANT ALL ON {TABLE}, {FORGOTTEN_TABLE} TO {roles}")
    try:
        for role in roles.split(", "):
            async with rest(supabase, role) as ask:
                assert await ask("GET", TABLE) == (200, [])
                assert (await ask("POST", TABLE, {"key": "b"}))[0] in (401, 403)
                assert (await ask("PATCH", TABLE, {"value": ""}))[0] == 204
                assert (await ask("DELETE", TABLE))[0] == 204
                assert await ask("GET", FORGOTTEN_TABLE) == (200, [])
                assert (await ask("POST", FORGOTTEN_TABLE, {"tag": "b"}))[0] in (401, 403)
                assert (await ask("PATCH", FORGOTTEN_TABLE, {"tag": "b"}))[0] == 204
                assert (await ask("DELETE", FORGOTTEN_TABLE))[0] == 204
    finally:
        await supabase.run(f"REVOKE ALL ON {TABLE}, {FORGOTTEN_TABLE} FROM {roles}")
    assert await keys(supabase) == ["a"]
    assert await tombstones(supabase) == {"tag": NOON + SECOND}
    assert await tier.get("a") == stored()


async def test_the_triggers_are_nobodys_to_call(supabase: Supabase) -> None:
    """Their functions are not part of the public interface."""
    functions = await supabase.sql("SELECT proname FROM pg_proc WHERE proname LIKE 'cache%'")
    assert len(functions) == 6
    async with rest(supabase, "anon") as ask:
        for function in functions:
            assert (await ask("POST", f"rpc/{function['proname']}", {}))[0] == 404


Ask = Callable[..., Awaitable[tuple[int, list[Any]]]]


@asynccontextmanager
async def rest(supabase: Supabase, role: str) -> AsyncIterator[Ask]:
    """Raw requests of a role; the status and the rows of the answer."""
    headers = {
        "apikey": supabase.anon_key,
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


async def test_what_is_too_large_is_not_sent(tier: SupabaseTier, supabase: Supabase) -> None:
    """A value that would be more than 2,000,000 bytes on the way is refused, and its batch is not
    sent either; the largest below that is stored."""
    largest, too_large = stored(of_packed_length(1_999_998)), stored(of_packed_length(2_000_002))
    with pytest.raises(ValueRefused, match=r"^Supabase is given no value of 2,000,002") as caught:
        await tier.put({"a": too_large, "b": stored()})
    assert not caught.value.transient
    assert supabase.requests == []
    await tier.put({"a": largest})
    assert await tier.get("a") == largest


def of_packed_length(length: int) -> bytes:
    """Bytes that no compression makes shorter, for so many characters on the way."""
    wanted = (length - len("z:")) // 4 * 3
    size = wanted
    while len(zlib.compress(data := random.Random(1).randbytes(size))) != wanted:
        size += wanted - len(zlib.compress(data))
    return data


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
    assert proxy.connections == 1
    assert len(supabase.requests) == len(set(supabase.requests))


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


@EVERY_CALL
async def test_an_answer_that_drips(call: Call, supabase: Supabase, proxy: FaultProxy) -> None:
    """Each byte is in time; all of them together are not, and nobody waits for them."""
    proxy.drip(SHORT_S / 10)
    async with tier_of(supabase, url=proxy.url, timeout_s=SHORT_S) as tier:
        async with asyncio.timeout(TIMEOUT_S):
            failed = await failure(call, tier)
        assert (str(failed), failed.transient) == ("Supabase does not answer", True)
    await proxy.heal()
    async with tier_of(supabase, url=proxy.url) as tier:
        await call(tier)


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

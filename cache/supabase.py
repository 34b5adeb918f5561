"""A second tier in Supabase: two tables of its own, which several processes share.

The tables, their row level security and their triggers come with the store's migrations (`webscout
migrate --sql`). The triggers keep an older value from replacing a newer one, and what was made
before its tag was forgotten from being stored after it. Only the service role may use the tables.
"""

import asyncio
import base64
import importlib
import json
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

import httpx

from cache.port import Stored, TierFailed, ValueRefused

if TYPE_CHECKING:
    from supabase import AsyncClient

TABLE = "cache_entries"
FORGOTTEN_TABLE = "cache_forgotten"
TIMEOUT_S = 10.0
RETRY_AFTER_S = 60.0
"""How long it is left alone after a 429 that does not say for how long,"""
RETRY_AFTER_MAX_S = 3600.0
"""and the longest that is believed."""
PACKED_FROM_BYTES = 1_000
"""Longer values are compressed, postings to about a fifth: a read has little time."""
PACKED_BYTES_MAX = 2_000_000
"""Larger values are refused before anything is sent: making their JSON would hold up the event loop
for a tenth of a second, and no read of them would be in time."""
UNPACKED_BYTES_MAX = 64_000_000
FORGOTTEN_KEPT = timedelta(days=30)
"""How long a forgotten tag is remembered: no write is under way for longer."""
_PACKED = "z:"  # which no base64 begins with
_OF_THE_DATA = ("22", "23")
"""PostgreSQL's classes of errors in what was sent: "data exception", "integrity constraint"."""
_COLUMNS = "value,stored_at,fresh_until,kept_until,tag"


class SupabaseTier:
    """Implements Tier. An async context manager; nothing is asked before the first use.

    Each method is one request, a sweep two; it takes `timeout_s` at most. `now` tells when a tag is
    forgotten, by the clock that also tells when values are stored.
    """

    def __init__(
        self,
        url: str,
        service_role_key: str,
        *,
        timeout_s: float = TIMEOUT_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = url
        self._key = service_role_key
        self._timeout_s = timeout_s
        self._now = now
        self._http = httpx.AsyncClient(
            timeout=timeout_s,
            event_hooks={"response": [_refuse]},
            follow_redirects=False,
        )
        self._sdk: Any = None
        self._client: AsyncClient | None = None
        self._loading = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, key: str) -> Stored | None:
        """What is stored under the key."""
        async with self._tables() as table:
            answer = await table(TABLE).select(_COLUMNS).eq("key", key).limit(1).execute()
            return await asyncio.to_thread(_stored, answer.data)

    async def put(self, entries: Mapping[str, Stored]) -> None:
        """Store all of them with one request, but not what was forgotten since it was made; raises
        ValueRefused, before anything is sent, for a value that is too large."""
        # In one order everywhere: two processes that lock the same rows never wait crosswise.
        rows = await asyncio.to_thread(_rows, entries)
        async with self._tables() as table:
            upsert = table(TABLE).upsert(rows, on_conflict="key", returning="minimal")
            _check(await upsert.execute())

    async def forget(self, tag: str) -> None:
        """Remove everything with the tag, also what arrives later but was made before."""
        row = {"tag": tag, "forgotten_at": self._now().isoformat()}
        async with self._tables() as table:
            upsert = table(FORGOTTEN_TABLE).upsert(row, on_conflict="tag", returning="minimal")
            _check(await upsert.execute())

    async def sweep(self, now: datetime) -> None:
        """Remove what is kept no longer, what by the database's clock comes from the future (a
        trigger does), and tags forgotten long ago."""
        long_ago = (now - FORGOTTEN_KEPT).isoformat()
        async with self._tables() as table:
            over = table(TABLE).delete(returning="minimal").lte("kept_until", now.isoformat())
            _check(await over.execute())
            old = table(FORGOTTEN_TABLE).delete(returning="minimal").lt("forgotten_at", long_ago)
            _check(await old.execute())

    @asynccontextmanager
    async def _tables(self) -> AsyncIterator[Callable[[str], Any]]:
        """Requests of a table; what goes wrong in them as TierFailed, without the key."""
        client = await self._loaded()
        try:
            async with asyncio.timeout(self._timeout_s):  # httpx's own is for each piece
                yield client.table
        except TierFailed:
            raise
        except (TimeoutError, httpx.TimeoutException):
            raise TierFailed("Supabase does not answer") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise TierFailed(f"Supabase can't be reached ({type(error).__name__})") from None
        except UnicodeEncodeError:
            raise ValueRefused("Supabase takes only text that is UTF-8", transient=False) from None
        except Exception as error:  # noqa: BLE001
            # The vendor's boundary: postgrest's, pydantic's and json's errors, a row that is none.
            words = f"Supabase's answer makes no sense ({type(error).__name__})"
            raise TierFailed(words) from None

    async def prepare(self) -> None:
        """Import the SDK, once and in a thread: that takes 0.3 s. The first call does it, too."""
        async with self._loading:
            sdk = self._sdk or await asyncio.to_thread(importlib.import_module, "supabase")
            self._sdk = sdk

    async def _loaded(self) -> "AsyncClient":
        await self.prepare()
        if self._client is None:
            self._client = self._made(self._sdk)
        return self._client

    def _made(self, supabase: Any) -> "AsyncClient":
        try:
            if not self._key.isprintable():  # a line end, as it comes from a file
                raise ValueError
            options = supabase.AsyncClientOptions(
                httpx_client=self._http,
                postgrest_client_retry=False,  # the guard retries
                auto_refresh_token=False,
                persist_session=False,
            )
            client: AsyncClient = supabase.AsyncClient(self._url, self._key, options)
            client.table(TABLE)  # only here it looks at the headers
        except Exception:  # noqa: BLE001
            # The vendor's boundary: whatever it finds wrong, it is one of the two.
            words = "Supabase's address or its service role key can't be right"
            raise TierFailed(words, transient=False) from None
        return client


async def _refuse(response: httpx.Response) -> None:
    """postgrest's own error does not tell the status."""
    status = response.status_code
    if status < 300:
        return
    problem = f"Supabase answers {status}"
    match status:
        case 413 | 414 | 422:
            raise ValueRefused(problem, transient=False)
        case 400 | 409 if (await _code(response)).startswith(_OF_THE_DATA):
            raise ValueRefused(problem, transient=False)
        case 429:
            wait_s = _retry_after_s(response)
            raise TierFailed(problem, retry_after_s=RETRY_AFTER_S if wait_s is None else wait_s)
        case 503:
            raise TierFailed(problem, retry_after_s=_retry_after_s(response))
        case 408:
            raise TierFailed(problem)
        case _:
            raise TierFailed(problem, transient=status >= 500)


async def _code(response: httpx.Response) -> str:
    """PostgreSQL's or PostgREST's code of the error; empty where the answer is not theirs."""
    try:
        error = json.loads(await response.aread())
    except ValueError:
        return ""
    return str(error.get("code", "")) if isinstance(error, dict) else ""


def _retry_after_s(response: httpx.Response) -> float | None:
    wait = response.headers.get("Retry-After", "")
    digits = wait.isascii() and wait.isdigit() and len(wait) < 10
    return min(float(wait), RETRY_AFTER_MAX_S) if digits else None


def _rows(entries: Mapping[str, Stored]) -> list[dict[str, str | None]]:
    return [{"key": key, **_row(stored)} for key, stored in sorted(entries.items())]


def _row(stored: Stored) -> dict[str, str | None]:
    return {
        "value": _packed(stored.data),
        "stored_at": stored.stored_at.isoformat(),
        "fresh_until": stored.fresh_until.isoformat(),
        "kept_until": stored.kept_until.isoformat(),
        "tag": stored.tag,
    }


def _stored(rows: object) -> Stored | None:
    """The answer's only row; raises anything for what is no answer of ours."""
    match rows:
        case []:
            return None
        case [{"value": str(value), "tag": (str() | None) as tag, **times}]:
            return Stored(
                data=_unpacked(value),
                stored_at=_instant(times["stored_at"]),
                fresh_until=_instant(times["fresh_until"]),
                kept_until=_instant(times["kept_until"]),
                tag=tag,
            )
        case _:
            raise ValueError("no row of ours")


def _packed(data: bytes) -> str:
    if len(data) < PACKED_FROM_BYTES:
        return base64.b64encode(data).decode()
    text = _PACKED + base64.b64encode(zlib.compress(data)).decode()
    if len(text) > PACKED_BYTES_MAX:
        raise ValueRefused(f"Supabase is given no value of {len(text):,} bytes", transient=False)
    return text


def _unpacked(text: str) -> bytes:
    data = base64.b64decode(text.removeprefix(_PACKED), validate=True)
    if not text.startswith(_PACKED):
        return data
    unpacking = zlib.decompressobj()
    unpacked = unpacking.decompress(data, UNPACKED_BYTES_MAX)
    if not unpacking.eof:
        raise ValueError("cut short, or larger than any value")
    return unpacked


def _instant(text: Any) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("no instant")
    return instant


def _check(answer: Any) -> None:
    """Raise unless a write was answered as asked, with nothing: a portal's page is no answer."""
    if answer.data != []:
        raise ValueError("an answer to something else")

"""Runs of Apify actors: start, wait, read what was found, and abort when nobody waits any more.

The only file that knows Apify's SDK. A run costs money until it ends, so whatever ends the waiting
early (a cancel, our deadline, a failed question about its status) aborts it, once. Nothing is
retried here: the SDK's own retries are off.
"""

import asyncio
import io
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeVar

from agents.discovery.port import SourceFailed
from agents.discovery.sources.apify_refused import ApifyRefused, Refusal, why_refused
from agents.discovery.spending import charge
from agents.domain.errors import InvalidValue
from resilience.fault import BROKEN, FaultKind

if TYPE_CHECKING:
    from apify_client import ApifyClientAsync
    from apify_client._models import AccountLimits, Run  # have no public names
    from apify_client.http_clients import HttpResponse

T = TypeVar("T")

log = logging.getLogger(__name__)

GRACE_S = 5.0
"""How much longer than a run's own time limit we wait for it: starting and answering take time."""
STOP_S = 5.0
"""How long a cancel or a deadline waits for the abort; after that the abort goes on by itself."""
PAGE_ITEMS = 1_000
BYTES_MAX = 50_000_000
"""How much of a run's dataset is read."""
ITEM_BYTES_MAX = 250_000
"""Longer items are left out: nothing else gets its turn while one is parsed, here up to 20 ms."""
MESSAGE_CHARS_MAX = 200
_APIFY = "https://api.apify.com"
_WAIT = timedelta(seconds=60)  # the longest that Apify lets a request wait
_REQUEST = timedelta(seconds=30)
_READING = timedelta(seconds=60)
_ENDED = frozenset({"SUCCEEDED", "FAILED", "TIMED-OUT", "ABORTED"})


class Asks(Protocol):
    """How questions are asked: whatever of tries and time limits stands between."""

    async def __call__(self, question: Callable[[], Awaitable[T]]) -> T:
        """The answer to the question."""
        ...


async def _plainly(question: Callable[[], Awaitable[T]]) -> T:
    return await question()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What a run may take. All positive: to Apify a zero means no limit."""

    timeout_s: int
    memory_mbytes: int
    items_max: int
    charge_max_usd: float

    def __post_init__(self) -> None:
        for name in ("timeout_s", "memory_mbytes", "items_max", "charge_max_usd"):
            if getattr(self, name) <= 0:
                raise InvalidValue(name, "not positive", "more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorResult:
    """What a run found, as the actor wrote it: mostly objects, but that is for the caller to see.

    `truncated`: there was more than the limits allow. `ended_badly`: the run was ended by Apify, by
    its own limits or by an error, before it was done."""

    items: tuple[object, ...]
    cost_usd: float
    truncated: bool
    ended_badly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """This month's usage of the account, and where Apify stops it."""

    used_usd: float
    limit_usd: float


@dataclass(frozen=True, slots=True)
class _Sdk:
    client: "ApifyClientAsync"
    impit: ModuleType
    errors: ModuleType


@dataclass(slots=True)
class _Page:
    items: list[object]
    total: int
    size_bytes: int
    left_out: bool


class ApifyRuns:
    """One account's actors. `base_url` is without /v2; None is Apify itself. Questions (how a run
    goes, what it found, the account) are asked by `ask`; a start is not: it costs money."""

    def __init__(
        self,
        token: str,
        base_url: str | None,
        *,
        ask: Asks = _plainly,
        grace_s: float = GRACE_S,
    ) -> None:
        # The transport quotes a header value that it can't send, and with it the token.
        if not token.isascii() or not token.isprintable() or " " in token or not token:
            raise InvalidValue(
                "Apify token", "empty, or blanks or odd characters in it", "one word"
            )
        self._token = token
        self._base_url = base_url
        self._ask = ask
        self._grace_s = grace_s
        self._loaded: _Sdk | None = None
        self._loading = asyncio.Lock()
        self._stopping: set[asyncio.Task[Run | None]] = set()

    async def run(
        self, actor: str, run_input: Mapping[str, object], limits: RunLimits
    ) -> ActorResult:
        """Run `actor` (`user/name`) and return what it found; raises ApifyRefused.

        Cancelled or past its deadline, the run is aborted, even when the answer that tells its id
        is still under way: hence the start is a task of its own, which a cancel does not reach.
        """
        sdk = await self._sdk()
        start = asyncio.create_task(self._start(sdk, actor, run_input, limits))
        try:
            async with asyncio.timeout(limits.timeout_s + self._grace_s):
                run = await asyncio.shield(start)
                with _started():
                    ended = await self._end(sdk, actor, run)
        except TimeoutError:
            raise _late(actor, limits, await self._stop(sdk, start)) from None
        except BaseException:  # whatever it is: nobody waits for the run any more
            await self._stop(sdk, start)
            raise
        with _started():
            return await self._result(sdk, actor, ended, limits)

    async def credit(self) -> Credit:
        """How much of the month's credit is used; raises ApifyRefused."""
        sdk = await self._sdk()

        async def limits() -> "AccountLimits":
            with self._translated(sdk, "apify"):
                return await sdk.client.user().limits(timeout=_REQUEST)

        account = await self._ask(limits)
        return Credit(
            used_usd=account.current.monthly_usage_usd,
            limit_usd=account.limits.max_monthly_usage_usd,
        )

    async def close(self) -> None:
        """Let the aborts under way finish. The SDK's pool can't be closed: idle connections go with
        the client (its own `aclose` says that it releases nothing)."""
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=STOP_S)
        for abort in self._stopping:
            abort.cancel()
        await asyncio.gather(*self._stopping, return_exceptions=True)

    async def _sdk(self) -> _Sdk:
        """The SDK, imported at first use and in a thread, since that takes 0.3 s."""
        async with self._loading:
            if self._loaded is None:
                self._loaded = await asyncio.to_thread(_load, self._token, self._base_url)
            return self._loaded

    async def _start(
        self, sdk: _Sdk, actor: str, run_input: Mapping[str, object], limits: RunLimits
    ) -> "Run":
        with self._translated(sdk, f"apify:{actor}"):
            return await sdk.client.actor(actor).start(
                run_input=dict(run_input),
                max_items=limits.items_max,
                max_total_charge_usd=Decimal(str(limits.charge_max_usd)),
                memory_mbytes=limits.memory_mbytes,
                run_timeout=timedelta(seconds=limits.timeout_s),
                timeout=_REQUEST,
            )

    async def _end(self, sdk: _Sdk, actor: str, run: "Run") -> "Run":
        """Ask about the run until it has ended; the deadline is the caller's."""
        asked = sdk.client.run(run.id)

        async def status() -> "Run | None":
            with self._translated(sdk, f"apify:{actor}"):
                return await asked.wait_for_finish(wait_duration=_WAIT, timeout=_WAIT + _REQUEST)

        while run.status not in _ENDED:
            answer = await self._ask(status)
            if answer is None:
                raise ApifyRefused(f"apify:{actor}", Refusal.UNAVAILABLE, "the run is gone")
            run = answer
        return run

    async def _stop(self, sdk: _Sdk, start: "asyncio.Task[Run]") -> "Run | None":
        """Abort the run, as a task that a second cancel does not stop; the aborted run, if that
        was done in time."""
        abort = asyncio.create_task(self._abort(sdk, start))
        self._stopping.add(abort)
        abort.add_done_callback(self._stopping.discard)
        await asyncio.wait({abort}, timeout=STOP_S)
        return abort.result() if abort.done() else None

    async def _abort(self, sdk: _Sdk, start: "asyncio.Task[Run]") -> "Run | None":
        try:
            run = await start
        except Exception:  # noqa: BLE001 - it never started; `run` is who says why
            return None
        try:
            with self._translated(sdk, f"apify: run {run.id}"):
                aborted = await sdk.client.run(run.id).abort(timeout=_REQUEST)
            charge(aborted.usage_total_usd or 0.0)
            return aborted
        except SourceFailed as failure:
            log.warning("could not abort the run, which goes on until its limits: %s", failure)
            return None

    async def _result(self, sdk: _Sdk, actor: str, ended: "Run", limits: RunLimits) -> ActorResult:
        cost_usd = ended.usage_total_usd or 0.0
        charge(cost_usd)
        try:
            async with asyncio.timeout(_READING.total_seconds()):
                items, more = await self._items(sdk, actor, ended, limits.items_max)
        except TimeoutError:
            words = "its results could not be read in time"
            raise ApifyRefused(f"apify:{actor}", Refusal.UNAVAILABLE, words, cost_usd) from None
        succeeded = ended.status == "SUCCEEDED"
        if not items and not succeeded:
            words = self._bad_end(ended)
            raise ApifyRefused(f"apify:{actor}", Refusal.ACTOR_FAILED, words, cost_usd)
        return ActorResult(
            items=tuple(items), cost_usd=cost_usd, truncated=more, ended_badly=not succeeded
        )

    async def _items(
        self, sdk: _Sdk, actor: str, run: "Run", items_max: int
    ) -> tuple[list[object], bool]:
        """The first `items_max` rows of the run's dataset, less empty ones; whether there is more.

        The total that Apify tells lags behind after a run: a full page means that there may be
        more, whatever the total says."""
        items: list[object] = []
        offset, room, left_out = 0, BYTES_MAX, False
        while offset < items_max:
            limit = min(PAGE_ITEMS, items_max - offset)
            read = partial(_read_page, sdk, run.default_dataset_id, offset, limit, room)
            page = await self._ask(partial(self._page, sdk, actor, read))
            items += page.items
            offset += limit
            room -= page.size_bytes
            left_out = left_out or page.left_out
            if room < 0:
                return items, True
            if len(page.items) < limit and offset >= page.total:
                return items, left_out
        return items, left_out or page.total > items_max

    async def _page(self, sdk: _Sdk, actor: str, read: Callable[[], Awaitable[_Page]]) -> _Page:
        with self._translated(sdk, f"apify:{actor}"):
            return await read()

    @contextmanager
    def _translated(self, sdk: _Sdk, subject: str) -> Iterator[None]:
        """Turn what the SDK raises into ApifyRefused.

        `from None`, since the transport's own texts can hold the token."""
        try:
            yield
        except sdk.errors.ApifyApiError as error:
            reason, words = why_refused(
                error.type,
                error.status_code,
                question=error.http_method == "GET",
                clean=self._clean,
            )
        except (sdk.impit.TimeoutException, TimeoutError):
            reason, words = Refusal.UNAVAILABLE, "Apify does not answer"
        except (sdk.impit.HTTPError, sdk.impit.InvalidURL, sdk.impit.StreamError, OSError):
            reason, words = Refusal.UNAVAILABLE, "Apify can't be reached"
        # Bodies that are no JSON or not of the expected shape, mostly as pydantic's ValueError.
        except (ValueError, LookupError, AttributeError, RecursionError):
            reason, words = Refusal.UNAVAILABLE, "Apify's answer makes no sense"
        else:
            return
        raise ApifyRefused(subject, reason, words) from None

    def _bad_end(self, run: "Run") -> str:
        # Not in the actor's own words: they may quote what a person asked for, and stay in logs.
        match run.status:
            case "TIMED-OUT":
                return "the actor ran out of time and found nothing"
            case "ABORTED":
                return "the run was aborted at Apify and found nothing"
            case _:
                return "the actor failed"

    def _clean(self, text: object) -> str:
        """Apify's words, or an actor's, fit for our one line: short, and never with the token."""
        if not isinstance(text, str):
            return ""
        line = " ".join(text.replace(self._token, "...").split())
        return line if len(line) <= MESSAGE_CHARS_MAX else line[: MESSAGE_CHARS_MAX - 1] + "…"


@contextmanager
def _started() -> Iterator[None]:
    """What goes wrong when a run has been started is no reason to start another."""
    try:
        yield
    except ApifyRefused as refused:
        if refused.fault.kind in (FaultKind.TRANSIENT, FaultKind.THROTTLED):
            refused.fault = BROKEN
        raise


def _load(token: str, base_url: str | None) -> _Sdk:
    import impit  # noqa: PLC0415 - at first use: it takes 0.3 s
    from apify_client import ApifyClientAsync, errors  # noqa: PLC0415

    url = base_url or _APIFY
    client = ApifyClientAsync(token, api_url=url, api_public_url=url, max_retries=0)
    _ = client.http_client  # made here and now: its certificates take a while, too
    return _Sdk(client, impit, errors)


def _late(actor: str, limits: RunLimits, aborted: "Run | None") -> ApifyRefused:
    done = "the run was aborted" if aborted else "the run could not be aborted"
    cost_usd = (aborted.usage_total_usd or 0.0) if aborted else 0.0
    words = f"no answer within {limits.timeout_s} s; {done}"
    return ApifyRefused(f"apify:{actor}", Refusal.TIMED_OUT, words, cost_usd)


async def _read_page(sdk: _Sdk, dataset_id: str, offset: int, limit: int, room: int) -> _Page:
    """As lines, not as one array: each is parsed by itself, in a thread, so that the event loop
    gets its turn in between."""
    reading = sdk.client.dataset(dataset_id).stream_items(
        item_format="jsonl", clean=True, offset=offset, limit=limit, timeout=_READING
    )
    async with reading as response:
        total = int(response.headers.get("x-apify-pagination-total") or 0)
        body = await _read_body(response, room)
    items, left_out = await asyncio.to_thread(_parse, body, whole=len(body) <= room)
    return _Page(items, total, len(body), left_out)


async def _read_body(response: "HttpResponse", room: int) -> bytearray:
    """The body, or, past `room` bytes, as much of it as has come by then."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > room:
            break
    return body


def _parse(body: bytearray, *, whole: bool) -> tuple[list[object], bool]:
    """The items of the lines, and whether one was too long; the last line of a body that is not
    whole is dropped."""
    items: list[object] = []
    left_out = False
    for line in io.BytesIO(body):
        if len(line) > ITEM_BYTES_MAX:
            left_out = True
        elif line.strip() and (whole or line.endswith(b"\n")):
            items.append(json.loads(line))
    return items, left_out

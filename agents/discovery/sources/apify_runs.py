"""Runs of Apify actors: start, wait, read what was found, and abort when nobody waits any more.

The only file that knows Apify's SDK. A run costs money until it ends, so whatever ends the waiting
early (a cancel, our deadline, a failed question about its status) aborts it, once. Nothing is
retried here: the SDK's own retries are off. What is known of a start is told to its `Watch` at
once; what is in doubt (did the request arrive? was it aborted?) is not told, and so stays open.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeVar

from agents.discovery.port import SourceFailed
from agents.discovery.sources.actor_run import ActorResult, Credit, RunLimits, bad_end
from agents.discovery.sources.apify_items import Page, Span, read_items, read_page
from agents.discovery.sources.apify_refused import ApifyRefused, Refusal, why_refused
from agents.discovery.sources.starts import Begin, Watch
from agents.domain.errors import InvalidValue
from resilience.fault import BROKEN, FaultKind

if TYPE_CHECKING:
    from apify_client import ApifyClientAsync
    from apify_client._models import AccountLimits, Run, RunListItem  # have no public names

T = TypeVar("T")

log = logging.getLogger(__name__)

GRACE_S = 5.0
"""How much longer than a run's own time limit we wait for it: starting and answering take time."""
STOP_S = 5.0
"""How long a cancel or a deadline waits for the abort; after that the abort goes on by itself."""
START_MARK = "webscoutStart"
"""The input's key that holds a start's mark. Actors ignore what they don't know."""
LOOKED_AT_MAX = 20
"""In how many runs' inputs a mark is looked for."""
MESSAGE_CHARS_MAX = 200
_LISTED = 500
_CLOCKS_APART = timedelta(minutes=5)
_APIFY = "https://api.apify.com"
_NOT_FOUND = 404
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


@dataclass(frozen=True, slots=True)
class _Sdk:
    client: "ApifyClientAsync"
    impit: ModuleType
    errors: ModuleType


class _Gone(ApifyRefused):
    """What was asked about does not exist (any more)."""


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
        self, actor: str, run_input: Mapping[str, object], limits: RunLimits, begin: Begin
    ) -> ActorResult:
        """Run `actor` (`user/name`) and return what it found; raises ApifyRefused, and what
        `begin` raises, which stands right before the start.

        Cancelled or past its deadline, the run is aborted, even when the answer that tells its id
        is still under way: hence the start is a task of its own, which a cancel does not reach.
        """
        sdk = await self._sdk()
        watch = await begin()
        marked = {**run_input, START_MARK: watch.mark}
        start = asyncio.create_task(self._start(sdk, actor, marked, limits, watch))
        return await self._outcome(sdk, actor, start, limits, watch)

    async def adopt(self, actor: str, run_id: str, limits: RunLimits, watch: Watch) -> ActorResult:
        """Wait for a run that was started before, as `run` waits for its own; raises as it does."""
        sdk = await self._sdk()
        start = asyncio.create_task(self._known(sdk, actor, run_id))
        return await self._outcome(sdk, actor, start, limits, watch)

    async def find(self, actor: str, mark: str, at: datetime) -> str | None:
        """The id of the run whose input holds the mark, of those started around `at`, or None;
        raises ApifyRefused. The `LOOKED_AT_MAX` runs nearest to `at` are looked at."""
        sdk = await self._sdk()
        for run in await self._started_around(sdk, actor, at):
            if await self._mark(sdk, actor, run) == mark:
                return run.id
        return None

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
        self, sdk: _Sdk, actor: str, run_input: dict[str, object], limits: RunLimits, watch: Watch
    ) -> "Run":
        try:
            with self._translated(sdk, f"apify:{actor}"):
                run = await sdk.client.actor(actor).start(
                    run_input=run_input,
                    max_items=limits.items_max,
                    max_total_charge_usd=Decimal(str(limits.charge_max_usd)),
                    memory_mbytes=limits.memory_mbytes,
                    run_timeout=timedelta(seconds=limits.timeout_s),
                    timeout=_REQUEST,
                )
        except ApifyRefused as refused:
            if refused.reason is not Refusal.UNAVAILABLE:  # else the request may have arrived
                await watch.charged(0.0)
                await watch.settled()
            raise
        await watch.started(run.id)
        return run

    async def _known(self, sdk: _Sdk, actor: str, run_id: str) -> "Run":
        """The run as it stands now."""

        async def asked() -> "Run | None":
            with self._translated(sdk, f"apify:{actor}"):
                return await sdk.client.run(run_id).get(timeout=_REQUEST)

        with _started():
            return _there(actor, await self._ask(asked))

    async def _outcome(
        self, sdk: _Sdk, actor: str, start: "asyncio.Task[Run]", limits: RunLimits, watch: Watch
    ) -> ActorResult:
        """What the run found that `start` tells of; nothing of it goes on when this has ended."""
        try:
            async with asyncio.timeout(limits.timeout_s + self._grace_s):
                run = await asyncio.shield(start)
                with _started():
                    ended = await self._end(sdk, actor, run)
        except _Gone:
            await watch.settled()  # what it cost will never be known: that is not told
            raise
        except TimeoutError:
            raise _late(actor, limits, await self._stop(sdk, start, watch)) from None
        except BaseException:  # whatever it is: nobody waits for the run any more
            await self._stop(sdk, start, watch)
            raise
        with _started():
            return await self._result(sdk, actor, ended, limits, watch)

    async def _end(self, sdk: _Sdk, actor: str, run: "Run") -> "Run":
        """Ask about the run until it has ended; the deadline is the caller's."""
        asked = sdk.client.run(run.id)

        async def status() -> "Run | None":
            with self._translated(sdk, f"apify:{actor}"):
                return await asked.wait_for_finish(wait_duration=_WAIT, timeout=_WAIT + _REQUEST)

        while run.status not in _ENDED:
            run = _there(actor, await self._ask(status))
        return run

    async def _started_around(self, sdk: _Sdk, actor: str, at: datetime) -> "list[RunListItem]":
        """The actor's runs of that time, nearest first: our clock and Apify's may differ."""
        first, last = at - _CLOCKS_APART, at + _REQUEST + _CLOCKS_APART

        async def listed() -> "list[RunListItem]":
            with self._translated(sdk, f"apify:{actor}"):
                page = await sdk.client.actor(actor).runs().list(
                    desc=True, limit=_LISTED, started_after=first, started_before=last,
                    timeout=_REQUEST,
                )  # fmt: skip
                return page.items

        runs = [run for run in await self._ask(listed) if first <= run.started_at <= last]
        return sorted(runs, key=lambda run: abs(run.started_at - at))[:LOOKED_AT_MAX]

    async def _mark(self, sdk: _Sdk, actor: str, run: "RunListItem") -> object:
        """The mark in the run's input, or None."""
        store_id = run.default_key_value_store_id

        async def asked() -> dict[str, object] | None:
            with self._translated(sdk, f"apify:{actor}"):
                store = sdk.client.key_value_store(store_id)
                return await store.get_record("INPUT", timeout=_REQUEST)

        record = await self._ask(asked)
        run_input = record["value"] if record else None
        return run_input.get(START_MARK) if isinstance(run_input, dict) else None

    async def _stop(self, sdk: _Sdk, start: "asyncio.Task[Run]", watch: Watch) -> "Run | None":
        """Abort the run, as a task that a second cancel does not stop; the aborted run, if that
        was done in time."""
        abort = asyncio.create_task(self._abort(sdk, start, watch))
        self._stopping.add(abort)
        abort.add_done_callback(self._stopping.discard)
        await asyncio.wait({abort}, timeout=STOP_S)
        return abort.result() if abort.done() else None

    async def _abort(self, sdk: _Sdk, start: "asyncio.Task[Run]", watch: Watch) -> "Run | None":
        try:
            run = await start
        except Exception:  # noqa: BLE001 - it never started, or in doubt; `run` is who says why
            return None
        if run.status in _ENDED:  # adopted just now: its results are left for the next fetch
            await watch.charged(run.usage_total_usd or 0.0)
            return run
        try:
            with self._translated(sdk, f"apify: run {run.id}"):
                aborted = await sdk.client.run(run.id).abort(timeout=_REQUEST)
        except SourceFailed as failure:
            log.warning("could not abort the run, which goes on until its limits: %s", failure)
            return None
        await watch.charged(aborted.usage_total_usd or 0.0)
        await watch.settled()
        return aborted

    async def _result(
        self, sdk: _Sdk, actor: str, ended: "Run", limits: RunLimits, watch: Watch
    ) -> ActorResult:
        """What the run found. It stays open: what it found is paid for, and until that is stored
        the next fetch may have to read it once more."""
        cost_usd = ended.usage_total_usd or 0.0
        await watch.charged(cost_usd)
        try:
            async with asyncio.timeout(_READING.total_seconds()):
                items, more = await read_items(
                    partial(self._page, sdk, actor, ended), limits.items_max
                )
        except _Gone:
            await watch.settled()
            raise
        except TimeoutError:
            words = "its results could not be read in time"
            raise ApifyRefused(f"apify:{actor}", Refusal.UNAVAILABLE, words, cost_usd) from None
        succeeded = ended.status == "SUCCEEDED"
        if not items and not succeeded:
            await watch.settled()
            raise ApifyRefused(
                f"apify:{actor}", Refusal.ACTOR_FAILED, bad_end(ended.status), cost_usd
            )
        return ActorResult(
            items=tuple(items), cost_usd=cost_usd, truncated=more, ended_badly=not succeeded
        )

    async def _page(self, sdk: _Sdk, actor: str, run: "Run", span: Span) -> Page:
        """As lines, not as one array, so that they can be parsed one by one."""
        reading = partial(
            sdk.client.dataset(run.default_dataset_id).stream_items,
            item_format="jsonl", clean=True, offset=span.offset, limit=span.limit, timeout=_READING,
        )  # fmt: skip

        async def asked() -> Page:
            with self._translated(sdk, f"apify:{actor}"):
                async with reading() as response:
                    total = int(response.headers.get("x-apify-pagination-total") or 0)
                    return await read_page(response.aiter_bytes(), total, span.room_bytes)

        return await self._ask(asked)

    @contextmanager
    def _translated(self, sdk: _Sdk, subject: str) -> Iterator[None]:
        """Turn what the SDK raises into ApifyRefused.

        `from None`, since the transport's own texts can hold the token."""
        kind = ApifyRefused
        try:
            yield
        except sdk.errors.ApifyApiError as error:
            question = error.http_method == "GET"
            if question and error.status_code == _NOT_FOUND:
                kind = _Gone
            reason, words = why_refused(
                error.type, error.status_code, question=question, clean=self._clean
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
        raise kind(subject, reason, words) from None

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


def _there(actor: str, run: "Run | None") -> "Run":
    if run is None:
        raise _Gone(f"apify:{actor}", Refusal.UNAVAILABLE, "the run is gone")
    return run

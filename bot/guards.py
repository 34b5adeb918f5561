"""The guards round every outside call, in the ports they stand in; `policies.py` has how each
dependency is treated.

Each class here is an adapter's twin: it has its methods and passes every call through a Guard.
What a guard refuses comes back in the port's own error. Telegram has none: `Sender` holds its flood
limits chat by chat, and a breaker could only lose what people are owed (docs/decisions/0010).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import partial
from typing import TypeVar

from agents.discovery.port import SourceFailed, Validators
from agents.discovery.sources.actor_run import ActorResult, Credit, RunLimits
from agents.discovery.sources.apify_runs import Asks
from agents.discovery.sources.catalogue import Account
from agents.discovery.sources.feed import JsonReader
from agents.discovery.sources.http import JsonAnswer, JsonRequest
from agents.discovery.sources.starts import Begin, Watch
from agents.domain.errors import InvalidValue
from agents.llm.port import Answer, LlmFailed, Vendor
from cache.port import Stored, Tier, TierFailed, ValueRefused
from resilience.breaker import CLOSED, OPEN, Breaker, BreakerChanged
from resilience.bulkhead import Priority
from resilience.clock import Clock
from resilience.deadline import deadline, no_deadline
from resilience.errors import Refused
from resilience.fault import BROKEN, CALLERS, IN_VAIN, TRANSIENT, Classify, Fault, FaultKind
from resilience.guard import CallEnded, Guard, GuardPolicy
from resilience.saga import IllegalTransition, JournalUnavailable, LeaseLost, StepFailed

T = TypeVar("T")

SECOND_TIER_READ_S = 0.3
"""How long a reader waits for the second tier before it does without."""
CREDIT_EVERY_S = 300.0
"""How often an account that was out of credit is asked whether there is some again."""
log = logging.getLogger(__name__)


class Guards:
    """All guards, by the name of the dependency."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._guards: dict[str, Guard] = {}

    def make(self, name: str, policy: GuardPolicy, classify: Classify) -> Guard:
        """A guard with its own breaker, whose changes are logged."""
        if name in self._guards:
            raise InvalidValue("feed", f"the name {name!r} is taken", "another name")
        guard = Guard(name, policy, clock=self.clock, classify=classify)
        guard.breaker.subscribe(_log_change)
        self._guards[name] = guard
        return guard

    @property
    def by_name(self) -> Mapping[str, Guard]:
        """The dependencies that there are."""
        return self._guards


def _log_change(change: BreakerChanged) -> None:
    """For who looks closely: that it fails, and is back, its adapter or `log_trouble` says once."""
    if change.new is OPEN:
        until = "until told" if change.open_s is None else f"for {change.open_s:.0f} s"
        log.debug("%s is left alone %s: %s", change.name, until, change.reason)
    elif change.new is CLOSED:
        log.debug("%s is asked again: %s", change.name, change.reason)


def log_trouble(guard: Guard) -> None:
    """Say once that the dependency fails, and once that it answers again."""
    fails = False

    def note(ended: CallEnded) -> None:
        nonlocal fails
        if ended.failed and not fails:
            fails = True
            # The words of an error of ours; another's may quote what was asked.
            ours = isinstance(ended.error, LlmFailed | SourceFailed | TimeoutError)
            told = str(ended.error) if ours else ""
            log.warning("%s fails: %s", ended.name, told or type(ended.error).__name__)
        elif ended.error is None and fails:
            fails = False
            log.info("%s answers again", ended.name)

    guard.subscribe(note)


# --- sources ----------------------------------------------------------------------------------


def source_fault(error: Exception) -> Fault:
    """What an error of a source says of the server behind it."""
    if isinstance(error, SourceFailed):
        return error.fault
    return TRANSIENT if isinstance(error, TimeoutError) else BROKEN


class GuardedReader:
    """A JsonReader with a guard for each feed."""

    def __init__(self, reader: JsonReader, guards: Mapping[str, Guard]) -> None:
        self._reader = reader
        self._guards = guards

    @property
    def timeout_s(self) -> float:
        """Seconds that one request may take, tries included."""
        return self._reader.timeout_s

    async def read(
        self, label: str, request: JsonRequest, known: Validators | None = None
    ) -> JsonAnswer | None:
        """The JSON value there; raises SourceFailed."""
        read = partial(self._reader.read, label, request, known)
        with _as_source_failed(label):
            return (await self._guards[label].call(read)).value


def asking(guard: Guard) -> Asks:
    """How ApifyRuns asks its questions."""

    async def ask(question: Callable[[], Awaitable[T]]) -> T:
        return (await guard.call(question)).value

    return ask


class GuardedAccount:
    """An Apify account whose runs have a guard; its questions have one within."""

    def __init__(self, account: Account, runs: Guard) -> None:
        self._account = account
        self._runs = runs

    async def run(
        self, actor: str, run_input: Mapping[str, object], limits: RunLimits, begin: Begin
    ) -> ActorResult:
        """Run `actor` and return what it found; raises SourceFailed, and what `begin` raises."""
        run = partial(self._account.run, actor, run_input, limits, begin)
        with _as_source_failed(f"apify:{actor}"):
            return (await self._runs.call(run, least_s=limits.timeout_s)).value

    async def find(self, actor: str, mark: str, at: datetime) -> str | None:
        """The run that was started with the mark around then; raises SourceFailed."""
        with _as_source_failed(f"apify:{actor}"):
            return await self._account.find(actor, mark, at)

    async def adopt(self, actor: str, run_id: str, limits: RunLimits, watch: Watch) -> ActorResult:
        """What a run found that was started before; raises SourceFailed. It is no start: the
        guard of starts does not hold it up."""
        with _as_source_failed(f"apify:{actor}"):
            return await self._account.adopt(actor, run_id, limits, watch)

    async def credit(self) -> Credit:
        """How much of the month's credit is used; raises SourceFailed."""
        with _as_source_failed("apify"):
            return await self._account.credit()


@contextmanager
def _as_source_failed(subject: str) -> Iterator[None]:
    """What the guard itself raises, in the words and the error of the port."""
    try:
        yield
    except Refused as refused:
        words = f"{subject}: not asked now ({refused.problem})"
        raise SourceFailed(words, refused.retry_after_s or 0.0, fault=CALLERS) from refused
    except TimeoutError:
        raise SourceFailed(f"{subject}: no answer in time", fault=TRANSIENT) from None


@asynccontextmanager
async def credit_watched(account: Account, breaker: Breaker, clock: Clock) -> AsyncIterator[None]:
    """While the breaker waits for credit, ask for it now and then, and tell it."""
    watch: asyncio.Task[None] | None = None

    async def ask() -> None:
        while breaker.waits_for_credit:
            await clock.sleep(CREDIT_EVERY_S)
            try:
                credit = await account.credit()
            except SourceFailed as failure:
                log.warning("the credit can't be seen: %s", failure)
            except Exception:
                # The loop's boundary: without it nobody would look for credit again.
                log.exception("looking for credit broke")
            else:
                if credit.used_usd < credit.limit_usd:
                    breaker.replenished()

    def begin(_change: BreakerChanged) -> None:
        nonlocal watch
        if breaker.waits_for_credit and (watch is None or watch.done()):
            with no_deadline():  # whose call found it out has a deadline, the watch has none
                watch = asyncio.create_task(ask(), name="apify:credit")

    breaker.subscribe(begin)
    try:
        yield
    finally:
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


# --- language models ---------------------------------------------------------------------------


def llm_fault(error: Exception) -> Fault:
    """What an error says of the vendor; that a run may spend no more is the run's own matter."""
    match error:
        case LlmFailed():
            return error.fault
        case TimeoutError():
            return TRANSIENT
        case StepFailed() | JournalUnavailable() | LeaseLost() | IllegalTransition():
            return CALLERS
        case _:
            return BROKEN


class GuardedVendor:
    """Implements metered.Guarded."""

    def __init__(self, vendor: Vendor, guard: Guard) -> None:
        self.vendor = vendor
        self._guard = guard

    async def call(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        """The attempt's answer; raises LlmFailed, and what the attempt's account raises."""
        name = self._guard.name
        try:
            return (await self._guard.call(attempt)).value
        except Refused as refused:
            raise LlmFailed(f"{name}: not asked now ({refused.problem})", CALLERS) from refused
        except TimeoutError:
            raise LlmFailed(f"{name}: no answer in time", TRANSIENT, billed=True) from None


# --- the cache's second tier ------------------------------------------------------------------


def tier_fault(error: Exception) -> Fault:
    """What an error of the second tier says of it."""
    match error:
        case ValueRefused():
            return CALLERS
        case TierFailed(retry_after_s=float(wait_s)):
            return Fault(kind=FaultKind.THROTTLED, retry_after_s=wait_s)
        case TierFailed(transient=False):
            return IN_VAIN  # such as a wrong key
        case _:
            return TRANSIENT


class GuardedTier:
    """A Tier behind a guard. Reads are given up soon, waits for a place included; `prepare` is
    what takes longer once, such as an import, and is not held against the tier."""

    def __init__(
        self,
        tier: Tier,
        guard: Guard,
        monotonic: Callable[[], float],
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._tier = tier
        self._guard = guard
        self._monotonic = monotonic
        self._prepare = prepare
        self._fails = False

    async def get(self, key: str) -> Stored | None:
        """What is stored under the key."""
        if self._prepare is not None:
            await self._prepare()
        # Not the caller's deadline: others wait for the same answer.
        with no_deadline(), deadline(SECOND_TIER_READ_S, self._monotonic):
            read = partial(self._tier.get, key)
            return await self._call(read, Priority.INTERACTIVE, SECOND_TIER_READ_S)

    async def put(self, entries: Mapping[str, Stored]) -> None:
        """Store all of them, or none."""
        await self._call(partial(self._tier.put, entries), Priority.BACKGROUND)

    async def forget(self, tag: str) -> None:
        """Remove everything with the tag."""
        await self._call(partial(self._tier.forget, tag), Priority.OPERATOR)

    async def sweep(self, now: datetime) -> None:
        """Remove what is kept no longer."""
        await self._call(partial(self._tier.sweep, now), Priority.BACKGROUND)

    async def _call(
        self, work: Callable[[], Awaitable[T]], priority: Priority, within_s: float | None = None
    ) -> T:
        try:
            guarded = await self._guard.call(work, priority=priority, attempt_timeout_s=within_s)
        except Refused as refused:
            raise TierFailed(str(refused)) from refused
        except (TimeoutError, TierFailed) as error:
            failure = error if isinstance(error, TierFailed) else TierFailed("no answer in time")
            self._note(failure)
            raise failure from error
        self._note(None)
        return guarded.value

    def _note(self, failure: TierFailed | None) -> None:
        """Say once that it fails, and once that it is back."""
        if failure is not None and not self._fails:
            log.warning("%s: %s; memory alone is the cache", self._guard.name, failure)
        elif failure is None and self._fails:
            log.info("%s answers again", self._guard.name)
        self._fails = failure is not None

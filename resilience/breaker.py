"""The circuit breaker: keeps calls from a dependency that fails, and finds out when it is back.

aiobreaker gives the vocabulary and the state: its storage holds the state and the failures in a
row, its CircuitBreaker tells listeners of changes. When a state changes is decided here, since
aiobreaker lets every concurrent call through half-open, takes an excluded error for a success,
counts failures in a row only, and reads the wall clock (docs/decisions/0009).

    CLOSED ──failures in a row, or too many of the lately made──► OPEN
    CLOSED ──throttled, out of credit──► OPEN (for its time, or until told)
    OPEN ──its time is over──► HALF_OPEN ──enough probes succeed──► CLOSED
                               HALF_OPEN ──a probe fails──► OPEN (for twice as long, up to a cap)
"""

import math
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ParamSpec, TypeVar

from aiobreaker import CircuitBreaker, CircuitBreakerListener, CircuitBreakerState
from aiobreaker.storage.memory import CircuitMemoryStorage

from resilience.checks import above_zero, not_negative, share, whole
from resilience.clock import Clock
from resilience.errors import CircuitOpen
from resilience.fault import Classify, Fault, FaultKind, all_transient, classified
from resilience.hooks import Hooks, Listener
from resilience.window import RollingWindow

P = ParamSpec("P")
T = TypeVar("T")

CLOSED = CircuitBreakerState.CLOSED
OPEN = CircuitBreakerState.OPEN
HALF_OPEN = CircuitBreakerState.HALF_OPEN

_DOUBLINGS_MAX = 32


class Mode(StrEnum):
    """Who decides: the breaker, or an operator."""

    AUTO = "auto"
    FORCED_OPEN = "forced open"
    FORCED_CLOSED = "forced closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a breaker opens, and for how long. Times in seconds."""

    failures_max: int = 5
    """This many failures in a row open it,"""
    failure_rate: float = 0.5
    """or this share of the calls of the last `window_s`, if they were at least `calls_min`."""
    calls_min: int = 10
    window_s: float = 60.0
    open_s: float = 15.0
    """How long it stays open at first; doubled by each failed probe up to `open_max_s`,"""
    open_max_s: float = 300.0
    jitter: float = 0.1
    """and up to this share longer, so that many processes do not ask again at once."""
    probes: int = 1
    """So many calls, and no more, are let through when the time is over, and have to succeed."""
    probe_timeout_s: float = 60.0
    """A probe that has not reported by then loses its place; what it reports is ignored."""
    throttled_s: float = 60.0
    """How long a throttled dependency is left alone where it does not say itself,"""
    throttled_max_s: float = 24 * 3600.0
    """and the longest that it is believed."""

    def __post_init__(self) -> None:
        whole(failures_max=self.failures_max, calls_min=self.calls_min, probes=self.probes)
        above_zero(failures_max=self.failures_max, calls_min=self.calls_min, probes=self.probes)
        above_zero(window_s=self.window_s, open_s=self.open_s, open_max_s=self.open_max_s)
        above_zero(probe_timeout_s=self.probe_timeout_s, throttled_s=self.throttled_s)
        above_zero(throttled_max_s=self.throttled_max_s)
        share(failure_rate=self.failure_rate)
        not_negative(jitter=self.jitter)
        if self.open_max_s < self.open_s:
            raise ValueError(f"open_max_s: {self.open_max_s}, must be at least open_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChanged:
    """A breaker moved. `open_s` is for how long it opened, None for until told or not open."""

    name: str
    old: CircuitBreakerState
    new: CircuitBreakerState
    reason: str
    open_s: float | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerView:
    """How a breaker stands, for operators. `probes_in_s` is None when it does not probe by itself,
    `failure_rate` is of the calls in the window, None without any."""

    name: str
    state: CircuitBreakerState
    mode: Mode
    since: datetime
    reason: str
    probes_in_s: float | None
    failure_rate: float | None


class Permit:
    """Leave to make one call. It is of a generation: after a change of state it says nothing."""

    __slots__ = ("expires_at", "generation")

    def __init__(self, generation: int, expires_at: float | None = None) -> None:
        self.generation = generation
        self.expires_at = expires_at  # None in closed state, where a permit takes no place


class Breaker:
    """One dependency's breaker. Not thread-safe: for one event loop."""

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        *,
        clock: Clock,
        classify: Classify = all_transient,
        uniform: Callable[[float, float], float] = random.uniform,
        listeners: Iterable[Listener[BreakerChanged]] = (),
    ) -> None:
        self.name = name
        self._policy = policy
        self._clock = clock
        self._classify = classify
        self._uniform = uniform
        self._hooks: Hooks[BreakerChanged] = Hooks(listeners)
        self._storage = CircuitMemoryStorage(CLOSED)
        self._circuit = CircuitBreaker(
            fail_max=policy.failures_max,
            timeout_duration=timedelta(seconds=policy.open_s),
            state_storage=self._storage,
            name=name,
            listeners=(_Bridge(self._changed),),
        )
        self._mode = Mode.AUTO
        self._window = RollingWindow(policy.window_s)
        self._generation = 0
        self._permit = Permit(0)
        self._probes: list[Permit] = []
        self._probes_passed = 0
        self._times_opened = 0  # in a row, without having closed
        self._opens_until = 0.0
        self._since = clock.now()
        self._reason = "made"

    @property
    def state(self) -> CircuitBreakerState:
        """CLOSED, OPEN or HALF_OPEN; an open breaker half-opens when it is next asked."""
        return self._storage.state

    @property
    def failures_in_a_row(self) -> int:
        """Failures since the last success, in closed state."""
        return int(self._storage.counter)

    def view(self) -> BreakerView:
        """How it stands now."""
        now = self._clock.monotonic()
        self._window.forget_old(now)
        probes = self.state is OPEN and self._opens_until < math.inf
        calls = self._window.total
        return BreakerView(
            name=self.name,
            state=self.state,
            mode=self._mode,
            since=self._since,
            reason=self._reason,
            probes_in_s=max(0.0, self._opens_until - now) if probes else None,
            failure_rate=self._window.marked / calls if calls else None,
        )

    def subscribe(self, listener: Listener[BreakerChanged]) -> None:
        """Tell `listener` of every change of state from now on."""
        self._hooks.subscribe(listener)

    # --- around one call ---------------------------------------------------------------------

    async def call_async(
        self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `work` if the breaker lets it, and take note of how it ends.

        Raises CircuitOpen without calling it, and whatever it raises, unchanged.
        """
        permit = self.permit()
        try:
            value = await work(*args, **kwargs)
        except Exception as error:
            self.record(permit, classified(self._classify, error))
            raise
        except BaseException:
            self.release(permit)
            raise
        self.record(permit)
        return value

    def check(self) -> None:
        """Raise CircuitOpen if `permit` would; takes nothing."""
        if self._storage.state is not CLOSED:
            self._check(self._clock.monotonic())

    def permit(self) -> Permit:
        """Leave for one call, which ends in `record` or `release`; raises CircuitOpen."""
        if self._storage.state is CLOSED:
            return self._permit
        now = self._clock.monotonic()
        self._check(now)
        if self._storage.state is OPEN:
            self._move(HALF_OPEN, "its time is over")
        probe = Permit(self._generation, now + self._policy.probe_timeout_s)
        self._probes.append(probe)
        return probe

    def record(self, permit: Permit, fault: Fault | None = None) -> None:
        """How the call ended: `fault` is None for a success."""
        if not self._give_back(permit):
            return
        kind = None if fault is None else fault.kind
        if kind is None:
            self._succeeded()
        elif kind in (FaultKind.TRANSIENT, FaultKind.BROKEN):
            self._failed()
        elif self._mode is Mode.FORCED_CLOSED:
            return
        elif kind is FaultKind.THROTTLED and fault is not None:
            told = fault.retry_after_s
            wait_s = self._policy.throttled_s if told is None else told
            self._open("rate-limited", min(wait_s, self._policy.throttled_max_s))
        elif kind is FaultKind.EXHAUSTED:
            self._open("out of credit", math.inf)

    def release(self, permit: Permit) -> None:
        """The call ended without saying anything of the dependency, such as by a cancel."""
        self._give_back(permit)

    # --- from outside ------------------------------------------------------------------------

    def force(self, mode: Mode) -> None:
        """Hold it open or closed, or let it decide again, beginning closed."""
        self._mode = mode
        self._times_opened = 0
        if mode is Mode.FORCED_OPEN:
            self._opens_until = math.inf
            self._move(OPEN, mode.value)
        else:
            self._move(CLOSED, mode.value)

    def replenished(self) -> None:
        """Credit was seen: a breaker that waits for that probes at the next call."""
        if self.state is OPEN and self._mode is Mode.AUTO and self._opens_until == math.inf:
            self._opens_until = self._clock.monotonic()

    @property
    def waits_for_credit(self) -> bool:
        """Whether it is open until `replenished`."""
        return self.state is OPEN and self._mode is Mode.AUTO and self._opens_until == math.inf

    # --- small parts -------------------------------------------------------------------------

    def _check(self, now: float) -> None:
        if self._storage.state is OPEN:
            if now < self._opens_until:
                wait_s = self._opens_until - now
                raise CircuitOpen(self.name, self._reason, None if wait_s == math.inf else wait_s)
        elif len(self._alive_probes(now)) + self._probes_passed >= self._policy.probes:
            first = min(probe.expires_at or now for probe in self._probes)
            raise CircuitOpen(self.name, "it is being tried", first - now)

    def _alive_probes(self, now: float) -> list[Permit]:
        self._probes = [p for p in self._probes if p.expires_at is not None and p.expires_at > now]
        return self._probes

    def _give_back(self, permit: Permit) -> bool:
        """Whether what the permit's holder reports counts."""
        if permit.generation != self._generation:
            return False
        if permit.expires_at is None:
            return True
        if permit not in self._alive_probes(self._clock.monotonic()):
            return False
        self._probes.remove(permit)
        return True

    def _succeeded(self) -> None:
        self._storage.reset_counter()
        if self._storage.state is HALF_OPEN:
            self._probes_passed += 1
            if self._probes_passed >= self._policy.probes:
                self._times_opened = 0
                self._move(CLOSED, "it answers again")
        self._window.add(self._clock.monotonic(), total=1)

    def _failed(self) -> None:
        self._window.add(self._clock.monotonic(), total=1, marked=1)
        if self._mode is Mode.FORCED_CLOSED:
            return
        self._storage.increment_counter()
        policy, window = self._policy, self._window
        if self._storage.state is HALF_OPEN:
            self._open("it still fails", self._next_open_s())
        elif self.failures_in_a_row >= policy.failures_max:
            self._open(f"{self.failures_in_a_row} failures in a row", self._next_open_s())
        elif (
            window.total >= policy.calls_min and window.marked / window.total >= policy.failure_rate
        ):
            words = f"{window.marked} of {window.total} calls failed"
            self._open(words, self._next_open_s())

    def _next_open_s(self) -> float:
        policy = self._policy
        doubled = policy.open_s * 2.0 ** min(self._times_opened, _DOUBLINGS_MAX)
        self._times_opened += 1
        return min(doubled, policy.open_max_s) * (1 + self._uniform(0.0, policy.jitter))

    def _open(self, reason: str, for_s: float) -> None:
        self._opens_until = self._clock.monotonic() + for_s
        self._move(OPEN, reason)

    def _move(self, state: CircuitBreakerState, reason: str) -> None:
        self._generation += 1
        self._permit = Permit(self._generation)
        self._probes.clear()
        self._probes_passed = 0
        self._reason = reason
        self._since = self._clock.now()
        if state is CLOSED:
            self._window.clear()
        self._storage.reset_counter()
        self._storage.opened_at = self._since
        self._storage.state = state
        _ = self._circuit.state  # it notices, and tells its listeners

    def _changed(self, old: CircuitBreakerState, new: CircuitBreakerState) -> None:
        open_s = self._opens_until - self._clock.monotonic() if new is OPEN else math.inf
        self._hooks.tell(
            BreakerChanged(
                name=self.name,
                old=old,
                new=new,
                reason=self._reason,
                open_s=None if open_s == math.inf else open_s,
                at=self._since,
            )
        )


class _Bridge(CircuitBreakerListener):
    """aiobreaker's listener, which passes changes on."""

    def __init__(self, changed: Callable[[Any, Any], None]) -> None:
        self._changed = changed

    def state_change(self, _breaker: Any, old: Any, new: Any) -> None:
        self._changed(old.state, new.state)

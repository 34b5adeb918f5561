"""The breaker against a second, simpler one, over random histories.

# Chance decides what is run: the other tests cover the lines.
pytestmark = pytest.mark.unmeasured

The model keeps every call that it was told of and counts anew at each question; a change of state
gives it a new number, by which it knows stale calls. Times are halves and quarters, so that both
compute them exactly.
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from aiobreaker import CircuitBreakerState
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from resilience.breaker import (
    CLOSED,
    HALF_OPEN,
    OPEN,
    Breaker,
    BreakerChanged,
    BreakerPolicy,
    Mode,
    Permit,
)
from resilience.errors import CircuitOpen
from resilience.fault import BROKEN, CALLERS, EXHAUSTED, TRANSIENT, Fault, FaultKind
from tests.fakes.clock import FixedClock

SLICES = 10
JITTER = 0.25

FAULTS = st.sampled_from(
    [None, None, TRANSIENT, TRANSIENT, TRANSIENT, BROKEN, CALLERS, EXHAUSTED]
    + [Fault(kind=FaultKind.THROTTLED, retry_after_s=told) for told in (None, 0.0, 2.5, 1e6)]
)
POLICIES = st.builds(
    BreakerPolicy,
    failures_max=st.integers(1, 5),
    failure_rate=st.sampled_from([0.25, 0.5, 0.75, 1.0]),
    calls_min=st.integers(1, 6),
    window_s=st.sampled_from([5.0, 10.0, 40.0]),
    open_s=st.sampled_from([4.0, 8.0]),
    open_max_s=st.sampled_from([8.0, 16.0, 24.0]),
    jitter=st.just(JITTER),
    probes=st.integers(1, 3),
    probe_timeout_s=st.sampled_from([2.0, 6.0, 60.0]),
    throttled_s=st.sampled_from([3.0, 50.0]),
    throttled_max_s=st.just(30.0),
)


@dataclass(frozen=True)
class Ticket:
    """The model's permit: the number of the state that it was given in, and a probe's expiry."""

    era: int
    number: int
    expires_at: float | None


Pair = tuple[Permit, Ticket]
Asked = Pair | MultipleResults[Pair]


@dataclass
class Model:
    """What a breaker should do. `calls` are (time, failed), oldest first."""

    policy: BreakerPolicy
    now: float = 0.0
    state: CircuitBreakerState = CLOSED
    mode: Mode = Mode.AUTO
    era: int = 0
    opens_until: float = 0.0
    times_opened: int = 0
    in_a_row: int = 0
    passed: int = 0
    given: int = 0
    probes: dict[int, float] = field(default_factory=dict)
    calls: list[tuple[float, bool]] = field(default_factory=list)
    changes: list[tuple[CircuitBreakerState, CircuitBreakerState, float | None]] = field(
        default_factory=list
    )

    # --- what it is asked ---

    def refusal(self) -> tuple[bool, float | None]:
        """Whether it refuses now, and until when in seconds, None if that is not known."""
        if self.state is OPEN and self.now < self.opens_until:
            known = self.opens_until < math.inf
            return True, self.opens_until - self.now if known else None
        alive = self.alive()
        if self.state is HALF_OPEN and len(alive) + self.passed >= self.policy.probes:
            return True, min(alive) - self.now
        return False, None

    def alive(self) -> list[float]:
        """When the probes under way lose their places."""
        return [end for end in self.probes.values() if end > self.now]

    def recent(self) -> list[bool]:
        """Of the calls of this slice of time and the nine before: which failed."""
        slice_s = self.policy.window_s / SLICES
        this = math.floor(self.now / slice_s)
        return [failed for at, failed in self.calls if math.floor(at / slice_s) > this - SLICES]

    def failure_rate(self) -> float | None:
        """The share of recent calls that failed."""
        recent = self.recent()
        return sum(recent) / len(recent) if recent else None

    # --- what happens to it ---

    def ask(self) -> Ticket:
        """A permit; it must not refuse."""
        if self.state is OPEN:
            self.move(HALF_OPEN)
        if self.state is CLOSED:
            return Ticket(self.era, 0, None)
        self.given += 1
        self.probes[self.given] = self.now + self.policy.probe_timeout_s
        return Ticket(self.era, self.given, self.probes[self.given])

    def give_back(self, ticket: Ticket) -> bool:
        """Whether its report counts."""
        if ticket.era != self.era:
            return False
        if ticket.expires_at is None:
            return True
        return self.probes.pop(ticket.number, -math.inf) > self.now

    def report(self, ticket: Ticket, fault: Fault | None) -> None:
        """A call ended."""
        if not self.give_back(ticket):
            return
        if fault is None:
            self.well()
        elif fault.kind in {FaultKind.TRANSIENT, FaultKind.BROKEN}:
            self.badly()
        elif self.mode is Mode.FORCED_CLOSED or fault.kind is FaultKind.CALLERS:
            pass
        elif fault.kind is FaultKind.EXHAUSTED:
            self.open(math.inf)
        else:
            told = fault.retry_after_s
            wait_s = self.policy.throttled_s if told is None else told
            self.open(min(wait_s, self.policy.throttled_max_s))

    def well(self) -> None:
        """It answered."""
        self.in_a_row = 0
        if self.state is HALF_OPEN:
            self.passed += 1
            if self.passed == self.policy.probes:
                self.times_opened = 0
                self.move(CLOSED)
        self.calls.append((self.now, False))

    def badly(self) -> None:
        """It failed."""
        self.calls.append((self.now, True))
        if self.mode is Mode.FORCED_CLOSED:
            return
        self.in_a_row += 1
        recent = self.recent()
        rate = Fraction(sum(recent), len(recent))
        often = len(recent) >= self.policy.calls_min and rate >= Fraction(self.policy.failure_rate)
        if self.state is HALF_OPEN or self.in_a_row == self.policy.failures_max or often:
            wait_s = min(self.policy.open_s * 2**self.times_opened, self.policy.open_max_s)
            self.times_opened += 1
            self.open(wait_s * (1 + JITTER))

    def open(self, for_s: float) -> None:
        """Refuse for so long."""
        self.opens_until = self.now + for_s
        self.move(OPEN)

    def force(self, mode: Mode) -> None:
        """An operator's hand."""
        self.mode = mode
        self.times_opened = 0
        if mode is Mode.FORCED_OPEN:
            self.open(math.inf)
        else:
            self.move(CLOSED)

    def waits_for_credit(self) -> bool:
        """Whether only credit opens it."""
        return self.state is OPEN and self.mode is not Mode.FORCED_OPEN and self.opens_until > 1e300

    def move(self, state: CircuitBreakerState) -> None:
        """Change, and forget what was of the old state."""
        self.era += 1
        self.passed = self.in_a_row = 0
        self.probes = {}
        if state is CLOSED:
            self.calls = []
        if state is not self.state:
            for_s = self.opens_until - self.now if state is OPEN else math.inf
            self.changes.append((self.state, state, for_s if for_s < math.inf else None))
        self.state = state


class Histories(RuleBasedStateMachine):
    """Anything that can happen to a breaker, in any order; permits are reported late, twice, or
    never."""

    permits: Bundle[Pair] = Bundle("permits")

    @initialize(policy=POLICIES.filter(lambda policy: policy.open_max_s >= policy.open_s))
    def make(self, policy: BreakerPolicy) -> None:
        """Two of the same."""
        self.clock = FixedClock()
        self.told: list[BreakerChanged] = []
        self.model = Model(policy)
        self.breaker = Breaker(
            "source",
            policy,
            clock=self.clock,
            uniform=lambda _low, high: high,
            listeners=(self.told.append,),
        )

    @rule(target=permits)
    def ask(self) -> Asked:
        """Both give leave, or both refuse for as long."""
        refused, retry_after_s = self.model.refusal()
        event(f"{self.model.state.name}: {'refused' if refused else 'let through'}")
        if not refused:
            self.breaker.check()
            return self.breaker.permit(), self.model.ask()
        for asked in (self.breaker.check, self.breaker.permit):
            with pytest.raises(CircuitOpen) as caught:
                asked()
            assert caught.value.retry_after_s == retry_after_s
        return multiple()

    @rule(target=permits)
    def ask_for_all(self) -> Asked:
        """As many probes are to be had of both, and then none."""
        pairs: list[Pair] = []
        if self.model.state is not CLOSED:
            while not self.model.refusal()[0]:
                pairs.append((self.breaker.permit(), self.model.ask()))
            self.ask()
        return multiple(*pairs)

    @rule(target=permits)
    def fail_until_it_probes(self) -> Asked:
        """The way into half-open, which chance alone seldom finds."""
        while not self.model.refusal()[0]:
            self.end((self.breaker.permit(), self.model.ask()), TRANSIENT)
            if self.model.mode is not Mode.AUTO:
                break
        self.wait(self.model.refusal()[1] or 0.0)
        return self.ask()

    @rule(pair=permits, fault=FAULTS)
    def end(self, pair: Pair, fault: Fault | None) -> None:
        """A call ends, of whatever state of the past."""
        permit, ticket = pair
        event(f"{'stale' if ticket.era != self.model.era else self.model.state.name}: reported")
        self.breaker.record(permit, fault)
        self.model.report(ticket, fault)

    @rule(fault=FAULTS, times=st.integers(1, 6))
    def call(self, fault: Fault | None, times: int) -> None:
        """Calls that end at once, while they are let through."""
        for _ in range(times):
            if not self.model.refusal()[0]:
                self.end((self.breaker.permit(), self.model.ask()), fault)

    @rule(pair=permits)
    def release(self, pair: Pair) -> None:
        """A call is cancelled."""
        self.breaker.release(pair[0])
        self.model.give_back(pair[1])

    @rule(seconds=st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.75, 10.0, 60.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds)
        self.model.now += seconds

    @rule()
    def wait_as_told(self) -> None:
        """Just until it says that it may be asked."""
        self.wait(self.model.refusal()[1] or 0.0)

    @rule(mode=st.sampled_from([Mode.AUTO, Mode.AUTO, Mode.FORCED_OPEN, Mode.FORCED_CLOSED]))
    @precondition(lambda self: self.model.state is not CLOSED or self.model.mode is not Mode.AUTO)
    def force(self, mode: Mode) -> None:
        """An operator's hand."""
        self.breaker.force(mode)
        self.model.force(mode)

    @rule()
    def replenish(self) -> None:
        """Credit is seen."""
        self.breaker.replenished()
        if self.model.waits_for_credit():
            self.model.opens_until = self.model.now

    @invariant()
    def they_agree(self) -> None:
        """All that can be seen is the same."""
        breaker, model = self.breaker, self.model
        view = breaker.view()
        waits = model.state is OPEN and model.opens_until < math.inf
        assert view.state is breaker.state
        assert breaker.state is model.state
        assert view.mode is model.mode
        assert view.failure_rate == model.failure_rate()
        assert view.probes_in_s == (max(0.0, model.opens_until - model.now) if waits else None)
        assert breaker.failures_in_a_row == model.in_a_row
        assert breaker.waits_for_credit == model.waits_for_credit()
        assert [(e.old, e.new, e.open_s) for e in self.told] == model.changes


Histories.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase

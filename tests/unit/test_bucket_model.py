"""The token bucket against a plain counter of tokens that are refilled bit by bit."""

from dataclasses import dataclass, field
from fractions import Fraction

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from resilience.bucket import TokenBucket, Want, refund_all, take_all
from tests.fakes.clock import FixedClock

# Chance decides what is run: the other tests cover the lines.
pytestmark = pytest.mark.unmeasured

SIZES = {"quick": (3, 300), "slow": (5, 7_100)}
"""Burst, and milliseconds to a new token, of each bucket."""
BUCKETS = st.sampled_from(sorted(SIZES))
KEYS = st.sampled_from("abc")
COSTS = st.integers(1, 3)
WANTS = st.lists(st.tuples(BUCKETS, KEYS, st.integers(1, 2)), max_size=4)
PAUSES_MS = st.sampled_from([1, 100, 299, 300, 301, 900, 7_100, 35_500])


@dataclass
class Counter:
    """The tokens of one key: at most `burst`, below 0 when some are booked."""

    burst: int
    refill_ms: int
    tokens: Fraction = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = Fraction(self.burst)

    def advance(self, milliseconds: int) -> None:
        self.add(Fraction(milliseconds, self.refill_ms))

    def add(self, tokens: Fraction | int) -> None:
        self.tokens = min(Fraction(self.burst), self.tokens + tokens)

    def wait_ms(self, cost: int) -> Fraction:
        return max(Fraction(0), cost - self.tokens) * self.refill_ms


class Buckets(RuleBasedStateMachine):
    """Two buckets with three keys each, and what the counters say of them."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FixedClock()
        self.buckets = {
            name: TokenBucket(
                burst=burst, refill_s=refill_ms / 1000, monotonic=self.clock.monotonic
            )
            for name, (burst, refill_ms) in SIZES.items()
        }
        self.counters = {(name, key): Counter(*SIZES[name]) for name in SIZES for key in "abc"}
        self.taken: list[list[tuple[str, str, int]]] = []

    @rule(name=BUCKETS, key=KEYS, cost=COSTS)
    def take(self, name: str, key: str, cost: int) -> None:
        wait_ms = self.counters[name, key].wait_ms(cost)
        assert self.buckets[name].take(key, cost) == seconds(wait_ms)
        if not wait_ms:
            self._took([(name, key, cost)])

    @rule(name=BUCKETS, key=KEYS, cost=COSTS)
    def peek(self, name: str, key: str, cost: int) -> None:
        wait_ms = self.counters[name, key].wait_ms(cost)
        assert self.buckets[name].peek(key, cost) == seconds(wait_ms)

    @rule(name=BUCKETS, key=KEYS, cost=COSTS, within_ms=PAUSES_MS)
    def book(self, name: str, key: str, cost: int, within_ms: int) -> None:
        wait_ms = self.counters[name, key].wait_ms(cost)
        taken, wait_s = self.buckets[name].book(key, cost, within_s=within_ms / 1000)
        assert (taken, wait_s) == (wait_ms <= within_ms, seconds(wait_ms))
        if taken:
            self._took([(name, key, cost)])

    @rule(wants=WANTS)
    def take_all(self, wants: list[tuple[str, str, int]]) -> None:
        costs: dict[tuple[str, str], int] = {}
        for name, key, cost in wants:
            costs[name, key] = costs.get((name, key), 0) + cost
        if any(cost > SIZES[name][0] for (name, _), cost in costs.items()):
            with pytest.raises(ValueError, match=r"^cost: "):
                take_all(self._wants(wants))
            return
        wait_ms = max((self.counters[at].wait_ms(cost) for at, cost in costs.items()), default=0)
        assert take_all(self._wants(wants)) == seconds(wait_ms)
        if not wait_ms:
            self._took(wants)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def refund(self, data: st.DataObject) -> None:
        wants = data.draw(st.sampled_from(self.taken))
        self.taken.remove(wants)
        refund_all(self._wants(wants))
        for name, key, cost in wants:
            self.counters[name, key].add(cost)

    @rule(milliseconds=PAUSES_MS)
    def advance(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds / 1000)
        for counter in self.counters.values():
            counter.advance(milliseconds)

    @invariant()
    def every_wait_is_the_same(self) -> None:
        for (name, key), counter in self.counters.items():
            for cost in (1, counter.burst):
                waited = self.buckets[name].peek(key, cost)
                assert waited == seconds(counter.wait_ms(cost))

    @invariant()
    def all_that_are_not_full_are_remembered(self) -> None:
        for name, bucket in self.buckets.items():
            counters = [self.counters[name, key] for key in "abc"]
            assert len(bucket) >= sum(c.wait_ms(c.burst) > 0 for c in counters)

    def _took(self, wants: list[tuple[str, str, int]]) -> None:
        self.taken.append(wants)
        for name, key, cost in wants:
            self.counters[name, key].tokens -= cost

    def _wants(self, wants: list[tuple[str, str, int]]) -> list[Want]:
        return [Want(self.buckets[name], key, cost) for name, key, cost in wants]


def seconds(milliseconds: Fraction | int) -> object:
    """Nearly so many; but none is none."""
    return pytest.approx(float(milliseconds) / 1000, abs=1e-5) if milliseconds else 0


class TestBuckets(Buckets.TestCase):  # type: ignore[misc, valid-type]
    """Whatever is done in whatever order, buckets and counters agree."""

    settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

"""Token buckets by key, as a generic cell rate algorithm (GCRA): one number a key.

The number is the theoretical arrival time (TAT): when the bucket would be full again. A take is
allowed while that lies no further ahead than the burst. Source: ITU-T I.371, appendix.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from resilience.checks import above_zero, not_negative, whole

_HAIR_S = 1e-6
"""Sums of floats may miss the boundary by a hair, thicker the longer the machine is up."""
_FORGET_MAX = 1_000
"""How many keys one booking forgets at most: the event loop waits for it."""


class TokenBucket:
    """`burst` tokens a key, one more every `refill_s` seconds; keys are bounded, a full one is
    forgotten. Not thread-safe: for one event loop."""

    def __init__(
        self,
        *,
        burst: int,
        refill_s: float,
        monotonic: Callable[[], float],
        keys_max: int = 100_000,
    ) -> None:
        whole(burst=burst, keys_max=keys_max)
        above_zero(burst=burst, refill_s=refill_s, keys_max=keys_max)
        self._refill_s = refill_s
        self._burst = burst
        self._monotonic = monotonic
        self._keys_max = keys_max
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered: those that are not known to be full."""
        return len(self._full_at)

    def take(self, key: str, cost: int = 1) -> float:
        """Take `cost` tokens. Returns 0 when they were there; else takes nothing and returns the
        seconds until they will be."""
        return self.book(key, cost, within_s=0.0)[1]

    def book(self, key: str, cost: int = 1, *, within_s: float) -> tuple[bool, float]:
        """Take `cost` tokens that are there within `within_s` seconds: whether they were taken, and
        the seconds until they are (or, not taken, would be) there. Who books first is first."""
        if not within_s >= 0:
            raise ValueError(f"within_s: {within_s}, must be 0 or more")
        now = self._monotonic()
        full_at = self._after(key, cost, now)
        wait_s = self._wait_s(full_at, now)
        if wait_s > within_s + _HAIR_S:
            return False, wait_s
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        self._forget_full(now)
        return True, wait_s

    def peek(self, key: str, cost: int = 1) -> float:
        """What `take` would return; takes nothing."""
        now = self._monotonic()
        return self._wait_s(self._after(key, cost, now), now)

    def refund(self, key: str, cost: int = 1) -> None:
        """Give back tokens that were not used; no bucket gets more than full."""
        now = self._monotonic()
        full_at = self._full_at.get(key, now) - self._comes_in_s(cost)
        if full_at > now:
            self._full_at[key] = full_at
        else:
            self._full_at.pop(key, None)

    def _after(self, key: str, cost: int, now: float) -> float:
        """When the bucket would be full again after a take."""
        return max(self._full_at.get(key, now), now) + self._comes_in_s(cost)

    def _comes_in_s(self, cost: int) -> float:
        """How long so many tokens take to come."""
        if not 1 <= cost <= self._burst:
            raise ValueError(f"cost: {cost}, must be 1 to {self._burst}")
        return cost * self._refill_s

    def _wait_s(self, full_at: float, now: float) -> float:
        wait_s = full_at - now - self._burst * self._refill_s
        return wait_s if wait_s > _HAIR_S else 0.0

    def _forget_full(self, now: float) -> None:
        """Drop the keys used longest ago: those that are full, and more when there are too many
        (their users get a full bucket, which errs on the friendly side)."""
        for _ in range(min(len(self._full_at), _FORGET_MAX)):
            key, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= self._keys_max:
                return
            del self._full_at[key]


@dataclass(frozen=True, slots=True)
class Want:
    """Tokens wanted of one bucket."""

    bucket: TokenBucket
    key: str
    cost: int = 1

    def __post_init__(self) -> None:
        whole(cost=self.cost)
        above_zero(cost=self.cost)


def take_all(wants: Sequence[Want]) -> float:
    """Take all of them, or none: returns 0, or the seconds until all will be there."""
    costs: Counter[tuple[TokenBucket, str]] = Counter()
    for want in wants:
        costs[want.bucket, want.key] += want.cost
    wait_s = max((bucket.peek(key, cost) for (bucket, key), cost in costs.items()), default=0.0)
    if not wait_s:
        for (bucket, key), cost in costs.items():
            bucket.take(key, cost)
    return wait_s


def refund_all(wants: Sequence[Want]) -> None:
    """Give all of them back."""
    for want in wants:
        want.bucket.refund(want.key, want.cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketPolicy:
    """A dependency's quota: `burst` calls, one more every `refill_s`; a call waits for its token
    at most `wait_max_s`."""

    burst: int
    refill_s: float
    wait_max_s: float = 0.0

    def __post_init__(self) -> None:
        whole(burst=self.burst)
        above_zero(burst=self.burst, refill_s=self.refill_s)
        not_negative(wait_max_s=self.wait_max_s)

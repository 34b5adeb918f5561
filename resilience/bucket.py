"""Token buckets by key, as a generic cell rate algorithm (GCRA): one number a key.

The number is the theoretical arrival time (TAT): when the bucket would be full again. A take is
allowed while that lies no further ahead than the burst. Source: ITU-T I.371, appendix.
"""

from collections import OrderedDict
from collections.abc import Callable

_HAIR_S = 1e-6
"""Sums of floats may miss the boundary by a hair, thicker the longer the machine is up."""


class TokenBucket:
    """`burst` tokens a key, one more every `refill_s` seconds; keys are bounded, a full one is
    forgotten."""

    def __init__(
        self,
        *,
        burst: int,
        refill_s: float,
        monotonic: Callable[[], float],
        keys_max: int = 100_000,
    ) -> None:
        for name, value in (("burst", burst), ("refill_s", refill_s), ("keys_max", keys_max)):
            if not value > 0:
                raise ValueError(f"{name}: {value}, must be above 0")
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
        if not 1 <= cost <= self._burst:
            raise ValueError(f"cost: {cost}, must be 1 to {self._burst}")
        now = self._monotonic()
        full_at = max(self._full_at.get(key, now), now) + cost * self._refill_s
        wait_s = full_at - now - self._burst * self._refill_s
        if wait_s > _HAIR_S:
            return wait_s
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        self._forget_full(now)
        return 0.0

    def _forget_full(self, now: float) -> None:
        """Drop the keys used longest ago: those that are full, and more when there are too many
        (their users get a full bucket, which errs on the friendly side)."""
        while self._full_at:
            key, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= self._keys_max:
                return
            del self._full_at[key]

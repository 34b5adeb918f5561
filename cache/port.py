"""What the cache needs from outside: a clock, and a second tier.

TierFailed          the tier gave no answer, or a wrong one; `transient` if it may in a moment
└── ValueRefused    the tier will never take this value
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time, since values outlive the process, and a way to wait."""

    def now(self) -> datetime:
        """The current instant, aware, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class TierFailed(Exception):  # noqa: N818 - names the event
    """A tier could not do what it was asked to."""

    def __init__(
        self, problem: str, *, transient: bool = True, retry_after_s: float | None = None
    ) -> None:
        super().__init__(problem)
        self.transient = transient
        self.retry_after_s = retry_after_s


class ValueRefused(TierFailed):
    """A value that the tier will not take, however often it is offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An encoded value with its times. It is current until `fresh_until`, kept until `kept_until`;
    `tag` says whose it is, so that all of theirs can be forgotten at once."""

    data: bytes
    stored_at: datetime
    fresh_until: datetime
    kept_until: datetime
    tag: str | None = None


class Tier(Protocol):
    """A second tier. Every method may raise TierFailed; the tiered cache then goes on without."""

    async def get(self, key: str) -> Stored | None:
        """What is stored under the key, also when it is not current any more."""
        ...

    async def put(self, entries: Mapping[str, Stored]) -> None:
        """Store all of them, or none; an older value never replaces a newer one."""
        ...

    async def forget(self, tag: str) -> None:
        """Remove everything with the tag, for good."""
        ...

    async def sweep(self, now: datetime) -> None:
        """Remove what is kept no longer."""
        ...

"""The journal of paid starts: each is known before its request goes out, until its outcome is.

So a start whose answer was lost (the process was killed, the connection broke) is found again and
waited for, instead of being paid for twice. The mark stands in the run's input, at Apify, and in
the journal, here.

SourceFailed
├── CalledOff    a start was not made, for an error of ours
└── UnderWay     a start was not made: another process was first
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import uuid4

from agents.discovery.port import SourceFailed
from agents.discovery.spending import BudgetSpent, intend, settle
from resilience.fault import CALLERS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A start for a fetch key; `at` is when it was intended (UTC), `run_id` is Apify's, None until
    that is known. `mark` has at most 32 characters."""

    key: str
    mark: str
    actor: str
    at: datetime
    run_id: str | None = None


class Starts(Protocol):
    """The journal: one start for each key, kept where a kill does not reach it."""

    async def open(self, key: str) -> Start | None:
        """The start of the key whose outcome is not known yet."""
        ...

    async def intend(self, start: Start) -> bool:
        """Store it before its request goes out, in place of an older one that is settled; False,
        and nothing is stored, while another start of the key is open."""
        ...

    async def started(self, mark: str, run_id: str) -> None:
        """It is Apify's run `run_id`."""
        ...

    async def settled(self, mark: str) -> None:
        """Its outcome is known: nobody has to look for it."""
        ...


class Watch(Protocol):
    """Is told how one start goes on; none of it raises. What is not told remains in doubt."""

    @property
    def mark(self) -> str:
        """What stands in the run's input."""
        ...

    async def started(self, run_id: str) -> None:
        """It is Apify's run `run_id`."""
        ...

    async def charged(self, usd: float) -> None:
        """What it cost in all: nothing more will be charged for it."""
        ...

    async def settled(self) -> None:
        """It is over, and nobody needs to come back to it."""
        ...


Begin = Callable[[], Awaitable[Watch]]
"""Journals a start; awaited right before its request, which is not made when it raises."""


class CalledOff(SourceFailed):
    """The start could not be journaled, and was not made; `error` says why. It stands in a
    SourceFailed on its way past the guard, since it says nothing of Apify."""

    def __init__(self, subject: str, error: Exception) -> None:
        super().__init__(f"{subject}: the start can't be journaled", fault=CALLERS)
        self.error = error


class UnderWay(SourceFailed):
    """Another process has a start of the same key under way."""

    def __init__(self, subject: str) -> None:
        super().__init__(f"{subject}: another process is starting it", fault=CALLERS)


class JournaledStart:
    """Implements Watch over the journal and the payer's account.

    A journal that is out loses nothing: what it was not told stays open, and is looked for at the
    next fetch.
    """

    def __init__(self, starts: Starts, start: Start) -> None:
        self._starts = starts
        self._start = start
        self._owed = False

    @property
    def mark(self) -> str:
        """What stands in the run's input."""
        return self._start.mark

    async def started(self, run_id: str) -> None:
        """Journal Apify's id."""
        await self._noted(self._starts.started(self.mark, run_id))

    async def charged(self, usd: float) -> None:
        """Charge the payer."""
        self._owed = not await self._noted(settle(self.mark, usd))

    async def settled(self) -> None:
        """Close the start, unless its cost is still owed to the payer's ledger."""
        if not self._owed:
            await self._noted(self._starts.settled(self.mark))

    async def _noted(self, note: Awaitable[None]) -> bool:
        try:
            await note
        except Exception as error:  # noqa: BLE001 - the store's, whichever that is: see the class
            words = "apify:%s: start %s can't be noted, and is looked for later: %s"
            log.warning(words, self._start.actor, self.mark, error)
            return False
        return True


async def begin(
    starts: Starts, *, key: str, actor: str, charge_max_usd: float, now: Callable[[], datetime]
) -> JournaledStart:
    """Journal a new start and ask the payer for its money, in this order: a start that the payer
    knows of can be found. Raises CalledOff, UnderWay, and SourceFailed when the budget is spent."""
    subject = f"apify:{actor}"
    start = Start(key=key, mark=uuid4().hex, actor=actor, at=now())
    watch = JournaledStart(starts, start)
    try:
        if not await starts.intend(start):
            raise UnderWay(subject)
        await intend(start.mark, charge_max_usd)
    except SourceFailed:
        raise
    except BudgetSpent:
        await watch.settled()
        words = f"{subject}: this scout's Apify budget is used up"
        raise SourceFailed(words, fault=CALLERS) from None
    except Exception as error:
        await watch.settled()
        raise CalledOff(subject, error) from error
    except BaseException:  # cancelled: the request was never made
        await watch.charged(0.0)
        await watch.settled()
        raise
    return watch

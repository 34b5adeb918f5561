"""What a run is charged for by sources: whoever starts paid work pays for it, however it ends.

Paid work has a mark of its own. `intend` stands before its start and `settle` behind its end, so
that a run's ledger knows also of work whose end it never saw.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol


class BudgetSpent(Exception):  # noqa: N818 - names the situation
    """The run's budget does not allow what is intended: it must not be started."""


class Ledger(Protocol):
    """Where a run's account is kept."""

    async def intend(self, mark: str, usd: float) -> None:
        """Hold up to `usd` for the work of that mark, before it starts; raises BudgetSpent."""
        ...

    async def settle(self, mark: str, usd: float) -> None:
        """What the work really cost, in place of what is held for it. May be told again; and for
        a mark that was never intended here, when the run took over what another had begun."""
        ...


@dataclass(slots=True)
class Spending:
    """The account of one run, in US dollars. `settled` are the marks that are in `usd`."""

    usd: float = 0.0
    ledger: Ledger | None = None
    settled: set[str] = field(default_factory=set)


_PAYER: ContextVar[Spending | None] = ContextVar("payer", default=None)


@contextmanager
def paid_by(account: Spending) -> Iterator[None]:
    """Charge what is started within to this account, also what tasks made within spend later."""
    token = _PAYER.set(account)
    try:
        yield
    finally:
        _PAYER.reset(token)


def charge(usd: float) -> None:
    """Charge whoever started the work that runs here."""
    account = _PAYER.get()
    if account is not None:
        account.usd += usd


async def intend(mark: str, usd: float) -> None:
    """Ask the payer's ledger before paid work starts; raises BudgetSpent, and what the ledger
    raises: then it must not start."""
    account = _PAYER.get()
    if account is not None and account.ledger is not None:
        await account.ledger.intend(mark, usd)


async def settle(mark: str, usd: float) -> None:
    """Charge the payer what the work cost: once, however often it is told. Raises what the ledger
    raises: then it is owed another time. Work in doubt is not settled."""
    account = _PAYER.get()
    if account is None:
        return
    if mark not in account.settled:
        account.settled.add(mark)
        charge(usd)
    if account.ledger is not None:
        await account.ledger.settle(mark, usd)

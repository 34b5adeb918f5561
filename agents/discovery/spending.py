"""What a run is charged for by sources: whoever starts paid work pays for it, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Spending:
    """The account of one run, in US dollars."""

    usd: float = 0.0


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

"""A deadline that travels: whoever is called within knows how much time is left.

It is only a number that is passed along, as in gRPC: `deadline(...).until` is the sooner of its own
and the outer one, and who makes outside calls (a Guard) cuts them by it. Tasks made within have
it too.
"""

import math
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType

_UNTIL: ContextVar[float] = ContextVar("until", default=math.inf)


class Travelling:
    """A context in which the deadline is the monotonic time `until`. Enter it once."""

    __slots__ = ("_token", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self._token: Token[float] | None = None

    def __enter__(self) -> "Travelling":
        self._token = _UNTIL.set(self.until)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._token is not None  # noqa: S101 - entered before
        _UNTIL.reset(self._token)


def deadline(seconds: float, monotonic: Callable[[], float]) -> Travelling:
    """`with deadline(30, clock.monotonic):` an inner one can only be sooner than the outer."""
    if not seconds >= 0:
        raise ValueError(f"seconds: {seconds}, must be 0 or more")
    return Travelling(min(_UNTIL.get(), monotonic() + seconds))


def no_deadline() -> Travelling:
    """For work that others will wait for, too: the deadline of who starts it is not theirs."""
    return Travelling(math.inf)

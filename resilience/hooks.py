"""Telling listeners what happened. They are guests: what one raises hurts nobody else."""

import logging
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

E = TypeVar("E")
Listener = Callable[[E], None]

log = logging.getLogger(__name__)


class Hooks(Generic[E]):
    """The listeners of one mechanism. They must not block, nor steer the mechanism while told."""

    def __init__(self, listeners: Iterable[Listener[E]] = ()) -> None:
        self._listeners = list(listeners)

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def subscribe(self, listener: Listener[E]) -> None:
        """Tell `listener` from now on."""
        self._listeners.append(listener)

    def tell(self, event: E) -> None:
        """Tell all of them."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener broke on %s", type(event).__name__)

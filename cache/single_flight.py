"""Work that several may wait for: started once, whoever asks meanwhile gets the same answer."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


class PatienceOver(TimeoutError):  # noqa: N818 - names the event
    """The caller waited as long as it would; the work goes on."""


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0
    kept: bool = False


class SingleFlight(Generic[T]):
    """Single flight by key. An async context manager: what is under way ends with it.

    The work goes on as long as one caller waits. The last one's cancellation ends it, and is
    raised when it has ended; a caller whose patience runs out leaves it running.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def join(
        self,
        key: str,
        work: Callable[[], Coroutine[Any, Any, T]],
        *,
        patience_s: float | None = None,
    ) -> T:
        """Wait for the work under way for `key`, or for `work` started now.

        Raises PatienceOver after `patience_s`, and whatever the work raises.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.create_task(work(), name=f"work:{key}"))
            flight.task.add_done_callback(lambda _: self._forget(key, flight))
        flight.waiting += 1
        patience = asyncio.timeout(patience_s)
        try:
            async with patience:
                return await asyncio.shield(flight.task)
        except TimeoutError:
            if not patience.expired():
                raise  # it is the work's own
            flight.kept = True
            raise PatienceOver from None
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.kept:
                self._forget(key, flight)  # who asks from now on gets work of their own
                await _end(flight.task)

    def _forget(self, key: str, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if flight.task.done() and not flight.task.cancelled():
            flight.task.exception()  # seen, also when nobody waits any more


async def _end(task: asyncio.Task[T]) -> None:
    """Cancel the work, and return when it has undone what it must (such as a run elsewhere)."""
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await asyncio.wait({task})

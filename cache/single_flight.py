"""Work that several may wait for: started once, whoever asks meanwhile gets the same answer."""

import asyncio
from collections.abc import Callable, Coroutine
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
    raised when it has ended (cancelled again, at once); a caller whose patience runs out leaves it
    running.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}
        self._tasks: set[asyncio.Task[T]] = set()  # also those that are being undone

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for flight in self._flights.values():
            flight.task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

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
            self._tasks.add(flight.task)
            flight.task.add_done_callback(lambda _: self._ended(key, flight))
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
            if not (flight.waiting or flight.kept or flight.task.done()):
                self._forget(key, flight)  # who asks from now on gets work of their own
                flight.task.cancel()
                await asyncio.wait({flight.task})  # it may have to undo a run elsewhere

    def _ended(self, key: str, flight: _Flight[T]) -> None:
        self._forget(key, flight)
        self._tasks.discard(flight.task)
        if not flight.task.cancelled():
            flight.task.exception()  # seen, also when nobody waits any more

    def _forget(self, key: str, flight: _Flight[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

"""An event loop over virtual time in which a seed decides whose turn it is."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Protocol, TypeVar

from tests.fakes.virtual_time import VirtualTimeLoop

T = TypeVar("T")


class Crashed(BaseException):
    """The process is dead. No `except Exception` sees it: nothing survives a kill."""


class Mortal(Protocol):
    """Whose tasks end when it dies."""

    dead: bool
    tasks: "list[asyncio.Task[Any]]"


PROCESS: ContextVar[Mortal | None] = ContextVar("process", default=None)


class SeededLoop(VirtualTimeLoop):
    """What is ready runs in an order drawn from the seed; each task belongs to a process, if it
    was made within one."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self.unhandled: list[dict[str, Any]] = []
        super().__init__()
        self.set_exception_handler(self._note)

    def create_task(
        self,
        coro: Any,
        *,
        name: object = None,
        context: Context | None = None,
    ) -> "asyncio.Task[Any]":
        """Make the task, for its process to know."""
        task: asyncio.Task[Any] = super().create_task(
            coro, name=None if name is None else str(name), context=context
        )
        process = (context or copy_context()).get(PROCESS)
        if process is not None:
            process.tasks.append(task)
            if process.dead:
                task.cancel()
        return task

    def _note(self, _loop: asyncio.AbstractEventLoop, said: dict[str, Any]) -> None:
        error = said.get("exception")
        if isinstance(error, BaseExceptionGroup):
            error = error.split(Crashed)[1]
            if error is None:
                return
        if not isinstance(error, Crashed):
            self.unhandled.append(said)

    def _run_once(self) -> None:
        if len(self._ready) > 1:
            mixed = list(self._ready)
            self._random.shuffle(mixed)
            self._ready.clear()
            self._ready.extend(mixed)
        super()._run_once()  # type: ignore[misc]  # asyncio's own

    _ready: deque[asyncio.Handle]  # asyncio's own


def run_seeded(seed: int, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end; the same seed gives the same turns."""
    with asyncio.Runner(loop_factory=lambda: SeededLoop(seed)) as runner:
        return runner.run(coroutine)

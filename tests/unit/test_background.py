"""Work that goes on as long as the process: its end is told, its cancel is not."""

import asyncio
import logging

import pytest

from resilience.background import CRASHES_MAX, Background, Crashed
from tests.fakes.clock import NOON, FixedClock


async def fails() -> None:
    """Crash."""
    raise ZeroDivisionError("secret words")


async def ends() -> None:
    """Go, although it should stay."""


async def goes_on() -> None:
    """Stay."""
    await asyncio.Event().wait()


async def until_crashed(background: Background) -> Crashed:
    """The first crash."""
    told: asyncio.Queue[Crashed] = asyncio.Queue()
    background.subscribe(told.put_nowait)
    async with asyncio.timeout(5):
        return await told.get()


async def test_a_crash_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """By its name and the type of what was raised."""
    background = Background(FixedClock())
    background.start(fails(), "work")
    assert await until_crashed(background) == Crashed("work", "ZeroDivisionError", NOON)
    assert background.crashes == (Crashed("work", "ZeroDivisionError", NOON),)
    await background.end()
    assert "work ended" in caplog.text


@pytest.mark.parametrize("cancelled", [False, True])
async def test_an_end_is_a_crash_too(caplog: pytest.LogCaptureFixture, cancelled: bool) -> None:
    """What should go on has no other end than ours: also somebody's stray cancel is told."""
    caplog.set_level(logging.CRITICAL)
    background = Background(FixedClock())
    task = asyncio.create_task(goes_on() if cancelled else ends(), name="work")
    background.watch(task)
    if cancelled:
        task.cancel()
    crash = await until_crashed(background)
    assert (crash.name, crash.error, crash.lasting) == ("work", "", True)
    assert background.names == {"work"}


async def test_ending_cancels_and_tells_nothing() -> None:
    """A stop is no crash; what is ours ends, what is others' is theirs to end."""
    background = Background(FixedClock())
    background.start(goes_on(), "work")
    theirs = asyncio.create_task(goes_on())
    background.watch(theirs)
    await asyncio.sleep(0)
    await background.end()
    await background.end()
    assert not theirs.done()
    theirs.cancel()
    await asyncio.wait({theirs})
    assert background.crashes == ()


async def test_others_work_is_watched(caplog: pytest.LogCaptureFixture) -> None:
    """Its crash is told all the same."""
    caplog.set_level(logging.CRITICAL)
    background = Background(FixedClock())
    background.watch(asyncio.create_task(fails(), name="theirs"))
    assert (await until_crashed(background)).name == "theirs"


async def test_crashes_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """The newest of each name is kept, of so many names."""
    caplog.set_level(logging.CRITICAL)
    background = Background(FixedClock())
    for number in range(CRASHES_MAX + 5):
        background.crashed(f"work-{number}", None)
    background.crashed("work-0", ValueError())
    assert len(background.crashes) == CRASHES_MAX
    assert background.crashes[0].error == "ValueError"

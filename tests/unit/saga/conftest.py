"""The stage that the saga's tests play on."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.fakes.saga_clock import settle
from tests.unit.saga.stage import Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage that is left at the end, and by then has no task of its own."""
    before = asyncio.all_tasks()
    stage = Stage()
    await stage.open()
    yield stage
    await stage.close()
    await settle()
    assert not asyncio.all_tasks() - before - {asyncio.current_task()}

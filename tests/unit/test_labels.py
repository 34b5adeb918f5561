"""Labels: what log lines of a piece of work carry, across its tasks and no further."""

import asyncio

from resilience.labels import labelled, labels


async def test_tasks_made_within_have_them() -> None:
    """Also after it was left; others never."""

    async def later() -> dict[str, str]:
        await asyncio.sleep(0)
        return dict(labels())

    with labelled(run="a"):
        with labelled(user="b"):
            inner = asyncio.create_task(later())
        outer = asyncio.create_task(later())
    other = asyncio.create_task(later())
    assert await inner == {"run": "a", "user": "b"}
    assert await outer == {"run": "a"}
    assert await other == {}
    assert labels() == {}

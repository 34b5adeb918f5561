"""The items of an Apify dataset, as its lines come in: page by page, bounded, parsed one by one."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

PAGE_ITEMS = 1_000
BYTES_MAX = 50_000_000
"""How much of a run's dataset is read."""
ITEM_BYTES_MAX = 250_000
"""Longer items are left out: nothing else gets its turn while one is parsed, here up to 20 ms."""


class Span(NamedTuple):
    """Which rows to read, and for how many bytes there is room."""

    offset: int
    limit: int
    room_bytes: int


class Page(NamedTuple):
    """Some of a dataset's items. `total` is how many there are, as far as Apify knows."""

    items: list[object]
    total: int
    size_bytes: int
    left_out: bool


async def read_items(
    page: Callable[[Span], Awaitable[Page]], items_max: int
) -> tuple[list[object], bool]:
    """The first `items_max` rows of a dataset, less empty ones; whether there is more. `page`
    reads some of them.

    The total that Apify tells lags behind after a run: a full page means that there may be
    more, whatever the total says."""
    items: list[object] = []
    offset, room, left_out, total = 0, BYTES_MAX, False, 0
    while offset < items_max:
        limit = min(PAGE_ITEMS, items_max - offset)
        got = await page(Span(offset, limit, room))
        items += got.items
        offset += limit
        room -= got.size_bytes
        left_out = left_out or got.left_out
        total = got.total
        if room < 0:
            return items, True
        if len(got.items) < limit and offset >= total:
            return items, left_out
    return items, left_out or total > items_max


async def read_page(chunks: AsyncIterator[bytes], total: int, room: int) -> Page:
    """A page from its lines. Each is parsed by itself, in a thread, so that the event loop gets
    its turn in between."""
    body = await _read_body(chunks, room)
    items, left_out = await asyncio.to_thread(_parse, body, whole=len(body) <= room)
    return Page(items, total, len(body), left_out)


async def _read_body(chunks: AsyncIterator[bytes], room: int) -> bytearray:
    """The body, or, past `room` bytes, as much of it as has come by then."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > room:
            break
    return body


def _parse(body: bytearray, *, whole: bool) -> tuple[list[object], bool]:
    """The items of the lines, and whether one was too long; the last line of a body that is not
    whole is dropped."""
    items: list[object] = []
    left_out = False
    for line in io.BytesIO(body):
        if len(line) > ITEM_BYTES_MAX:
            left_out = True
        elif line.strip() and (whole or line.endswith(b"\n")):
            items.append(json.loads(line))
    return items, left_out

"""About sixty postings written by us, to try Webscout with. Every card says `sample`."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.resources import files

from agents.discovery.port import Reading
from agents.discovery.record import Origin, read_record


class SampleSource:
    """The shipped sample postings; their dates are counted from today."""

    label = "sample"
    deadline_s = None

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    async def read(self) -> Reading:
        """All of them."""
        return await asyncio.to_thread(_read, self._now())


def _read(now: datetime) -> Reading:
    text = files("agents.discovery.sources").joinpath("sample.jsonl").read_text("utf-8")
    origin = Origin(source="sample", fetched_at=now)
    records = (json.loads(line) for line in text.splitlines())
    return Reading(opportunities=tuple(read_record(_dated(r, now), origin) for r in records))


def _dated(record: dict[str, object], now: datetime) -> dict[str, object]:
    posted, deadline = record.pop("posted_days_ago"), record.pop("deadline_in_days")
    assert isinstance(posted, int)  # noqa: S101 - our own data, checked by a test
    record["posted_at"] = (now - timedelta(days=posted)).isoformat()
    if isinstance(deadline, int):
        record["deadline"] = (now + timedelta(days=deadline)).date().isoformat()
    return record

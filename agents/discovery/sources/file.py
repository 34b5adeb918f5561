"""Postings from a file of the user's: JSONL, a JSON array, or CSV."""

import csv
import io
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from agents.discovery.port import Reading, SourceFailed
from agents.discovery.record import Origin, Unreadable, has_title, read_record
from agents.discovery.sources import large_json
from agents.domain.opportunity import Opportunity
from agents.lanes import READING

FILE_BYTES_MAX = 100_000_000
RECORDS_MAX = 200_000
_BROKEN = object()
_LINE = re.compile("[^\n]+")


class FileSource:
    """One file. A record that can't be read is counted, the rest is used."""

    deadline_s = 170.0  # it may have to wait for other files; within the step's 180 s

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self.label = f"file {path.name}"

    async def read(self) -> Reading:
        """Read it in a thread, which stops at the next record once this is cancelled."""
        stop = threading.Event()
        try:
            return await READING.run(self._read, stop)
        finally:
            stop.set()

    def _read(self, stop: threading.Event) -> Reading:
        text = self._text()
        origin = Origin(source="file", fetched_at=self._now())
        opportunities: list[Opportunity] = []
        unreadable: Counter[str] = Counter()
        for count, raw in enumerate(self._records(text)):
            if stop.is_set():
                break
            if count >= RECORDS_MAX:
                raise SourceFailed(f"{self.label}: more than {RECORDS_MAX:,} records")
            if raw is _BROKEN:
                unreadable["broken line"] += 1
                continue
            try:
                opportunities.append(read_record(raw, origin))
            except Unreadable as reason:
                unreadable[str(reason)] += 1
        if unreadable and not opportunities:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in unreadable.items())
            total = f"none of its {unreadable.total():,} records can be read"
            raise SourceFailed(f"{self.label}: {total} ({reasons})")
        return Reading(opportunities=tuple(opportunities), unreadable=dict(unreadable))

    def _text(self) -> str:
        try:
            if self._path.exists() and not self._path.is_file():
                raise SourceFailed(f"{self.label}: not a file but a directory or a device")
            size = self._path.stat().st_size
            if size > FILE_BYTES_MAX:
                raise SourceFailed(
                    f"{self.label}: {size:,} bytes, at most {FILE_BYTES_MAX:,} are read"
                )
            text = self._path.read_bytes().decode("utf-8-sig")
        except FileNotFoundError:
            raise SourceFailed(f"{self.label}: no such file ({self._path})") from None
        except UnicodeDecodeError:
            raise SourceFailed(f"{self.label}: not a text file in UTF-8") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise SourceFailed(f"{self.label}: {reason}") from error
        if "\x00" in text:
            raise SourceFailed(f"{self.label}: not a text file in UTF-8")
        return text

    def _records(self, text: str) -> Iterator[object]:
        start = text[:1000].lstrip()[:1]
        if start == "[":
            return iter(self._array(text))
        if start == "{":
            wrapped = _wrapped(text)
            return _json_lines(text) if wrapped is None else iter(wrapped)
        if self._path.suffix.lower() == ".csv" or re.search("[,;]", _first_line(text)):
            return self._rows(text)
        if not text.strip():
            return iter(())
        return _json_lines(text)

    def _array(self, text: str) -> list[object]:
        try:
            array = large_json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SourceFailed(f"{self.label}: not valid JSON ({error})") from None
        return array if isinstance(array, list) else [array]

    def _rows(self, text: str) -> Iterator[object]:
        try:
            head = _first_line(text)
            delimiter = ";" if head.count(";") > head.count(",") else ","
            for row in csv.DictReader(io.StringIO(text), delimiter=delimiter):
                named = {k.strip(): v for k, v in row.items() if isinstance(k, str)}
                # A spreadsheet's "Job Title" is the job_title of a scraper.
                yield {k.lower().replace(" ", "_"): v for k, v in named.items()} | named
        except csv.Error as error:
            raise SourceFailed(f"{self.label}: not valid CSV ({error})") from None


def _wrapped(text: str) -> list[object] | None:
    """The records of one JSON object such as `{"jobs": [...]}`; None when it is JSONL instead:
    then its first line is an object by itself, and others follow."""
    first = _first_line(text.lstrip())
    try:
        large_json.loads(first)
        if len(text.strip()) > len(first):
            return None
    except (ValueError, RecursionError):
        pass  # not JSONL, then
    try:
        whole = large_json.loads(text)
    except (ValueError, RecursionError):
        return None
    lists = [v for v in whole.values() if isinstance(v, list) and _records_only(v)]
    return lists[0] if len(lists) == 1 and not has_title(whole) else [whole]


def _records_only(values: list[object]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _json_lines(text: str) -> Iterator[object]:
    """Each line's value; _BROKEN for a line that is no JSON."""
    for line in _LINE.finditer(text):  # one by one: splitting 100 MB holds up the event loop
        if line[0].strip():
            try:
                yield json.loads(line[0])
            except (ValueError, RecursionError):
                yield _BROKEN


def _first_line(text: str) -> str:
    end = text.find("\n")
    return text if end < 0 else text[:end]

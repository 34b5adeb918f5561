"""A write-ahead log that lost its end, as after a power cut: what is left is a whole ledger."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from agents.store.schema import run_events, runs
from resilience.saga import Event, EventType, History
from tests.chaos.inline_database import StoreFile, open_copy
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.script import Script, random_script
from tests.chaos.simulation import simulate
from tests.migrated import migrated_sqlite

_HEADER, _FRAME = 32, 24 + 4096
"""Bytes: SQLite's header of the log, and a page with its own."""
_CUTS = (0, 1, 23, 24, 2_000, 4_119)
"""Bytes after the beginning of a frame."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a cut file holds: the events in the order they were written, and the runs' rows."""

    events: list[Event]
    rows: dict[str, tuple[str, bool, int]]


def play(script: Script, folder: Path) -> tuple[Path, bytes]:
    """Play it; its file as it was before the first write, and its whole log."""
    kept = folder / "kept.db"

    def keep(file: StoreFile) -> None:
        shutil.copyfile(file.path, kept)
        shutil.copyfile(file.path.with_name(file.path.name + "-wal"), folder / "kept-wal")

    simulate(script, at_end=keep)
    empty = migrated_sqlite().read_bytes()
    assert kept.read_bytes() == empty, "a part of the log is in the file already"
    return kept, (folder / "kept-wal").read_bytes()


def open_cut(kept: Path, log: bytes, folder: Path) -> Left:
    """Open the file with that log, as the store does."""
    path = folder / "cut.db"
    shutil.copyfile(kept, path)
    path.with_name("cut.db-shm").unlink(missing_ok=True)
    path.with_name("cut.db-wal").write_bytes(log)
    engine = open_copy(path)
    with engine.begin() as connection:
        query = sa.select(run_events).order_by(sa.literal_column("rowid"))
        events = [
            Event(run_id=r.run_id, seq=r.seq, type=EventType(r.type), at=r.at, data=r.data)
            for r in connection.execute(query)
        ]
        rows = {
            r.id: (r.status, r.stopping, r.last_seq) for r in connection.execute(sa.select(runs))
        }
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    engine.dispose()
    return Left(events, rows)


def check(left: Left, whole: Left) -> None:
    """A prefix of what was written, without gaps, that replays to the rows."""
    assert left.events == whole.events[: len(left.events)]
    for run_id, row in left.rows.items():
        mine = [event for event in left.events if event.run_id == run_id]
        history = History.of(mine)
        assert [event.seq for event in mine] == list(range(1, len(mine) + 1))
        assert (history.status, history.standing.stopping, history.last_seq) == row
    assert {event.run_id for event in left.events} == set(left.rows)


@pytest.mark.parametrize("which", ["fails", "parks and is tried again", 0])
def test_a_truncated_log_leaves_a_whole_ledger(which: str | int, tmp_path: Path) -> None:
    """Cut at any frame, or within one, the ledger is a prefix that replays to its rows."""
    script = SCENARIOS[which] if isinstance(which, str) else random_script(which)
    kept, log = play(script, tmp_path)
    whole = open_cut(kept, log, tmp_path)
    lengths = []

    for number, at in enumerate(range(_HEADER, len(log) + 1, _FRAME)):
        left = open_cut(kept, log[: at + _CUTS[number % len(_CUTS)]], tmp_path)
        check(left, whole)
        lengths.append(len(left.events))

    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert lengths[-1] == len(whole.events) > 10


def test_a_log_with_a_broken_frame_leaves_what_came_before(tmp_path: Path) -> None:
    """A frame whose bytes did not all reach the disk ends the log: its checksum says so."""
    kept, log = play(SCENARIOS["fails"], tmp_path)
    whole = open_cut(kept, log, tmp_path)

    for at in range(_HEADER, len(log), 7 * _FRAME):
        torn = bytearray(log)
        torn[at + 100 : at + 200] = bytes(100)
        torn[at + 8] ^= 0xFF
        check(open_cut(kept, bytes(torn), tmp_path), whole)

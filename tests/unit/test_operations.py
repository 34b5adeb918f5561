"""What operators do: journaled before it is done, standing over restarts and at other processes."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pytest

from agents.runner import NotParked
from agents.store.errors import StoreError
from bot.ops.operations import LOOK_EVERY_S, Action, Operations, Unknown
from resilience.breaker import Mode
from resilience.guard import Guard, GuardPolicy
from resilience.saga import Gate, RunStatus
from tests.fakes.saga_clock import HeldClock, settle


@dataclass
class Journal:
    """The operators' ledger in memory; it may be out."""

    lines: list[list[str]] = field(default_factory=list)
    out: bool = False
    loses_ends: bool = False

    async def begin(self, who: str, action: str, subject: str) -> int:
        """Note what is about to be done."""
        if self.out:
            raise StoreError("it is out")
        self.lines.append([who, action, subject])
        return len(self.lines) - 1

    async def end(self, number: int, outcome: str) -> None:
        """Note what came of it."""
        if self.loses_ends:
            raise StoreError("it is out")
        self.lines[number].append(outcome)

    async def standing(self, actions: Collection[str]) -> Mapping[str, str]:
        """The last of each subject."""
        if self.out:
            raise StoreError("it is out")
        return {subject: action for _, action, subject, *_ in self.lines if action in actions}


@dataclass
class Runs:
    """The runs that can be retried."""

    parked: set[str] = field(default_factory=lambda: {"ab"})

    async def retry(self, run_id: str) -> None:
        """Only a parked one."""
        if run_id == "dead":
            raise LookupError
        if run_id not in self.parked:
            raise NotParked(RunStatus.COMPLETED)
        self.parked.discard(run_id)


class Room:
    """Operations over two guards."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.clock, self.journal = HeldClock(), journal or Journal()
        self.gate = Gate(self.clock.now)
        self.guards = {
            name: Guard(name, GuardPolicy(), clock=self.clock) for name in ("apify", "cache file")
        }
        self.followed: list[str] = []
        self.changes = 0
        self.operations = Operations(
            journal=self.journal,
            gate=self.gate,
            guards=self.guards,
            runner=Runs(),
            follow=self.followed.append,
            changed=self.change,
            clock=self.clock,
        )

    def change(self) -> None:
        """What was seen is not so any more."""
        self.changes += 1

    def mode(self, name: str) -> Mode:
        """How a breaker stands."""
        return self.guards[name].breaker.view().mode


async def test_agents_are_paused_and_resumed() -> None:
    """Said in words, journaled with its outcome."""
    room = Room()
    done = await room.operations.act(Action.PAUSE, "matching", "me")
    assert done.ok
    assert room.gate.paused == {"matching"}
    await room.operations.act(Action.RESUME, "matching", "me")
    assert room.gate.paused == set()
    assert room.journal.lines == [
        ["me", "pause", "agent:matching", done.words],
        ["me", "resume", "agent:matching", "matching goes on."],
    ]
    assert room.changes == 2


async def test_what_stands_already_is_said() -> None:
    """A second pause, and a resume of what was not paused, change nothing."""
    room = Room()
    assert "was not paused" in (await room.operations.act(Action.RESUME, "matching", "me")).words
    await room.operations.act(Action.PAUSE, "matching", "me")
    assert "paused already" in (await room.operations.act(Action.PAUSE, "matching", "me")).words


@pytest.mark.parametrize(
    ("action", "mode"),
    [
        (Action.OPEN, Mode.FORCED_OPEN),
        (Action.CLOSE, Mode.FORCED_CLOSED),
        (Action.AUTO, Mode.AUTO),
    ],
)
async def test_breakers_are_held(action: Action, mode: Mode) -> None:
    """Open, closed, or left to themselves."""
    room = Room()
    await room.operations.act(Action.OPEN, "cache file", "me")
    await room.operations.act(action, "cache file", "me")
    assert room.mode("cache file") is mode
    assert room.mode("apify") is Mode.AUTO


@pytest.mark.parametrize("action", list(Action))
async def test_what_is_not_there_is_named(action: Action) -> None:
    """With what there is; nothing is done."""
    room = Room()
    with pytest.raises(Unknown, match=r"There is no \w+ 'nosuch'"):
        await room.operations.act(action, "nosuch", "me")
    assert room.gate.paused == set()


async def test_a_parked_run_is_retried() -> None:
    """Once; then it is not parked any more, and that is said."""
    room = Room()
    done = await room.operations.act(Action.RETRY, "ab", "me")
    assert (done.ok, room.followed) == (True, ["ab"])
    again = await room.operations.act(Action.RETRY, "ab", "me")
    assert (again.ok, room.followed) == (False, ["ab"])
    assert "Only a parked run is retried" in again.words
    assert [line[3] for line in room.journal.lines] == [
        "its undo is tried again",
        "it was completed",
    ]


@pytest.mark.parametrize(("run_id", "journaled"), [("dead", 1), ("my words", 0), ("", 0)])
async def test_a_run_that_is_not_there(run_id: str, journaled: int) -> None:
    """It is said; only what can be a run's id is journaled, never what somebody wrote."""
    room = Room()
    with pytest.raises(Unknown):
        await room.operations.act(Action.RETRY, run_id, "me")
    assert [line[2:] for line in room.journal.lines] == [["run:dead", "no such run"]][:journaled]


@pytest.mark.parametrize("action", list(Action))
async def test_what_can_t_be_journaled_is_not_done(action: Action) -> None:
    """The database is out: nothing changes."""
    room = Room(Journal(out=True))
    name = {Action.RETRY: "ab", Action.PAUSE: "matching", Action.RESUME: "matching"}
    with pytest.raises(StoreError):
        await room.operations.act(action, name.get(action, "apify"), "me")
    assert not room.gate.paused
    assert (room.followed, room.mode("apify")) == ([], Mode.AUTO)


async def test_an_outcome_that_is_lost_undoes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is done, and journaled as begun."""
    room = Room(Journal(loses_ends=True))
    assert (await room.operations.act(Action.PAUSE, "matching", "me")).ok
    assert room.gate.paused == {"matching"}
    assert "can't be journaled" in caplog.text


async def test_what_stands_in_the_journal_is_brought_about() -> None:
    """At a start, and when another process's operators act; what is unknown is left."""
    journal = Journal(
        [
            ["me", "pause", "agent:matching"],
            ["me", "pause", "agent:gone"],
            ["me", "open", "breaker:apify"],
            ["me", "open", "breaker:gone"],
            ["me", "retry", "run:ab"],
        ]
    )
    room = Room(journal)
    await room.operations.restore()
    assert room.gate.paused == {"matching"}
    assert room.mode("apify") is Mode.FORCED_OPEN
    keeping = asyncio.create_task(room.operations.keep_up())
    await settle()
    journal.lines += [["you", "resume", "agent:matching"], ["you", "auto", "breaker:apify"]]
    room.clock.advance(LOOK_EVERY_S)
    await settle()
    assert room.gate.paused == set()
    assert room.mode("apify") is Mode.AUTO
    journal.out = True  # nothing is known, nothing changes
    room.clock.advance(LOOK_EVERY_S)
    await settle()
    assert not keeping.done()
    keeping.cancel()
    await asyncio.wait({keeping})

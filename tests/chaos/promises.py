"""The saga's promises (design.md), each a check of a world that came to rest.

A check gives back what is wrong, in words; nothing, where the promise was kept.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from resilience.saga import CLOSING, Event, EventType, History, RunStatus
from tests.chaos.outside import ACTOR_USD
from tests.chaos.promises_of_owners import one_owner
from tests.chaos.promises_of_time import ends_in_time
from tests.chaos.script import RunScript
from tests.chaos.simulation import World
from tests.chaos.steps import HANDOFFS, STEPS, TOKENS, message_of, name_of

Check = Callable[[World], Iterator[str]]

_ENDS = frozenset(str(status) for status in CLOSING.values())
_STOPS = frozenset(
    {EventType.RUN_CANCELLING, EventType.STEP_FAILED, EventType.RUN_COMPENSATING, *CLOSING}
)
_FORWARD = frozenset({EventType.STEP_STARTED, EventType.RUN_STARTED})


def every_run_ends(world: World) -> Iterator[str]:
    """Every run ends completed, compensated, failed, cancelled or parked."""
    if world.stuck:
        yield world.stuck
    for row in world.rows.values():
        if row.status not in _ENDS:
            yield f"{row.id} is {row.status}"
        elif world.script.retry and row.status == RunStatus.PARKED:
            yield f"{row.id} was tried again after a repair, and is parked"


def undone_once_last_first(world: World) -> Iterator[str]:
    """A completed step with an undo is undone exactly once in effect, last first."""
    for run_id, row in world.rows.items():
        undoable = _undoable(world, run_id)
        gone = [step for run, step in world.outside.gone if run == run_id]
        made = {step for run, step in world.outside.made if run == run_id}
        if row.status == RunStatus.COMPLETED:
            if gone:
                yield f"{run_id} completed, but {gone} were undone"
            continue
        begun = _first_begun(world.events[run_id])
        if gone != sorted(gone, key=lambda step: begun.get(step, 0), reverse=True):
            yield f"{run_id} undid {gone}, begun at {begun}"
        for step in undoable & made:
            times = gone.count(step)
            if times > 1 or (times == 0 and row.status != RunStatus.PARKED):
                yield f"{run_id} is {row.status}: {step} was undone {times} times"


def nothing_undone_that_never_happened(world: World) -> Iterator[str]:
    """Nothing is undone that never happened (idempotent no-ops aside)."""
    for run_id, events in world.events.items():
        started: set[object] = set()
        for event in events:
            step = event.data.get("step")
            if event.type is EventType.STEP_STARTED:
                started.add(step)
            elif event.type is EventType.STEP_COMPENSATED:
                if step not in started:
                    yield f"{run_id}: {step} was undone, it never began"
                if event.data["undone"] and (run_id, step) not in world.outside.made:
                    yield f"{run_id}: {step} says it undid what never was"
        for run, step in world.outside.undo_calls:
            if run == run_id and step not in started:
                yield f"{run_id}: the undo of {step} was called, it never began"


def one_run_a_key(world: World) -> Iterator[str]:
    """One idempotency key: at most one run."""
    for number in range(len(world.script.runs)):
        mine = [run_id for run_id in world.rows if run_id.split("-")[1] == str(number)]
        if len(mine) != 1:
            yield f"key {number} has the runs {mine}"
        if (told := world.run_ids.get(number, set())) != set(mine):
            yield f"key {number} has {mine}, but who asked was told {sorted(told)}"


def one_effect_a_step(world: World) -> Iterator[str]:
    """At most one effect of the kinds that can be reconciled, a run and step."""
    for key, times in world.outside.starts.items():
        if times > 1:
            yield f"{key} was started {times} times"


def no_step_after_a_stop(world: World) -> Iterator[str]:
    """No forward step starts after a cancel or timeout is journaled."""
    begun: Counter[tuple[str, str]] = Counter()
    for run_id, events in world.events.items():
        stopped = False
        for event in events:
            if stopped and event.type in _FORWARD:
                yield f"{run_id}: {event.type} as event {event.seq}, after it was stopped"
            stopped = stopped or event.type in _STOPS
            if event.type in {EventType.STEP_STARTED, EventType.STEP_RETRIED}:
                begun[run_id, str(event.data["step"])] += 1
    for key, times in world.outside.done.items():
        if times > begun[key]:
            yield f"{key} was worked at {times} times, journaled as begun {begun[key]} times"


def cancel_does_not_stop_the_undo(world: World) -> Iterator[str]:
    """A cancel during compensation does not stop it."""
    for asked in world.asked:
        parked = any(e.type is EventType.RUN_PARKED for e in world.events[asked.run_id])
        in_undo = asked.status == RunStatus.COMPENSATING
        if in_undo and parked and not _an_undo_failed(world, asked.run_id):
            yield f"{asked.run_id} was cancelled while it was undone, and parked"
    for run_id, events in world.events.items():
        types = [event.type for event in events]
        if EventType.RUN_CANCELLING in types and types[-1] not in {
            EventType.RUN_CANCELLED,
            EventType.RUN_PARKED,
        }:
            yield f"{run_id} was cancelled, and ended with {types[-1]}"


def budgets_hold(world: World) -> Iterator[str]:
    """Budgets hold across restarts."""
    for run_id, events in world.events.items():
        spent, types = History.of(events).spent, [event.type for event in events]
        handoffs = sum(bool(event.data.get("handoff")) for event in events)
        usd = ACTOR_USD * sum(n for (run, _), n in world.outside.starts.items() if run == run_id)
        tokens, limit = world.outside.tokens[run_id], _script(world, run_id).usd
        if types.count(EventType.STEP_STARTED) > STEPS:
            yield f"{run_id} took {types.count(EventType.STEP_STARTED)} steps of {STEPS}"
        if handoffs > HANDOFFS:
            yield f"{run_id} was handed on {handoffs} times, of {HANDOFFS}"
        # A charge is settled for less than it was for: another may fit in between.
        if max(tokens, spent.tokens) > TOKENS or tokens > spent.tokens:
            yield f"{run_id} took {tokens} tokens, journaled {spent.tokens}, of {TOKENS}"
        if max(usd, spent.usd) > limit + 1e-9 or usd > spent.usd + 1e-9:
            yield f"{run_id} took ${usd:g}, journaled ${spent.usd:g}, of ${limit:g}"


def journal_is_the_state(world: World) -> Iterator[str]:
    """The journal is append-only; replaying it equals the live state."""
    if sorted(world.stored) != sorted(world.file.observer.rows):
        yield "what was written once is not what is there"
    if world.parts:
        yield f"{world.parts} parts of ended runs are kept"
    for run_id, events in world.events.items():
        row, history = world.rows[run_id], History.of(events)
        if [event.seq for event in events] != list(range(1, len(events) + 1)):
            yield f"{run_id} has gaps: {[event.seq for event in events]}"
        live = (row.status, bool(row.stopping), row.last_seq)
        replayed = (history.status, history.standing.stopping, history.last_seq)
        if live != replayed:
            yield f"{run_id} is {live}, replayed {replayed}"


def parks_with_one_alert(world: World) -> Iterator[str]:
    """An undo that exhausts its retries parks the run with exactly one operator alert."""
    if sorted(world.alerts) != world.parked:
        yield f"{world.parked} are parked, alerts are due for {world.alerts}"
    if world.alerts_after:
        yield f"alerts are due again for {world.alerts_after}"
    for run_id, events in world.events.items():
        parked = any(event.type is EventType.RUN_PARKED for event in events)
        if parked and not _an_undo_failed(world, run_id):
            yield f"{run_id} was parked, although no undo failed"


def nothing_is_left(world: World) -> Iterator[str]:
    """At rest no task, permit, token or single-flight entry is left."""
    yield from world.left
    for row in world.rows.values():
        if row.owner is not None:
            yield f"{row.id} is {row.owner}'s still"


def one_terminal_reply(world: World) -> Iterator[str]:
    """The user sees one terminal reply."""
    for run_id, row in world.rows.items():
        messages = world.outside.answered[run_id]
        if messages != {message_of(run_id)}:
            yield f"{run_id} was answered in {sorted(messages)}"
        said = world.outside.texts.get(message_of(run_id))
        stalled = world.script.cut_off or world.script.stall_at
        if not stalled and said != f"ended: {row.status}":
            yield f"{run_id} is {row.status}, its message says {said!r}"


PROMISES: dict[str, Check] = {
    "ends": every_run_ends,
    "in time": ends_in_time,
    "undone once": undone_once_last_first,
    "nothing else undone": nothing_undone_that_never_happened,
    "one run a key": one_run_a_key,
    "one effect": one_effect_a_step,
    "no step after a stop": no_step_after_a_stop,
    "undo goes on": cancel_does_not_stop_the_undo,
    "budgets": budgets_hold,
    "journal": journal_is_the_state,
    "one owner": one_owner,
    "one alert": parks_with_one_alert,
    "at rest": nothing_is_left,
    "one reply": one_terminal_reply,
}
"""That the same seed gives the same trace is checked over two worlds, in test_crashes.py."""


def broken_promises(world: World) -> dict[str, list[str]]:
    """What is wrong with the world, by promise."""
    found = {name: _wrong(check, world) for name, check in PROMISES.items()}
    return {name: wrong for name, wrong in found.items() if wrong}


def _wrong(check: Check, world: World) -> list[str]:
    found = []
    try:
        for wrong in check(world):
            found.append(wrong)  # noqa: PERF402 - what was found counts, also before an error
    except Exception as broken:  # noqa: BLE001 - a journal that can't be replayed, say
        found.append(f"it can't be checked: {broken!r}")
    return found


def _script(world: World, run_id: str) -> RunScript:
    return world.script.runs[int(run_id.split("-")[1])]


def _undoable(world: World, run_id: str) -> set[str]:
    steps = enumerate(_script(world, run_id).steps)
    return {name_of(number) for number, step in steps if step.undo is not None}


def _first_begun(events: list[Event]) -> dict[str, int]:
    """What is done again, after a restart or in a loop, keeps its place."""
    begun: dict[str, int] = {}
    for event in events:
        if event.type is EventType.STEP_STARTED:
            begun.setdefault(str(event.data["step"]), event.seq)
    return begun


def _an_undo_failed(world: World, run_id: str) -> bool:
    return any(run == run_id for run, _ in world.outside.undo_failures)

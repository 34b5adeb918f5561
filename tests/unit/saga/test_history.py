"""The fold of a run's events: what a restart believes of it, and what is told of its steps."""

from datetime import datetime, timedelta

import pytest

from resilience.budget import Amounts
from resilience.saga import (
    KILL_SWITCHES,
    Event,
    EventType,
    History,
    IllegalTransition,
    JsonValue,
    RunStatus,
    StepRecord,
)
from tests.fakes.clock import NOON

E = EventType
Line = EventType | tuple[EventType, str] | tuple[EventType, str, dict[str, JsonValue]]
BEGUN: tuple[Line, ...] = (E.RUN_QUEUED, E.RUN_STARTED)


def fold(*lines: Line) -> History:
    """The history of events a second apart, from noon on; those of steps with the step's name."""
    return History.of(_event(number, line) for number, line in enumerate(lines, start=1))


def _event(number: int, line: Line) -> Event:
    data: dict[str, JsonValue] = {}
    if isinstance(line, tuple):
        kind, step, *more = line
        data = {"step": step, "agent": f"{step}-agent"}
        for extra in more:
            assert isinstance(extra, dict)
            data.update(extra)
        if not step:
            del data["step"], data["agent"]
    else:
        kind = line
    return Event(run_id="r", seq=number, type=kind, at=at(number), data=data)


def at(number: int) -> datetime:
    """When the event of that number was."""
    return NOON + timedelta(seconds=number)


def rows(history: History) -> list[tuple[str, str, int]]:
    """The steps' names, statuses and attempts."""
    return [(step.name, step.status, step.attempts) for step in history.steps]


def test_nothing_happened_yet() -> None:
    """The history of no events."""
    history = fold()
    assert (history.status, history.last_seq, history.steps) == (None, 0, [])
    assert (history.spent, history.steps_done, history.undone_words) == (Amounts(), 0, ())


def test_a_completed_run_has_its_steps_and_times() -> None:
    """Each step that was begun is a row with its first event's number."""
    history = fold(
        *BEGUN,
        (E.STEP_STARTED, "one"),
        (E.STEP_DEGRADED, "one", {"what": "1 of 2 sources answered"}),
        (E.STEP_PROGRESS, "one", {"found": 3}),
        (E.STEP_COMPLETED, "one"),
        (E.STEP_STARTED, "two"),
        (E.STEP_COMPLETED, "two"),
        E.RUN_COMPLETED,
    )
    assert history.steps == [
        StepRecord(
            seq=3,
            name="one",
            agent="one-agent",
            status="completed",
            started_at=NOON + timedelta(seconds=3),
            ended_at=NOON + timedelta(seconds=6),
        ),
        StepRecord(
            seq=7,
            name="two",
            agent="two-agent",
            status="completed",
            started_at=NOON + timedelta(seconds=7),
            ended_at=NOON + timedelta(seconds=8),
        ),
    ]
    assert (history.status, history.last_seq) == (RunStatus.COMPLETED, 9)
    assert history.started_at == at(2)
    assert (history.completed, history.steps_done) == (["one", "two"], 2)
    assert history.degraded == ["1 of 2 sources answered"]
    assert (history.spent, history.error, history.stopped) == (Amounts(steps=2), None, None)


def test_a_step_that_is_tried_again_counts_its_attempts() -> None:
    """Within its life by step.retried, and by a restart that begins it once more."""
    history = fold(
        *BEGUN,
        (E.STEP_STARTED, "one"),
        (E.STEP_RETRIED, "one", {"error": "store-unavailable"}),
        E.RUN_RESUMED,
        (E.STEP_STARTED, "one"),
        E.RUN_RESUMED,
        (E.STEP_STARTED, "one"),
        (E.STEP_COMPLETED, "one"),
    )
    assert rows(history) == [("one", "stopped", 2), ("one", "stopped", 3), ("one", "completed", 4)]
    assert history.steps[0].ended_at == at(6)
    assert history.spent == Amounts(steps=3)


def test_a_step_done_again_from_the_beginning_begins_its_attempts_anew() -> None:
    """A restart that has to go further back stops what was under way, and begins afresh."""
    history = fold(
        *BEGUN,
        (E.STEP_STARTED, "one"),
        (E.STEP_COMPLETED, "one"),
        (E.STEP_STARTED, "two"),
        E.RUN_RESUMED,
        (E.STEP_STARTED, "one"),
        (E.STEP_COMPLETED, "one"),
        (E.STEP_STARTED, "two"),
    )
    assert rows(history) == [
        ("one", "completed", 1),
        ("two", "stopped", 1),
        ("one", "completed", 1),
        ("two", "running", 1),
    ]
    assert history.stopped is None


def test_a_step_that_loops_is_a_row_each_time() -> None:
    """It had not stopped in between, so each is its own first attempt."""
    history = fold(
        *BEGUN,
        (E.STEP_STARTED, "one"),
        (E.STEP_COMPLETED, "one", {"then": "one"}),
        (E.STEP_STARTED, "one"),
    )
    assert rows(history) == [("one", "completed", 1), ("one", "running", 1)]
    assert history.then == "one"


def test_what_was_spent_is_the_most_it_may_be_until_it_is_settled() -> None:
    """Effects count by name, each as it was told last; handoffs and steps count too."""
    history = fold(
        *BEGUN,
        (E.STEP_STARTED, "one"),
        (E.STEP_PROGRESS, "one", {"effect": "a", "settled": False, "tokens": 500}),
        (E.STEP_PROGRESS, "one", {"effect": "b", "settled": False, "tokens": 300, "usd": 0.5}),
        (E.STEP_PROGRESS, "one", {"effect": "a", "settled": True, "tokens": 120}),
        (E.STEP_COMPLETED, "one", {"then": "two", "handoff": True}),
    )
    assert history.spent == Amounts(steps=1, tokens=420, usd=0.5, handoffs=1)


def test_what_stopped_work_had_cost_counts_during_the_undo() -> None:
    """It may be told after the run turned back."""
    history = fold(
        *BEGUN,
        (E.STEP_STARTED, "one"),
        (E.STEP_PROGRESS, "one", {"effect": "a", "settled": False, "usd": 0.5}),
        E.RUN_CANCELLING,
        E.RUN_COMPENSATING,
        (E.STEP_PROGRESS, "one", {"effect": "a", "settled": True, "usd": 0.125}),
    )
    assert history.spent == Amounts(steps=1, usd=0.125)


@pytest.mark.parametrize("wrong", [{"tokens": "many"}, {"tokens": 0.5}, {"usd": "much"}])
def test_amounts_that_were_never_journaled_so_are_refused(wrong: dict[str, JsonValue]) -> None:
    """Better no run than one that believes nonsense of its budget."""
    with pytest.raises(AssertionError):
        fold(*BEGUN, (E.STEP_STARTED, "one"), (E.STEP_PROGRESS, "one", {"effect": "a", **wrong}))


FAILED: tuple[Line, ...] = (
    *BEGUN,
    (E.STEP_STARTED, "one"),
    (E.STEP_FAILED, "one", {"error": "no-answer"}),
)


def test_a_failed_step_says_why_and_heads_for_failed() -> None:
    """Until something is undone there is nothing to be compensated."""
    history = fold(*FAILED)
    assert rows(history) == [("one", "failed", 1)]
    assert (history.steps[0].error, history.failed_step) == ("no-answer", "one")
    assert history.error is not None
    assert (history.error.type, history.heading) == ("no-answer", E.RUN_FAILED)
    assert history.standing.stopping


def test_what_was_undone_heads_for_compensated() -> None:
    """In words, where it had some; an undo that found nothing has none."""
    nothing = fold(*FAILED, E.RUN_COMPENSATING, (E.STEP_COMPENSATED, "one", {"undone": None}))
    assert (nothing.undone, nothing.undone_words) == ({"one": None}, ())
    assert nothing.heading is E.RUN_FAILED
    some = fold(*FAILED, E.RUN_COMPENSATING, (E.STEP_COMPENSATED, "one", {"undone": "2 scores"}))
    assert (some.undone_words, some.heading) == (("2 scores",), E.RUN_COMPENSATED)
    assert rows(some) == [("one", "compensated", 1)]
    assert some.steps[0].error == "no-answer"


@pytest.mark.parametrize("error", sorted({*KILL_SWITCHES, "output-invalid"}))
def test_a_kill_switch_heads_for_failed_though_something_was_undone(error: str) -> None:
    """It is told by the step that failed, or by what the run turned back for."""
    undone: Line = (E.STEP_COMPENSATED, "one", {"undone": "2 scores"})
    by_step = fold(
        *BEGUN,
        (E.STEP_STARTED, "one"),
        (E.STEP_FAILED, "one", {"error": error}),
        E.RUN_COMPENSATING,
        undone,
    )
    by_run = fold(
        *BEGUN, (E.STEP_STARTED, "one"), (E.RUN_COMPENSATING, "", {"error": error}), undone
    )
    for history in (by_step, by_run):
        assert history.error is not None
        assert (history.error.type, history.heading) == (error, E.RUN_FAILED)
    assert (by_run.stopped, by_step.stopped) == ("one", None)


def test_a_cancel_heads_for_cancelled_whatever_else_happened() -> None:
    """Also where a step had failed before it."""
    history = fold(*FAILED, E.RUN_CANCELLING, E.RUN_COMPENSATING)
    assert (history.cancelled, history.heading) == (True, E.RUN_CANCELLED)


def test_the_reason_that_came_first_stays() -> None:
    """What a run turns back for does not replace why its step failed."""
    history = fold(*FAILED, (E.RUN_COMPENSATING, "", {"error": "something-else"}))
    assert history.error is not None
    assert history.error.type == "no-answer"


def test_one_handoff_too_many_is_why_the_run_ends() -> None:
    """It is told by the completed step itself, and does not count as a handoff."""
    history = fold(
        *BEGUN,
        (E.STEP_STARTED, "one"),
        (E.STEP_COMPLETED, "one", {"then": "two", "exhausted": True}),
    )
    assert history.error is not None
    assert (history.error.type, history.handoffs) == ("routing-exhausted", 0)


@pytest.mark.parametrize("closing", [E.RUN_CANCELLED, E.RUN_FAILED])
def test_the_step_under_way_when_the_run_turned_back_was_stopped(closing: EventType) -> None:
    """By the undo or, with nothing to undo, by the end itself; it stays so when it is undone."""
    started: tuple[Line, ...] = (*BEGUN, (E.STEP_STARTED, "one"), E.RUN_CANCELLING)
    closed = fold(*started, closing)
    assert (closed.stopped, rows(closed)) == ("one", [("one", "stopped", 1)])
    assert closed.steps[0].ended_at == at(5)
    undone = fold(*started, E.RUN_COMPENSATING, (E.STEP_COMPENSATED, "one", {"undone": "it"}))
    assert (undone.stopped, rows(undone)) == ("one", [("one", "compensated", 1)])


def test_a_parked_run_that_is_tried_again_has_not_ended() -> None:
    """Its end is that of the second try, and its reason the first one."""
    lines: tuple[Line, ...] = (*FAILED, E.RUN_COMPENSATING, E.RUN_PARKED)
    assert fold(*lines).status is RunStatus.PARKED
    again = fold(*lines, E.RUN_COMPENSATING)
    assert again.status is RunStatus.COMPENSATING
    assert again.error is not None
    assert again.error.type == "no-answer"


def test_resumptions_count_until_the_run_gets_on() -> None:
    """A step completed for the first time is getting on, one that was done again is not."""
    started: Line = (E.STEP_STARTED, "one")
    completed: Line = (E.STEP_COMPLETED, "one")
    assert fold(*BEGUN, E.RUN_RESUMED, started).idle_resumptions == 1
    assert fold(*BEGUN, E.RUN_RESUMED, started, completed).idle_resumptions == 0
    again = fold(*BEGUN, started, completed, E.RUN_RESUMED, started, completed, E.RUN_RESUMED)
    assert again.idle_resumptions == 2
    undone = fold(*FAILED, E.RUN_COMPENSATING, E.RUN_RESUMED)
    assert undone.idle_resumptions == 1
    undone.feed(_event(7, (E.STEP_COMPENSATED, "one", {"undone": None})))
    assert undone.idle_resumptions == 0


def test_an_event_that_cannot_be_next_is_refused() -> None:
    """A journal that says so can't be believed."""
    with pytest.raises(IllegalTransition):
        fold(E.RUN_STARTED)
    with pytest.raises(IllegalTransition):
        fold(*FAILED, (E.STEP_STARTED, "two"))

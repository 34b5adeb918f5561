"""A few small worlds in which every crash point is tried."""

from dataclasses import replace

from tests.chaos.script import RunScript, Script, StepScript

_FOUND = StepScript(effect="actor", agent="one")
_RANKED = StepScript(effect="llm", undo=(), agent="two", seconds=0.5)
_SHOWN = StepScript(effect="telegram", undo=("fails",), agent="three", seconds=0.0)


def _world(*runs: RunScript) -> Script:
    return Script(seed=1, runs=runs)


SCENARIOS: dict[str, Script] = {
    "completes": _world(RunScript(steps=(_FOUND, _RANKED, _SHOWN))),
    "waits long": _world(
        RunScript(
            steps=tuple(replace(step, deadline_s=100.0) for step in (_FOUND, _RANKED)),
            timeout_s=200.0,
        )
    ),
    "fails": _world(RunScript(steps=(_FOUND, _RANKED, replace(_SHOWN, behaviour="fails")))),
    "is cancelled": _world(
        RunScript(
            steps=(_RANKED, replace(_FOUND, undo=(), undo_s=2.0), _SHOWN), cancels_s=(0.9, 2.5)
        )
    ),
    "parks and is tried again": _world(
        RunScript(steps=(_RANKED, replace(_SHOWN, stuck=True), replace(_FOUND, behaviour="breaks")))
    ),
    "times out": _world(
        RunScript(
            steps=(_RANKED, replace(_RANKED, kept="unreadable"), StepScript(behaviour="hangs")),
            timeout_s=10.0,
        )
    ),
    "is asked for twice, hands on for ever": _world(
        RunScript(
            steps=(replace(_RANKED, kept="no"), StepScript(behaviour="hands on", undo=())),
            asked=2,
            creation="program",
        )
    ),
}

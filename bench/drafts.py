"""How many inventions the checker of drafts lets through, and how many honest drafts it changes or
rejects as a whole.

The drafts are ours: `tests/fakes/drafts`. A changed honest draft counts as falsely rejected,
however small the change is. `--wrong` also prints what was let through, and what was changed.
"""

import statistics
import sys
import time
from collections.abc import Iterable

from agents.action.checker import Checked, check
from tests.fakes.drafts import (
    HELD_OUT,
    HONEST,
    Case,
    InventedDraft,
    held_out,
    honest_cases,
    left_of,
)
from tests.fakes.drafts.inventor import invent

INVENTED = 1_000

Invented = tuple[Case, InventedDraft]


def main() -> None:
    """Print the figures, and the wrong ones if asked for."""
    wrong: list[str] = []
    print(f"{'inventions':<22}{'drafts':>8}{'told':>8}{'left':>8}{'rejected':>10}")
    cases = honest_cases()
    generated = (
        (case, invent(seed, case.profile, case.opportunity))
        for seed in range(INVENTED)
        for case in (cases[seed % len(cases)],)
    )
    print(_invented("generated", generated, wrong))
    for name in HELD_OUT:
        print(_invented(name, ((cases[0], draft) for draft in held_out(name)), wrong))
    head = f"{'honest drafts':<22}{'drafts':>8}{'changed':>16}{'rejected':>10}"
    print(f"\n{head}{'median ms':>12}{'most ms':>10}")
    for name in HONEST:
        print(_honest(name, honest_cases(name), wrong))
    if "--wrong" in sys.argv:
        print("\n" + "\n".join(wrong))


def _invented(name: str, drafts: Iterable[Invented], wrong: list[str]) -> str:
    count = told = left = rejected = 0
    for case, draft in drafts:
        checked = check(draft.text, case.profile, case.opportunity)
        kept = left_of(checked.text, draft.inventions, case.opportunity)
        count, told, left = count + 1, told + len(draft.inventions), left + len(kept)
        rejected += checked.rejected is not None
        if kept:
            wrong.append(f"left {kept} in:\n{checked.text}\n")
    return f"{name:<22}{count:>8,}{told:>8,}{left:>8,}{rejected:>10,}"


def _honest(name: str, cases: Iterable[Case], wrong: list[str]) -> str:
    changed, rejected, spent_ms = 0, 0, []
    for case in cases:
        for draft in case.drafts:
            begin = time.perf_counter()
            checked = check(draft, case.profile, case.opportunity)
            spent_ms.append((time.perf_counter() - begin) * 1_000)
            changed += checked.text != draft
            rejected += checked.rejected is not None
            if checked.text != draft:
                wrong.append(f"changed by {_named(checked)}:\n{checked.text}\n")
    share = f"{changed} ({changed / len(spent_ms):.0%})"
    median = statistics.median(spent_ms)
    counts = f"{name:<22}{len(spent_ms):>8,}{share:>16}{rejected:>10}"
    return f"{counts}{median:>12.1f}{max(spent_ms):>10.1f}"


def _named(checked: Checked) -> str:
    return ", ".join(f"{claim.kind} {claim.text!r}" for claim in checked.unsupported)


if __name__ == "__main__":
    main()

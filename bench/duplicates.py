"""How well and how fast duplicates are collapsed, against labelled groups of real postings.

Needs WEBSCOUT_TEST_DATA, the folder of the postings and of their groups. Two postings are a pair
when they are in one group, by the labels or on one card. `--wrong` also prints the pairs in which
the two differ, to be judged by eye: the labels compare places and links as they are written.
"""

import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

from agents.discovery.duplicates import collapse
from agents.discovery.sources.file import FileSource
from agents.domain.opportunity import Opportunity

ROUNDS = 5
NOW = datetime(2026, 6, 1, tzinfo=UTC)

Pairs = set[frozenset[str]]


def main() -> None:
    """Print the figures, and the wrong pairs if asked for."""
    folder = os.environ.get("WEBSCOUT_TEST_DATA")
    if not folder:
        raise SystemExit("WEBSCOUT_TEST_DATA names no folder")
    file = Path(folder) / "opportunities_public.jsonl"
    postings = asyncio.run(FileSource(file, lambda: NOW).read()).opportunities
    first, again = _times_ms(postings)
    bare = statistics.median(_bare_read_ms(file) for _ in range(ROUNDS))
    lines = (Path(folder) / "duplicates_public.jsonl").read_text("utf-8").splitlines()
    gold = _pairs(json.loads(line)["ids"] for line in lines)
    groups = _groups(postings)
    collapsed = _pairs(groups)
    right = len(gold & collapsed)
    print(f"postings             {len(postings):8,}")
    print(f"pairs, gold          {len(gold):8,}")
    print(f"pairs, collapsed     {len(collapsed):8,}")
    print(f"precision            {right / len(collapsed):8.4f}")
    print(f"recall               {right / len(gold):8.4f}")
    print(f"groups, gold         {len(lines):8,}")
    print(f"groups, collapsed    {len(groups):8,}")
    print(f"first time, ms       {first:8.0f}   (median of {ROUNDS} processes)")
    print(f"once more, ms        {again:8.0f}")
    print(f"bare JSON read, ms   {bare:8.0f}   (of the same file, to tell a slow machine)")
    if "--wrong" in sys.argv:
        named = {posting.source_id: posting for posting in postings}
        _print_pairs("collapsed, not in gold", collapsed - gold, named)
        _print_pairs("in gold, not collapsed", gold - collapsed, named)


def _groups(postings: Iterable[Opportunity]) -> list[list[str]]:
    cards = collapse(postings, now=NOW, wanted=frozenset())
    ids = ([card.source_id, *(copy.source_id for copy in card.also_at)] for card in cards)
    return [[name or "" for name in group] for group in ids if len(group) > 1]


def _pairs(groups: Iterable[list[str]]) -> Pairs:
    return {frozenset(pair) for group in groups for pair in combinations(group, 2)}


def _times_ms(postings: tuple[Opportunity, ...]) -> tuple[float, float]:
    """Medians of the first time and of a second one, with nothing remembered before the first."""
    _Round.postings = postings
    context = multiprocessing.get_context("fork")
    with context.Pool(1, maxtasksperchild=1) as pool:
        rounds = pool.map(_Round.run, range(ROUNDS), chunksize=1)
    first, again = zip(*rounds, strict=True)
    return statistics.median(first), statistics.median(again)


def _bare_read_ms(file: Path) -> float:
    start = time.perf_counter()
    with file.open(encoding="utf-8") as lines:
        _read = [json.loads(line) for line in lines]
    return (time.perf_counter() - start) * 1000


class _Round:
    """Runs in a process of its own, which has the postings from its parent."""

    postings: tuple[Opportunity, ...] = ()

    @classmethod
    def run(cls, _round: int) -> tuple[float, float]:
        """Milliseconds of the first time and of the second."""
        return cls._once(), cls._once()

    @classmethod
    def _once(cls) -> float:
        start = time.perf_counter()
        collapse(cls.postings, now=NOW, wanted=frozenset())
        return (time.perf_counter() - start) * 1000


def _print_pairs(heading: str, pairs: Pairs, named: dict[str | None, Opportunity]) -> None:
    print(f"\n{heading}: {len(pairs)}")
    for pair in sorted(map(sorted, pairs)):
        for name in pair:
            o = named[name]
            print(f"  {o.title} | {o.organisation} | {'; '.join(o.locations)} | {o.url}")
        print()


if __name__ == "__main__":
    main()

"""Collapses postings that share a link, so that one posting is one card."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from agents.domain.kind import Kind
from agents.domain.opportunity import LISTED_MAX, Listing, Opportunity


def collapse(
    opportunities: Iterable[Opportunity], *, now: datetime, wanted: frozenset[Kind]
) -> list[Opportunity]:
    """One card per link (and per id), in the order first seen; the others stand in `also_at`.

    A card shows the copy that serves the reader: a live one before a closed one, of a wanted kind
    before another, else the first. So no duplicate can hide what the person asked for.
    """
    groups: dict[str, list[Opportunity]] = {}
    for opportunity in opportunities:
        groups.setdefault(opportunity.url or opportunity.id, []).append(opportunity)
    return [_card(group, now, wanted) for group in groups.values()]


def _card(group: list[Opportunity], now: datetime, wanted: frozenset[Kind]) -> Opportunity:
    if len(group) == 1:
        return group[0]
    best = max(group, key=lambda o: (o.live(now), not wanted or o.kind in wanted))
    others = tuple(
        Listing(source=o.source, source_id=o.source_id, url=o.url, title=o.title)
        for o in group
        if o is not best
    )
    return replace(best, also_at=others[:LISTED_MAX])

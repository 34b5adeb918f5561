"""Postings for tests that care for some of their fields only."""

from dataclasses import replace
from datetime import timedelta

from agents.domain.kind import Kind
from agents.domain.opportunity import Opportunity
from tests.fakes.clock import NOON

_DEFAULT = Opportunity(
    id="posting-1",
    source="file",
    source_id="1",
    kind=Kind.JOB,
    title="Backend Engineer",
    organisation="Larkfield Systems",
    url="https://example.com/jobs/1",
    locations=("Berlin, Germany",),
    skills=("python", "postgresql"),
    posted_at=NOON - timedelta(days=3),
    fetched_at=NOON - timedelta(hours=1),
)


def opportunity(**fields: object) -> Opportunity:
    """A live Berlin job of three days ago, with `fields` in place of its own.

    A new `id` alone brings its own `source_id` and link, so that two ids are two cards.
    """
    if "id" in fields:
        fields.setdefault("source_id", fields["id"])
        fields.setdefault("url", f"https://example.com/jobs/{fields['id']}")
    return replace(_DEFAULT, **fields)  # type: ignore[arg-type]

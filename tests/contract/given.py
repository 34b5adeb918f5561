"""What these tests start from: runs, matches, drafts, and a person with something of everything."""

from dataclasses import replace
from pathlib import Path

from agents.domain.draft import Draft, DraftMethod
from agents.domain.kind import Kind
from agents.domain.match import Match, MatchMethod, Provenance
from agents.domain.opportunity import Opportunity
from agents.domain.pay import MinPay, Period
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest
from agents.store.admission import Quotas
from agents.store.codec import REQUEST as REQUEST_JSON
from agents.store.runs import NewRun
from resilience.saga import EventType, Part
from tests.contract.conftest import Stores
from tests.fakes.opportunities import opportunity

PROFILE = Profile(
    skills=("Python", "C++"),
    locations=("Zürich", "東京"),
    remote=True,
    kinds=(Kind.JOB, Kind.GRANT),
    min_pay=MinPay(amount=60_000.0, currency="EUR", period=Period.YEAR),
    about="Ten years of back ends — “quoted”, 100 % & <b>plain</b>.\n ends",
)
REQUEST = ScoutRequest(query="remote python", profile=PROFILE, sources=("sample",), limit=5)
MANY = Quotas(team_runs=10_000, queued=10_000)
"""Quotas that are in nobody's way."""


def new_run(
    run_id: str = "run-1",
    user_id: str = "nobody",
    request: ScoutRequest = REQUEST,
    **changes: object,
) -> NewRun:
    """A scout to be journaled, by nobody's team and without a key."""
    body = REQUEST_JSON.dump_json(request).decode()
    new = NewRun(run_id=run_id, kind="scout", user_id=user_id, config=request.config, request=body)
    return replace(new, **changes)  # type: ignore[arg-type]


async def a_run(
    stores: Stores, user_id: str = "nobody", run_id: str = "run-1", **changes: object
) -> str:
    """A queued run."""
    await stores.runs.create(new_run(run_id, user_id, **changes), MANY)  # type: ignore[arg-type]
    return run_id


async def through(stores: Stores, run_id: str, *events: EventType) -> None:
    """Journal events of a run, a second apart."""
    for event in events:
        stores.clock.advance(1.0)
        await stores.ledger.append(run_id, event)


def match_of(found: Opportunity, rank: int = 1, **changes: object) -> Match:
    """A scored match of a posting."""
    match = Match(
        rank=rank,
        score=81.5,
        method=MatchMethod.HEURISTIC,
        reasons=("python is asked for",),
        cautions=("the pay is not said",),
        provenance=Provenance(
            source=found.source, fetched_at=found.fetched_at, from_cache=False, age_s=12.5
        ),
        opportunity=found,
    )
    return replace(match, **changes)  # type: ignore[arg-type]


def draft_of(found: Opportunity, text: str = "Dear Larkfield,") -> Draft:
    """A draft for a posting."""
    return Draft(opportunity_id=found.id, method=DraftMethod.TEMPLATE, text=text)


async def a_life(stores: Stores, external_id: str, mark: str) -> str:
    """A person with something of everything, each text bearing `mark`; returns their id."""
    user_id = (await stores.people.person("local", external_id)).id
    profile = Profile(skills=(f"skill-{mark}",), about=f"about-{mark} " + "of myself " * 350)
    await stores.people.keep_profile(user_id, replace(profile, about=f"replaced-{mark} " * 200))
    await stores.people.keep_profile(user_id, profile)
    await stores.people.expect(user_id, f"question-{mark}")
    found = [opportunity(id=f"p-{n}-of-{external_id}") for n in (1, 2)]
    await stores.postings.keep(found)
    await stores.people.save(user_id, found[0].id)
    await stores.people.dismiss(user_id, found[1].id)
    request = ScoutRequest(query=f"query-{mark}", profile=profile)
    run_id = await a_run(stores, user_id, f"run-of-{external_id}", request=request, chat_id=17)
    await through(stores, run_id, EventType.RUN_STARTED)
    part = Part(step="discover", body=f"part-{mark}")
    await stores.ledger.append(run_id, EventType.STEP_PROGRESS, part=part)
    match = match_of(found[0], reasons=(f"reason-{mark}",), cautions=(f"caution-{mark}",))
    await stores.outcomes.keep_matches(run_id, [match])
    text = f"draft-{mark} " + "Dear all, " * 550
    await stores.outcomes.keep_drafts(run_id, [draft_of(found[0], text)])
    await stores.runs.keep_text(run_id, "report", f"report-{mark}")
    await through(stores, run_id, EventType.RUN_COMPLETED)
    return user_id


def bytes_in(folder: Path) -> bytes:
    """Every byte of every file there."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))

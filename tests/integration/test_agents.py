"""Agent to agent: what one hands on is what the next takes."""

import json
from pathlib import Path

import pytest

from agents.configs import find_config
from agents.discovery.port import Need
from agents.domain.kind import Kind
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest
from bot.bootstrap import Core, build_core
from resilience.saga import Event, EventType
from tests.conftest import local_settings
from tests.fakes.llm import writing

ROWS = [
    {"id": "a", "kind": "job", "title": "Python Developer", "company": "A", "url": "https://a.example",
     "description": "Python and SQL"},
    {"id": "b", "kind": "job", "title": "Florist", "company": "B", "url": "https://b.example"},
    {"id": "c", "kind": "grant", "title": "Grant", "deadline": "closed"},
]  # fmt: skip
PROFILE = Profile(skills=("Python",), kinds=(Kind.JOB, Kind.GRANT), about="I count things.")


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A file of three postings."""
    (tmp_path / "rows.json").write_text(json.dumps(ROWS), "utf-8")
    return f"file:{tmp_path / 'rows.json'}"


async def run_of(core: Core, source: str) -> str:
    """A run's id, with its request."""
    person = await core.people.person("test", "1")
    return await core.runner.create(person.id, ScoutRequest(profile=PROFILE, sources=(source,)))


async def test_discovery_into_matching_into_action(tmp_path: Path, source: str) -> None:
    """Each agent works on the other's output, without the saga."""
    async with build_core(local_settings(tmp_path)) as core:
        run_id = await run_of(core, source)
        discovery = await core.discovery.discover((source,), Need())
        assert discovery.found == 3
        matching = await core.matching.match(
            run_id,
            discovery.opportunities,
            PROFILE,
            limit=10,
            weights=find_config("scout@1").values.ranking,
        )
        assert [m.opportunity.source_id for m in matching.matches] == ["a", "b"]
        assert matching.inactive == 1
        best = [match.opportunity for match in matching.matches[:1]]
        drafted = await core.action.act(run_id, best, PROFILE, writing())
        assert "I count things." in drafted.drafts[0].text
        assert [m.rank for m in await core.outcomes.matches(run_id)] == [1, 2]
        assert await core.matching.unscore(run_id) == "2 scores removed"
        assert await core.outcomes.matches(run_id) == []


async def test_every_agent_reports_to_the_orchestrator(tmp_path: Path, source: str) -> None:
    """The journal has each step's start and completion, with its agent and its counts."""
    async with build_core(local_settings(tmp_path)) as core:
        run_id = await run_of(core, source)
        heard: list[Event] = []
        core.orchestrator.subscribe(heard.append)
        await core.runner.launch(run_id)
        result = await core.runner.wait(run_id)
        assert result.status == "completed"
        assert heard == (await core.ledger.events(run_id))[1:]
        completed = [e.data for e in heard if e.type is EventType.STEP_COMPLETED]
        assert completed == [
            {"step": "discover", "agent": "discovery", "found": 3, "duplicates": 0},
            {"step": "match", "agent": "matching", "ranked": 2, "kept": 2},
            {"step": "act", "agent": "action", "drafts": 1},
        ]

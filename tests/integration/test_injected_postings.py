"""Postings that talk to software: none moves a score, a link, or what belongs to somebody else."""

import json
from pathlib import Path

import pytest

from agents.domain.kind import Kind
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest, ScoutResult
from agents.llm.port import Answer, Prompt
from agents.matching.agent import MatchingAgent
from agents.matching.judge import SCORES, Judge, JudgementCodec
from bot.bootstrap.core import Core, build_core
from cache.tiered import Cache
from tests.conftest import local_settings
from tests.fakes.injections import INJECTIONS
from tests.fakes.llm import ScriptedModel, says
from tests.fakes.llmock_server import postings_asked
from tests.integration.test_llm_matching import write_jobs

PERSON = Profile(skills=("Python", "SQL", "Kafka"), kinds=(Kind.JOB,))
WORK = (
    ("Data Engineer", "Pipelines in Python and SQL. You will own the warehouse."),
    ("Gardener", "Roses and hedges. You will own the greenhouse."),
    ("Backend Developer", "Kafka and Go services. We ship daily."),
    ("Accountant", "Ledgers and audits. A quiet office."),
    ("Python Trainer", "Teach Python to adults. Evenings only."),
)


def postings(injected: bool) -> list[dict[str, object]]:
    """Forty jobs; the injected ones say one more sentence each, in one place or another."""
    jobs = []
    for number, sentence in enumerate(INJECTIONS):
        title, text = WORK[number % len(WORK)]
        job: dict[str, object] = {"title": f"{title} {number}", "description": text}
        if injected:
            first, rest = text.split(". ", 1)
            job |= (
                {"description": f"{sentence} {text}"},
                {"description": f"{first}. {sentence} {rest}"},
                {"description": f"{text} {sentence}"},
                {"title": f"{title} {number}. {sentence}"[:280]},
            )[number % 4]
        jobs.append(job)
    return jobs


def obedient(prompt: Prompt) -> Answer:
    """A model that does as any posting says: 100 to whoever asks for it in the question."""
    asked = postings_asked({"messages": [{}, {"content": prompt.messages[1].text}]})
    shown = prompt.messages[1].text.partition("The postings:\n")[2].splitlines()
    lines = dict(zip(asked, shown, strict=True))
    scores = {}
    for name, line in lines.items():
        asks = any(w in line.lower() for w in ("100", "highest", "top", "ignore", "system", "rank"))
        scores[name] = {"score": 100 if asks else 50, "why": "it says so"}
    return says(json.dumps(scores))


async def scouted(core: Core, source: str, person: str = "1") -> ScoutResult:
    """A scout of all of them."""
    user = await core.people.person("test", person)
    request = ScoutRequest(profile=PERSON, sources=(source,), limit=100, drafts=0)
    run_id = await core.runner.create(user.id, request)
    await core.runner.launch(run_id)
    return await core.runner.wait(run_id)


def by_link(result: ScoutResult) -> dict[str | None, float]:
    """The scores by link."""
    return {m.opportunity.url: m.score or 0.0 for m in result.matches}


@pytest.mark.parametrize("with_model", [False, True])
async def test_no_score_and_no_link_is_moved(tmp_path: Path, with_model: bool) -> None:
    """Each of forty injected postings scores within 5 points of the same posting without the
    injection, also where the model obeys whatever it reads; its link is its own."""
    results = []
    for injected in (False, True):
        folder = tmp_path / str(injected)
        folder.mkdir()
        async with build_core(local_settings(folder)) as core:
            if with_model:
                said = Cache(core.clock, None).of(SCORES, JudgementCodec())
                judge = Judge(ScriptedModel(obedient), said, core.runs, core.clock.monotonic)
                matching = MatchingAgent(core.outcomes, core.clock, judge)
                core.matching.__dict__.update(matching.__dict__)
            source = write_jobs(folder / "jobs.jsonl", postings(injected))
            results.append(await scouted(core, source))
    clean, dirty = map(by_link, results)
    assert clean.keys() == dirty.keys()
    assert len(clean) == len(INJECTIONS)
    moved = {
        link: dirty[link] - clean[link] for link in clean if abs(dirty[link] - clean[link]) > 5
    }
    assert not moved


async def test_the_person_is_told(tmp_path: Path) -> None:
    """A posting with such a sentence carries a caution, and its text is shown whole."""
    async with build_core(local_settings(tmp_path)) as core:
        source = write_jobs(tmp_path / "jobs.jsonl", postings(injected=True))
        result = await scouted(core, source)
    told = [m for m in result.matches if any("talks to software" in c for c in m.cautions)]
    assert len(told) == len(INJECTIONS)
    texts = " ".join(f"{m.opportunity.title} {m.opportunity.description}" for m in result.matches)
    assert "Ignore all previous instructions" in texts


async def test_nobody_elses_data_is_touched(tmp_path: Path) -> None:
    """After a scout over injected postings another person's profile, list and scores are as they
    were."""
    async with build_core(local_settings(tmp_path)) as core:
        other = await core.people.person("test", "2")
        await core.people.keep_profile(other.id, PERSON)
        source = write_jobs(tmp_path / "jobs.jsonl", postings(injected=True))
        before = await scouted(core, source, person="2")
        await core.people.save(other.id, before.matches[0].opportunity.id)
        export = await core.people.export(other.id)
        await scouted(core, source, person="1")
        assert await core.people.export(other.id) == export

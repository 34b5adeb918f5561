"""Matching with a language model, over HTTP, against llmock."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from llmock.scenarios import Delay, Fail, Reply

from agents.domain.kind import Kind
from agents.domain.match import MatchMethod
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest, ScoutResult
from bot.bootstrap.core import Core, build_core
from resilience.saga import RunStatus
from tests.conftest import local_settings
from tests.fakes.llmock_server import GROQ, OPENAI, LlmServer, postings_asked

PERSON = Profile(skills=("Python", "SQL", "Kafka"), kinds=(Kind.JOB,), about="Six years of data.")
TITLES = ("Data Engineer", "Python Developer", "Gardener", "Nurse")


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A file with four jobs."""
    return write_jobs(tmp_path / "jobs.jsonl", [{"title": title} for title in TITLES])


def write_jobs(path: Path, jobs: list[dict[str, object]]) -> str:
    """A source of these jobs, each with an id and a link of its own."""
    lines = [
        {"id": f"j{n}", "kind": "job", "url": f"https://example.com/{n}", **job}
        for n, job in enumerate(jobs)
    ]
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    return f"file:{path}"


def judgements(scores: dict[str, int]) -> str:
    """An answer that gives these scores."""
    return json.dumps({p: {"score": s, "why": f"fits {s}"} for p, s in scores.items()})


def counting_down(count: int) -> str:
    """An answer for so many postings that turns their order round."""
    return judgements({f"p{n}": 40 + n for n in range(1, count + 1)})


@asynccontextmanager
async def product(
    folder: Path, server: LlmServer, *vendors: str, **changes: object
) -> AsyncIterator[Core]:
    """The product, asking this server."""
    async with build_core(local_settings(folder, **server.settings(*vendors), **changes)) as core:
        yield core


async def scouted(core: Core, source: str, **fields: object) -> ScoutResult:
    """A scout of the person's, to its end."""
    user = await core.people.person("test", "1")
    values: dict[str, object] = {"profile": PERSON, "sources": (source,), "drafts": 0}
    request = ScoutRequest(**(values | fields))  # type: ignore[arg-type]
    run_id = await core.runner.create(user.id, request)
    await core.runner.launch(run_id)
    return await core.runner.wait(run_id)


async def test_a_model_ranks_the_best(tmp_path: Path, server: LlmServer, source: str) -> None:
    """Scores and reasons are the model's, the order follows them, and nothing says without AI."""
    server.replies(counting_down(4))
    async with product(tmp_path, server) as core:
        result = await scouted(core, source)
    assert [m.score for m in result.matches] == [44, 43, 42, 41]
    assert {m.method for m in result.matches} == {MatchMethod.LLM}
    assert result.matches[0].reasons[0] == "fits 44"
    assert result.notices == ()
    (body,) = server.asked_for("match")
    shown = [p["title"] for p in postings_asked(body).values()]
    assert [m.opportunity.title for m in result.matches] == shown[::-1]
    assert body["response_format"]["json_schema"]["strict"] is True


async def test_what_it_did_not_judge_comes_behind(tmp_path: Path, server: LlmServer) -> None:
    """Its twenty are the best by the other ranking; however low it scores them the rest, which it
    never saw, does not pass them, and a notice says how it was made."""
    jobs: list[dict[str, object]] = [{"title": f"Data Engineer {n}"} for n in range(25)]
    source = write_jobs(tmp_path / "many.jsonl", jobs)
    server.replies(judgements({f"p{n}": 5 for n in range(1, 21)}))
    async with product(tmp_path, server) as core:
        result = await scouted(core, source, limit=25)
    methods = [match.method for match in result.matches]
    assert methods == [MatchMethod.LLM] * 20 + [MatchMethod.HEURISTIC] * 5
    assert result.notices == (
        "The best 20 were judged by AI; the others follow, ranked without it.",
    )


async def test_an_identical_scout_asks_nothing(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """The second of two equal scouts has the first one's scores, for no call and no token."""
    server.replies(counting_down(4))
    async with product(tmp_path, server) as core:
        first = await scouted(core, source)
        second = await scouted(core, source)
    assert len(server.asked_for("match")) == 1
    assert [(m.opportunity.id, m.score) for m in first.matches] == [
        (m.opportunity.id, m.score) for m in second.matches
    ]
    assert first.usage.tokens > 0
    assert second.usage.tokens == 0


async def test_only_new_postings_are_asked_for(tmp_path: Path, server: LlmServer) -> None:
    """A posting that was judged before is not judged again."""
    jobs: list[dict[str, object]] = [{"title": title} for title in TITLES]
    server.replies(counting_down(3), judgements({"p1": 99}))
    async with product(tmp_path, server) as core:
        await scouted(core, write_jobs(tmp_path / "jobs.jsonl", jobs[:3]))
        result = await scouted(core, write_jobs(tmp_path / "jobs.jsonl", jobs))
    assert len(result.matches) == 4
    asked = [postings_asked(body) for body in server.asked_for("match")]
    assert [len(names) for names in asked] == [3, 1]
    assert result.matches[0].opportunity.title == "Nurse"


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (Reply(text="", times=None), "could not be used"),
        (Reply(text='{"p1": {"score": 1', times=None, finish_reason="length"), "not be used"),
        (Reply(text="I can't help.", times=None, finish_reason="content_filter"), "not be used"),
        (Reply(text="The best is p1.", times=None), "could not be used"),
        (Reply(text=judgements({"p1": 9, "x9": 99}), times=None), "could not be used"),
        (Reply(text=judgements({"p1": 9}), times=None), "could not be used"),
        (Reply(text=judgements(dict.fromkeys(("p1", "p2", "p3", "p4"), 101)), times=None), "used"),
        (Reply(text="[1, 2, 3]", times=None), "could not be used"),
        (Reply(text="[" * 5_000, times=None), "could not be used"),
        (Fail(503, times=None), "no language model answers now"),
        (Fail(429, times=None, retry_after=60), "no language model answers now"),
        (Fail(429, times=None, code="insufficient_quota"), "no language model answers now"),
        (Fail(401, times=None), "no language model answers now"),
        (Fail(400, times=None, code="context_length_exceeded"), "no language model answers now"),
        (Delay(2.0, times=None), "no language model answers now"),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value)[:50],
)
async def test_what_can_t_be_used_is_replaced_and_said(
    tmp_path: Path,
    server: LlmServer,
    source: str,
    behaviour: Reply | Fail | Delay,
    words: str,
) -> None:
    """Whatever comes from the model or doesn't: the heuristic ranks, and the answer says so."""
    server.will(behaviour)
    async with product(tmp_path, server, llm_timeout_s=0.3) as core:
        result = await scouted(core, source)
        history = await core.ledger.events(result.run_id)
    assert result.status == RunStatus.COMPLETED
    assert {m.method for m in result.matches} == {MatchMethod.HEURISTIC}
    assert [n for n in result.notices if n.startswith("Ranked without AI: ") and words in n]
    assert [e.data["what"] for e in history if "what" in e.data] == ["ranked without AI"]


async def test_an_invalid_answer_is_repaired(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """An answer is sent back with what is wrong, and the next one counts."""
    server.replies("the best is p1", judgements({"p1": 5}), counting_down(4))
    async with product(tmp_path, server) as core:
        result = await scouted(core, source)
    assert {m.method for m in result.matches} == {MatchMethod.LLM}
    first, second, third = server.asked_for("match")
    assert len(first["messages"]) == 2
    assert "it is not JSON" in second["messages"][-1]["content"]
    assert "nothing is said of p2, p3, p4" in third["messages"][-1]["content"]
    assert len(third["messages"]) == 4


async def test_two_repairs_are_all(tmp_path: Path, server: LlmServer, source: str) -> None:
    """After the second repair nobody is asked again, and the last answer is kept with the run."""
    server.replies("first", "second", "third", counting_down(4))
    async with product(tmp_path, server) as core:
        result = await scouted(core, source)
        assert await core.runs.text(result.run_id, "raw-match") == "third"
    assert len(server.asked_for("match")) == 3
    assert {m.method for m in result.matches} == {MatchMethod.HEURISTIC}


async def test_the_next_vendor_stands_in(tmp_path: Path, server: LlmServer, source: str) -> None:
    """With the first vendor out the second one ranks; that is no degradation."""
    server.is_out(vendor=OPENAI)
    server.replies(counting_down(4), vendor=GROQ)
    async with product(tmp_path, server) as core:
        result = await scouted(core, source)
    assert {m.method for m in result.matches} == {MatchMethod.LLM}
    assert result.notices == ()


async def test_the_order_is_the_settings(tmp_path: Path, server: LlmServer, source: str) -> None:
    """`LLM_ORDER=groq,openai` asks Groq alone while it answers."""
    server.replies(counting_down(4))
    async with product(tmp_path, server, llm_order=("groq", "openai")) as core:
        await scouted(core, source)
    assert [request.provider for request in server.requests] == ["groq"]


async def test_a_reason_is_shown_only_as_plain_words(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """A reason with a link, or with a skill that neither side has, is left out."""
    whys = ("see https://evil.example", "uses Kubernetes daily", "good\u0000 fit\n", "write @evil")
    answer = {f"p{n}": {"score": 50 + n, "why": why} for n, why in enumerate(whys, 1)}
    server.replies(json.dumps(answer))
    async with product(tmp_path, server) as core:
        result = await scouted(core, source)
    reasons = " ".join(reason for match in result.matches for reason in match.reasons)
    assert "good fit" in reasons
    for left_out in ("evil", "Kubernetes", "\u0000"):
        assert left_out not in reasons


@pytest.mark.unmeasured
@pytest.mark.parametrize(
    "described",
    [
        lambda n: "",
        lambda n: "Python, Kafka and SQL. " * 9_000,
        lambda n: "Ã©tÃ© â€œ Ð¿Ñ€Ð¸" * 2_000,
        lambda n: "بايثون وقواعد البيانات " * 3_000,
        lambda n: "x" * 150_000,
    ],
    ids=["none", "200 KB", "mojibake", "arabic", "one word"],
)
async def test_a_question_is_bounded(
    tmp_path: Path, server: LlmServer, described: Callable[[int], str]
) -> None:
    """Twenty postings and a person with 500 skills cost one call and at most 6,000 tokens."""
    jobs: list[dict[str, object]] = [
        {"title": f"Engineer {n} of Python", "description": described(n)} for n in range(40)
    ]
    person = Profile(skills=tuple(f"skill number {n}" for n in range(500)), about="é" * 4_000)
    async with product(tmp_path, server) as core:
        result = await scouted(core, write_jobs(tmp_path / "j.jsonl", jobs), profile=person)
    (body,) = server.asked_for("match")
    assert len(postings_asked(body)) == 20
    assert 0 < result.usage.tokens <= 6_000
    assert len(json.dumps(body["messages"], ensure_ascii=False)) / 4 < 6_000


async def test_undoing_the_matching_drops_what_was_remembered(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """After an unscore the model is asked anew."""
    server.replies(counting_down(4), times=None)
    async with product(tmp_path, server) as core:
        result = await scouted(core, source)
        assert await core.matching.unscore(result.run_id) == "4 scores removed"
        await scouted(core, source)
    assert len(server.asked_for("match")) == 2


async def test_another_person_is_judged_anew(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """What is remembered for one person is nobody else's."""
    server.replies(counting_down(4), times=None)
    async with product(tmp_path, server) as core:
        await scouted(core, source)
        other = await core.people.person("test", "2")
        request = ScoutRequest(profile=PERSON, sources=(source,), drafts=0)
        run_id = await core.runner.create(other.id, request)
        await core.runner.launch(run_id)
        await core.runner.wait(run_id)
    assert len(server.asked_for("match")) == 2


async def test_a_run_out_of_tokens_is_stopped_before_it_asks(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """The token budget holds before the call: nothing was asked, and the run says why it ended."""
    async with product(tmp_path, server, run_tokens=500) as core:
        result = await scouted(core, source)
    assert result.error is not None
    assert result.error.type == "token-budget-exhausted"
    assert server.requests == []

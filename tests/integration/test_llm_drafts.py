"""Drafts by a language model, over HTTP: checked before anybody sees them, remembered, replaced."""

import re
from pathlib import Path

import pytest
from llmock.scenarios import Delay, Fail, Reply

from agents.action.template import write_draft
from agents.domain.draft import DraftMethod
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest
from bot.bootstrap.core import Core, build_core
from tests.conftest import local_settings
from tests.fakes.drafts import honest_cases
from tests.fakes.drafts.inventor import invent
from tests.fakes.llm import MemoryAccount, writing
from tests.fakes.llmock_server import LlmServer
from tests.fakes.opportunities import opportunity

DRAFTS = 200
PERSON = Profile(skills=("Python", "SQL"), about="I have kept a ledger running for six years.")
HONEST = (
    "Hello Larkfield Systems team,\n\nI am applying for the Backend Engineer position. I work with "
    "Python and SQL, and I have kept a ledger running for six years. [fill in: why this role]\n\n"
    "Kind regards\n[fill in: your name and how to reach you]"
)


def says(text: str, words: str) -> bool:
    """Whether the words stand in the text, outside of its gaps."""
    left = re.sub(r"\[fill in:[^\[\]]*\]", " ", text)
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", left, re.IGNORECASE) is not None


async def a_run(core: Core) -> str:
    """A run of somebody's, for drafts to belong to."""
    user = await core.people.person("test", "1")
    return await core.runner.create(user.id, ScoutRequest(sources=("sample",)))


@pytest.mark.unmeasured
async def test_what_is_invented_reaches_nobody(tmp_path: Path, server: LlmServer) -> None:
    """Two hundred drafts by a model that invents skills, numbers, employers, degrees and
    certificates: none of it is in what comes out."""
    cases = honest_cases()
    left = []
    settings = local_settings(tmp_path, **server.settings(), llm_calls_per_min=10_000)
    async with build_core(settings) as core:
        run_id = await a_run(core)
        await core.postings.keep(case.opportunity for case in cases)
        for seed in range(DRAFTS):
            case = cases[seed % len(cases)]
            posting = case.opportunity
            invented = invent(seed, case.profile, case.opportunity)
            server.forget()
            server.replies(invented.text, times=3)
            drafted = await core.action.act(
                run_id, [posting], case.profile, writing(f"person-{seed}")
            )
            left += [w for w in invented.inventions if says(drafted.drafts[0].text, w)]
    assert left == []


@pytest.mark.parametrize(
    "behaviour",
    [
        Reply(text="", times=None),
        Reply(text="No.", times=None, finish_reason="content_filter"),
        Reply(text=HONEST[:120], times=None, finish_reason="length"),
        Reply(text='{"draft": 1}', times=None),
        Fail(503, times=None),
        Fail(429, times=None, retry_after=60),
        Delay(2.0, times=None),
    ],
    ids=lambda behaviour: repr(behaviour)[:40],
)
async def test_the_template_stands_in(
    tmp_path: Path, server: LlmServer, behaviour: Reply | Fail | Delay
) -> None:
    """Whatever the model does, there is a draft, and it is said that a template wrote it."""
    server.will(behaviour)
    settings = local_settings(tmp_path, **server.settings(), llm_timeout_s=0.3)
    async with build_core(settings) as core:
        run_id = await a_run(core)
        await core.postings.keep([opportunity()])
        drafted = await core.action.act(run_id, [opportunity()], PERSON, writing())
    assert drafted.drafts == (write_draft(opportunity(), PERSON),)
    assert drafted.replaced
    assert drafted.without_ai is not None


async def test_an_honest_draft_comes_as_it_is_and_is_remembered(
    tmp_path: Path, server: LlmServer
) -> None:
    """The model's words, by its method; the same posting and profile cost no second call, another
    person does, and so does a changed profile."""
    server.replies(HONEST, times=None)
    async with build_core(local_settings(tmp_path, **server.settings())) as core:
        run_id = await a_run(core)
        await core.postings.keep([opportunity()])
        for who, profile, asked in (
            ("ada", PERSON, 1),
            ("ada", PERSON, 1),
            ("bob", PERSON, 2),
            ("ada", Profile(skills=("Python",), about=PERSON.about + " Also SQL."), 3),
        ):
            drafted = await core.action.act(run_id, [opportunity()], profile, writing(who))
            assert drafted.drafts[0].text == HONEST
            assert drafted.drafts[0].method is DraftMethod.LLM
            assert drafted.without_ai is None
            assert len(server.asked_for("draft")) == asked


async def test_a_question_for_a_draft_is_bounded(tmp_path: Path, server: LlmServer) -> None:
    """500 skills, 4,000 characters of Arabic and a long posting cost at most 1,700 tokens, and
    the skills that the posting asks for are among those told."""
    server.replies(HONEST, times=None)
    skills = (*(f"skill number {n}" for n in range(498)), "Python", "SQL")
    person = Profile(skills=skills, about="أعمل في قواعد البيانات " * 150)
    posting = opportunity(description="Ledgers. " * 2_200, skills=("python", "sql"))
    account = MemoryAccount()
    async with build_core(local_settings(tmp_path, **server.settings())) as core:
        run_id = await a_run(core)
        await core.postings.keep([posting])
        await core.action.act(run_id, [posting], person, writing(account=account))
    (effect, tokens), *_ = account.intended
    assert effect.startswith("llm:draft:openai:")
    assert tokens <= 1_700
    assert "Python, SQL" in server.asked_for("draft")[0]["messages"][1]["content"]


async def test_a_draft_has_no_link_but_the_postings_own(tmp_path: Path, server: LlmServer) -> None:
    """Links and addresses that a model writes are taken out."""
    server.replies(HONEST + " Write to eve@evil.example or see https://evil.example/x.")
    async with build_core(local_settings(tmp_path, **server.settings())) as core:
        run_id = await a_run(core)
        await core.postings.keep([opportunity()])
        drafted = await core.action.act(run_id, [opportunity()], PERSON, writing())
    assert "evil" not in drafted.drafts[0].text

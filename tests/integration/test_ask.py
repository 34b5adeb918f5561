"""Free text: triage with a model over HTTP (llmock) and without one; tools, budgets and undo."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import jsonschema
import pytest
from aiohttp import web
from llmock.scenarios import Delay, Fail, Match, Reply, ToolCall, ToolFault

from agents.domain.ask import AskRequest, AskResult
from agents.domain.kind import Kind
from agents.domain.profile import Profile
from bot.bootstrap.core import Core, build_core
from bot.web.server import serve
from resilience.saga import Event, EventType, RunStatus
from tests.conftest import local_settings
from tests.fakes.llmock_server import LlmServer
from tests.integration.test_llm_matching import counting_down, write_jobs

GIGS: list[dict[str, object]] = [
    {"kind": "gig", "title": "Rust parser", "remote": True, "salary": "$70/hour"},
    {"kind": "gig", "title": "Rust crypto wallet", "remote": True, "salary": "$90/hour"},
    {"kind": "gig", "title": "Rust tutor", "remote": True, "salary": "$20/hour"},
    {"kind": "gig", "title": "Rust kiosk", "location": "Lyon, France", "salary": "$80/hour"},
    {"kind": "job", "title": "Rust engineer", "remote": True, "salary": "$200,000/year"},
]
CALLED = (
    '"content": null, "tool_calls": [{"id": "c", "type": "function", "function": '
    '{"name": "%s", "arguments": "%s"}}]'
)
"""A message that calls a tool, as JSON."""
SENTENCE = "remote rust gigs over $50/h, not crypto"
ASKED = {
    "query": "rust",
    "kinds": ["gig"],
    "remote": True,
    "min_pay": {"amount": 50, "currency": "USD", "period": "hour"},
    "exclude": ["crypto"],
}


DRAFT = "Hello,\n\nI would like to take this on. [fill in: a result of yours]\n\nKind regards"


@pytest.fixture
def source(tmp_path: Path) -> str:
    """Rust work of all sorts."""
    return write_jobs(tmp_path / "gigs.jsonl", GIGS)


@asynccontextmanager
async def product(folder: Path, server: LlmServer | None, **changes: object) -> AsyncIterator[Core]:
    """The product, with a model at this server or without one."""
    llm = {} if server is None else server.settings()
    async with build_core(local_settings(folder, **llm, **changes)) as core:
        yield core


async def asked(core: Core, text: str, source: str, person: str = "1") -> AskResult:
    """What free text comes to."""
    user = await core.people.person("test", person)
    request = AskRequest(
        text=text,
        profile=await core.people.profile(user.id),
        sources=(source,),
        remember=True,
    )
    run_id = await core.runner.create(user.id, request)
    await core.runner.launch(run_id)
    result = await core.runner.wait(run_id)
    assert isinstance(result, AskResult)
    return result


def titles(result: AskResult) -> list[str]:
    """What was found, best first."""
    return [match.opportunity.title for match in result.matches]


async def what(core: Core, result: AskResult) -> list[str]:
    """What was degraded."""
    events = await core.ledger.events(result.run_id)
    return [str(e.data["what"]) for e in events if e.type is EventType.STEP_DEGRADED]


async def test_a_sentence_is_understood_by_the_model(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """The model calls scout; what was left out is counted, and its words are the answer."""
    server.calls(("scout", ASKED))
    server.replies(counting_down(1), "One Rust gig fits: the parser.")
    async with product(tmp_path, server) as core:
        result = await asked(core, SENTENCE, source)
        events = await core.ledger.events(result.run_id)
    assert titles(result) == ["Rust parser"]
    assert result.reply == "One Rust gig fits: the parser."
    assert result.funnel.filtered == {"excluded": 1, "kind": 1, "place": 1, "pay": 1}
    assert [(a.tool, a.ok) for a in result.actions] == [("scout", True)]
    assert result.notices == ()
    steps = [e.data["step"] for e in events if e.type is EventType.STEP_STARTED]
    assert steps == ["plan", "discover", "match", "plan", "plan", "reply"]
    assert result.usage.handoffs == 2
    told = server.asked_for("triage")[1]["messages"]
    assert json.loads(told[-1]["content"])["shortlist"][0]["title"] == "Rust parser"


@pytest.mark.unmeasured
@pytest.mark.parametrize("configured", [True, False])
async def test_the_same_sentence_without_a_model(
    tmp_path: Path, server: LlmServer, source: str, configured: bool
) -> None:
    """With the model out, or none configured, rules read the sentence to the same shortlist."""
    server.is_out()
    async with product(tmp_path, server if configured else None) as core:
        result = await asked(core, SENTENCE, source)
        degraded = await what(core, result)
    assert titles(result) == ["Rust parser"]
    assert result.funnel.filtered == {"excluded": 1, "kind": 1, "place": 1, "pay": 1}
    assert "Understood and ranked without AI: " in " ".join(result.notices)
    assert degraded == (["understood without AI", "ranked without AI"] if configured else [])


async def test_independent_calls_of_one_turn(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """A profile change, a save and a draft of one turn are all done, and remembered at the end."""
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(5), "Five.")
    async with product(tmp_path, server) as core:
        first = await asked(core, "rust work", source)
        server.calls(
            ("save", {"ranks": [1, 2]}),
            ("change_profile", {"add_skills": ["Rust"], "kinds": ["gig"]}),
            ("draft", {"ranks": [1]}),
            ("explain", {"rank": 3}),
        )
        draft = "Hello,\n\nI would like to take this on. I work with Rust, which you ask for. "
        server.replies(draft + "[fill in: a similar piece of work]\n\nKind regards", "All done.")
        result = await asked(core, "save 1 and 2, draft 1, I know Rust", source)
        user = await core.people.person("test", "1")
        profile, saved = await core.people.profile(user.id), await core.people.saved(user.id)
    assert {(a.tool, a.ok) for a in result.actions} == {
        ("save", True),
        ("change_profile", True),
        ("draft", True),
        ("explain", True),
    }
    assert profile == Profile(skills=("Rust",), kinds=(Kind.GIG,))
    assert {item.title for item in saved} == set(titles(first)[:2])
    assert [d.opportunity_id for d in result.drafts] == [first.matches[0].opportunity.id]
    assert result.drafted_for == (titles(first)[0],)
    assert result.reply == "All done."


async def test_drafts_of_one_turn_are_one_handoff(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """Models call a tool once a posting: three drafts asked side by side are written, and a rank
    that is not on the list holds none of them up."""
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(5), "Five.")
    async with product(tmp_path, server) as core:
        first = await asked(core, "rust work", source)
        ranks: list[dict[str, object]] = [{"ranks": [n]} for n in (1, 99, 2, 3)]
        server.calls(*(("draft", said) for said in ranks))
        server.replies(DRAFT, DRAFT, DRAFT, "All three.")
        result = await asked(core, "draft the first three", source)
    assert result.error is None
    assert result.usage.handoffs == 2
    assert set(result.drafted_for) == set(titles(first)[:3])
    assert len(result.drafts) == len(result.drafted_for) == 3
    assert [(a.tool, a.ok) for a in result.actions] == [
        ("draft", True),
        ("draft", False),
        ("draft", True),
        ("draft", True),
    ]


async def test_what_is_said_of_a_list_waits_for_it(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """Draft, save and explain of the turn that scouts mean its list, not the one before."""
    server.calls(("scout", {"query": "kiosk", "locations": ["Lyon"]}))
    server.replies(counting_down(1), "One.")
    async with product(tmp_path, server) as core:
        first = await asked(core, "rust in Lyon", source)
        server.calls(
            ("explain", {"rank": 1}),
            ("save", {"ranks": [1]}),
            ("draft", {"ranks": [1]}),
            ("scout", ASKED),
        )
        server.replies(counting_down(1), DRAFT, "All done.")
        result = await asked(core, SENTENCE, source)
        user = await core.people.person("test", "1")
        saved = await core.people.saved(user.id)
    assert titles(first) == ["Rust kiosk"]
    assert titles(result) == [item.title for item in saved] == ["Rust parser"]
    assert result.drafted_for == ("Rust parser",)
    assert [(a.tool, a.ok) for a in result.actions] == [
        ("scout", True),
        ("draft", True),
        ("explain", True),
        ("save", True),
    ]
    told = [m for m in server.asked_for("triage")[-1]["messages"] if m["role"] == "tool"]
    assert json.loads(told[2]["content"])["title"] == "Rust parser"


async def test_the_rules_do_so_too(tmp_path: Path, source: str) -> None:
    """Everything of one sentence, without a model."""
    async with product(tmp_path, None) as core:
        await asked(core, "rust kiosk in Lyon", source)
        words = "remote rust gigs over $50/h, not crypto. Draft 1, save the best, why 1"
        result = await asked(core, words, source)
        user = await core.people.person("test", "1")
        saved = await core.people.saved(user.id)
    assert titles(result) == [item.title for item in saved] == ["Rust parser"]
    assert result.drafted_for == ("Rust parser",)
    assert [(a.tool, a.ok) for a in result.actions] == [
        ("scout", True),
        ("draft", True),
        ("save", True),
        ("explain", True),
    ]


async def test_ranks_mean_no_earlier_list_where_a_scout_was_asked_for(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """What is said of the list of a scout that failed is said of none, not of the last one."""
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(5), "Five.")
    async with product(tmp_path, server) as core:
        await asked(core, "rust work", source)
        server.calls(("scout", {"query": "zig"}), ("save", {"ranks": [1]}))
        server.calls(("draft", {"ranks": [1]}))
        server.replies("It can't be read.")
        result = await asked(core, "zig, save 1", f"file:{tmp_path}/missing.jsonl")
        user = await core.people.person("test", "1")
        assert await core.people.saved(user.id) == []
    assert [(a.tool, a.ok) for a in result.actions] == [
        ("scout", False),
        ("save", False),
        ("draft", False),
    ]
    assert result.drafts == ()
    told = server.asked_for("triage")[-1]["messages"]
    assert "there is no shortlist yet" in told[-1]["content"]


async def test_nothing_is_remembered_of_whom_nothing_is_kept(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """A save and a change of the profile are wrong calls, and both are told to the model."""
    server.calls(("scout", {"query": "rust"}), ("change_profile", {"add_skills": ["Rust"]}))
    server.replies(counting_down(5))
    server.calls(("save", {"ranks": [1]}))
    server.replies("I keep nothing.")
    async with product(tmp_path, server) as core:
        user = await core.people.person("test", "1")
        request = AskRequest(text="I know Rust, save the best", sources=(source,))
        run_id = await core.runner.create(user.id, request)
        await core.runner.launch(run_id)
        result = await core.runner.wait(run_id)
        assert isinstance(result, AskResult)
        assert (await core.people.profile(user.id)).empty
        assert await core.people.saved(user.id) == []
    assert result.reply == "I keep nothing."
    assert sorted((a.tool, a.ok) for a in result.actions) == [
        ("change_profile", False),
        ("save", False),
        ("scout", True),
    ]
    told = json.dumps(server.asked_for("triage")[-1]["messages"])
    assert told.count("nothing is remembered for this caller") == 2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("teleport", {}), "there is no tool 'teleport'"),
        (("scout", {"kinds": ["wizard"]}), "scout: kinds.0"),
        (("scout", {"query": 7}), "scout: query"),
        (("draft", {}), "draft: ranks"),
        (("draft", {"ranks": [1]}), "there is no shortlist yet"),
        (("explain", {"rank": 3}), "there is no shortlist yet"),
        (("save", {"ranks": []}), "save: ranks"),
    ],
)
async def test_a_wrong_call_is_told_to_the_model(
    tmp_path: Path,
    server: LlmServer,
    source: str,
    call: tuple[str, dict[str, object]],
    words: str,
) -> None:
    """A tool that there isn't, arguments that it does not take: the model is told, and goes on."""
    server.calls(call)
    server.replies("Sorry, that does not go.")
    async with product(tmp_path, server) as core:
        result = await asked(core, "do something", source)
    assert result.reply == "Sorry, that does not go."
    assert [a.ok for a in result.actions] == [False]
    assert words in server.asked_for("triage")[1]["messages"][-1]["content"]


@pytest.mark.parametrize(
    "behaviour",
    [
        Reply(text="", times=None),
        Reply(text="I can't.", times=None, finish_reason="content_filter"),
        Reply(text="One rust g", times=None, finish_reason="length"),
        Fail(503, times=None),
        Fail(429, times=None, retry_after=60),
        Delay(2.0, times=None),
        ToolFault("malformed_arguments", times=None),
        ToolFault("unknown_tool", times=None),
    ],
    ids=lambda behaviour: repr(behaviour)[:40],
)
async def test_whatever_the_model_does_the_words_are_understood(
    tmp_path: Path, server: LlmServer, source: str, behaviour: Reply
) -> None:
    """Empty, refused, cut, out, limited, late or broken: the rules answer, and that is said."""
    server.will(behaviour)
    async with product(tmp_path, server, llm_timeout_s=0.3) as core:
        result = await asked(core, SENTENCE, source)
    assert result.status == RunStatus.COMPLETED
    assert titles(result) == ["Rust parser"]
    assert [n for n in result.notices if n.startswith("Understood")]


async def test_the_model_is_asked_back(tmp_path: Path, server: LlmServer, source: str) -> None:
    """A question of the model's is the answer, and what it is answered is understood with it."""
    server.calls(("ask_back", {"question": "Which city?"}))
    async with product(tmp_path, server) as core:
        first = await asked(core, "jobs near me", source)
        server.calls(("scout", {"query": "rust", "locations": ["Lyon"]}))
        server.replies(counting_down(1), "One in Lyon.")
        second = await asked(core, "Lyon", source)
    assert first.reply == "Which city?"
    assert titles(second) == ["Rust kiosk"]
    said = [m["content"] for m in server.asked_for("triage")[1]["messages"]]
    assert said[1:] == ["jobs near me", "Which city?", "Lyon"]


async def test_memory_is_bounded_and_one_persons_own(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """Long conversations are summarised: what is sent stops growing; nobody sees another's."""
    server.answers_in_text()
    sizes = []
    async with product(tmp_path, server) as core:
        for number in range(18):
            await asked(core, f"secret-{number} " + "word " * 300, source)
            sizes.append(len(json.dumps(server.asked_for("triage")[-1]["messages"])))
        assert "secret-9" in json.dumps(server.asked_for("triage")[-1]["messages"])
        await asked(core, "hello", source, person="2")
        other = json.dumps(server.asked_for("triage")[-1]["messages"])
    assert sizes[-1] <= sizes[13] + 50
    assert max(sizes) < 12_000
    assert "secret-" not in other


async def test_handing_on_for_ever_ends_with_what_was_found(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """The sixth handoff ends the run; what was found so far is shown, unranked."""
    scout = Reply(tool_calls=(ToolCall("scout", {"query": "rust"}),), times=None)
    server.will(Reply(text=counting_down(5), times=None, match=Match(tools=False)), scout)
    async with product(tmp_path, server) as core:
        result = await asked(core, "keep looking", source)
        events = await core.ledger.events(result.run_id)
    assert result.status == RunStatus.FAILED
    assert result.error is not None
    assert result.error.type == "routing-exhausted"
    assert result.usage.handoffs == 5
    assert result.partial
    assert len(result.matches) == 5
    assert {m.score for m in result.matches} == {None}
    assert sum("handoff" in e.data for e in events) == 5
    assert result.receipt is not None
    assert result.receipt.undone == ("5 scores removed",)


async def test_calling_tools_for_ever_ends_at_the_steps(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """A model that never answers uses up the run's steps; nothing of it is kept."""
    note = ToolCall("change_profile", {"add_skills": ["Rust"]})
    server.will(Reply(tool_calls=(note,), times=None))
    async with product(tmp_path, server) as core:
        result = await asked(core, "I know Rust", source)
        user = await core.people.person("test", "1")
        assert (await core.people.profile(user.id)).empty
    assert result.error is not None
    assert result.error.type == "max-steps-exceeded"
    assert len(server.asked_for("triage")) == 20


async def test_a_source_that_fails_is_told_to_the_model(tmp_path: Path, server: LlmServer) -> None:
    """A scout that comes to nothing is skipped: the model is told, and the run answers."""
    server.calls(("scout", {"query": "rust"}))
    server.replies("The source can't be read.")
    async with product(tmp_path, server) as core:
        result = await asked(core, "rust", f"file:{tmp_path}/missing.jsonl")
        assert await what(core, result) == ["scout skipped"]
    assert result.status == RunStatus.COMPLETED
    assert result.reply == "The source can't be read."
    assert [(a.tool, a.ok) for a in result.actions] == [("scout", False)]
    assert "error" in server.asked_for("triage")[1]["messages"][-1]["content"]


async def test_a_cancelled_request_remembers_nothing(
    tmp_path: Path, server: LlmServer, source: str
) -> None:
    """What was to be remembered is kept only when all is done: a cancel before leaves no trace."""
    server.calls(("change_profile", {"add_skills": ["Rust"]}), ("save", {"ranks": [1]}))
    server.will(Delay(0.0), Delay(3.0))
    asks, second = [], asyncio.Event()

    def note(event: Event) -> None:
        asks.extend([event] if event.data.get("settled") is False else [])
        if len(asks) == 2:
            second.set()

    async with product(tmp_path, server) as core:
        core.orchestrator.subscribe(note)
        user = await core.people.person("test", "1")
        request = AskRequest(text="I know Rust", sources=(source,), remember=True)
        run_id = await core.runner.create(user.id, request)
        await core.runner.launch(run_id)
        await asyncio.wait_for(second.wait(), 20)
        assert await core.runner.cancel(run_id)
        result = await core.runner.wait(run_id)
        assert result.status == RunStatus.CANCELLED
        assert (await core.people.profile(user.id)).empty


async def test_the_undo_of_an_answer(tmp_path: Path, server: LlmServer, source: str) -> None:
    """The profile and the saved list are as before, also what was saved earlier."""
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(5), "Five.")
    async with product(tmp_path, server) as core:
        user = await core.people.person("test", "1")
        await asked(core, "rust", source)
        server.calls(("save", {"ranks": [1]}))
        server.replies("Saved.")
        await asked(core, "save 1", source)
        server.calls(("save", {"ranks": [1, 2]}), ("change_profile", {"add_skills": ["Rust"]}))
        server.replies("Saved.")
        result = await asked(core, "save 1 and 2, I know Rust", source)
        assert len(await core.people.saved(user.id)) == 2
        saga = core.runner.saga("ask", "ask@1")
        undone = await saga.step("reply").undo(result.run_id)  # type: ignore[misc]
        assert undone == "what was to be remembered is as it was before"
        assert len(await core.people.saved(user.id)) == 1
        assert (await core.people.profile(user.id)).empty


async def test_a_reply_has_no_links(tmp_path: Path, server: LlmServer, source: str) -> None:
    """Links come from the postings' own records only: the model's are left out."""
    server.replies("Apply at https://evil.example/now or www.evil.example\u0007!")
    async with product(tmp_path, server) as core:
        result = await asked(core, "hello", source)
    assert result.reply == "Apply at (link left out) or (link left out) !"


async def test_a_question_has_no_links(tmp_path: Path, server: LlmServer, source: str) -> None:
    """What the model asks back is its words, too: no link, no control characters."""
    question = "Log in at https://evil.example/now first\u0007\u202e?"
    server.calls(("ask_back", {"question": question}))
    async with product(tmp_path, server) as core:
        result = await asked(core, "hello", source)
    assert result.reply == "Log in at (link left out) first  ?"


@pytest.mark.parametrize(
    ("finish", "said"),
    [
        ("length", r'"content": "One rust gig \ud83e"'),
        ("content_filter", r'"content": "\udd80 no"'),
        ("tool_calls", CALLED % ("scout", r"{\"query\":\"ru\\ud83e\"}")),
        ("tool_calls", CALLED % ("scout", r"{\"\\ud83e\":1}")),
        ("tool_calls", CALLED % (r"sc\ud83eout", "{}")),
        ("tool_calls", CALLED % ("change_profile", r"{\"about\":\"a\\u0000b\"}")),
    ],
)
async def test_half_a_character_of_a_model(
    tmp_path: Path, source: str, finish: str, said: str
) -> None:
    """An answer that was cut in the middle of an emoji (JSON can carry that) is one that can't be
    used, and no broken step."""
    async with says(finish, said) as settings, product(tmp_path, None, **settings) as core:
        result = await asked(core, SENTENCE, source)
    assert result.status == RunStatus.COMPLETED, result.error
    assert titles(result) == ["Rust parser"]
    assert [n for n in result.notices if n.startswith("Understood")]


@pytest.mark.parametrize(
    ("finish", "said", "reply"),
    [
        ("stop", r'"content": "One \udd80 gig"', "One ? gig"),
        ("tool_calls", CALLED % ("ask_back", r"{\"question\":\"Wo \ud83e?\"}"), "Wo ??"),
    ],
)
async def test_half_a_character_in_an_answer(
    tmp_path: Path, source: str, finish: str, said: str, reply: str
) -> None:
    """The rest of it can be read."""
    async with says(finish, said) as settings, product(tmp_path, None, **settings) as core:
        result = await asked(core, SENTENCE, source)
    assert (result.status, result.reply) == (RunStatus.COMPLETED, reply)


@asynccontextmanager
async def says(finish: str, said: str) -> AsyncIterator[dict[str, str]]:
    """A model that always says this, as the JSON of a message; settings that lead to it."""
    message = f'{{"role": "assistant", {said}}}'
    choice = f'{{"index": 0, "finish_reason": "{finish}", "message": {message}}}'
    body = (
        '{"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": ['
        + choice
        + '], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}'
    )

    async def complete(_request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    application = web.Application()
    application.router.add_post("/v1/chat/completions", complete)
    async with serve(application, "127.0.0.1", 0) as address:
        yield {"openai_api_key": "k", "openai_base_url": f"{address}/v1"}


async def test_the_result_is_as_the_schema_says(
    tmp_path: Path, server: LlmServer, source: str, real_data: Path
) -> None:
    """What `GET /v1/runs/{id}` has as result is what the contract's schema describes."""
    from bot.web.runs import DETAILS

    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(5), "Five.")
    async with product(tmp_path, server) as core:
        result = await asked(core, "rust", source)
        row = await core.runs.get(result.run_id)
        assert row is not None
        from agents.run_details import RunReader

        reader = RunReader(core.runs, core.ledger, core.runner)
        body = json.loads(DETAILS.dump_json(await reader.details(row)))
    schema = json.loads((real_data.parent / "schemas/ask-result.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(body["result"])
    assert body["result"]["reply"] == "Five."
    assert body["kind"] == "ask"

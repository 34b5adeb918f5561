"""The chat completions API, over the SDKs of OpenAI and of Groq: what is sent, what comes back, and
what an error means."""

import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio
import respx

from agents.llm.chat_api import OUT_OF_CREDIT_S, ChatApi, Sdk
from agents.llm.groq import Groq
from agents.llm.openai import OpenAi
from agents.llm.port import (
    Answer,
    Finish,
    LlmFailed,
    Message,
    Prompt,
    Role,
    Schema,
    Tool,
    ToolCall,
)
from agents.llm.tokens import prompt_tokens, tokens_of
from resilience.fault import FaultKind

KEY = "sk-secret-4711"
PROMPT = Prompt(
    purpose="match",
    messages=(Message(role=Role.SYSTEM, text="told"), Message(role=Role.USER, text="asked")),
    answer_tokens_max=321,
)
# Bugs, reported: a lone surrogate in what is sent (half a character that a model's own answer may
# have) raises UnicodeEncodeError; a tool call whose arguments are null or an object comes as
# "None" or as Python's repr; a connection that times out counts as billed; without a usage the
# tool calls of an answer are not counted.


pytestmark = pytest.mark.asyncio(loop_scope="module")  # making a client takes 30 ms


@pytest.fixture(scope="module", params=["openai", "groq"])
def sdk(request: pytest.FixtureRequest) -> Sdk:
    """Each of the two."""
    if request.param == "openai":
        return OpenAi(KEY, "https://llm.test/openai/v1")
    return Groq(KEY, "https://llm.test")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(sdk: Sdk) -> AsyncIterator[ChatApi]:
    """A vendor's models, closed at the end."""
    api = ChatApi(sdk, model="big-1", fast_model="small-1", timeout_s=5.0)
    yield api
    await api.close()


@pytest.fixture
def route() -> Iterator[respx.Route]:
    """Where both SDKs ask."""
    with respx.mock() as router:
        yield router.post("https://llm.test/openai/v1/chat/completions").respond(json=said("yes"))


def said(text: object, finish: str | None = "stop", **more: object) -> dict[str, object]:
    """A response's body."""
    message = {"role": "assistant", "content": text} | more
    return {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1,
        "model": "big-1",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 3, "total_tokens": 33},
    }


async def failure(api: ChatApi) -> LlmFailed:
    """What asking it comes to."""
    with pytest.raises(LlmFailed) as failed:
        await api.complete(PROMPT)
    assert KEY not in str(failed.value)
    assert str(failed.value).startswith(f"{api.name}: ")
    return failed.value


def sent(route: respx.Route) -> dict[str, object]:
    """The body of the last request."""
    body: dict[str, object] = json.loads(route.calls.last.request.content)
    return body


# --- what is sent -----------------------------------------------------------------------------


async def test_a_plain_question(api: ChatApi, route: respx.Route) -> None:
    """The model, the messages, how long the answer may be, no chance; nothing else."""
    await api.complete(PROMPT)
    assert sent(route) == {
        "model": "big-1",
        "messages": [
            {"role": "system", "content": "told"},
            {"role": "user", "content": "asked"},
        ],
        "max_completion_tokens": 321,
        "temperature": 0.0,
    }
    assert route.calls.last.request.headers["authorization"] == f"Bearer {KEY}"
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("model", "thinks"),
    [
        ("gpt-4o-mini", False),
        ("llama-3.3-70b-versatile", False),
        ("gpt-oss-20b", True),
        ("openai/gpt-oss-120b", True),
        ("gpt-5-mini", True),
        ("o3-mini", True),
        ("foo-o1", False),
    ],
)
async def test_models_that_think(sdk: Sdk, route: respx.Route, model: str, thinks: bool) -> None:
    """Take no temperature, and are to think little."""
    api = ChatApi(sdk, model=model, fast_model="small-1", timeout_s=5.0)
    await api.complete(PROMPT)
    await api.close()
    body = sent(route)
    assert body["model"] == model
    assert ("temperature" in body) is not thinks
    assert body.get("reasoning_effort") == ("low" if thinks else None)


async def test_the_fast_model(api: ChatApi, route: respx.Route) -> None:
    """Answers where a prompt says so."""
    await api.complete(Prompt(purpose="t", messages=(), answer_tokens_max=1, fast=True))
    assert sent(route)["model"] == "small-1"


async def test_a_schema(api: ChatApi, route: respx.Route) -> None:
    """Is strict."""
    schema = Schema(name="judgements", body={"type": "object"})
    await api.complete(Prompt(purpose="t", messages=(), answer_tokens_max=1, schema=schema))
    assert sent(route)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "judgements", "strict": True, "schema": {"type": "object"}},
    }


async def test_tools_and_a_conversation_with_them(api: ChatApi, route: respx.Route) -> None:
    """The tools, the calls that were made, and their results under the calls' ids."""
    call = ToolCall(id="c1", name="scout", arguments='{"query":"ж"}')
    await api.complete(
        Prompt(
            purpose="t",
            messages=(
                Message(role=Role.ASSISTANT, text="", calls=(call,)),
                Message(role=Role.TOOL, text="found", call_id="c1"),
            ),
            answer_tokens_max=1,
            tools=(Tool(name="scout", description="Look.", parameters={"type": "object"}),),
        )
    )
    body = sent(route)
    function = {"name": "scout", "description": "Look.", "parameters": {"type": "object"}}
    assert body["tools"] == [{"type": "function", "function": function}]
    made = {"name": "scout", "arguments": '{"query":"ж"}'}
    assert body["messages"] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "c1", "type": "function", "function": made}],
        },
        {"role": "tool", "content": "found", "tool_call_id": "c1"},
    ]


# --- what comes back --------------------------------------------------------------------------


async def test_an_answer(api: ChatApi, route: respx.Route) -> None:
    """Its words, and the tokens that the vendor counts."""
    assert await api.complete(PROMPT) == Answer(text="yes", tokens=33)


@pytest.mark.parametrize(
    ("body", "text", "finish"),
    [
        (said(None), "", Finish.DONE),
        (said(""), "", Finish.DONE),
        (said("ye", "length"), "ye", Finish.CUT),
        (said("ye", None), "ye", Finish.DONE),
        (said("", "content_filter"), "", Finish.REFUSED),
        (said(None, refusal="I won't."), "I won't.", Finish.REFUSED),
        (said("But", "length", refusal="no"), "But", Finish.REFUSED),
        (said("yes", tool_calls=None), "yes", Finish.DONE),
    ],
)
async def test_how_an_answer_ends(
    api: ChatApi, route: respx.Route, body: dict[str, object], text: str, finish: Finish
) -> None:
    """Done, cut off, or refused; no words are an empty text."""
    route.respond(json=body)
    answer = await api.complete(PROMPT)
    assert (answer.text, answer.finish, answer.calls) == (text, finish, ())


async def test_tool_calls(api: ChatApi, route: respx.Route) -> None:
    """Come as the model wrote them, valid or not."""
    made = [
        {"id": "a", "type": "function", "function": {"name": "scout", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "nix", "arguments": "{oops"}},
    ]
    route.respond(json=said(None, "tool_calls", tool_calls=made))
    answer = await api.complete(PROMPT)
    assert answer.calls == (
        ToolCall(id="a", name="scout", arguments="{}"),
        ToolCall(id="b", name="nix", arguments="{oops"),
    )
    assert (answer.text, answer.finish) == ("", Finish.DONE)


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"total_tokens": None}, {"total_tokens": 0}, {"total_tokens": "9"}, [], "many"],
)
async def test_a_vendor_that_does_not_count(
    api: ChatApi, route: respx.Route, usage: object
) -> None:
    """Then it is estimated, never nothing."""
    route.respond(json=said("yes sir") | {"usage": usage})
    expected = prompt_tokens(PROMPT) + tokens_of("yes sir")
    assert (await api.complete(PROMPT)).tokens == expected
    assert expected > 0


@pytest.mark.parametrize(
    "body",
    [
        b"<h1>Welcome</h1>",
        b"{oops",
        b'{"choices": [',
        b'"yes"',
        b"[1]",
        b"null",
        b"",
        b'{"choices": "\xff"}',
        b"{}",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": [{"finish_reason": "stop"}]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"finish_reason": "stop", "message": {"content": ["yes"]}}]}',
        b'{"choices": [{"finish_reason": "stop", "message": {"content": 5}}]}',
        b'{"choices": [{"finish_reason": "stop", "message": {"tool_calls": [{"id": "a"}]}}]}',
        b'{"choices": [{"finish_reason": "stop", "message": {"tool_calls": 7}}]}',
    ],
)
async def test_an_answer_that_is_none(api: ChatApi, route: respx.Route, body: bytes) -> None:
    """Whatever came, it may have been billed, and another attempt may do better."""
    kind = "text/html" if body.startswith(b"<") else "application/json"
    route.respond(content=body, headers={"content-type": kind})
    failed = await failure(api)
    assert (failed.fault.kind, failed.billed) == (FaultKind.TRANSIENT, True)


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 529, 408, 409, 425])
async def test_it_may_be_asked_again(api: ChatApi, route: respx.Route, status: int) -> None:
    """In a moment, or when the vendor says; an error is not billed."""
    route.respond(status, text="<h1>Bad gateway</h1>", headers={"Retry-After": "7"})
    failed = await failure(api)
    assert (failed.fault.kind, failed.fault.retry_after_s) == (FaultKind.TRANSIENT, 7.0)
    assert (str(failed), failed.billed) == (f"{api.name}: HTTP {status}", False)
    assert route.call_count == 1  # the guard asks again, not the SDK


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        (None, None),
        ("20", 20.0),
        ("0", 0.0),
        (" 1.5 ", 1.5),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
async def test_too_many_requests(
    api: ChatApi, route: respx.Route, header: str | None, wait_s: float | None
) -> None:
    """Nobody asks until the time that the vendor says is over, if it says one in seconds."""
    headers = {} if header is None else {"Retry-After": header}
    route.respond(429, json={"error": {"code": "rate_limit_exceeded"}}, headers=headers)
    failed = await failure(api)
    assert (failed.fault.kind, failed.fault.retry_after_s) == (FaultKind.THROTTLED, wait_s)
    assert (str(failed), failed.billed) == (f"{api.name}: too many requests", False)


@pytest.mark.parametrize("field", ["code", "type"])
async def test_out_of_credit(api: ChatApi, route: respx.Route, field: str) -> None:
    """It is left alone for a quarter of an hour, whatever else it says."""
    route.respond(429, json={"error": {field: "insufficient_quota"}}, headers={"Retry-After": "1"})
    failed = await failure(api)
    assert str(failed) == f"{api.name}: out of credit"
    assert failed.fault.kind is FaultKind.THROTTLED
    assert failed.fault.retry_after_s == OUT_OF_CREDIT_S == 900


@pytest.mark.parametrize("body", ['{"error": "slow down"}', '{"error": {"code": [1]}}', "[]", "x"])
async def test_an_error_of_any_form(api: ChatApi, route: respx.Route, body: str) -> None:
    """Is understood by its status."""
    route.respond(429, text=body, headers={"content-type": "application/json"})
    assert str(await failure(api)) == f"{api.name}: too many requests"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_is_never_quoted(api: ChatApi, route: respx.Route, status: int) -> None:
    """Vendors do quote it."""
    message = f"Incorrect API key provided: {KEY}."
    route.respond(status, json={"error": {"message": message, "code": KEY}})
    failed = await failure(api)
    assert str(failed) == f"{api.name}: HTTP {status}, its key is not accepted"
    assert (failed.fault.kind, failed.billed) == (FaultKind.IN_VAIN, False)


async def test_what_we_did_wrong_is_quoted(api: ChatApi, route: respx.Route) -> None:
    """In one line, and not for ever."""
    route.respond(400, json={"error": {"message": "No such\n\n model: " + "x" * 1_000}})
    failed = await failure(api)
    assert str(failed).startswith(f"{api.name}: HTTP 400 (No such model: xxx")
    assert len(str(failed)) < 230
    assert (failed.fault.kind, failed.billed) == (FaultKind.IN_VAIN, False)


@pytest.mark.parametrize("body", [{}, {"error": {"message": None}}, {"error": {}}, []])
async def test_an_error_without_words(api: ChatApi, route: respx.Route, body: object) -> None:
    """Is its status alone."""
    route.respond(404, json=body)
    assert str(await failure(api)) == f"{api.name}: HTTP 404"


async def test_nobody_is_sent_elsewhere(api: ChatApi, route: respx.Route) -> None:
    """A redirect would take the key along."""
    route.respond(307, headers={"Location": "https://elsewhere.test/"})
    assert (await failure(api)).fault.kind is FaultKind.IN_VAIN
    assert route.call_count == 1


@pytest.mark.parametrize(
    ("error", "words", "billed"),
    [
        (httpx.ConnectError("refused"), "not reached", False),
        (httpx.ReadError("reset"), "not reached", True),
        (httpx.RemoteProtocolError("gone in the middle"), "not reached", True),
        (httpx.WriteError("broken pipe"), "not reached", True),
        (httpx.ReadTimeout("slow"), "no answer in time", True),
        (httpx.WriteTimeout("slow"), "no answer in time", True),
    ],
)
async def test_the_connection(
    api: ChatApi, route: respx.Route, error: Exception, words: str, billed: bool
) -> None:
    """Who was never reached bills nothing; who was may have answered all the same."""
    route.mock(side_effect=error)
    failed = await failure(api)
    assert str(failed) == f"{api.name}: {words}"
    assert (failed.fault.kind, failed.billed) == (FaultKind.TRANSIENT, billed)


# --- the models that there are ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (["big-1", "small-1", "x"], []),
        (["small-1"], ["big-1"]),
        (["x"], ["big-1", "small-1"]),
        ([], []),
    ],
)
async def test_models_that_are_not_there(
    api: ChatApi, there: list[str], missing: list[str]
) -> None:
    """Are named, unless the vendor names none at all."""
    body = {"object": "list", "data": [{"id": name, "object": "model"} for name in there]}
    with respx.mock() as router:
        router.get("https://llm.test/openai/v1/models").respond(json=body)
        assert await api.missing_models() == missing


async def test_asking_for_models_fails_as_asking_does(api: ChatApi) -> None:
    """In the same words."""
    with respx.mock() as router:
        router.get("https://llm.test/openai/v1/models").respond(401, json={})
        with pytest.raises(LlmFailed, match="its key is not accepted"):
            await api.missing_models()


# --- its life ---------------------------------------------------------------------------------


async def test_it_is_prepared_once(sdk: Sdk, route: respx.Route) -> None:
    """Whoever asks, and before that when somebody wants it warm; closing needs neither."""
    api = ChatApi(sdk, model="big-1", fast_model="small-1", timeout_s=5.0)
    await api.close()
    await api.prepare()
    await api.prepare()
    assert (await api.complete(PROMPT)).text == "yes"
    await api.close()
    await api.close()
    assert api.name in ("openai", "groq")

"""The chat completions API as OpenAI's and Groq's SDKs have it: one SDK made from one template, so
one way to ask and to read serves both. The SDK itself is loaded by its own file, when first asked.
"""

import asyncio
import json
import logging
import math
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, Protocol

import httpx

from agents.llm.port import Answer, Finish, LlmFailed, Message, Prompt, ToolCall
from agents.llm.tokens import prompt_tokens, tokens_of
from resilience.fault import BROKEN, IN_VAIN, TRANSIENT, Fault, FaultKind

log = logging.getLogger(__name__)

OUT_OF_CREDIT_S = 900.0
"""How long a vendor without credit is left alone: its account can't be asked, only tried again."""
_THINKS = re.compile(r"(?:^|/)(?:o\d|gpt-5|gpt-oss)")
"""Models that think first: they take no temperature, and think as little as they can for us."""
_TRY_AGAIN = frozenset({408, 409, 425})
_QUOTED_MAX = 200


class Sdk(Protocol):
    """One vendor's SDK."""

    name: str

    def load(self) -> ModuleType:
        """Import it; takes up to a second, so in a thread."""
        ...

    def client(self, sdk: ModuleType, http: object) -> Any:
        """A client of it over our own HTTP client, without retries of its own."""
        ...


class ChatApi:
    """Implements Vendor over an SDK. `model` answers, `fast_model` where a prompt says so; one
    request may take `timeout_s`."""

    def __init__(self, sdk: Sdk, *, model: str, fast_model: str, timeout_s: float) -> None:
        self.name = sdk.name
        self._sdk = sdk
        self._model = model
        self._fast_model = fast_model
        self._timeout_s = timeout_s
        self._ready: asyncio.Future[None] | None = None
        self._module: ModuleType | None = None
        self._http: httpx.AsyncClient | None = None
        self._client: Any = None

    async def prepare(self) -> None:
        """Load the SDK, once, in a thread; the first `complete` does it where nobody has."""
        if self._ready is None or (self._ready.done() and self._ready.exception() is not None):
            self._ready = asyncio.ensure_future(asyncio.to_thread(self._load))
        await asyncio.shield(self._ready)

    def _load(self) -> None:
        self._module = self._sdk.load()
        self._http = httpx.AsyncClient(timeout=self._timeout_s, follow_redirects=False)
        self._client = self._sdk.client(self._module, self._http)

    async def close(self) -> None:
        """Close its connections."""
        if self._ready is not None:
            await asyncio.wait({self._ready})
        if self._http is not None:
            await self._http.aclose()

    async def complete(self, prompt: Prompt) -> Answer:
        """The answer; raises LlmFailed."""
        model = self._fast_model if prompt.fast else self._model
        async with self._asking() as client:
            response = await client.chat.completions.create(**_request(prompt, model))
        return _answer(self.name, prompt, response)

    async def missing_models(self) -> list[str]:
        """Which of our models the account does not have; raises LlmFailed. It costs nothing."""
        async with self._asking() as client:
            listed = await client.models.list()
            there = {str(model.id) for model in listed.data or ()}
        wanted = dict.fromkeys((self._model, self._fast_model))
        return [model for model in wanted if there and model not in there]

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[Any]:
        """The client, loaded; whatever it raises comes out as LlmFailed, so that no fault of an SDK
        or of what it needs ends a run."""
        try:
            await self.prepare()
            assert self._module is not None  # noqa: S101 - it is loaded now
        except Exception as error:
            log.exception("%s: its SDK can't be loaded", self.name)
            raise LlmFailed(f"{self.name}: its SDK can't be loaded", BROKEN) from error
        try:
            yield self._client
        except self._module.APIError as error:
            raise _failed(self._module, self.name, error) from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:  # the SDK lets these through
            words = f"{self.name}: an answer that is not JSON"
            raise LlmFailed(words, TRANSIENT, billed=True) from error
        except (LlmFailed, TimeoutError):
            raise
        except Exception as error:
            kind = type(error).__name__
            raise LlmFailed(f"{self.name}: {kind} before it was asked", BROKEN) from error


def _request(prompt: Prompt, model: str) -> dict[str, object]:
    request: dict[str, object] = {
        "model": model,
        "messages": [_message(message) for message in prompt.messages],
        "max_completion_tokens": prompt.answer_tokens_max,
    }
    if _THINKS.search(model):
        request["reasoning_effort"] = "low"
    else:
        request["temperature"] = 0.0
    if prompt.schema is not None:
        schema = {"name": prompt.schema.name, "strict": True, "schema": prompt.schema.body}
        request["response_format"] = {"type": "json_schema", "json_schema": schema}
    if prompt.tools:
        request["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in prompt.tools
        ]
    return request


def _message(message: Message) -> dict[str, object]:
    said: dict[str, object] = {"role": message.role.value, "content": message.text}
    if message.calls:
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.calls
        ]
    if message.call_id is not None:
        said["tool_call_id"] = message.call_id
    return said


def _answer(name: str, prompt: Prompt, response: Any) -> Answer:
    """What the response says; SDKs hand on whatever JSON came, so nothing of it is certain."""
    try:
        choice = response.choices[0]
        said = choice.message
        text = said.content or ""
        refusal = getattr(said, "refusal", None) or ""
        calls = tuple(map(_call, said.tool_calls or ()))
        finish = _finish(choice.finish_reason, refused=bool(refusal))
    except (AttributeError, IndexError, TypeError) as error:
        words = f"{name}: an answer without a message"
        raise LlmFailed(words, TRANSIENT, billed=True) from error
    if not isinstance(text, str):
        raise LlmFailed(f"{name}: an answer that is no text", TRANSIENT, billed=True)
    text = _storable(text or str(refusal))
    return Answer(text=text, tokens=_used(prompt, response, text), calls=calls, finish=finish)


def _call(call: Any) -> ToolCall:
    arguments = call.function.arguments
    if not isinstance(arguments, str):
        arguments = "" if arguments is None else json.dumps(arguments, default=str)
    return ToolCall(
        id=_storable(str(call.id)),
        name=_storable(str(call.function.name)),
        arguments=_storable(arguments),
    )


def _storable(text: str) -> str:
    """The text without what no database takes: half a character, and the null one."""
    return text.encode("utf-8", "replace").decode().replace("\x00", " ")


def _finish(reason: object, *, refused: bool) -> Finish:
    if refused or reason == "content_filter":
        return Finish.REFUSED
    return Finish.CUT if reason == "length" else Finish.DONE


def _used(prompt: Prompt, response: Any, text: str) -> int:
    used = getattr(getattr(response, "usage", None), "total_tokens", None)
    if isinstance(used, int) and used > 0:
        return used
    return prompt_tokens(prompt) + tokens_of(text)


def _failed(sdk: ModuleType, name: str, error: Exception) -> LlmFailed:
    """The SDK's error in our words. What a vendor says of a key may quote it, so that is left
    out."""
    if isinstance(error, sdk.APITimeoutError):
        return LlmFailed(f"{name}: no answer in time", TRANSIENT, billed=True)
    if isinstance(error, sdk.APIStatusError):
        return _refused(name, error)
    reached = not isinstance(error.__cause__, httpx.ConnectError)
    if isinstance(error, sdk.APIConnectionError):
        return LlmFailed(f"{name}: not reached", TRANSIENT, billed=reached)
    return LlmFailed(f"{name}: an answer that can't be read", TRANSIENT, billed=True)


def _refused(name: str, error: Any) -> LlmFailed:
    status: int = error.status_code
    wait_s, said = _retry_after_s(error.response.headers), _said(error.body)
    if status == 429:
        if "insufficient_quota" in (said.get("code"), said.get("type")):
            wait_s = OUT_OF_CREDIT_S
            words = f"{name}: out of credit"
        else:
            words = f"{name}: too many requests"
        return LlmFailed(words, Fault(kind=FaultKind.THROTTLED, retry_after_s=wait_s))
    if status >= 500 or status in _TRY_AGAIN:
        fault = Fault(kind=FaultKind.TRANSIENT, retry_after_s=wait_s)
        return LlmFailed(f"{name}: HTTP {status}", fault)
    if status in (401, 403):
        return LlmFailed(f"{name}: HTTP {status}, its key is not accepted", IN_VAIN)
    quoted = " ".join(str(said.get("message") or "").split())[:_QUOTED_MAX]
    return LlmFailed(f"{name}: HTTP {status}{f' ({quoted})' if quoted else ''}", IN_VAIN)


def _said(body: object) -> Mapping[str, object]:
    """The error object of a body; OpenAI's SDK has unwrapped it, Groq's has not."""
    if not isinstance(body, Mapping):
        return {}
    inner = body.get("error")
    return inner if isinstance(inner, Mapping) else body


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None

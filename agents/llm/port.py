"""What agents ask of a language model, and what can go wrong.

LlmError
├── LlmFailed         one vendor gave no answer; `fault` says what that means for the next try
├── LlmUnavailable    no vendor gave one, or none is configured: the caller's fallback has to do
└── OutputInvalid     answers came, and none could be used
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from resilience.fault import Fault

NO_MODEL = "no language model is configured"


class LlmError(Exception):
    """A language model was no help."""


class LlmFailed(LlmError):  # noqa: N818 - names the event
    """One vendor gave no answer. `billed` says whether it may charge for the attempt."""

    def __init__(self, problem: str, fault: Fault, *, billed: bool = False) -> None:
        super().__init__(problem)
        self.fault = fault
        self.billed = billed


class LlmUnavailable(LlmError):  # noqa: N818 - names the situation
    """No vendor can be asked now. `configured` is False when there is none at all."""

    def __init__(self, problem: str, *, configured: bool = True) -> None:
        super().__init__(problem)
        self.problem = problem
        self.configured = configured

    @property
    def told(self) -> str:
        """Why there is no answer, in words for people."""
        return "no language model answers now" if self.configured else NO_MODEL


class OutputInvalid(LlmError):  # noqa: N818 - what the output is
    """The answers were invalid, also after they were sent back with the reason."""


class Role(StrEnum):
    """Who says a message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool that the model wants called. `arguments` is its JSON, unchecked."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation; `call_id` names the tool call whose result it is."""

    role: Role
    text: str
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that the model may call; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The JSON schema that an answer has to follow."""

    name: str
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One question to a model. `fast` asks the vendor's small model; `purpose` names the work in
    the ledger."""

    purpose: str
    messages: tuple[Message, ...]
    answer_tokens_max: int
    schema: Schema | None = None
    tools: Sequence[Tool] = field(default=())
    fast: bool = False


class Finish(StrEnum):
    """Why an answer ended."""

    DONE = "done"
    CUT = "cut"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model said. `tokens` counts the question and the answer, as the vendor bills them."""

    text: str
    tokens: int
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = Finish.DONE


class Account(Protocol):
    """Who pays: told before a model is asked what that may take, and afterwards what it took."""

    async def intend(self, effect: str, tokens: int) -> None:
        """Journal that a model is about to be asked. Raises what ends the run when it has not that
        many tokens left."""
        ...

    async def settle(self, effect: str, tokens: int) -> None:
        """Journal what it took."""
        ...


class LanguageModel(Protocol):
    """Answers prompts."""

    async def complete(self, prompt: Prompt, account: Account) -> Answer:
        """The answer; raises LlmUnavailable when there is nobody to give one."""
        ...


class Vendor(Protocol):
    """One vendor's models, unguarded."""

    name: str

    async def complete(self, prompt: Prompt) -> Answer:
        """The answer; raises LlmFailed."""
        ...

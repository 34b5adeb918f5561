"""Language models for tests: a scripted one in process, and what agents are told of who pays."""

import time
from collections.abc import Callable, Sequence

from agents.action.agent import ActionAgent, Writing
from agents.action.port import Drafts
from agents.action.writer import LlmWriter
from agents.configs import find_config
from agents.llm.port import Account, Answer, LanguageModel, LlmError, Prompt, ToolCall
from tests.fakes.caches import memory_drafts
from tests.fakes.clock import FixedClock

CONFIG = find_config("scout@1").values

Said = Answer | LlmError | Callable[[Prompt], Answer]


class ScriptedModel:
    """Implements LanguageModel: gives the scripted answers, the last one again and again."""

    def __init__(self, *script: Said | str) -> None:
        self._script = [says(s) if isinstance(s, str) else s for s in script]
        self.asked: list[Prompt] = []

    async def complete(self, prompt: Prompt, account: Account) -> Answer:
        """The next answer of the script, paid for."""
        said = self._script[min(len(self.asked), len(self._script) - 1)]
        self.asked.append(prompt)
        if isinstance(said, LlmError):
            raise said
        answer = said(prompt) if callable(said) else said
        await account.intend(f"llm:{prompt.purpose}:{len(self.asked)}", answer.tokens)
        await account.settle(f"llm:{prompt.purpose}:{len(self.asked)}", answer.tokens)
        return answer


class MemoryAccount:
    """Implements Account: remembers what was intended and what was settled."""

    def __init__(self) -> None:
        self.intended: list[tuple[str, int]] = []
        self.settled: list[tuple[str, int]] = []

    async def intend(self, effect: str, tokens: int) -> None:
        """Remember it."""
        self.intended.append((effect, tokens))

    async def settle(self, effect: str, tokens: int) -> None:
        """Remember it."""
        self.settled.append((effect, tokens))


class MemoryTexts:
    """Implements RunTexts in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    async def keep_text(self, run_id: str, name: str, body: str) -> None:
        """Keep it."""
        self.kept[run_id, name] = body

    async def text(self, run_id: str, name: str) -> str | None:
        """What was kept."""
        return self.kept.get((run_id, name))


def says(text: str, tokens: int = 100) -> Answer:
    """An answer in words."""
    return Answer(text=text, tokens=tokens)


def calls(*wanted: tuple[str, str], text: str = "") -> Answer:
    """An answer that calls tools: their names, and their arguments as JSON."""
    return Answer(
        text=text,
        tokens=100,
        calls=tuple(
            ToolCall(id=f"call-{number}", name=name, arguments=arguments)
            for number, (name, arguments) in enumerate(wanted)
        ),
    )


def writing(
    owner: str = "ada", *, account: Account | None = None, template_allowed: bool = True
) -> Writing:
    """How drafts are wanted."""
    return Writing(
        owner=owner,
        told=CONFIG.prompts.draft_told,
        account=account or MemoryAccount(),
        within_s=30.0,
        template_allowed=template_allowed,
    )


def action_agent(
    drafts: Drafts, model: LanguageModel | None = None, texts: MemoryTexts | None = None
) -> ActionAgent:
    """An Action agent in memory, with a model to write with or without."""
    return ActionAgent(
        drafts,
        memory_drafts(FixedClock()),
        texts or MemoryTexts(),
        time.monotonic,
        None if model is None else LlmWriter(model),
    )


def tools_offered(prompt: Prompt) -> Sequence[str]:
    """The names of the tools in a prompt."""
    return [tool.name for tool in prompt.tools]

"""Models in the order in which they are asked, each attempt paid for by the run that makes it."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from agents.llm.port import Account, Answer, LlmFailed, LlmUnavailable, Prompt, Vendor
from agents.llm.tokens import prompt_tokens


class Guarded(Protocol):
    """A vendor and what stands between it and us."""

    @property
    def vendor(self) -> Vendor:
        """Who answers."""
        ...

    async def call(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        """The attempt's answer; it may be made once or more, or not at all. Raises LlmFailed."""
        ...


class InOrder:
    """Implements LanguageModel: the first vendor that answers."""

    def __init__(self, vendors: Sequence[Guarded]) -> None:
        self._vendors = vendors

    async def complete(self, prompt: Prompt, account: Account) -> Answer:
        """The first answer; raises LlmUnavailable, naming what each vendor said."""
        failures = []
        for guarded in self._vendors:
            try:
                return await guarded.call(_Attempt(guarded.vendor, prompt, account))
            except LlmFailed as failure:
                failures.append(str(failure))
        if not failures:
            raise LlmUnavailable("no language model is configured", configured=False)
        raise LlmUnavailable("; ".join(failures))


class _Attempt:
    """One attempt, journaled before and after. One that is cut short stays charged as intended:
    whether the vendor bills it nobody can tell."""

    def __init__(self, vendor: Vendor, prompt: Prompt, account: Account) -> None:
        self._vendor = vendor
        self._prompt = prompt
        self._account = account

    async def __call__(self) -> Answer:
        prompt = self._prompt
        effect = f"llm:{prompt.purpose}:{self._vendor.name}:{secrets.token_hex(4)}"
        await self._account.intend(effect, prompt_tokens(prompt) + prompt.answer_tokens_max)
        try:
            answer = await self._vendor.complete(prompt)
        except LlmFailed as failure:
            if not failure.billed:
                await self._account.settle(effect, 0)
            raise
        await self._account.settle(effect, answer.tokens)
        return answer

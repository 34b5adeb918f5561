"""Models in order, and what each attempt costs whom."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agents.llm.metered import InOrder
from agents.llm.port import Answer, LlmFailed, LlmUnavailable, Message, Prompt, Role, Tool
from agents.llm.tokens import prompt_tokens
from resilience.fault import CALLERS, TRANSIENT
from resilience.saga import KillSwitch
from tests.fakes.llm import MemoryAccount, says

PROMPT = Prompt(
    purpose="draft",
    messages=(Message(role=Role.USER, text="Write to them."),),
    answer_tokens_max=500,
    tools=(Tool(name="scout", description="looks", parameters={}),),
)
INTENDED = prompt_tokens(PROMPT) + 500


class ScriptedVendor:
    """Implements Vendor and Guarded: gives the scripted answers, one an attempt, and tries as often
    as its guard would."""

    def __init__(self, name: str, *script: Answer | Exception, attempts: int = 1) -> None:
        self.name = name
        self.attempts = attempts
        self.asked: list[Prompt] = []
        self._script = list(script)

    @property
    def vendor(self) -> "ScriptedVendor":
        """Itself."""
        return self

    async def complete(self, prompt: Prompt) -> Answer:
        """The next of the script."""
        self.asked.append(prompt)
        said = self._script.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    async def call(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        """Again, as long as there are attempts left."""
        for left in reversed(range(self.attempts)):
            try:
                return await attempt()
            except LlmFailed:
                if not left:
                    raise
        raise LlmFailed(f"{self.name}: not asked now", CALLERS)


class Journal(MemoryAccount):
    """An account that remembers in which order it heard of what."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    async def intend(self, effect: str, tokens: int) -> None:
        """Remember it."""
        await super().intend(effect, tokens)
        self.heard.append(f"intend {effect}")

    async def settle(self, effect: str, tokens: int) -> None:
        """Remember it."""
        await super().settle(effect, tokens)
        self.heard.append(f"settle {effect}")


class Broke(MemoryAccount):
    """An account of a run that has no tokens left."""

    async def intend(self, effect: str, tokens: int) -> None:
        """Refuse."""
        raise KillSwitch(f"{tokens} tokens are too many", type="token-budget-exhausted")


def down(name: str, *, billed: bool = False) -> LlmFailed:
    """A vendor's failure."""
    return LlmFailed(f"{name}: HTTP 503", TRANSIENT, billed=billed)


async def test_the_first_vendor_answers() -> None:
    """The next one is not asked, and the prompt comes as it is."""
    first, second = ScriptedVendor("one", says("yes", 42)), ScriptedVendor("two")
    account = Journal()
    answer = await InOrder([first, second]).complete(PROMPT, account)
    assert (answer.text, first.asked, second.asked) == ("yes", [PROMPT], [])
    ((effect, _),) = account.intended
    assert account.intended == [(effect, INTENDED)]
    assert account.settled == [(effect, 42)]
    assert effect.startswith("llm:draft:one:")


async def test_what_an_attempt_may_take_is_journaled_before_it() -> None:
    """A crash in the middle of it leaves it charged."""
    account = Journal()

    class Watching(ScriptedVendor):
        async def complete(self, prompt: Prompt) -> Answer:
            account.heard.append("asked")
            return await super().complete(prompt)

    await InOrder([Watching("one", says("yes"))]).complete(PROMPT, account)
    assert [heard.split(":")[0] for heard in account.heard] == ["intend llm", "asked", "settle llm"]


async def test_the_next_vendor_stands_in() -> None:
    """In the order given; each pays for its own attempt."""
    vendors = [
        ScriptedVendor("one", down("one")),
        ScriptedVendor("two", says("no", 9)),
        ScriptedVendor("three", says("maybe")),
    ]
    account = MemoryAccount()
    assert (await InOrder(vendors).complete(PROMPT, account)).text == "no"
    assert [effect.split(":")[2] for effect, _ in account.intended] == ["one", "two"]
    assert [tokens for _, tokens in account.settled] == [0, 9]


@pytest.mark.parametrize("billed", [True, False])
async def test_a_failure_costs_what_the_vendor_may_bill(billed: bool) -> None:
    """Nothing, if it can't bill it; else it stays charged as intended."""
    account = MemoryAccount()
    with pytest.raises(LlmUnavailable):
        await InOrder([ScriptedVendor("one", down("one", billed=billed))]).complete(PROMPT, account)
    ((effect, tokens),) = account.intended
    assert tokens == INTENDED
    assert account.settled == ([] if billed else [(effect, 0)])


async def test_each_attempt_is_an_effect_of_its_own() -> None:
    """A guard that tries three times is charged three times, under three names."""
    vendor = ScriptedVendor(
        "one", down("one"), down("one", billed=True), says("yes", 7), attempts=3
    )
    account = MemoryAccount()
    await InOrder([vendor]).complete(PROMPT, account)
    effects = [effect for effect, _ in account.intended]
    assert len(set(effects)) == 3
    assert account.settled == [(effects[0], 0), (effects[2], 7)]


async def test_a_vendor_that_is_not_asked_costs_nothing() -> None:
    """Its guard said no before any attempt."""
    account = MemoryAccount()
    vendors = [ScriptedVendor("one", attempts=0), ScriptedVendor("two", says("yes"))]
    await InOrder(vendors).complete(PROMPT, account)
    assert [effect.split(":")[2] for effect, _ in account.intended] == ["two"]


async def test_when_all_are_out_each_reason_is_said() -> None:
    """And that there are models at all."""
    vendors = [ScriptedVendor("one", down("one")), ScriptedVendor("two", attempts=0)]
    with pytest.raises(LlmUnavailable) as out:
        await InOrder(vendors).complete(PROMPT, MemoryAccount())
    assert out.value.problem == "one: HTTP 503; two: not asked now"
    assert out.value.configured


async def test_without_vendors_that_is_said() -> None:
    """It is no outage."""
    with pytest.raises(LlmUnavailable, match="no language model is configured") as out:
        await InOrder([]).complete(PROMPT, MemoryAccount())
    assert not out.value.configured


async def test_a_run_without_tokens_asks_nobody() -> None:
    """The run ends: no vendor is asked, and none stands in."""
    first, second = ScriptedVendor("one", says("yes")), ScriptedVendor("two", says("yes"))
    with pytest.raises(KillSwitch, match="too many"):
        await InOrder([first, second]).complete(PROMPT, Broke())
    assert (first.asked, second.asked) == ([], [])


async def test_a_cancelled_attempt_stays_charged() -> None:
    """Nobody can tell whether it is billed."""

    class Hanging(ScriptedVendor):
        async def complete(self, prompt: Prompt) -> Answer:
            await super().complete(prompt)
            raise asyncio.CancelledError

    account = MemoryAccount()
    with pytest.raises(asyncio.CancelledError):
        await InOrder([Hanging("one", says("late"))]).complete(PROMPT, account)
    assert len(account.intended) == 1
    assert account.settled == []


async def test_a_bug_is_no_outage() -> None:
    """It is neither settled nor covered by the next vendor."""
    account = MemoryAccount()
    vendors = [ScriptedVendor("one", ZeroDivisionError()), ScriptedVendor("two", says("yes"))]
    with pytest.raises(ZeroDivisionError):
        await InOrder(vendors).complete(PROMPT, account)
    assert account.settled == []

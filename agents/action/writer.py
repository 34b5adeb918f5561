"""A draft by a language model: asked for in a bounded prompt, checked before anybody sees it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial

from agents.action.checker import check
from agents.configs.prompts import NamedPrompt
from agents.domain.draft import Draft, DraftMethod
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from agents.domain.skill import canonical_skill
from agents.llm.port import Account, Answer, LanguageModel, Message, Prompt, Role
from agents.llm.quoting import quoted
from agents.llm.validator import Unreadable, validated

ANSWER_TOKENS_MAX = 600
_SKILLS_TOKENS, _ABOUT_TOKENS, _TEXT_TOKENS = 120, 260, 220
_WORDS_MIN = 15
_CLAIMS_NAMED = 5

KeepRaw = Callable[[str], Awaitable[None]]


class LlmWriter:
    """Writes drafts with a model; what it claims of a person stands in their profile, or it is
    taken out."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model

    async def write(
        self,
        opportunity: Opportunity,
        profile: Profile,
        told: NamedPrompt,
        account: Account,
        keep_raw: KeepRaw,
    ) -> Draft:
        """The draft; raises LlmUnavailable, OutputInvalid, and what the account raises."""
        prompt = await asyncio.to_thread(draft_prompt, told.text, opportunity, profile)
        read = partial(_read, opportunity, profile)
        return await validated(self._model, prompt, account, read, keep_raw)


def draft_prompt(told: str, opportunity: Opportunity, profile: Profile) -> Prompt:
    """The prompt for one draft, of a bounded number of tokens."""
    facts = {"person": _person(opportunity, profile), "posting": _posting(opportunity)}
    question = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    return Prompt(
        purpose="draft",
        messages=(
            Message(role=Role.SYSTEM, text=told),
            Message(role=Role.USER, text=question),
        ),
        answer_tokens_max=ANSWER_TOKENS_MAX,
    )


def _person(opportunity: Opportunity, profile: Profile) -> dict[str, object]:
    """The skills that the posting asks for come first: of many, the others are cut."""
    asked = set(opportunity.skills)
    skills = sorted(profile.skills, key=lambda skill: canonical_skill(skill) not in asked)
    return {
        "skills": quoted(", ".join(skills), _SKILLS_TOKENS),
        "about": quoted(profile.about, _ABOUT_TOKENS),
        "places": quoted(", ".join(profile.locations), 20),
        "remote": profile.remote,
    }


def _posting(o: Opportunity) -> dict[str, object]:
    """What the posting says, without what it says to software."""
    return {
        "kind": o.kind.value,
        "title": quoted(o.title, 30),
        "at": quoted(o.organisation, 15),
        "skills": quoted(", ".join(o.skills), 40),
        "text": quoted(o.description, _TEXT_TOKENS),
    }


async def _read(opportunity: Opportunity, profile: Profile, answer: Answer) -> Draft:
    if len(answer.text.split()) < _WORDS_MIN:
        raise Unreadable("it is empty or too short for an application")
    checked = await asyncio.to_thread(check, answer.text, profile, opportunity)
    if checked.rejected is not None:
        named = ", ".join(repr(claim.text) for claim in checked.unsupported[:_CLAIMS_NAMED])
        raise Unreadable(f"{checked.rejected}. The profile does not say: {named}")
    return Draft(opportunity_id=opportunity.id, method=DraftMethod.LLM, text=checked.text)

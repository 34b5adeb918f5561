"""Judging: the best of a ranking go to a language model, in one call, for a second opinion.

The model gives each posting that it was shown a score and a reason. It can't add a posting, since
the answer's schema has a place for those alone, and it never sees a link. What it said is
remembered for the person, the posting and the version of the prompt.
"""

import asyncio
import json
import logging
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from agents.configs.prompts import NamedPrompt
from agents.domain.codec import OPPORTUNITY, PROFILE
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from agents.domain.skill import canonical_skill, known_skill, skills_in
from agents.llm.port import (
    NO_MODEL,
    Account,
    Answer,
    LanguageModel,
    LlmUnavailable,
    OutputInvalid,
)
from agents.llm.validator import Unreadable, validated
from agents.matching.judge_prompt import judging_prompt
from agents.matching.port import RunTexts
from cache.kind import Kind
from cache.tiered import TieredCache
from resilience.deadline import deadline

JUDGED_MAX = 20
SCORES = Kind(name="score", version=1)
_KEYS = "score-keys"
_RAW = "raw-match"
_WHY_MAX = 160
_ADDRESS = re.compile(r"://|\bwww\.|@\w|\w\.\w+/|(?:\d[\s().-]?){8,}|\d+\.\d+\.\d+\.\d+")
_DOTTED = re.compile(r"\b[\w-]{2,}\.[a-zA-Z]{2,}\b")
_AT_ANY_TIME = datetime.min.replace(tzinfo=UTC)

log = logging.getLogger(__name__)


class Judgement(BaseModel):
    """What the model says of one posting; `score` is 0 to 100."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    score: float = Field(ge=0, le=100)
    why: str = Field(max_length=2_000)


_JUDGEMENT = TypeAdapter(Judgement | None)


class JudgementCodec:
    """Implements the cache's Codec. None is what stands in the place of a score that was undone."""

    def encode(self, value: Judgement | None) -> bytes:
        """As JSON."""
        return _JUDGEMENT.dump_json(value)

    def decode(self, data: bytes) -> Judgement | None:
        """The judgement again; raises ValueError for bytes that are none."""
        return _JUDGEMENT.validate_json(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Who asks: a run, its person, what they want, and the text that tells the model how."""

    run_id: str
    owner: str
    profile: Profile
    query: str
    prompt: NamedPrompt
    account: Account
    within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The judgements by the posting's id; none, and in `without_ai` why, when there was no model or
    its answers could not be used. `configured` tells that there is one."""

    by_id: Mapping[str, Judgement]
    without_ai: str | None = None
    configured: bool = True


class Judge:
    """Asks the model, if there is one, and remembers what it said."""

    def __init__(
        self,
        model: LanguageModel | None,
        said: TieredCache[Judgement | None],
        texts: RunTexts,
        monotonic: Callable[[], float],
    ) -> None:
        self._model = model
        self._said = said
        self._texts = texts
        self._monotonic = monotonic

    async def judge(self, best: Sequence[Opportunity], wanted: Wanted) -> Judged:
        """A judgement of each posting, of JUDGED_MAX at most; raises what the account raises."""
        best = best[:JUDGED_MAX]
        if self._model is None:
            return Judged(by_id={}, without_ai=NO_MODEL, configured=False)
        keys = await asyncio.to_thread(_keys, wanted, best)
        found = await asyncio.gather(*(self._said.find(key) for key in keys.values()))
        known = {name: said for name, said in zip(keys, found, strict=True) if said is not None}
        unknown = [o for o in best if o.id not in known]
        if not unknown:
            return Judged(by_id=known)
        try:
            fresh = await self._ask(self._model, unknown, wanted)
        except LlmUnavailable as out:
            log.debug("run %s is ranked without AI: %s", wanted.run_id, out.problem)
            return Judged(by_id={}, without_ai=out.told)
        except OutputInvalid as invalid:
            log.warning("run %s is ranked without AI: %s", wanted.run_id, invalid)
            return Judged(by_id={}, without_ai="the language model's answers could not be used")
        await self._remember(wanted, {keys[name]: said for name, said in fresh.items()})
        return Judged(by_id=known | fresh)

    async def unscore(self, run_id: str) -> None:
        """Drop what was remembered with the run, whose scores are undone."""
        kept = await self._texts.text(run_id, _KEYS)
        for key, owner in json.loads(kept or "[]"):
            await self._said.put(key, None, tag=owner)

    async def _ask(
        self, model: LanguageModel, unknown: Sequence[Opportunity], wanted: Wanted
    ) -> dict[str, Judgement]:
        names = {f"p{number}": o for number, o in enumerate(unknown, 1)}
        prompt = await asyncio.to_thread(
            judging_prompt, wanted.prompt.text, wanted.profile, wanted.query, names
        )
        keep_raw = partial(self._texts.keep_text, wanted.run_id, _RAW)
        read = partial(_read, names, wanted.profile)
        with deadline(wanted.within_s, self._monotonic):
            return await validated(model, prompt, wanted.account, read, keep_raw)

    async def _remember(self, wanted: Wanted, said: Mapping[str, Judgement]) -> None:
        """The keys are journaled first: what is cached can be undone."""
        kept = json.loads(await self._texts.text(wanted.run_id, _KEYS) or "[]")
        keys = [*kept, *((key, wanted.owner) for key in said)]  # a run may judge twice
        await self._texts.keep_text(wanted.run_id, _KEYS, json.dumps(keys))
        for key, judgement in said.items():
            await self._said.put(key, judgement, tag=wanted.owner)


async def _read(
    names: Mapping[str, Opportunity], profile: Profile, answer: Answer
) -> dict[str, Judgement]:
    """The judgements by the posting's id, or why there are none; raises Unreadable."""
    return await asyncio.to_thread(_judgements, names, profile, answer.text)


def _judgements(
    names: Mapping[str, Opportunity], profile: Profile, text: str
) -> dict[str, Judgement]:
    said = _object(text)
    if strange := [name for name in said if name not in names]:
        raise Unreadable(f"there is no posting {strange[0][:20]!r}; there are {', '.join(names)}")
    if missing := [name for name in names if name not in said]:
        raise Unreadable(f"nothing is said of {', '.join(missing)}")
    person = {*map(canonical_skill, profile.skills), *skills_in(profile.about)}
    return {o.id: _judgement(name, said[name], o, person) for name, o in names.items()}


def _object(text: str) -> dict[str, object]:
    plain = text.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        said = json.loads(plain)
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is not JSON" if text.strip() else "it is empty") from error
    if not isinstance(said, dict):
        raise Unreadable("it is not a JSON object")
    return said


def _judgement(name: str, said: object, o: Opportunity, person: Set[str]) -> Judgement:
    try:
        judgement = Judgement.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join((name, *map(str, first["loc"])))
        raise Unreadable(f"{where}: {first['msg']}") from error
    return judgement.model_copy(
        update={"score": round(judgement.score, 1), "why": _reason(judgement.why, o, person)}
    )


def _reason(why: str, o: Opportunity, person: Set[str]) -> str:
    """The reason as it may be shown: one short line without links, and without a skill that
    neither side has; else nothing."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in why).split())
    named = skills_in(plain)
    if _leads_away(plain) or not {*o.skills, *person}.issuperset(named):
        return ""
    return plain if len(plain) <= _WHY_MAX else plain[:_WHY_MAX].rsplit(" ", 1)[0] + "…"


def _leads_away(text: str) -> bool:
    """Whether there is an address in it, or what Telegram or a reader may take for one."""
    plain = unicodedata.normalize("NFKC", text)
    dotted = (m[0].lower() for m in _DOTTED.finditer(plain))
    return bool(_ADDRESS.search(plain)) or any(not known_skill(word) for word in dotted)


def _keys(wanted: Wanted, postings: Sequence[Opportunity]) -> dict[str, str]:
    """A key for each posting's id: the same for the same person, wish, posting and prompt, whenever
    the posting was seen."""
    wish = PROFILE.dump_json(wanted.profile) + wanted.query.encode()
    who = f"{wanted.owner}\n{wanted.prompt.name}\n{wanted.prompt.text}\n".encode()
    keys = {}
    for o in postings:
        posting = OPPORTUNITY.dump_json(replace(o, fetched_at=_AT_ANY_TIME, also_at=()))
        keys[o.id] = sha256(who + wish + posting).hexdigest()
    return keys

"""Versioned configurations: one TOML file each, named NAME@VERSION, checked when loaded."""

import tomllib
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from agents.configs.prompts import NamedPrompt, find_prompt
from agents.domain.errors import InvalidValue

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)


class RankingWeights(BaseModel):
    """How much each part of a score counts; only their proportions matter. The place is no part:
    it multiplies."""

    model_config = _STRICT

    skills: float
    """Skills and words that the posting names."""
    role: float
    """The kind of role that its title and skills point to."""
    topic: float
    """Closeness in topic, learned from the postings."""
    pay: float
    freshness: float


_Seconds = Annotated[float, Field(gt=0, le=86_400)]


class RunLimits(BaseModel):
    """What one run may take, from its start to its end and over restarts."""

    model_config = _STRICT

    steps: Annotated[int, Field(ge=1, le=1_000)]
    tokens: Annotated[int, Field(ge=0, le=100_000_000)]
    handoffs: Annotated[int, Field(ge=0, le=1_000)]
    timeout_s: _Seconds
    apify_usd: Annotated[float, Field(ge=0, le=1_000)]


class Prompts(BaseModel):
    """What language models are told, by the names of the texts."""

    model_config = _STRICT

    match: str
    draft: str

    @field_validator("*")
    @classmethod
    def _there(cls, name: str) -> str:
        return find_prompt(name).name

    @property
    def match_told(self) -> NamedPrompt:
        """What the model is told that judges postings."""
        return find_prompt(self.match)

    @property
    def draft_told(self) -> NamedPrompt:
        """What the model is told that writes drafts."""
        return find_prompt(self.draft)


class ScoutConfig(BaseModel):
    """What a configuration of the scout saga sets. Deadlines are in seconds."""

    model_config = _STRICT

    draft_fallback: bool
    """Whether the template may write where no language model can."""
    discover_deadline_s: _Seconds
    match_deadline_s: _Seconds
    act_deadline_s: _Seconds
    undo_deadline_s: _Seconds
    limits: RunLimits
    prompts: Prompts
    ranking: RankingWeights


class AskPrompts(Prompts):
    """What the model of the front desk is told besides."""

    triage: str

    @property
    def triage_told(self) -> NamedPrompt:
        """What the model is told that reads free text."""
        return find_prompt(self.triage)


class AskConfig(ScoutConfig):
    """What a configuration of the ask saga sets: all of a scout's, since it may scout."""

    plan_deadline_s: _Seconds
    reply_deadline_s: _Seconds
    tool_timeout_s: _Seconds
    """For one tool that is called within a step."""
    prompts: AskPrompts


C = TypeVar("C", bound=ScoutConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Limits that an operator sets for all configurations; None leaves a configuration's own."""

    steps: int | None = None
    tokens: int | None = None
    handoffs: int | None = None
    timeout_s: float | None = None
    apify_usd: float | None = None
    discover_deadline_s: float | None = None
    match_deadline_s: float | None = None
    act_deadline_s: float | None = None
    undo_deadline_s: float | None = None

    def applied(self, config: C) -> C:
        """The configuration under these limits."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        limits = {name: given.pop(name) for name in RunLimits.model_fields if name in given}
        return config.model_copy(update=given | {"limits": config.limits.model_copy(update=limits)})


@dataclass(frozen=True, slots=True)
class NamedConfig(Generic[C]):
    """A configuration with its name, such as `scout@1`."""

    name: str
    values: C


@lru_cache(maxsize=1)
def scout_configs() -> dict[str, NamedConfig[ScoutConfig]]:
    """Every configuration of a scout that ships, by name; raises InvalidValue for a file that is
    wrong."""
    return _configs("scout", ScoutConfig)


@lru_cache(maxsize=1)
def ask_configs() -> dict[str, NamedConfig[AskConfig]]:
    """The same for free text."""
    return _configs("ask", AskConfig)


def _configs(kind: str, model: type[C]) -> dict[str, NamedConfig[C]]:
    """The configurations whose names begin with the kind."""
    found = {}
    for file in sorted(files("agents.configs").iterdir(), key=lambda f: f.name):
        name, _, suffix = file.name.rpartition(".")
        if suffix == "toml" and name.startswith(kind):
            try:
                values = model.model_validate(tomllib.loads(file.read_text("utf-8")))
            except (tomllib.TOMLDecodeError, ValidationError) as error:
                words = "what agents/configs/scout@1.toml has"
                raise InvalidValue(f"configuration {name}", str(error), words) from error
            found[name] = NamedConfig(name, values)
    return found


def find_config(name: str) -> NamedConfig[ScoutConfig]:
    """The scout's configuration called `name`; raises InvalidValue naming those that exist."""
    return _find(name, scout_configs())


def find_ask_config(name: str) -> NamedConfig[AskConfig]:
    """The ask configuration called `name`; raises InvalidValue naming those that exist."""
    return _find(name, ask_configs())


def _find(name: str, configs: dict[str, NamedConfig[C]]) -> NamedConfig[C]:
    if name not in configs:
        raise InvalidValue("config", f"unknown configuration {name[:60]!r}", ", ".join(configs))
    return configs[name]

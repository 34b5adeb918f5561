"""Versioned configurations: one TOML file each, named NAME@VERSION, checked when loaded."""

import tomllib
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agents.domain.errors import InvalidValue

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)


class RankingWeights(BaseModel):
    """How much each part of a score counts; only their proportions matter."""

    model_config = _STRICT

    skills: float
    title: float
    place: float
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
    ranking: RankingWeights


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

    def applied(self, config: ScoutConfig) -> ScoutConfig:
        """The configuration under these limits."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        limits = {name: given.pop(name) for name in RunLimits.model_fields if name in given}
        return config.model_copy(update=given | {"limits": config.limits.model_copy(update=limits)})


@dataclass(frozen=True, slots=True)
class NamedConfig:
    """A configuration with its name, such as `scout@1`."""

    name: str
    values: ScoutConfig


@lru_cache(maxsize=1)
def all_configs() -> dict[str, NamedConfig]:
    """Every configuration that ships, by name; raises InvalidValue for a file that is wrong."""
    found = {}
    for file in sorted(files("agents.configs").iterdir(), key=lambda f: f.name):
        name, _, suffix = file.name.rpartition(".")
        if suffix == "toml":
            try:
                values = ScoutConfig.model_validate(tomllib.loads(file.read_text("utf-8")))
            except (tomllib.TOMLDecodeError, ValidationError) as error:
                raise InvalidValue(f"configuration {name}", str(error), "see scout@1") from error
            found[name] = NamedConfig(name, values)
    return found


def find_config(name: str) -> NamedConfig:
    """The configuration called `name`; raises InvalidValue naming those that exist."""
    configs = all_configs()
    if name not in configs:
        raise InvalidValue("config", f"unknown configuration {name[:60]!r}", ", ".join(configs))
    return configs[name]

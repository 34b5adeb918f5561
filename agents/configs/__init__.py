"""Versioned configurations: one TOML file each, named NAME@VERSION, checked when loaded."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, ValidationError

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


class ScoutConfig(BaseModel):
    """What a configuration of the scout saga sets. Deadlines are in seconds."""

    model_config = _STRICT

    draft_fallback: bool
    """Whether the template may write where no language model can."""
    discover_deadline_s: float
    match_deadline_s: float
    act_deadline_s: float
    undo_deadline_s: float
    ranking: RankingWeights


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

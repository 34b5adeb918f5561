"""What language models are told: one text a file, named NAME@VERSION. What a model said under one
version is never taken for an answer under another."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from agents.domain.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class NamedPrompt:
    """A text for a model with its name, such as `match@1`."""

    name: str
    text: str


@lru_cache(maxsize=1)
def _all_prompts() -> dict[str, NamedPrompt]:
    found = {}
    for file in sorted(files(__name__).iterdir(), key=lambda f: f.name):
        name, _, suffix = file.name.rpartition(".")
        if suffix == "txt":
            found[name] = NamedPrompt(name, file.read_text("utf-8").strip())
    return found


def find_prompt(name: str) -> NamedPrompt:
    """The text called `name`; raises InvalidValue naming those that exist."""
    prompts = _all_prompts()
    if name not in prompts:
        raise InvalidValue("prompt", f"unknown prompt {name[:60]!r}", ", ".join(prompts))
    return prompts[name]

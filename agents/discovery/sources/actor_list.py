"""The list of Apify actors: a JSON file with an input template for each kind of need."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from agents.discovery.layout import Layout
from agents.discovery.port import Need
from agents.discovery.sources.json_list import Strict, read_list
from agents.domain.errors import InvalidValue
from agents.domain.kind import Kind
from agents.domain.place import parse_location

ACTORS_MAX = 50
_PLACEHOLDER = re.compile(r"\{(words|place|year|items_max)\}")
_SKILLS_ASKED = 3
"""More words in one search find less."""


class InputTemplate(Strict):
    """An actor's input. Texts may hold {words}, {place}, {year} and {items_max}; `kinds` limits
    it to needs of these kinds, `constants` is what its postings then are."""

    kinds: tuple[Kind, ...] = ()
    input: dict[str, object]
    constants: dict[str, str | bool] = Field(default_factory=dict)


class Actor(Strict):
    """One actor: what it finds, what it may cost, how it is asked and how its items are read."""

    actor: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,60}[/~][A-Za-z0-9._-]{1,60}$")]
    title: str
    kinds: tuple[Kind, ...]
    period_s: Annotated[float, Field(ge=1)]
    timeout_s: Annotated[int, Field(ge=1, le=170)]
    memory_mbytes: Annotated[int, Field(ge=128, le=32768)]
    items_max: Annotated[int, Field(ge=1, le=1000)]
    charge_max_usd: Annotated[float, Field(gt=0, le=5)]
    inputs: Annotated[tuple[InputTemplate, ...], Field(min_length=1)]
    fields: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _whole(self) -> "Actor":
        for template in self.inputs:
            try:
                self.layout(template)
            except InvalidValue as invalid:
                raise ValueError(str(invalid)) from None
        return self

    def layout(self, template: InputTemplate) -> Layout:
        """How the items of one of its inputs are written."""
        return Layout(fields=self.fields, constants=template.constants)

    def inputs_for(self, need: Need) -> Iterator[InputTemplate]:
        """Its inputs that can find something of the kinds that are needed (none named: all)."""
        wanted = set(need.kinds) or set(Kind)
        for template in self.inputs:
            if wanted & set(template.kinds or self.kinds):
                yield template


class _ActorList(Strict):
    actors: Annotated[tuple[Actor, ...], Field(max_length=ACTORS_MAX)]


def load_actors(path: Path | None) -> tuple[Actor, ...]:
    """The actors of the file (None: the shipped list); raises InvalidValue."""
    return read_list(_ActorList, path, shipped="actors.json", setting="APIFY_ACTORS_FILE").actors


def fill(template: InputTemplate, need: Need, *, year: int, items_max: int) -> dict[str, object]:
    """The template's input for a need. The same need, in whatever order it is said, gives the
    same input, so that its run can be shared."""
    skills = sorted(skill.lower() for skill in need.skills[:_SKILLS_ASKED])
    words = need.query.lower() or " ".join(skills)
    values: dict[str, object] = {
        "words": " ".join(words.split()),
        "place": _place(need),
        "year": year,
        "items_max": items_max,
    }
    filled = _filled(template.input, values)
    assert isinstance(filled, dict)  # noqa: S101 - a dict stays one
    return filled


def _place(need: Need) -> str:
    """The first place, by the name that all its aliases share."""
    if not need.locations:
        return "Remote" if need.remote else ""
    read = parse_location(need.locations[0]).places
    named = next((p.city or p.region or p.country for p in read), None)
    return named.title() if named else need.locations[0]


def input_key(actor: str, run_input: dict[str, object]) -> str:
    """The same for the same actor and input."""
    text = json.dumps([actor, run_input], sort_keys=True)
    return f"apify:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _filled(value: object, values: dict[str, object]) -> object:
    if isinstance(value, dict):
        return {name: _filled(inner, values) for name, inner in value.items()}
    if isinstance(value, list):
        return [v for v in (_filled(inner, values) for inner in value) if v != ""]
    if not isinstance(value, str):
        return value
    alone = _PLACEHOLDER.fullmatch(value)
    if alone:
        return values[alone[1]]  # a number stays a number
    return " ".join(_PLACEHOLDER.sub(lambda found: str(values[found[1]]), value).split())

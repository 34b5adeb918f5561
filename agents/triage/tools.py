"""The tools that triage may call, as strict models: what a call asks for is checked here, whoever
makes it, a model or the router."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from agents.domain.kind import Kind
from agents.domain.pay import MinPay, Period
from agents.domain.profile import (
    ABOUT_MAX,
    LOCATION_LENGTH_MAX,
    LOCATIONS_MAX,
    SKILL_LENGTH_MAX,
    SKILLS_MAX,
)
from agents.domain.run import EXCLUDED_MAX, QUERY_MAX
from agents.llm.port import Tool, ToolCall

RANKS_MAX = 5
_ARGUMENTS_MAX = 20_000

Rank = Annotated[int, Field(ge=1, le=100)]
Ranks = Annotated[list[Rank], Field(min_length=1, max_length=RANKS_MAX)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=SKILL_LENGTH_MAX, pattern=r"\S")]
PlaceName = Annotated[
    str, StringConstraints(min_length=1, max_length=LOCATION_LENGTH_MAX, pattern=r"\S")
]


class Call(BaseModel):
    """What one tool is asked to do."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class LeastPay(Call):
    """The least that is wanted, as an amount for a period."""

    amount: Annotated[float, Field(gt=0, lt=1e12)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    period: Annotated[Period, Field(strict=False)]

    def min_pay(self) -> MinPay:
        """As the product has it."""
        return MinPay(amount=self.amount, currency=self.currency, period=self.period)


Kinds = Annotated[list[Annotated[Kind, Field(strict=False)]], Field(max_length=len(Kind))]


class ScoutCall(Call):
    """Look for opportunities. Leave out what the person did not say."""

    query: Annotated[str, StringConstraints(max_length=QUERY_MAX)] = ""
    kinds: Kinds = []
    remote: bool | None = None
    locations: Annotated[list[PlaceName], Field(max_length=LOCATIONS_MAX)] = []
    skills: Annotated[list[Word], Field(max_length=50)] = []
    min_pay: LeastPay | None = None
    exclude: Annotated[list[Word], Field(max_length=EXCLUDED_MAX)] = []


class DraftCall(Call):
    """Write an application for these ranks of the shortlist."""

    ranks: Ranks


class SaveCall(Call):
    """Keep these ranks of the shortlist for the person."""

    ranks: Ranks


class ExplainCall(Call):
    """Why the match of this rank is where it is."""

    rank: Rank


class ChangeProfileCall(Call):
    """Remember what the person tells of themselves. What is left out stays as it is."""

    add_skills: Annotated[list[Word], Field(max_length=SKILLS_MAX)] = []
    remove_skills: Annotated[list[Word], Field(max_length=SKILLS_MAX)] = []
    locations: Annotated[list[PlaceName], Field(max_length=LOCATIONS_MAX)] | None = None
    remote: bool | None = None
    kinds: Kinds | None = None
    min_pay: LeastPay | None = None
    about: Annotated[str, StringConstraints(max_length=ABOUT_MAX)] | None = None


class AskBackCall(Call):
    """Ask the person one short question, when what they want can't be told."""

    question: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"\S")]


CALLS: dict[str, type[Call]] = {
    "scout": ScoutCall,
    "draft": DraftCall,
    "save": SaveCall,
    "explain": ExplainCall,
    "change_profile": ChangeProfileCall,
    "ask_back": AskBackCall,
}
C = TypeVar("C", bound=Call)


class WrongCall(Exception):  # noqa: N818 - what it is
    """A tool that there isn't, or arguments that it does not take, in words for who called."""


def tools() -> Sequence[Tool]:
    """The tools as a model is told of them."""
    return [
        Tool(name=name, description=(call.__doc__ or "").strip(), parameters=_schema(call))
        for name, call in CALLS.items()
    ]


def read_call(call: ToolCall) -> Call:
    """What a call asks for; raises WrongCall."""
    wanted = CALLS.get(call.name)
    if wanted is None:
        raise WrongCall(f"there is no tool {call.name[:40]!r}; there are {', '.join(CALLS)}")
    if len(call.arguments) > _ARGUMENTS_MAX:
        raise WrongCall(f"{call.name}: its arguments are over {_ARGUMENTS_MAX:,} characters")
    try:
        said = wanted.model_validate_json(call.arguments or "{}")
        said.model_dump_json().encode()
    except UnicodeError as error:
        raise WrongCall(f"{call.name}: characters that can't be stored") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "arguments"
        raise WrongCall(f"{call.name}: {where}: {first['msg']}") from error
    if "\\u0000" in said.model_dump_json():
        raise WrongCall(f"{call.name}: characters that can't be stored")
    return said


def _schema(call: type[Call]) -> dict[str, Any]:
    schema = call.model_json_schema()
    schema.pop("description", None)
    plain: dict[str, Any] = _without_titles(schema)
    return plain


def _without_titles(schema: Any) -> Any:
    """The schema without the names that Pydantic adds: they cost tokens and say nothing."""
    if isinstance(schema, dict):
        return {
            name: _without_titles(value)
            for name, value in schema.items()
            if not (name == "title" and isinstance(value, str))
        }
    return [_without_titles(part) for part in schema] if isinstance(schema, list) else schema

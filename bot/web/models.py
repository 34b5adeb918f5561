"""What the run API takes and gives, as strict models: nothing is coerced, nothing unknown is let
through. The OpenAPI description is made of these."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from agents.domain.ask import TEXT_MAX, AskRequest
from agents.domain.kind import Kind
from agents.domain.pay import MinPay, Period
from agents.domain.profile import (
    ABOUT_MAX,
    LOCATION_LENGTH_MAX,
    LOCATIONS_MAX,
    SKILL_LENGTH_MAX,
    SKILLS_MAX,
    Profile,
)
from agents.domain.run import DRAFTS_MAX, LIMIT_MAX, QUERY_MAX, SOURCES_MAX, ScoutRequest

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)
_ANY = r"^[^\x00]*$"
# What Python takes for a blank; and at least one character that is none.
_BLANKS = r"\x00-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SOME = rf"^[^\x00]*[^{_BLANKS}][^\x00]*$"

Query = Annotated[str, StringConstraints(max_length=QUERY_MAX, pattern=_ANY)]
Text = Annotated[str, StringConstraints(max_length=TEXT_MAX, pattern=_SOME)]
About = Annotated[str, StringConstraints(max_length=ABOUT_MAX, pattern=_ANY)]
Skill = Annotated[str, StringConstraints(max_length=SKILL_LENGTH_MAX, pattern=_SOME)]
Location = Annotated[str, StringConstraints(max_length=LOCATION_LENGTH_MAX, pattern=_SOME)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
SourceSpec = Annotated[str, StringConstraints(max_length=200, pattern=_SOME)]
ConfigName = Annotated[str, StringConstraints(max_length=200, pattern=_ANY)]
"""Which there are is looked up: an unknown one has an answer of its own."""


class MinPayIn(BaseModel):
    """The least that is wanted."""

    model_config = _STRICT

    amount: Annotated[float, Field(gt=0, lt=1e12, allow_inf_nan=False)]
    currency: Currency
    period: Period


class ProfileIn(BaseModel):
    """Who the opportunities are for. What is left out asks for nothing."""

    model_config = _STRICT

    skills: Annotated[list[Skill], Field(max_length=SKILLS_MAX)] = []
    locations: Annotated[list[Location], Field(max_length=LOCATIONS_MAX)] = []
    remote: bool = False
    kinds: Annotated[list[Kind], Field(max_length=len(Kind))] = []
    min_pay: MinPayIn | None = None
    about: About = ""

    def profile(self) -> Profile:
        """As the product has it."""
        pay = self.min_pay
        return Profile(
            skills=tuple(self.skills),
            locations=tuple(self.locations),
            remote=self.remote,
            kinds=tuple(self.kinds),
            min_pay=None
            if pay is None
            else MinPay(amount=pay.amount, currency=pay.currency, period=pay.period),
            about=self.about,
        )


class ScoutIn(BaseModel):
    """A scout to be run. Without `sources` those of the settings are asked."""

    model_config = _STRICT

    kind: Literal["scout"]
    query: Query = ""
    profile: ProfileIn = ProfileIn()
    sources: Annotated[list[SourceSpec], Field(max_length=SOURCES_MAX)] = []
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = 10
    drafts: Annotated[int, Field(ge=0, le=DRAFTS_MAX)] = 1
    config: ConfigName = "scout@1"

    def request(self, default_sources: tuple[str, ...]) -> ScoutRequest:
        """As the product has it."""
        return ScoutRequest(
            query=self.query,
            profile=self.profile.profile(),
            sources=tuple(self.sources) or default_sources,
            limit=self.limit,
            drafts=self.drafts,
            config=self.config,
        )


class AskIn(BaseModel):
    """Free words, to be understood and acted on. Without `sources` those of the settings are asked
    where it scouts."""

    model_config = _STRICT

    kind: Literal["ask"]
    text: Text
    profile: ProfileIn = ProfileIn()
    sources: Annotated[list[SourceSpec], Field(max_length=SOURCES_MAX)] = []
    config: ConfigName = "ask@1"

    def request(self, default_sources: tuple[str, ...]) -> AskRequest:
        """As the product has it."""
        return AskRequest(
            text=self.text,
            profile=self.profile.profile(),
            sources=tuple(self.sources) or default_sources,
            config=self.config,
        )


RunIn = ScoutIn | AskIn
RUN_IN: TypeAdapter[RunIn] = TypeAdapter(Annotated[RunIn, Field(discriminator="kind")])


class Links(BaseModel):
    """Where to go on."""

    self_: Annotated[str, Field(alias="self")]
    events: str
    cancel: str

    @classmethod
    def of(cls, run_id: str) -> "Links":
        """The links of a run."""
        path = f"/v1/runs/{run_id}"
        return cls.model_validate(
            {"self": path, "events": f"{path}/events", "cancel": f"{path}/cancel"}
        )


class QueuePlace(BaseModel):
    """How many runs get their turn before it does, itself counted, and about how long that is."""

    position: int
    wait_s: float


class Accepted(BaseModel):
    """A run was journaled, or was before. `queue` is there while it waits for its turn."""

    run_id: str
    status: str
    links: Links
    queue: QueuePlace | None = None


class Cancelling(BaseModel):
    """The run is being stopped and undone."""

    run_id: str
    status: str


class Problem(BaseModel):
    """An error, after RFC 9457. `errors` names each place that is wrong."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None

"""A run of an actor: what it may take, and what it gave."""

from dataclasses import dataclass

from agents.domain.errors import InvalidValue


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What a run may take. All positive: to Apify a zero means no limit."""

    timeout_s: int
    memory_mbytes: int
    items_max: int
    charge_max_usd: float

    def __post_init__(self) -> None:
        for name in ("timeout_s", "memory_mbytes", "items_max", "charge_max_usd"):
            if getattr(self, name) <= 0:
                raise InvalidValue(name, "not positive", "more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorResult:
    """What a run found, as the actor wrote it: mostly objects, but that is for the caller to see.

    `truncated`: there was more than the limits allow. `ended_badly`: the run was ended by Apify, by
    its own limits or by an error, before it was done."""

    items: tuple[object, ...]
    cost_usd: float
    truncated: bool
    ended_badly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """This month's usage of the account, and where Apify stops it."""

    used_usd: float
    limit_usd: float


def bad_end(status: str) -> str:
    """Why a run found nothing, by Apify's status. Not in the actor's own words: they may quote what
    a person asked for, and this stays in logs."""
    match status:
        case "TIMED-OUT":
            return "the actor ran out of time and found nothing"
        case "ABORTED":
            return "the run was aborted at Apify and found nothing"
        case _:
            return "the actor failed"

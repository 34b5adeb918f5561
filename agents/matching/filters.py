"""Hard filters: what a person ruled out. Each posting left out is counted under one name."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from agents.domain.opportunity import Opportunity
from agents.domain.pay import PayVerdict, compare
from agents.domain.place import Place, covers, parse_location, parse_wanted
from agents.domain.profile import Profile


class PlaceFit(StrEnum):
    """How a posting's place stands to the places asked for."""

    ANY = "any"  # nobody asked
    HERE = "here"
    REMOTE = "remote"
    UNKNOWN = "unknown"  # the posting states no place
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceWish:
    """The places a person asked for; with both `places` and `remote`, either will do."""

    places: tuple[Place, ...]
    remote: bool

    @classmethod
    def of(cls, profile: Profile) -> "PlaceWish":
        """The wish in a profile."""
        places = (place for text in profile.locations for place in parse_wanted(text))
        remote = profile.remote or any(parse_location(t).remote for t in profile.locations)
        return cls(places=tuple(dict.fromkeys(places)), remote=remote)

    def fit(self, opportunity: Opportunity) -> PlaceFit:
        """How the posting stands to this wish."""
        if not self.places and not self.remote:
            return PlaceFit.ANY
        stated = [place for text in opportunity.locations for place in parse_location(text).places]
        if any(covers(wanted, place) for wanted in self.places for place in stated):
            return PlaceFit.HERE
        if self.remote and opportunity.remote:
            return PlaceFit.REMOTE
        if any(self._may_cover(place) for place in stated):
            return PlaceFit.UNKNOWN
        if stated or opportunity.remote:
            return PlaceFit.ELSEWHERE
        known_on_site = opportunity.remote is False and not self.places
        return PlaceFit.ELSEWHERE if known_on_site else PlaceFit.UNKNOWN

    def _may_cover(self, place: Place) -> bool:
        """Whether a place that we can't put on the map may lie in a country or area asked for."""
        return (
            place.country is None
            and place.area is None
            and any(wanted.city is None for wanted in self.places)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """What the filters let through, and the counts of what they did not."""

    kept: tuple[tuple[Opportunity, PlaceFit], ...]
    expired: int
    inactive: int
    filtered: Mapping[str, int]


def sift(
    opportunities: Iterable[Opportunity],
    profile: Profile,
    place: PlaceWish,
    dismissed: frozenset[str],
    now: datetime,
) -> Sifted:
    """Apply every filter the person set, in this order: kind, expired, inactive, not for me
    (dismissed), place, pay. A posting is dropped for what is known, never for what is not."""
    kept: list[tuple[Opportunity, PlaceFit]] = []
    dropped: Counter[str] = Counter()
    for opportunity in opportunities:
        reason = _before_place(opportunity, profile, dismissed, now)
        fit = place.fit(opportunity) if reason is None else PlaceFit.ANY
        reason = reason or _from_place_on(opportunity, profile, fit)
        if reason is None:
            kept.append((opportunity, fit))
        else:
            dropped[reason] += 1
    expired, inactive = dropped.pop("expired", 0), dropped.pop("inactive", 0)
    filtered = {
        name: dropped[name] for name in ("kind", "dismissed", "place", "pay") if dropped[name]
    }
    return Sifted(kept=tuple(kept), expired=expired, inactive=inactive, filtered=filtered)


def _before_place(
    opportunity: Opportunity, profile: Profile, dismissed: frozenset[str], now: datetime
) -> str | None:
    """The filters that need no place: reading places is the slow part."""
    reason = None
    if profile.kinds and opportunity.kind not in profile.kinds:
        reason = "kind"
    elif opportunity.expired(now):
        reason = "expired"
    elif opportunity.active is False:
        reason = "inactive"
    elif opportunity.id in dismissed:
        reason = "dismissed"
    return reason


def _from_place_on(opportunity: Opportunity, profile: Profile, fit: PlaceFit) -> str | None:
    if fit is PlaceFit.ELSEWHERE:
        return "place"
    wanted = profile.min_pay
    if wanted is not None and compare(opportunity.pay, wanted) is PayVerdict.LESS:
        return "pay"
    return None

"""Hard filters: what a person ruled out. Each posting left out is counted under one name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from agents.domain.opportunity import Opportunity
from agents.domain.pay import MinPay, Pay, PayVerdict, compare
from agents.domain.place import Place, covers, parse_location, parse_wanted
from agents.domain.profile import Profile
from agents.matching.metro import Reach


class PlaceFit(StrEnum):
    """How a posting's place stands to the places asked for."""

    ANY = "any"  # nobody asked
    HERE = "here"
    NEAR = "near"  # in the metro area of a city asked for
    REMOTE = "remote"
    UNKNOWN = "unknown"  # the posting states no place
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class _Stated:
    """What a posting's locations say: all places, and those that it is remote in."""

    places: tuple[Place, ...]
    remote_in: tuple[Place, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceWish:
    """The places a person asked for; with both `places` and `remote`, either will do. `home` is
    where they live, which says what is remote for them: the places, unless it is said apart."""

    places: tuple[Place, ...]
    remote: bool
    home: tuple[Place, ...]
    reach: Reach = field(compare=False, repr=False)
    _fits: dict[tuple[tuple[str, ...], bool | None], PlaceFit] = field(
        default_factory=dict, compare=False, repr=False
    )

    @classmethod
    def of(cls, profile: Profile, home: Sequence[str] = ()) -> "PlaceWish":
        """The wish in a profile, of who lives in these places."""
        named = (place for text in profile.locations for place in parse_wanted(text))
        places = tuple(dict.fromkeys(named))
        remote = profile.remote or any(parse_location(t).remote for t in profile.locations)
        lives = tuple(place for text in home for place in parse_wanted(text))
        return cls(places=places, remote=remote, home=lives or places, reach=Reach(places))

    def fit(self, opportunity: Opportunity) -> PlaceFit:
        """How the posting stands to this wish. A remote posting that names where it is remote
        is remote for who lives there, as far as that is known."""
        if not self.places and not self.remote:
            return PlaceFit.ANY
        key = opportunity.locations, opportunity.remote
        known = self._fits.get(key)
        if known is None:
            known = self._fits[key] = self._read(opportunity)
        return known

    def open_to(self, locations: tuple[str, ...]) -> bool:
        """Whether work that is remote in these locations is remote for the person too."""
        homes = {place.country for place in self.home} - {None}
        named = _stated(locations).remote_in
        return not named or any(self._lies_open(place, homes) for place in named)

    def _read(self, opportunity: Opportunity) -> PlaceFit:
        locations, remote = opportunity.locations, opportunity.remote
        stated = _stated(locations).places
        if any(covers(wanted, place) for wanted in self.places for place in stated):
            return PlaceFit.HERE
        if any(map(self.reach.covers, stated)):
            return PlaceFit.NEAR
        if self.remote and remote and (not self._home_known() or self.open_to(locations)):
            return PlaceFit.REMOTE
        if any(self._may_cover(place) for place in stated):
            return PlaceFit.UNKNOWN
        if stated or remote:
            return PlaceFit.ELSEWHERE
        known_on_site = remote is False and not self.places
        return PlaceFit.ELSEWHERE if known_on_site else PlaceFit.UNKNOWN

    def _home_known(self) -> bool:
        return any(place.country for place in self.home)

    def _lies_open(self, named: Place, homes: set[str | None]) -> bool:
        if named.country is not None:
            return named.country in homes
        return named.area is None or any(covers(named, wanted) for wanted in self.home)

    def _may_cover(self, place: Place) -> bool:
        """Whether a place that we can't put on the map may lie in a country or area asked for."""
        return (
            place.country is None
            and place.area is None
            and any(wanted.city is None for wanted in self.places)
        )


@lru_cache(maxsize=16_384)
def _stated(locations: tuple[str, ...]) -> _Stated:
    """`NYC`, `Remote in Canada` is remote in Canada; where no text says so, in all of them."""
    read = [parse_location(text) for text in locations]
    places = tuple(place for location in read for place in location.places)
    remote_in = tuple(place for location in read if location.remote for place in location.places)
    return _Stated(places, remote_in or places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """What the filters let through, and the counts of what they did not."""

    kept: tuple[tuple[Opportunity, PlaceFit], ...]
    expired: int
    inactive: int
    filtered: Mapping[str, int]


def sift(
    opportunities: Sequence[Opportunity],
    profile: Profile,
    place: PlaceWish,
    dismissed: frozenset[str],
    now: datetime,
) -> Sifted:
    """Apply every filter the person set, in this order: kind, expired, inactive, not for me
    (dismissed), place, pay. A posting is dropped for what is known, never for what is not."""
    of_kind = [o for o in opportunities if not profile.kinds or o.kind in profile.kinds]
    open_ones = [o for o in of_kind if o.deadline is None or o.deadline >= now]
    active = [o for o in open_ones if o.active is not False]
    welcome = [o for o in active if o.id not in dismissed]
    placed = [(o, fit) for o in welcome if (fit := place.fit(o)) is not PlaceFit.ELSEWHERE]
    wanted = profile.min_pay
    kept = [pair for pair in placed if wanted is None or not _pays_less(pair[0].pay, wanted)]
    dropped = {
        "kind": len(opportunities) - len(of_kind),
        "dismissed": len(active) - len(welcome),
        "place": len(welcome) - len(placed),
        "pay": len(placed) - len(kept),
    }
    return Sifted(
        kept=tuple(kept),
        expired=len(of_kind) - len(open_ones),
        inactive=len(open_ones) - len(active),
        filtered={name: count for name, count in dropped.items() if count},
    )


def _pays_less(pay: Pay | None, wanted: MinPay) -> bool:
    return pay is not None and compare(pay, wanted) is PayVerdict.LESS

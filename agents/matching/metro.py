"""Metro areas: the towns one can work in from a home in any of them.

`metros.json` lists each area's towns by region (state or province; "" where towns are told apart
without), written by us. A town may lie in two areas.
"""

import json
from functools import lru_cache
from importlib.resources import files
from typing import TypedDict

from agents.domain.place import Place

_Town = tuple[str, str, str]  # name, region or "", country


class _Metro(TypedDict):
    country: str
    towns: dict[str, list[str]]


class Reach:
    """The towns within reach of the places a person named."""

    def __init__(self, homes: tuple[Place, ...]) -> None:
        areas = {area for home in homes if home.city for area in _areas_of(home)}
        self._towns = frozenset(town for area in areas for town in area)
        self._names = frozenset(name for name, _, _ in self._towns)

    def covers(self, place: Place) -> bool:
        """Whether a posting's place is one of the towns."""
        return place.city in self._names and any(_is(place, town) for town in self._towns)


def _areas_of(home: Place) -> list[frozenset[_Town]]:
    return [area for area in _areas() if any(_is(home, town) for town in area)]


def _is(place: Place, town: _Town) -> bool:
    name, region, country = town
    if place.city != name or place.country not in (country, None):
        return False
    return not region or place.region in (region, None)


@lru_cache(maxsize=1)
def _areas() -> tuple[frozenset[_Town], ...]:
    text = files("agents.matching").joinpath("metros.json").read_text("utf-8")
    metros: list[_Metro] = json.loads(text)
    return tuple(
        frozenset(
            (town, region, metro["country"])
            for region, towns in metro["towns"].items()
            for town in towns
        )
        for metro in metros
    )

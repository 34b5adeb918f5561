"""Places: what a location text means, and whether a posting's place is one a person asked for.

`NYC`, `New York` and `New York, NY` are one place. Unknown names stay as they are written.
The names come from `places.json`: countries, their regions, cities, metro areas, world areas.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files

WORLDWIDE = "worldwide"

_REMOTE = re.compile(
    r"\b(?:(?:fully |100 ?% )?remot(?:e|ely|o|a)|online|virtual(?:ly)?|work(?:ing)? from home|wfh"
    r"|telecommut(?:e|ing)|telework(?:ing)?|teletrabajo|teletravail|home-based|homeoffice"
    r"|distributed)\b"
)
_HYBRID = re.compile(r"\b(?:hybrid|remote[- ]friendly)\b")
_GLOBAL = re.compile(
    r"\b(?:anywhere|worldwide|global|globally|international|everywhere|(?:in )?the world)\b"
)
# Words that say nothing about where: "2 locations", "multiple", "NY office", "(HQ)".
_NOISE = re.compile(
    r"\b(?:\d+ )?(?:multiple|various|several|select)? ?locations?\b|\bmultiple\b|\bvarious\b"
    r"|\bhome office\b|\bin-(?:office|person)\b|\bin person\b|\bon[- ]?site\b|\boffices?\b"
    r"|\bhq\b|\bheadquarters\b|\bonly\b|\bselect(?:ed)?\b|\bwithin\b|\bacross\b"
    r"|\b(?:preferred|preferably|candidates|residents?|eligible|must be|work from|any|all)\b"
    r"|\b\d+ (?:cities|countries|states)\b|\b(?:full|part)[- ]time\b"
    r"|\bbased\b|\bin\b(?=\s+\w)"  # "remote in USA", not "Carmel, IN"
    r"|\bmetro\b|\bcity of\b|\btbd\b|\bn/a\b|\bflexible\b|\btravel[- ]required\b"
)
# Codes of regions that are also words, or parts of names, of other things.
_CODES_AND_WORDS = frozenset(
    ("in", "or", "me", "hi", "ok", "la", "de", "co", "id", "al", "pa", "ma", "on", "oh", "as")
)
_POSTCODE = re.compile(r"\b\d{5}(?:-\d{4})?\b")
# A time zone says when people work, not where: "UTC-3 to UTC+2", "EST hours", "CET +/- 3 hours".
_ZONE = (
    r"(?:utc|gmt|c?est|cet|edt|[cmp][sd]t|bst|ist|aest|jst)\b(?:\s*[+±−–/-]+\s*\d{1,2}(?::\d\d)?)?"
)
_HOURS = r"(?:\s*(?:hours?|hrs?|time ?zones?|time)\b)?"
_ZONES = re.compile(
    rf"\b{_ZONE}(?:\s*(?:to|and|-|–|/)\s*{_ZONE})*{_HOURS}|[+±/-]*\s*\d+\s*(?:hours?|hrs?)\b"
    r"|\b(?:(?:usa?|uk|eu|european|american|canadian) )?"
    r"(?:time ?zones?|(?:working|business) hours)\b"
    r"|\boverlap\b"
)
_SEPARATORS = re.compile(
    r"(?<!portland)(?<!eugene)(?<!salem)\s*,\s*(?:or|and|&)\s+(?=\w)"  # "Paris, or Berlin"
    r"|\s*[,;/|()\[\]{}\"•·:]\s*|\s+[-–—]+\s*|\s*[-–—]+\s+|\s+(?:or|and|&)\s+|^-+|-+$"
)
# "EMEA - Poland": what follows the area lies in it; "EU, UK" is a list.
_AREA_FIRST = re.compile(r"^[^-–—,;/|()]+\s[-–—]\s")
_FILLERS = frozenset(("and", "&", "to", "the", "with", "from", "for", "at"))
_REGION_WORD = re.compile(
    r"\b(?:county|province|provincia|voivodeship|oblast|prefecture|canton|region|state"
    r"|comunidad|community|governorate|departamento)\b"
)
_AROUND = re.compile(r"^greater | (?:metropolitan )?(?:area|region)$| city$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A city, region, country or world area; the parts nobody named are None."""

    city: str | None = None
    region: str | None = None
    country: str | None = None
    area: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """One location text, read: the places it names and whether it says remote or hybrid."""

    places: tuple[Place, ...]
    remote: bool
    hybrid: bool


_City = tuple[str, str | None, str]  # name, region, country


@dataclass(frozen=True, slots=True)
class _Gazetteer:
    countries: Mapping[str, str]  # name or alias -> country
    codes: Mapping[str, str]  # ISO alpha-2 -> country
    regions: Mapping[str, tuple[str, str]]  # full name -> (region, country)
    regions_in: Mapping[tuple[str, str], str]  # (country, code or full name) -> region
    region_codes: Mapping[str, tuple[str, str]]  # code -> (region, country)
    cities: Mapping[str, _City]  # by name or alias
    areas: Mapping[str, str]  # name or alias -> area
    members: Mapping[str, frozenset[str]]  # area -> countries
    metros: Mapping[str, frozenset[str]]  # metro or alias -> cities


def fold(text: str) -> str:
    """Lower case, without accents, white space collapsed: what names are compared by."""
    lower = text.lower().replace("ı", "i").replace("ø", "o").replace("ł", "l").replace("ß", "ss")
    plain = unicodedata.normalize("NFKD", lower)
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())


@lru_cache(maxsize=8192)
def parse_location(text: str) -> Location:
    """Read a location text; names it doesn't know become cities of that name."""
    words = fold(text[:200]).replace("u.s.a.", "usa").replace("u.s.", "usa")
    hybrid = bool(_HYBRID.search(words))
    words = _HYBRID.sub(" ", words)
    remote = bool(_REMOTE.search(words))
    words = _ZONES.sub(" ", _REMOTE.sub(" ", words))
    words = _POSTCODE.sub(" ", _NOISE.sub(" ", words))
    places: list[Place] = []
    if _GLOBAL.search(words):
        remote = True
        words = _GLOBAL.sub(" ", words)
        if not words.strip(" ,-()"):  # "Ukraine, anywhere" is not the whole world
            places.append(Place(area=WORLDWIDE))
    current, before = Place(), ""
    for part in _parts(words):
        named = _town(before, current, part) or _attach(current, part)
        before = part
        if named is None:
            places.append(current)
            named = _attach(Place(), part) or Place(city=part)
        current = named
    places.append(current)
    found = tuple(dict.fromkeys(_complete(p) for p in places if p != Place()))
    return Location(places=found, remote=remote and not hybrid, hybrid=hybrid)


def parse_wanted(text: str) -> tuple[Place, ...]:
    """The places that a person's location means: several for a metro area such as `Bay Area`."""
    cities = _gazetteer().metros.get(fold(text))
    if cities is not None:
        return tuple(_complete(Place(city=city)) for city in sorted(cities))
    return parse_location(text).places


def covers(wanted: Place, posting: Place) -> bool:
    """Whether a posting's place is the wanted one, lies within it, or is an area open to it."""
    if posting.area is not None:
        open_to, asked = _members(posting.area), _countries(wanted)
        return open_to is None or asked is None or bool(open_to & asked)
    if wanted.area is not None:
        members = _members(wanted.area)
        return members is None or posting.country in members
    if wanted.city is not None:
        same = posting.city is not None and _same_city(wanted.city, posting.city)
        return same and _agree(wanted.region, posting.region, wanted.country, posting.country)
    if wanted.region is not None:
        return posting.region == wanted.region and posting.country == wanted.country
    return wanted.country is not None and posting.country == wanted.country


def split_locations(text: str) -> tuple[str, ...]:
    """Split a person's list: `New York, NY, Lagos` is two places, `Lagos, Nigeria` one."""
    found: list[str] = []
    for chunk in re.split(r"\s*[|;]\s*|\s+or\s+", text.strip()):
        for part in filter(None, (p.strip() for p in chunk.split(","))):
            if found and _qualifies(found[-1], part):
                found[-1] = f"{found[-1]}, {part}"
            else:
                found.append(part)
    return tuple(dict.fromkeys(found))


# --- reading the parts of a text --------------------------------------------------------------


def _parts(words: str) -> list[str]:
    chunks = [_plain_name(" ".join(raw.split()).strip(" .-")) for raw in _SEPARATORS.split(words)]
    named = [chunk for chunk in chunks if chunk and chunk not in _FILLERS]
    if _AREA_FIRST.match(words.strip()) and len(named) > 1 and _lies_in(named[1], named[0]):
        del named[0]
    return [part for chunk in _without_foreign_regions(named) for part in _cut(chunk)]


def _lies_in(name: str, area: str) -> bool:
    names = _gazetteer()
    members = _members(names.areas[area]) if area in names.areas else None
    return members is not None and _complete(_attach(Place(), name) or Place()).country in members


def _plain_name(chunk: str) -> str:
    """`the usa`, `greater lyon area`, `makati city` by their known names, others as they are."""
    if _known(chunk):
        return chunk
    for shorter in (chunk.removeprefix("the "), _AROUND.sub("", _AROUND.sub("", chunk))):
        if shorter != chunk and _known(shorter):
            return shorter
    return chunk


def _without_foreign_regions(chunks: list[str]) -> list[str]:
    """The chunks without regions that the gazetteer doesn't have, such as the second of
    `Gdansk, Pomeranian Voivodeship, Poland`; left in, they would be taken for cities, or for the
    American state whose code they share (`Salvador, BA, Brazil`)."""
    kept = chunks[:1]
    for before, chunk, after in zip(chunks, chunks[1:], [*chunks[2:], ""], strict=False):
        if not _is_foreign_region(before, chunk, after):
            kept.append(chunk)
    return kept


def _is_foreign_region(before: str, chunk: str, after: str) -> bool:
    names = _gazetteer()
    country = names.countries.get(after) or names.codes.get(after)
    if country is None or (country, chunk) in names.regions_in:
        return False
    if chunk in names.cities or chunk in names.countries or chunk in names.areas:
        return False
    city = names.cities.get(before)
    if city is not None:
        return city[2] == country
    certain = after in names.countries or after not in names.region_codes
    code = len(chunk) <= 3 and certain and before not in names.countries
    return code or _REGION_WORD.search(chunk) is not None


def _cut(part: str) -> list[str]:
    """Cut `usa mountain view`, `ca usa` or `united states-minnesota-plymouth` into names."""
    names = _gazetteer()
    if _known(part):
        return [part]
    if "-" in part:
        head, _, tail = part.partition("-")
        if head in names.countries or head in names.regions:
            return [head, *_cut(tail)]
        if _leads(head, tail):
            return _in_order(head, tail)
    words = part.split()
    if len(words) > 1 and _leads(words[0], city := " ".join(words[1:])):
        return _in_order(words[0], city)
    for cut in range(1, len(words)):
        head, tail = " ".join(words[:cut]), " ".join(words[cut:])
        if tail in names.countries or tail in names.areas or _is_code(tail, head):
            return [*_cut(head), tail]
        if head in names.countries:
            code, _, city = tail.partition(" ")
            return (
                [head, code, city] if code in names.region_codes and city else [head, *_cut(tail)]
            )
    return [part]


def _leads(code: str, city: str) -> bool:
    """Whether a code stands before a known city: `es madrid`, `ny plano` of a run of cities."""
    names = _gazetteer()
    return city in names.cities and (code in names.codes or code in names.region_codes)


def _in_order(code: str, city: str) -> list[str]:
    """The city first where the code is its country's, which may be a region's elsewhere."""
    names = _gazetteer()
    home = names.cities[city][2]
    return [city, code] if names.codes.get(code) == home else [code, city]


def _is_code(tail: str, head: str) -> bool:
    """Whether `tail` is a region's code behind a city, as in `irvine ca`."""
    names = _gazetteer()
    return tail in names.region_codes and (head in names.cities or tail not in _CODES_AND_WORDS)


def _known(part: str) -> bool:
    names = _gazetteer()
    tables = (names.cities, names.countries, names.regions, names.region_codes, names.areas)
    return any(part in table for table in tables) or part in names.metros


def _attach(place: Place, part: str) -> Place | None:
    """`place` with what `part` names, or None when that belongs to another place."""
    names = _gazetteer()
    if part in names.areas:
        return _attach_area(place, names.areas[part])
    if place.area is not None:
        return None  # "EU, UK" are two
    if place.country is not None and names.codes.get(part) == place.country:
        return place  # "Toronto, ON, CA" is not in California
    known = names.cities.get(place.city or "")
    if known is not None and place.country is None:
        if (at_home := _attach_at_home(place, known, part)) is not None:
            return at_home
        if part in names.cities:
            return None  # "San Francisco, New York" are two cities
    return _attach_named(place, part)


def _town(name: str, place: Place, code: str) -> Place | None:
    """The town that a country's name is before the code of another's region: `Lebanon, PA`."""
    names = _gazetteer()
    region = names.region_codes.get(code)
    if region is None or place.country is None or place != Place(country=place.country):
        return None
    if place.country in (region[1], names.codes.get(code)) or name not in names.countries:
        return None
    return Place(city=name, region=region[0], country=region[1])


def _attach_named(place: Place, part: str) -> Place | None:
    """`place` with the region, country or city that `part` names."""
    names = _gazetteer()
    region = names.region_codes.get(part) or names.regions.get(part)
    city = names.cities.get(part)
    if region and city and (place == Place() or place.region == city[1]):
        region = None  # "New York" and "Washington" alone are the cities
    if region is not None and place.region is not None:
        return place if place.region == region[0] else None  # "ON, AB" are two
    if region is not None and place.country in (None, region[1]):
        return replace(place, region=region[0], country=region[1])
    country = names.countries.get(part)
    if country is None and city is None and region is None:
        country = names.codes.get(part)
    if country is not None:
        return replace(place, country=country) if place.country in (None, country) else None
    if place.city is not None:
        return None if part != place.city else place
    return replace(place, city=city[0] if city else part)


def _attach_area(place: Place, area: str) -> Place | None:
    """An area beside a place: "Berlin, Europe" is Berlin, "Canada, LATAM" are two."""
    if place == Place():
        return Place(area=area)
    if place.area is not None:
        return place if place.area == area else None
    country = _complete(place).country
    members = _members(area)
    return place if country is None or members is None or country in members else None


def _attach_at_home(place: Place, city: _City, part: str) -> Place | None:
    """A known city with the region or country of its own that `part` names, as in `Perth, WA`
    and `Berlin, DE`; None when `part` names none of them."""
    names, (_, region, home) = _gazetteer(), city
    named = names.regions_in.get((home, part))
    if named is not None and (named == region or part not in names.cities):
        return replace(place, region=named, country=home)
    if home in (names.countries.get(part), names.codes.get(part)):
        return replace(place, country=home)
    return None


def _complete(place: Place) -> Place:
    """Fill a known city's region and country where the text named none."""
    names = _gazetteer()
    city = names.cities.get(place.city or "")
    if place.city is not None and place.city in names.metros and place.country is None:
        region, country = _shared(names.metros[place.city])
        return replace(place, region=region, country=country)
    if city is None or place.country not in (None, city[2]):
        return place
    if place.region is None:
        return replace(place, region=city[1], country=city[2])
    return replace(place, country=place.country or city[2])


def _shared(cities: frozenset[str]) -> tuple[str | None, str | None]:
    """The region and country that all the cities of a metro area lie in."""
    homes = [_gazetteer().cities[city] for city in cities]
    regions, countries = {home[1] for home in homes}, {home[2] for home in homes}
    region = regions.pop() if len(regions) == 1 else None
    return region, countries.pop() if len(countries) == 1 else None


def _same_city(wanted: str, posting: str) -> bool:
    if wanted == posting or wanted in _gazetteer().metros.get(posting, ()):
        return True
    unknown = posting not in _gazetteer().cities
    return unknown and re.search(rf"\b{re.escape(wanted)}\b", posting) is not None


def _agree(region: str | None, other: str | None, country: str | None, other_c: str | None) -> bool:
    same_region = region is None or other is None or region == other
    return same_region and (country is None or other_c is None or country == other_c)


def _members(area: str) -> frozenset[str] | None:
    """The countries of an area, None for the whole world."""
    return None if area == WORLDWIDE else _gazetteer().members[area]


def _countries(place: Place) -> frozenset[str] | None:
    """The countries a place lies in or consists of, None for the whole world."""
    if place.area is not None:
        return _members(place.area)
    return frozenset({place.country} if place.country else ())


def _qualifies(place: str, part: str) -> bool:
    """Whether `part` only says where `place` lies, as NY does for New York."""
    names = _gazetteer()
    before, word = fold(place), fold(part)
    if before in names.countries or before in names.areas:
        return False
    if before in names.regions and before not in names.cities:
        return word in names.countries
    if word in names.countries:
        return True
    if word in names.region_codes and word != before:
        return True
    city = names.cities.get(before)
    return word in names.regions and (city is None or city[1] in (word, None))


@lru_cache(maxsize=1)
def _gazetteer() -> _Gazetteer:
    data = json.loads(files("agents.domain").joinpath("places.json").read_text("utf-8"))
    countries: dict[str, str] = {}
    codes: dict[str, str] = {}
    for name, entry in data["countries"].items():
        codes[entry["code"]] = name
        countries.update(dict.fromkeys((name, *entry["aliases"]), name))
    regions: dict[str, tuple[str, str]] = {}
    region_codes: dict[str, tuple[str, str]] = {}
    regions_in: dict[tuple[str, str], str] = {}
    for country, table in reversed(data["regions"].items()):  # the first country wins a tie
        for code, region in table.items():
            regions[region] = region_codes[code] = (region, country)
            regions_in[country, code] = regions_in[country, region] = region
    cities: dict[str, _City] = {}
    for name, entry in data["cities"].items():
        value = (name, entry["region"], entry["country"])
        cities.update(dict.fromkeys((name, *entry["aliases"]), value))
    # "NY" alone is read as the city, as people use it.
    cities.setdefault("ny", cities["new york"])
    areas: dict[str, str] = {}
    members: dict[str, frozenset[str]] = {}
    for name, entry in data["areas"].items():
        areas.update(dict.fromkeys((name, *entry["aliases"]), name))
        members[name] = frozenset(entry["countries"])
    metros: dict[str, frozenset[str]] = {}
    for name, entry in data["metros"].items():
        metros.update(dict.fromkeys((name, *entry["aliases"]), frozenset(entry["cities"])))
    return _Gazetteer(
        countries, codes, regions, regions_in, region_codes, cities, areas, members, metros
    )

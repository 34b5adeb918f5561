"""Places: what a location text means, and whether it is one that a person asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.domain.place import (
    Location,
    Place,
    covers,
    fold,
    parse_location,
    parse_wanted,
    split_locations,
)


def city(name: str, region: str | None = None, country: str | None = None) -> Place:
    """A city with its region and country."""
    return Place(city=name, region=region, country=country)


def country(name: str) -> Place:
    """A whole country."""
    return Place(country=name)


def region(name: str, of: str = "united states") -> Place:
    """A whole region."""
    return Place(region=name, country=of)


def area(name: str) -> Place:
    """A world area."""
    return Place(area=name)


def suits(wanted: str, posting: str) -> bool:
    """Whether a posting at `posting` is at a place that `wanted` means."""
    stated = parse_location(posting).places
    return any(covers(place, other) for place in parse_wanted(wanted) for other in stated)


NEW_YORK = city("new york", "new york", "united states")
SAN_FRANCISCO = city("san francisco", "california", "united states")
BERLIN = city("berlin", None, "germany")
MUNICH = city("munich", None, "germany")
USA = country("united states")
UK = "united kingdom"
WORLD = area("worldwide")
NAMES = ["Berlin", "NYC", "Remote", "USA", "CA", "Hybrid", "EU", "Lagos", "New York", "Anywhere"]
LOCATION_TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), max_size=5).flatmap(
        lambda parts: st.sampled_from([", ", " - ", "; ", " or ", " / ", " ", "-"]).map(
            lambda separator: separator.join(parts)
        )
    ),
)


@pytest.mark.parametrize(
    "text",
    [
        "NYC",
        "New York",
        "NY",
        "New York, NY",
        "New York City",
        "new york, new york",
        "New York, NY, USA",
        "New York, United States",
        "New York (NY)",
        "NEW  YORK",
        "Manhattan",
        "Brooklyn, NY",
    ],
)
def test_new_york_by_any_name_is_one_place(text: str) -> None:
    """Aliases of a city, and what only says where it lies, are one place."""
    assert parse_location(text) == Location(places=(NEW_YORK,), remote=False, hybrid=False)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        # cities
        ("Berlin, DE", (BERLIN,)),
        ("Berlin, Germany", (BERLIN,)),
        ("Berlin, Berlin, Germany", (BERLIN,)),
        ("Berlin office", (BERLIN,)),
        ("(HQ) Berlin", (BERLIN,)),
        ("Munich (Germany)", (MUNICH,)),
        ("Cambridge, MA", (city("cambridge", "massachusetts", "united states"),)),
        ("Cambridge", (city("cambridge", None, UK),)),
        ("Cambridge, UK", (city("cambridge", None, UK),)),
        ("London, UK", (city("london", None, UK),)),
        ("Greater London, England", (city("london", None, UK),)),
        ("London, Ontario", (city("london", "ontario", "canada"),)),
        ("Paris", (city("paris", None, "france"),)),
        ("Paris, TX", (city("paris", "texas", "united states"),)),
        ("Perth, WA", (city("perth", "western australia", "australia"),)),
        ("Seattle, WA", (city("seattle", "washington", "united states"),)),
        ("Seattle, Washington", (city("seattle", "washington", "united states"),)),
        ("Washington, D.C.", (city("washington", "district of columbia", "united states"),)),
        ("Toronto, ON", (city("toronto", "ontario", "canada"),)),
        ("Toronto, CA", (city("toronto", "ontario", "canada"),)),
        ("San Jose, CA", (city("san jose", "california", "united states"),)),
        ("San Jose, CR", (city("san jose", None, "costa rica"),)),
        ("Denver, CO", (city("denver", "colorado", "united states"),)),
        ("Bogotá, CO", (city("bogota", None, "colombia"),)),
        ("Tel Aviv, IL", (city("tel aviv", None, "israel"),)),
        ("Chicago, IL", (city("chicago", "illinois", "united states"),)),
        ("Portland, OR", (city("portland", "oregon", "united states"),)),
        ("Portland, ME", (city("portland", "maine", "united states"),)),
        ("Carmel, IN", (city("carmel", "indiana", "united states"),)),
        ("Mumbai, IN", (city("mumbai", "maharashtra", "india"),)),
        ("Bangalore", (city("bengaluru", "karnataka", "india"),)),
        ("Zürich", (city("zurich", None, "switzerland"),)),
        ("São Paulo, Brazil", (city("sao paulo", None, "brazil"),)),
        ("Atlanta, Georgia", (city("atlanta", "georgia", "united states"),)),
        ("Tbilisi, Georgia", (city("tbilisi", None, "georgia"),)),
        ("Greenwood Village, CO, United States",
         (city("greenwood village", "colorado", "united states"),)),
        ("Łódź, Poland", (city("lodz", None, "poland"),)),
        ("Stratford-upon-Avon", (city("stratford-upon-avon"),)),
        ("Springfield", (city("springfield"),)),
        ("Springfield, IL", (city("springfield", "illinois", "united states"),)),
        # run together
        ("United States-California-Redondo Beach",
         (city("redondo beach", "california", "united states"),)),
        ("United States-Minnesota-Plymouth", (city("plymouth", "minnesota", "united states"),)),
        ("USA Mountain View", (city("mountain view", "california", "united states"),)),
        ("US CA San Diego", (city("san diego", "california", "united states"),)),
        ("Irvine CA", (city("irvine", "california", "united states"),)),
        ("CA USA", (region("california"),)),
        ("Springfield Nigeria", (city("springfield", None, "nigeria"),)),
        ("Springfield Illinois", (city("springfield illinois"),)),
        # with a postal code
        ("Austin, TX 78701", (city("austin", "texas", "united states"),)),
        ("Springfield, IL 62701", (city("springfield", "illinois", "united states"),)),
        ("Greenwood Village, CO 80111", (city("greenwood village", "colorado", "united states"),)),
        # several
        ("Berlin | Munich", (BERLIN, MUNICH)),
        ("Berlin and Munich", (BERLIN, MUNICH)),
        ("Berlin & Munich", (BERLIN, MUNICH)),
        ("Berlin • Munich", (BERLIN, MUNICH)),
        ("Berlin, Munich", (BERLIN, MUNICH)),
        ("Berlin, Paris, Berlin", (BERLIN, city("paris", None, "france"))),
        ("San Francisco, CA; New York, NY", (SAN_FRANCISCO, NEW_YORK)),
        ("San Francisco or New York", (SAN_FRANCISCO, NEW_YORK)),
        ("San Francisco, New York", (SAN_FRANCISCO, NEW_YORK)),
        ("Germany, France", (country("germany"), country("france"))),
        ("Berlin, Europe", (BERLIN,)),
        # regions, countries, world areas
        ("California", (region("california"),)),
        ("CA", (region("california"),)),
        ("Ontario", (region("ontario", "canada"),)),
        ("Georgia", (region("georgia"),)),
        ("USA", (USA,)),
        ("U.S.", (USA,)),
        ("U.S.A.", (USA,)),
        ("United States of America", (USA,)),
        ("USA only", (USA,)),
        ("UK", (country(UK),)),
        ("Nigeria", (country("nigeria"),)),
        ("FR", (country("france"),)),
        ("Singapore", (country("singapore"),)),
        ("EU", (area("european union"),)),
        ("EMEA", (area("emea"),)),
        ("LATAM", (area("latin america"),)),
        # nothing
        ("", ()),
        (" , ; - ", ()),
        ("2 Locations", ()),
        ("Multiple locations", ()),
        ("TBD", ()),
        ("N/A", ()),
        ("Flexible", ()),
    ],
)  # fmt: skip
def test_places_that_a_text_names(text: str, places: tuple[Place, ...]) -> None:
    """City, region and country as far as the text or the gazetteer says; nothing for no place."""
    assert parse_location(text) == Location(places=places, remote=False, hybrid=False)


@pytest.mark.parametrize(
    ("text", "places", "remote", "hybrid"),
    [
        ("Remote", (), True, False),
        ("Fully remote", (), True, False),
        ("Online", (), True, False),
        ("Virtual", (), True, False),
        ("Work from home", (), True, False),
        ("Remote in USA", (USA,), True, False),
        ("Remote USA", (USA,), True, False),
        ("Remote (US)", (USA,), True, False),
        ("Remote, Anywhere in the U.S.", (USA,), True, False),
        ("Remote - Europe", (area("europe"),), True, False),
        ("Remote, OR", (region("oregon"),), True, False),
        ("Berlin / Remote", (BERLIN,), True, False),
        ("Anywhere", (WORLD,), True, False),
        ("Worldwide", (WORLD,), True, False),
        ("Remote (Global)", (WORLD,), True, False),
        ("Ukraine, anywhere", (country("ukraine"),), True, False),
        ("Hybrid", (), False, True),
        ("Hybrid - Berlin", (BERLIN,), False, True),
        ("Berlin (Hybrid)", (BERLIN,), False, True),
        ("Hybrid remote in Austin, TX", (city("austin", "texas", "united states"),), False, True),
        ("Remote-friendly, Berlin", (BERLIN,), False, True),
    ],
)
def test_remote_and_hybrid(
    text: str, places: tuple[Place, ...], remote: bool, hybrid: bool
) -> None:
    """A text says remote, hybrid or neither; hybrid is not remote, whatever else it says."""
    assert parse_location(text) == Location(places=places, remote=remote, hybrid=hybrid)


@pytest.mark.parametrize(
    ("wanted", "posting", "fits"),
    [
        # the same city
        ("New York", "NYC", True),
        ("NY", "New York, NY", True),
        ("Berlin", "Berlin, DE", True),
        ("Cambridge, MA", "Cambridge, UK", False),
        ("London", "London, Ontario", False),
        ("York", "New York", False),
        ("Berlin", "Munich", False),
        ("Berlin", "10115 Berlin", True),
        ("New York", "New York State", True),
        ("San Francisco", "San Francisco or New York", True),
        ("NYC", "San Francisco or New York", True),
        # within a region or country
        ("California", "San Diego", True),
        ("California", "Seattle", False),
        ("Germany", "Berlin", True),
        ("USA", "New York", True),
        ("USA", "Remote in USA", True),
        ("USA", "Toronto", False),
        ("Berlin", "Germany", False),
        ("New York", "USA", False),
        ("Illinois", "Springfield, IL", True),
        ("Illinois", "Springfield, IL 62701", True),
        # a metro area
        ("Bay Area", "San Jose, CA", True),
        ("Bay Area", "Bay Area", True),
        ("Bay Area", "Los Angeles", False),
        ("San Francisco", "Bay Area", True),
        ("Los Angeles", "Los Angeles Metropolitan Area", True),
        ("California", "San Francisco Bay Area", True),
        ("USA", "Los Angeles Metropolitan Area", True),
        # world areas
        ("Europe", "Berlin", True),
        ("Europe", "Lagos", False),
        ("EMEA", "Lagos", True),
        ("Germany", "EU", True),
        ("Berlin", "Remote - Europe", True),
        ("Lagos", "Remote - Europe", False),
        ("Springfield", "Remote - Europe", False),
        ("Europe", "Europe", True),
        ("Europe", "EU", True),
        ("Americas", "North America", True),
        ("EU", "Africa", False),
        ("Lagos", "Anywhere", True),
        ("Anywhere", "Lagos", True),
        ("Worldwide", "Europe", True),
    ],
)
def test_whether_a_posting_is_at_a_wanted_place(wanted: str, posting: str, fits: bool) -> None:
    """A posting fits at the wanted place, within it, or in an area that is open to it."""
    assert suits(wanted, posting) is fits


def test_nothing_is_covered_by_a_place_that_names_nothing() -> None:
    """A wanted place without any part is no place."""
    assert not covers(Place(), BERLIN)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", ()),
        (" , ", ()),
        ("Lagos", ("Lagos",)),
        ("Lagos, Nigeria", ("Lagos, Nigeria",)),
        ("New York, NY", ("New York, NY",)),
        ("New York, New York", ("New York, New York",)),
        ("New York, NY, Lagos", ("New York, NY", "Lagos")),
        ("San Francisco, CA, USA", ("San Francisco, CA, USA",)),
        ("Cambridge, MA, Boston", ("Cambridge, MA", "Boston")),
        ("London, UK, Paris", ("London, UK", "Paris")),
        ("Berlin, Munich", ("Berlin", "Munich")),
        ("USA, Canada", ("USA", "Canada")),
        ("EU, UK", ("EU", "UK")),
        ("India, Remote", ("India", "Remote")),
        ("Berlin | Munich; Paris or London", ("Berlin", "Munich", "Paris", "London")),
        ("Berlin, Berlin, Munich", ("Berlin", "Munich")),
        ("Boston, New York", ("Boston", "New York")),
        ("New York, California", ("New York", "California")),
        ("Boston, California, Texas", ("Boston", "California", "Texas")),
    ],
)
def test_a_person_s_list_of_places(text: str, places: tuple[str, ...]) -> None:
    """A comma parts two places, unless what follows only says where the first one lies."""
    assert split_locations(text) == places


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("São  Paulo", "sao paulo"),
        ("ZÜRICH", "zurich"),
        ("Ørsted", "orsted"),
        ("Diyarbakır", "diyarbakir"),
        (" \t", ""),
    ],
)
def test_names_are_compared_without_case_and_accents(text: str, folded: str) -> None:
    """Folding leaves plain lower-case words with single blanks."""
    assert fold(text) == folded


@given(LOCATION_TEXTS)
def test_any_text_can_be_read(text: str) -> None:
    """Reading never fails, and says remote or hybrid, never both."""
    location = parse_location(text)
    assert not (location.remote and location.hybrid)
    assert Place() not in location.places
    assert len(set(location.places)) == len(location.places)


@given(LOCATION_TEXTS)
def test_every_place_covers_itself(text: str) -> None:
    """Whoever wants exactly the place that a posting states gets it."""
    assert all(covers(place, place) for place in parse_location(text).places)


@given(LOCATION_TEXTS)
def test_a_list_of_places_splits_the_same_again(text: str) -> None:
    """Splitting one of the entries of a list that was split gives that entry, once."""
    for entry in split_locations(text):
        assert split_locations(entry) == (entry,)

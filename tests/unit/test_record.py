"""Raw records of any layout, read into postings."""

import hashlib
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.discovery.record import Origin, Unreadable, read_record, unread_fields
from agents.domain.kind import Kind
from agents.domain.opportunity import DESCRIPTION_MAX, LISTED_MAX, TITLE_MAX, Opportunity
from agents.domain.pay import Pay, Period
from tests.fakes.clock import NOON

ORIGIN = Origin(source="file", fetched_at=NOON)
SAMPLES = (
    "devpost-hackathons",
    "indeed-scraper",
    "linkedin-job-search-actor-c",
    "linkedin-jobs-scraper-actor-a",
    "linkedin-jobs-scraper-actor-b",
    "opire-bounties",
    "remoteok-scrape",
    "remotive-api",
    "replit-bounties",
)
JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["2026-05-01", "$5", "closed", "3d ago", "[1]", "Berlin", "https://x.io/"]),
    ),
    lambda values: st.one_of(
        st.lists(values, max_size=3),
        st.dictionaries(st.sampled_from(["name", "text", "city", "parsed"]), values, max_size=3),
    ),
    max_leaves=4,
)
FIELDS = st.sampled_from(
    re.findall(
        r"\w+",
        "id kind title url location remote skills tags salary salaryMin salaryMax salaryCurrency "
        "salaryPeriod amount_usd postedAt deadline due_days status description fetched_at company "
        "workplaceType job_type",
    )
)


def read(**fields: object) -> Opportunity:
    """The posting in a record with a title, a link and `fields`."""
    return read_record({"title": "Engineer", "url": "https://example.com/1", **fields}, ORIGIN)


# --- what every record needs ------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw", [None, 5, "a text", ["a", "list"], True], ids=lambda raw: type(raw).__name__
)
def test_what_is_no_object_is_unreadable(raw: object) -> None:
    """Only an object can be a record."""
    with pytest.raises(Unreadable, match="not an object"):
        read_record(raw, ORIGIN)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"url": "https://example.com/1"},
        {"title": ""},
        {"title": "  \n "},
        {"title": "<b> </b>"},
        {"title": None, "jobTitle": ""},
        {"title": 5},
        {"title": ["Engineer"]},
    ],
)
def test_a_record_without_a_title_is_unreadable(raw: dict[str, object]) -> None:
    """A record is known by its title; without one it can't be used."""
    with pytest.raises(Unreadable, match="no title"):
        read_record(raw, ORIGIN)


def test_a_record_without_a_link_is_kept() -> None:
    """A title is enough: what the record does not say is None or empty."""
    posting = read_record({"title": "Engineer"}, ORIGIN)
    assert posting == Opportunity(
        id=posting.id, source="file", kind=Kind.JOB, title="Engineer", fetched_at=NOON
    )


@pytest.mark.parametrize(
    "name", ["title", "jobTitle", "job_title", "positionName", "position", "name"]
)
def test_a_title_by_any_name(name: str) -> None:
    """Each source has its own word for the title."""
    assert read_record({name: "Engineer"}, ORIGIN).title == "Engineer"


def test_objects_are_reached_into() -> None:
    """A value may stand within an object of the record."""
    posting = read_record(
        {
            "searchResult": {"title": "Grant for tools", "url": "https://example.com/g"},
            "company": {"name": "Larkfield"},
            "displayed_location": {"location": "Online"},
        },
        ORIGIN,
    )
    assert posting.title == "Grant for tools"
    assert posting.url == "https://example.com/g"
    assert posting.organisation == "Larkfield"
    assert posting.remote is True


def test_texts_are_plain_and_bounded() -> None:
    """Mark-up, entities and NULs go, white space is collapsed, what is too long is cut."""
    posting = read(
        title="  R&amp;D <b>Engineer</b>\x00\n (m/f/d) ",
        company="<p>Lark &amp; Field</p>",
        description="<p>C &lt; D</p>" + "x" * (2 * DESCRIPTION_MAX),
    )
    assert posting.title == "R&D Engineer (m/f/d)"
    assert posting.organisation == "Lark & Field"
    assert posting.description is not None
    assert len(posting.description) == DESCRIPTION_MAX
    assert posting.description.endswith("…")
    assert len(read(title="x" * 1000).title) == TITLE_MAX


# --- links ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://example.com/jobs?id=1&x=2#top", "https://example.com/jobs?id=1&x=2#top"),
        (" http://example.com/1 ", "http://example.com/1"),
        ("HTTPS://Example.com/1", "HTTPS://Example.com/1"),
        ("//example.com/1", "https://example.com/1"),
        ("https://münchen.example/1", "https://münchen.example/1"),
        ("javascript:alert(1)", None),
        ("data:text/html,hello", None),
        ("ftp://example.com/1", None),
        ("file:///etc/passwd", None),
        ("mailto:jobs@example.com", None),
        ("tg://resolve?domain=x", None),
        ("/jobs/1", None),
        ("example.com/1", None),
        ("https://", None),
        ("https://exam ple.com", None),
        ("http://[::1", None),
        ("https://example.com/" + "x" * 2000, None),
        ("", None),
        (5, None),
        (["https://example.com/1"], None),
    ],
)
def test_only_web_links_are_links(link: object, url: str | None) -> None:
    """Links of other schemes, and what is no link, are dropped; the posting is kept."""
    assert read_record({"title": "Engineer", "url": link}, ORIGIN).url == url


def test_the_first_web_link_is_taken() -> None:
    """A field that holds no web link does not hide another that does."""
    record = {"title": "Engineer", "url": "javascript:x", "applyUrl": "https://example.com/apply"}
    assert read_record(record, ORIGIN).url == "https://example.com/apply"


# --- kind -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, Kind.JOB),
        ({"kind": "grant"}, Kind.GRANT),
        ({"kind": " Hackathon "}, Kind.HACKATHON),
        ({"kind": "fellowship"}, Kind.GRANT),
        ({"kind": "something else", "title": "Engineering Intern"}, Kind.INTERNSHIP),
        ({"kind": "job", "title": "Engineering Intern"}, Kind.JOB),
        ({"kind": 5}, Kind.JOB),
        ({"submission_period_dates": "May 15 - 31, 2026"}, Kind.HACKATHON),
        ({"due_days": "due in 4 days"}, Kind.BOUNTY),
        ({"amount_usd": 80}, Kind.BOUNTY),
        ({"oppStatus": "posted"}, Kind.GRANT),
        ({"employmentType": "INTERN"}, Kind.INTERNSHIP),
        ({"job_type": "contract"}, Kind.GIG),
        ({"job_type": ["Full-time", "Freelance"]}, Kind.JOB),
        ({"job_type": ["freelancer"]}, Kind.GIG),
        ({"job_type": "full_time"}, Kind.JOB),
        ({"title": "Software Engineer Intern"}, Kind.INTERNSHIP),
        ({"title": "Internal Auditor"}, Kind.JOB),
        ({"title": "Spring Hackathon"}, Kind.HACKATHON),
        ({"title": "[BOUNTY] WearOS support"}, Kind.BOUNTY),
        ({"title": "Grant Writer"}, Kind.JOB),
        ({"title": "Contract Manager"}, Kind.JOB),
        ({"title": "Intern", "job_type": "contract"}, Kind.INTERNSHIP),
    ],
)
def test_the_kind_of_a_record(fields: dict[str, object], kind: Kind) -> None:
    """Its own word first, then fields only one kind has, the employment type, the title."""
    assert read(**fields).kind is kind


# --- places and skills ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "locations", "remote"),
    [
        ("Berlin, Germany", ("Berlin, Germany",), None),
        ("Berlin; Munich | Berlin", ("Berlin", "Munich"), None),
        (["Berlin", "Remote"], ("Berlin", "Remote"), True),
        ([{"name": "Berlin"}, {"x": 1}, 5], ("Berlin",), None),
        ('["Berlin", "Munich"]', ("Berlin", "Munich"), None),
        ({"name": "Lagos"}, ("Lagos",), None),
        ({"parsed": {"text": "Denver, CO"}, "linkedinText": "Denver"}, ("Denver, CO",), None),
        ("Remote", ("Remote",), True),
        ("Anywhere", ("Anywhere",), True),
        ("Hybrid - Berlin", ("Hybrid - Berlin",), False),
        ("", (), None),
        (5, (), None),
        ([], (), None),
        ("[Remote] Berlin", ("[Remote] Berlin",), True),
    ],
)
def test_places_of_a_record(
    location: object, locations: tuple[str, ...], remote: bool | None
) -> None:
    """Places are kept as written, each once; remote and hybrid are read from them."""
    posting = read(location=location)
    assert (posting.locations, posting.remote) == (locations, remote)


def test_listed_places_are_bounded() -> None:
    """No more places are kept than a posting may have."""
    assert len(read(locations=[f"Town {n}" for n in range(200)]).locations) == LISTED_MAX


@pytest.mark.parametrize(
    ("fields", "remote"),
    [
        ({}, None),
        ({"remote": True}, True),
        ({"remote": False}, False),
        ({"is_remote": "yes"}, True),
        ({"is_remote": "No"}, False),
        ({"is_remote": 1}, True),
        ({"is_remote": "perhaps"}, None),
        ({"workplaceType": "Remote"}, True),
        ({"remote": False, "workplaceType": "remote"}, True),
        ({"remote": False, "location": "Remote"}, True),
        ({"remote": True, "location": "Hybrid"}, True),
    ],
)
def test_whether_a_record_is_remote(fields: dict[str, object], remote: bool | None) -> None:
    """Remote when the record or one of its places says so; unknown when nothing does."""
    assert read(**fields).remote is remote


@pytest.mark.parametrize(
    ("fields", "skills"),
    [
        ({"skills": "SQL, Postgres"}, ("sql", "postgresql")),
        ({"tags": '["python", "Kubernetes"]'}, ("python", "kubernetes")),
        ({"themes": [{"id": 1, "name": "Open Ended"}]}, ("open ended",)),
        ({"skills": ["JS", "javascript", " ", "x" * 61]}, ("javascript",)),
        ({"skills": "[not json"}, ()),
        ({"skills": 5}, ()),
        ({"title": "Python Engineer", "description": "Kafka and Python"}, ("python", "kafka")),
        ({"skills": ["sql"], "title": "Python Engineer"}, ("sql", "python")),
    ],
)
def test_skills_of_a_record(fields: dict[str, object], skills: tuple[str, ...]) -> None:
    """Listed skills first, then those that title and description name; canonical, each once."""
    assert read(**fields).skills == skills


# --- pay --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"salary": "$60k-80k/yr"}, (60_000, 80_000, "USD", Period.YEAR)),
        ({"salaryInfo": ["$17.00", "$19.00"]}, (17, 19, "USD", None)),
        ({"salaryInfo": ["$89200", "$209500"]}, (89_200, 209_500, "USD", None)),
        ({"price": "$180.00", "due_days": "closed"}, (180, 180, "USD", Period.ONCE)),
        ({"prizeText": "$<span data-currency-value>50,000</span>", "kind": "hackathon"},
         (50_000, 50_000, "USD", Period.ONCE)),
        ({"amount_usd": 80}, (80, 80, "USD", Period.ONCE)),
        ({"amount_usd": 48.22}, (48.22, 48.22, "USD", Period.ONCE)),
        ({"salaryMin": 50_000, "salaryMax": "60,000", "salaryCurrency": "eur",
          "salaryPeriod": "yearly"}, (50_000, 60_000, "EUR", Period.YEAR)),
        ({"salaryMin": 60_000, "salaryMax": 50_000}, (50_000, 60_000, None, None)),
        ({"salaryMin": "$20", "salaryPeriod": "hour", "salaryCurrency": "USD"},
         (20, None, "USD", Period.HOUR)),
        ({"salaryMin": 0, "salaryMax": 0, "salary": "$5/hr"}, (5, 5, "USD", Period.HOUR)),
        ({"salaryMin": "n/a", "salaryMax": None, "salary": "€5/hr"}, (5, 5, "EUR", Period.HOUR)),
        ({"salaryMin": True, "salary": "€5/hr"}, (5, 5, "EUR", Period.HOUR)),
        ({"salary": "Competitive"}, (None, None, None, None)),
        ({"salary": 500, "currency": "USDC", "kind": "bounty"}, (500, 500, "USDC", Period.ONCE)),
        ({"salaryMin": 50, "salaryMax": 60, "salaryCurrency": "$", "salaryPeriod": "hourly"},
         (50, 60, "USD", Period.HOUR)),
    ],
)  # fmt: skip
def test_pay_of_a_record(fields: dict[str, object], parts: tuple[object, ...]) -> None:
    """Amounts in fields of their own, in dollars, or in a text: as far as they are stated."""
    pay = read(**fields).pay
    assert pay is not None
    assert (pay.min, pay.max, pay.currency, pay.period) == parts


@pytest.mark.parametrize(
    "salary", [None, "", "Not specified", "N/A", "none", "unknown", [], {}, {"x": 1}, [5]]
)
def test_a_record_without_pay(salary: object) -> None:
    """No value, or words for none, is no pay."""
    assert read(salary=salary).pay is None


def test_a_number_is_shown_in_digits() -> None:
    """A bare number has no currency or period, and people read it as it was written."""
    pay = read(salary=1_234_567).pay
    assert pay is not None
    assert pay.text.replace(",", "") == "1234567"
    assert (pay.currency, pay.period) == (None, None)


def test_absurd_pay_does_not_cost_the_posting() -> None:
    """An amount beyond reason leaves the pay unknown and the posting readable."""
    pay = read(salary="999999999999999999 USD").pay
    assert pay in (None, Pay(text="999999999999999999 USD"))


# --- dates and state --------------------------------------------------------------------------


def test_dates_of_a_record() -> None:
    """Posted, deadline and fetched, in UTC; a deadline in days counts from when it was read."""
    posting = read(postedAt="3d ago", scrapedAt="2026-05-20T12:00:00Z", due_date="due in 4 days")
    assert posting.fetched_at == datetime(2026, 5, 20, 12, tzinfo=UTC)
    assert posting.posted_at == posting.fetched_at - timedelta(days=3)
    assert posting.deadline == posting.fetched_at + timedelta(days=4)
    assert read(postedAt="2026-05-20T12:00:00Z", due_date="due in 4 days").deadline == datetime(
        2026, 5, 24, 12, tzinfo=UTC
    )


def test_the_month_comes_first_where_the_source_says_so() -> None:
    """03/07/2026 is unknown, but not where the feed's order is known, as Grants.gov's is."""
    raw = {"title": "Grant", "closeDate": "03/07/2026"}
    assert read_record(raw, ORIGIN).deadline is None
    march = read_record(raw, replace(ORIGIN, month_first=True)).deadline
    july = read_record(raw, replace(ORIGIN, month_first=False)).deadline
    assert march is not None
    assert july is not None
    assert (march.month, july.month) == (3, 7)
    assert read_record(raw | {"oppStatus": "posted"}, ORIGIN).deadline == march


def test_pay_and_employment_among_insights() -> None:
    """Words that a scraper collected are read where they state an amount or a kind of work."""
    posting = read(insights=["$17/hr - $19/hr · Contract · Associate"])
    assert posting.pay is not None
    assert posting.kind is Kind.GIG
    assert (posting.pay.min, posting.pay.max, posting.pay.period) == (17, 19, Period.HOUR)
    assert read(insights=["Full-time", "Over 200 applicants"]).pay is None


def test_tags_that_are_no_skills_are_left_out() -> None:
    """How one works is not what one has to know."""
    assert read(tags=["full-time", "junior", "python", "remote"]).skills == ("python",)


def test_days_ago_say_nothing_when_nobody_knows_since_when() -> None:
    """Relative words count from when the record was scraped, not from when a file is read."""
    assert read(postedAt="Today").posted_at is None


def test_nothing_was_fetched_in_the_future() -> None:
    """A record that says it was scraped later than now was fetched now."""
    assert read(scrapedAt="2030-01-01T00:00:00Z").fetched_at == NOON


@pytest.mark.parametrize(
    ("fields", "active"),
    [
        ({}, None),
        ({"isOpen": "open"}, True),
        ({"is_active": True}, True),
        ({"jobState": "LISTED"}, True),
        ({"oppStatus": "posted"}, True),
        ({"issue_state": "closed"}, False),
        ({"status": "new"}, None),
        ({"is_active": False}, False),
        ({"deadline": "closed"}, False),
        ({"deadline": "closed", "is_active": True}, False),
        ({"deadline": "Rolling"}, None),
    ],
)
def test_whether_a_record_is_active(fields: dict[str, object], active: bool | None) -> None:
    """Closed by its own state or by its deadline's words; unknown when nothing says."""
    assert read(**fields).active is active


def test_a_deadline_s_words_are_kept() -> None:
    """What gives no certain day stays as a text."""
    posting = read(deadline="Rolling — monthly")
    assert (posting.deadline, posting.deadline_text) == (None, "Rolling — monthly")


# --- identity ---------------------------------------------------------------------------------


def test_an_id_is_stable() -> None:
    """The same record has the same id whenever it is read; another source's copy has another."""
    again = Origin(source="file", fetched_at=NOON + timedelta(days=1))
    other = Origin(source="sample", fetched_at=NOON)
    record = {"id": 7, "title": "Engineer", "url": "https://example.com/1"}
    first = read_record(record, ORIGIN)
    assert first.source_id == "7"
    assert read_record(record, again).id == first.id
    assert read_record({**record, "title": "Senior Engineer"}, again).id == first.id
    assert read_record(record, other).id != first.id
    assert read_record({**record, "id": 8}, ORIGIN).id != first.id


def test_records_without_id_and_link_are_told_apart_by_their_words() -> None:
    """Title, organisation and place make the id of a record that has neither id nor link."""
    words = [
        {"title": "Engineer"},
        {"title": "Engineer", "company": "Larkfield"},
        {"title": "Engineer", "company": "Larkfield", "location": "Berlin"},
        {"title": "Designer", "company": "Larkfield", "location": "Berlin"},
    ]
    assert len({read_record(record, ORIGIN).id for record in words}) == len(words)


@pytest.mark.parametrize("value", [True, 1.5, None, [], "  "])
def test_what_is_no_id_is_none(value: object) -> None:
    """A record's own id is a text or a whole number."""
    assert read(id=value).source_id is None


# --- hostile records --------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["id", "title", "url", "company", "location", "description"])
def test_half_a_character_does_not_stop_the_reading(field: str) -> None:
    """JSON can hold half a surrogate pair; what is read can be stored and sent as UTF-8."""
    record = {"title": "Engineer", "url": "https://example.com/1", field: "https://x.io/\ud800"}
    posting = read_record(json.loads(json.dumps(record)), ORIGIN)
    texts = (posting.title, posting.source_id, posting.url, posting.organisation)
    for text in (*texts, posting.description, *posting.locations):
        assert "\ud800" not in (text or "")


@pytest.mark.parametrize("field", ["salary", "salaryMin", "amount_usd", "postedAt", "deadline"])
def test_a_huge_number_does_not_stop_the_reading(field: str) -> None:
    """A number that no float holds leaves its field unknown."""
    posting = read(**{field: 10**400})
    assert posting.title == "Engineer"
    assert posting.posted_at is None
    assert posting.deadline is None


@given(st.dictionaries(FIELDS, JSON_VALUES, max_size=8))
def test_any_record_is_read_or_unreadable(record: dict[str, object]) -> None:
    """Whatever stands in the fields, the record becomes a valid posting or is Unreadable."""
    try:
        posting = read_record(record, ORIGIN)
    except Unreadable:
        return
    assert posting.title
    assert posting.source == "file"
    assert posting.fetched_at <= NOON


# --- the real layouts -------------------------------------------------------------------------


@pytest.fixture(params=SAMPLES)
def items(request: pytest.FixtureRequest, real_data: Path) -> list[dict[str, object]]:
    """The items of one of the nine sample files."""
    path = real_data / "apify_samples" / f"{request.param}.json"
    loaded: list[dict[str, object]] = json.loads(path.read_text("utf-8"))
    return loaded


def test_title_and_link_of_every_real_item_are_found(items: list[dict[str, object]]) -> None:
    """Each item of each layout has the title and one of the links that stand in it."""
    assert items
    for item in items:
        posting = read_record(item, ORIGIN)
        written = json.dumps(item, ensure_ascii=False)
        assert posting.title.split()[0] in written
        assert posting.url is not None
        assert posting.url in written


def test_real_items_are_told_apart(items: list[dict[str, object]]) -> None:
    """No two items of a file become one id."""
    assert len({read_record(item, ORIGIN).id for item in items}) == len(items)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("devpost-hackathons", {Kind.HACKATHON}),
        ("indeed-scraper", {Kind.JOB}),
        ("opire-bounties", {Kind.BOUNTY}),
        ("replit-bounties", {Kind.BOUNTY}),
        ("remotive-api", {Kind.JOB}),
        ("remoteok-scrape", {Kind.JOB, Kind.INTERNSHIP}),
    ],
)
def test_kinds_of_the_real_items(real_data: Path, name: str, kinds: set[Kind]) -> None:
    """Hackathons, bounties, jobs and internships are known as what they are."""
    text = (real_data / "apify_samples" / f"{name}.json").read_text("utf-8")
    assert {read_record(item, ORIGIN).kind for item in json.loads(text)} == kinds


def test_a_real_hackathon_in_full(real_data: Path) -> None:
    """One layout, field by field: period, prize, place, themes, organiser."""
    text = (real_data / "apify_samples" / "devpost-hackathons.json").read_text("utf-8")
    posting = read_record(json.loads(text)[1], ORIGIN)
    assert posting.source_id == "29624"
    assert posting.organisation == "UiPath"
    assert posting.remote is True
    assert posting.active is True
    assert posting.deadline == datetime(2026, 6, 30, 23, 59, 59, tzinfo=UTC)
    assert posting.pay is not None
    assert (posting.pay.max, posting.pay.currency) == (50_000, "USD")


def test_an_id_is_short_and_plain(items: list[dict[str, object]]) -> None:
    """Ids are sixteen hexadecimal digits, fit for a button's payload."""
    length = len(hashlib.sha256().hexdigest()) // 4
    for item in items:
        assert len(read_record(item, ORIGIN).id) == length
        int(read_record(item, ORIGIN).id, 16)


def test_fields_that_say_something_nobody_can_read() -> None:
    """What is stated and stays unknown is counted, what is not stated is not."""
    raw = {
        "title": "Engineer",
        "url": "javascript:alert(1)",
        "salary": "30 golden eggs",
        "posted_at": "when the moon was full",
        "deadline": "soon",
    }
    assert sorted(unread_fields(raw, read_record(raw, ORIGIN))) == [
        "deadline", "link", "pay", "posted_at",
    ]  # fmt: skip
    plain = {"title": "Engineer", "salary": "Competitive"}
    assert list(unread_fields(plain, read_record(plain, ORIGIN))) == []
    assert list(unread_fields("no object", read_record(plain, ORIGIN))) == []


def test_days_ago_count_from_when_a_live_source_was_read() -> None:
    """A feed and an actor speak now; a file may be of any age."""
    raw = {"title": "Engineer", "postedAt": "3 days ago", "due_date": "due in 4 days"}
    posting = read_record(raw, replace(ORIGIN, live=True))
    assert posting.posted_at == NOON - timedelta(days=3)
    assert posting.deadline == NOON + timedelta(days=4)
    assert read_record(raw, ORIGIN).posted_at is None

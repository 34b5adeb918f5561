"""Feeds through the whole product, over HTTP on loopback. Every posting here is invented."""

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from agents.discovery.agent import Discovery
from agents.discovery.port import Need, Validators
from agents.discovery.sources.feed import FeedFetcher
from agents.discovery.sources.feed_list import Feed
from agents.discovery.sources.http import BYTES_MAX, HttpReader, JsonAnswer, JsonRequest
from agents.domain.kind import Kind
from agents.domain.opportunity import Opportunity
from agents.domain.pay import Pay, Period
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest, ScoutResult
from bot.bootstrap import Core, Fakes, build_bot, build_core
from tests.conftest import NO_FEEDS, local_settings
from tests.fakes.chat_client import ChatClient
from tests.fakes.feed_server import FeedServer, Route
from tests.fakes.saga_clock import HeldClock
from tests.fakes.threaded import threaded
from tests.integration.test_cli import Run, result_of, webscout

__all__ = ["webscout"]  # a fixture

Row = dict[str, Any]
JOBS = [
    {"id": 1, "title": "Python Developer", "company": "Larkfield", "url": "https://lark.example/1"},
    {"id": 2, "title": "Florist", "company": "Fern", "url": "https://fern.example/2"},
]


@pytest.fixture
async def server() -> AsyncIterator[FeedServer]:
    """A web server that is not ours."""
    async with FeedServer() as standin:
        yield standin


def feed(server: FeedServer, name: str, **changes: object) -> Row:
    """A feed of the server's at /NAME."""
    return {
        "name": name,
        "title": name,
        "home": server.url,
        "url": f"{server.url}/{name}",
        "period_s": 3600,
        "records": "jobs",
    } | changes


def feeds_file(folder: Path, feeds: list[Row]) -> Path:
    """An operator's FEEDS_FILE."""
    path = folder / "feeds.json"
    path.write_text(json.dumps({"feeds": feeds}), "utf-8")
    return path


@asynccontextmanager
async def product(
    folder: Path, feeds: list[Row], clock: HeldClock | None = None, **settings: object
) -> AsyncIterator[Core]:
    """The product over these feeds."""
    values = {"feeds_file": feeds_file(folder, feeds), "sources": ("feeds",)} | settings
    async with build_core(local_settings(folder, **values), Fakes(clock=clock)) as core:
        yield core


async def scout(core: Core, *sources: str, **profile: object) -> ScoutResult:
    """One scout."""
    person = await core.people.person("test", "1")
    request = ScoutRequest(profile=Profile(**profile), sources=sources or core.settings.sources)  # type: ignore[arg-type]
    run_id = await core.runner.create(person.id, request)
    await core.runner.launch(run_id)
    return await core.runner.wait(run_id)


def titles(result: ScoutResult | Discovery) -> list[str]:
    """The titles of what was found."""
    if isinstance(result, Discovery):
        return sorted(o.title for o in result.opportunities)
    return sorted(match.opportunity.title for match in result.matches)


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The operators' log of the sources."""
    return [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name.startswith("agents.discovery") and record.levelno >= logging.INFO
    ]


# --- the feeds that ship ----------------------------------------------------------------------


def shipped(server: FeedServer) -> list[Row]:
    """The shipped feeds, each with the test's server in the place of its own."""
    text = files("agents.discovery").joinpath("feeds.json").read_text("utf-8")
    feeds: list[Row] = json.loads(text)["feeds"]
    for row in feeds:
        for name in {"url", "item_url"} & set(row):
            host = URL(row[name]).host
            scheme = URL(row[name]).scheme
            row[name] = row[name].replace(f"{scheme}://{host}", server.url)
    return feeds


async def gathered(
    folder: Path, server: FeedServer, name: str, *boards: str
) -> tuple[Opportunity, ...]:
    """What the shipped feed of that name gives."""
    async with product(folder, shipped(server), HeldClock(), feed_boards=boards) as core:
        discovery = await core.discovery.discover((name,), Need())
        assert {o.source for o in discovery.opportunities} <= {name}
        return discovery.opportunities


def day(year: int, month: int, date: int, hour: int = 0) -> datetime:
    """An instant in UTC."""
    return datetime(year, month, date, hour, tzinfo=UTC)


async def test_remotive(tmp_path: Path, server: FeedServer) -> None:
    """Remote jobs with a required place, a link to Remotive's page and pay as a text."""
    job = {
        "id": 81, "url": "https://remotive.example/jobs/81", "title": "Senior Rust Engineer",
        "company_name": "Larkfield Systems", "category": "Software Development",
        "tags": ["rust", "postgres"], "job_type": "contract",
        "publication_date": "2026-06-03T08:30:00", "candidate_required_location": "Europe",
        "salary": "$90k - $120k", "description": "<p>Rust &amp; <b>SQL</b></p>",
    }  # fmt: skip
    server.route("/api/remote-jobs").json({"0-legal-notice": "be fair", "jobs": [job]})
    (found,) = await gathered(tmp_path, server, "remotive")
    assert (found.title, found.organisation) == ("Senior Rust Engineer", "Larkfield Systems")
    assert found.url == "https://remotive.example/jobs/81"
    assert (found.locations, found.remote, found.kind) == (("Europe",), True, Kind.GIG)
    assert found.pay is not None
    assert (found.pay.min, found.pay.max, found.pay.currency) == (90_000, 120_000, "USD")
    assert found.posted_at == datetime(2026, 6, 3, 8, 30, tzinfo=UTC)
    assert found.description == "Rust & SQL"
    assert "rust" in found.skills
    assert (found.source_id, found.source) == ("81", "remotive")


async def test_jobicy(tmp_path: Path, server: FeedServer) -> None:
    """A structured pay with its period; titles written with entities."""
    job = {
        "id": 12, "url": "https://jobicy.example/jobs/12", "jobTitle": "Data Analyst &#8211; SQL",
        "companyName": "Fern &amp; Co", "jobIndustry": ["Data"], "jobType": ["internship"],
        "jobGeo": "Germany", "jobLevel": "Any", "jobExcerpt": "Count ferns.",
        "pubDate": "2026-06-02 10:00:00", "salaryMin": 40000, "salaryMax": 50000,
        "salaryCurrency": "EUR", "salaryPeriod": "yearly",
    }  # fmt: skip
    route = server.route("/api/v2/remote-jobs")
    route.json({"apiVersion": "2", "jobs": [job]})
    (found,) = await gathered(tmp_path, server, "jobicy")
    assert (found.title, found.organisation) == ("Data Analyst – SQL", "Fern & Co")
    assert (found.locations, found.remote, found.kind) == (("Germany",), True, Kind.INTERNSHIP)
    assert found.pay == Pay(
        min=40_000, max=50_000, currency="EUR", period=Period.YEAR,
        text="40,000–50,000 EUR per yearly",
    )  # fmt: skip
    assert found.posted_at == day(2026, 6, 2, 10)
    assert found.description == "Count ferns."
    assert route.seen[0].path_qs == "/api/v2/remote-jobs?count=100"


async def test_grants_gov(tmp_path: Path, server: FeedServer) -> None:
    """Asked by POST; American dates; the link is made of the number."""
    hits = [
        {"id": "350001", "number": "FERN-26-01", "title": "Ferns in Schools", "agencyCode": "FERN",
         "agencyName": "Bureau of Ferns", "openDate": "03/04/2026", "closeDate": "07/08/2026",
         "oppStatus": "posted", "docType": "synopsis"},
        {"id": "350002", "number": "FERN-26-02", "title": "Moss for All", "agency": "Moss Office",
         "openDate": "06/20/2026", "closeDate": "", "oppStatus": "forecasted"},
    ]  # fmt: skip
    route = server.route("/v1/api/search2")
    route.json({"errorcode": 0, "data": {"hitCount": 2, "oppHits": hits}})
    ferns, moss = await gathered(tmp_path, server, "grants-gov")
    assert (ferns.kind, ferns.title, ferns.organisation) == (
        Kind.GRANT, "Ferns in Schools", "Bureau of Ferns")  # fmt: skip
    assert ferns.url == "https://www.grants.gov/search-results-detail/350001"
    assert moss.organisation == "Moss Office"
    assert (ferns.source_id, ferns.active) == ("350001", True)
    (request,) = route.seen
    assert (request.method, request.body) == (
        "POST", {"keyword": "", "rows": 1000, "oppStatuses": "forecasted|posted"})  # fmt: skip
    assert (ferns.posted_at, moss.posted_at) == (day(2026, 3, 4), day(2026, 6, 20))
    assert ferns.deadline is not None
    assert ferns.deadline.date() in {day(2026, 7, 8).date(), day(2026, 7, 9).date()}
    assert moss.deadline is None


def hackathon(number: int) -> Row:
    """One of Devpost's."""
    return {
        "id": number, "title": f"Fern Hack {number}", "url": f"https://fern{number}.devpost.example/",
        "displayed_location": {"icon": "globe", "location": "Online"}, "open_state": "open",
        "submission_period_dates": "Jun 01 - Jul 20, 2026", "organization_name": "Fern Trust",
        "themes": [{"id": 1, "name": "Machine Learning"}],
        "prize_amount": "$<span data-currency-value>10,000</span>",
    }  # fmt: skip


async def test_devpost_pages_until_an_empty_one(tmp_path: Path, server: FeedServer) -> None:
    """Deadline from the period, prize from HTML, and no page is asked for after the end."""
    route = server.route("/api/hackathons")
    pages = {"": [1, 2], "2": [3], "3": []}
    route.pages("page", {p: {"hackathons": list(map(hackathon, n))} for p, n in pages.items()})
    found = await gathered(tmp_path, server, "devpost")
    assert [o.source_id for o in found] == ["1", "2", "3"]
    assert route.requests == 3
    first = found[0]
    assert (first.kind, first.organisation, first.remote) == (Kind.HACKATHON, "Fern Trust", True)
    assert first.url == "https://fern1.devpost.example/"
    assert first.deadline is not None
    assert first.deadline.date() in {day(2026, 7, 20).date(), day(2026, 7, 21).date()}
    assert first.pay is not None
    assert (first.pay.max, first.pay.currency, first.pay.period) == (10_000, "USD", Period.ONCE)
    assert all(URL(seen.path_qs).query["status[]"] == "open" for seen in route.seen)


HEAD = "Larkfield | Backend Engineer | Berlin, Germany or Remote | Full-time | €80k-€100k"


async def test_hn_who_is_hiring(tmp_path: Path, server: FeedServer) -> None:
    """Search, the newest story of those that hire, every comment under it, in full."""
    hits = [
        {"objectID": "903", "title": "Ask HN: Who wants to be hired? (June 2026)"},
        {"objectID": "902", "title": "Ask HN: Who is hiring? (June 2026)"},
        {"objectID": "901", "title": "Ask HN: Freelancer? Seeking freelancer? (June 2026)"},
        {"objectID": "802", "title": "Ask HN: Who is hiring? (May 2026)"},
    ]
    children = [
        {"id": 31, "created_at": "2026-06-01T15:04:00.000Z", "text": f"{HEAD}<p>All of it."},
        {"id": 32, "created_at": "2026-06-01T15:05:00.000Z", "text": None},
        {"id": 33, "created_at": "2026-06-01T15:06:00.000Z", "text": "Does anybody hire here?"},
    ]
    server.route("/api/v1/search_by_date").json({"hits": hits})
    server.route("/api/v1/items/902").json({"id": 902, "children": children})
    async with product(tmp_path, shipped(server)) as core:
        discovery = await core.discovery.discover(("hn-who-is-hiring",), Need())
    (found,) = discovery.opportunities
    assert (found.title, found.organisation) == ("Backend Engineer", "Larkfield")
    assert found.url == "https://news.ycombinator.com/item?id=31"
    assert (found.locations, found.remote) == (("Berlin, Germany or Remote",), True)
    assert found.pay is not None
    assert (found.pay.min, found.pay.currency) == (80_000, "EUR")
    assert found.posted_at == datetime(2026, 6, 1, 15, 4, tzinfo=UTC)
    assert found.description == f"{HEAD} All of it."
    assert discovery.sources[0].unreadable == {"no title": 1}


@pytest.mark.parametrize(
    ("search", "item", "words"),
    [
        ({"hits": []}, {}, "no thread found"),
        ({"error": "x"}, {}, "no thread found"),
        ({"hits": [{"objectID": "9", "title": "Who is hiring?"}]}, {"id": 9}, "no comments"),
        ({"hits": [{"objectID": "9", "title": "Who is hiring?"}]}, None, "no comments"),
    ],
)
async def test_hn_in_another_layout(
    tmp_path: Path, server: FeedServer, search: object, item: object, words: str
) -> None:
    """Said, and not mistaken for a month without openings."""
    server.route("/api/v1/search_by_date").json(search)
    server.route("/api/v1/items/9").json(item)
    async with product(tmp_path, shipped(server)) as core:
        result = await scout(core, "hn-who-is-hiring")
    assert result.error is not None
    assert f"its layout has changed ({words})" in result.error.message


async def test_remoteok_begins_with_a_notice(tmp_path: Path, server: FeedServer) -> None:
    """The first element is no posting; its salaries are dollars a year, 0 is none."""
    jobs = [
        {"legal": "Link back, please."},
        {"id": "5", "slug": "x", "position": "Go Engineer", "company": "Moss", "tags": ["golang"],
         "location": "Worldwide", "salary_min": 90000, "salary_max": 120000,
         "date": "2026-06-04T00:00:00+00:00", "url": "https://remoteok.example/5"},
        {"id": "6", "position": "Gardener", "company": "Fern", "location": "", "salary_min": 0,
         "salary_max": 0, "epoch": 1, "url": "https://remoteok.example/6"},
    ]  # fmt: skip
    server.route("/api").json(jobs)
    engineer, gardener = await gathered(tmp_path, server, "remoteok")
    assert (engineer.title, engineer.organisation) == ("Go Engineer", "Moss")
    assert engineer.pay is not None
    assert (engineer.pay.min, engineer.pay.currency, engineer.pay.period) == (
        90_000, "USD", Period.YEAR)  # fmt: skip
    assert engineer.posted_at == day(2026, 6, 4)
    assert (gardener.pay, gardener.remote, gardener.locations) == (None, True, ())


def arbeitnow(number: int) -> Row:
    """One of Arbeitnow's."""
    return {
        "slug": f"gardener-{number}", "company_name": "Fern GmbH", "title": f"Gardener {number}",
        "description": "<p>Green.</p>", "remote": False, "url": f"https://an.example/{number}",
        "tags": ["Plants"], "job_types": ["Vollzeit", "internship"], "location": "Berlin",
        "created_at": 1780300800,
    }  # fmt: skip


async def test_arbeitnow_follows_links_on_its_own_server(
    tmp_path: Path, server: FeedServer
) -> None:
    """`links.next` leads on, absolute or not, but never to another server."""
    route = server.route("/api/job-board-api")
    pages = {"": f"{server.url}/api/job-board-api?page=2", "2": "?page=3", "3": "http://[bad"}
    route.pages("page", {
        page: {"data": [arbeitnow(int(page or 1))], "links": {"next": link}}
        for page, link in pages.items()
    })  # fmt: skip
    found = await gathered(tmp_path, server, "arbeitnow")
    assert [o.source_id for o in found] == ["gardener-1", "gardener-2", "gardener-3"]
    first = found[0]
    assert (first.organisation, first.locations, first.remote) == ("Fern GmbH", ("Berlin",), False)
    assert (first.url, first.posted_at) == ("https://an.example/1", day(2026, 6, 1, 8))
    assert first.kind is Kind.INTERNSHIP
    async with FeedServer() as other:
        route.json({"data": [arbeitnow(1)], "links": {"next": f"{other.url}/api/job-board-api"}})
        (tmp_path / "again").mkdir()
        assert len(await gathered(tmp_path / "again", server, "arbeitnow")) == 1
        assert other.route("/api/job-board-api").requests == 0


async def test_himalayas(tmp_path: Path, server: FeedServer) -> None:
    """Places are where one may live; epoch dates; the link is the application's."""
    job = {
        "guid": "https://himalayas.example/g/7", "title": "Gardener", "companyName": "Fern",
        "minSalary": 50000, "maxSalary": 60000, "currency": "USD", "seniority": ["Senior"],
        "locationRestrictions": ["Germany", "France"], "pubDate": 1780300800,
        "applicationLink": "https://himalayas.example/7", "employmentType": "Full Time",
    }  # fmt: skip
    server.route("/jobs/api").json(
        {"jobs": [job, job | {"guid": "g8", "title": "Florist", "applicationLink": ""}]}
    )
    first, second = await gathered(tmp_path, server, "himalayas")
    assert (first.title, first.organisation, first.remote) == ("Gardener", "Fern", True)
    assert first.locations == ("Germany", "France")
    assert (first.url, second.url) == ("https://himalayas.example/7", None)
    assert (first.pay and (first.pay.min, first.pay.max, first.pay.currency)) == (
        50_000, 60_000, "USD")  # fmt: skip
    assert first.posted_at == day(2026, 6, 1, 8)


async def test_greenhouse_boards(tmp_path: Path, server: FeedServer) -> None:
    """HTML that was escaped twice; the board's name where no company is named."""
    job = {
        "id": 9, "title": "Gardener", "absolute_url": "https://gh.example/9",
        "location": {"name": "Berlin, Germany"}, "updated_at": "2026-06-10T10:00:00-04:00",
        "first_published": "2026-06-01T10:00:00-04:00",
        "content": "&lt;p&gt;Green &amp;amp; fair&lt;/p&gt;",
    }  # fmt: skip
    named = job | {"id": 10, "title": "Florist", "company_name": "Fern Trust"}
    server.route("/v1/boards/acme/jobs").json({"jobs": [job, named], "meta": {"total": 2}})
    gardener, florist = await gathered(tmp_path, server, "greenhouse:acme", "greenhouse:acme")
    assert (gardener.organisation, florist.organisation) == ("acme", "Fern Trust")
    assert (gardener.url, gardener.locations) == ("https://gh.example/9", ("Berlin, Germany",))
    assert gardener.posted_at == day(2026, 6, 1, 14)
    assert gardener.description == "Green & fair"


async def test_lever_boards(tmp_path: Path, server: FeedServer) -> None:
    """All of its places, the page of the posting rather than the form, pay with its period."""
    job = {
        "id": "a-b-c", "text": "Florist", "hostedUrl": "https://lever.example/acme/a",
        "applyUrl": "https://lever.example/acme/a/apply", "createdAt": 1780300800000,
        "categories": {"commitment": "Intern", "location": "Berlin", "team": "Garden",
                       "allLocations": ["Berlin", "Paris"]},
        "descriptionPlain": "Flowers.", "workplaceType": "remote",
        "salaryRange": {"min": 50000, "max": 60000, "currency": "EUR",
                        "interval": "per-year-salary"},
    }  # fmt: skip
    server.route("/v0/postings/acme").json([job])
    (found,) = await gathered(tmp_path, server, "lever:acme", "lever:acme")
    assert (found.title, found.organisation, found.kind) == ("Florist", "acme", Kind.INTERNSHIP)
    assert (found.url, found.remote) == ("https://lever.example/acme/a", True)
    assert found.locations == ("Berlin", "Paris")
    assert found.posted_at == day(2026, 6, 1, 8)
    assert found.pay is not None
    assert (found.pay.min, found.pay.currency, found.pay.period) == (50_000, "EUR", Period.YEAR)


async def test_ashby_boards(tmp_path: Path, server: FeedServer) -> None:
    """Pay as a summary; a posting that is not listed is not open."""
    job = {
        "id": "u-1", "title": "Florist", "location": "London", "isListed": True, "isRemote": True,
        "employmentType": "FullTime", "publishedAt": "2026-06-01T08:00:00.000+00:00",
        "jobUrl": "https://ashby.example/acme/u-1", "applyUrl": "https://ashby.example/apply",
        "descriptionPlain": "Flowers.",
        "compensation": {"compensationTierSummary": "£50K – £60K"},
    }  # fmt: skip
    hidden = job | {"id": "u-2", "title": "Hidden", "isListed": False, "compensation": None,
                    "jobUrl": "https://ashby.example/acme/u-2"}  # fmt: skip
    server.route("/posting-api/job-board/acme").json({"jobs": [job, hidden], "apiVersion": "1"})
    found, unlisted = await gathered(tmp_path, server, "ashby:acme", "ashby:acme")
    assert (found.organisation, found.locations, found.remote) == ("acme", ("London",), True)
    assert found.url == "https://ashby.example/acme/u-1"
    assert (found.pay and (found.pay.min, found.pay.max, found.pay.currency)) == (
        50_000, 60_000, "GBP")  # fmt: skip
    assert (found.active, unlisted.active, unlisted.pay) == (True, False, None)


async def test_only_feeds_that_can_serve_the_need_are_asked(
    tmp_path: Path, server: FeedServer
) -> None:
    """Who wants hackathons does not wait for the boards of jobs."""
    for path in ("/api/hackathons", "/api/remote-jobs", "/api"):
        server.route(path).json({"hackathons": [hackathon(1)], "jobs": []})
    async with product(tmp_path, shipped(server)) as core:
        discovery = await core.discovery.discover(("feeds",), Need(kinds=(Kind.HACKATHON,)))
    assert [report.source for report in discovery.sources] == ["devpost"]
    assert server.route("/api/remote-jobs").requests == 0


# --- what goes wrong --------------------------------------------------------------------------

Script = Callable[[Route], None]


def deep(route: Route) -> None:
    """A list in a list in a list ..."""
    route.text("[" * 200_000)


BAD: list[tuple[str, Script, str]] = [
    ("html", lambda r: r.text("\n<!DOCTYPE html><p>Just a moment..."), "a web page, not JSON"),
    ("not-json", lambda r: r.text('{"jobs": [{"title": "T"'), "its answer is not JSON"),
    ("nothing", lambda r: r.text(""), "its answer is not JSON"),
    ("bytes", lambda r: r.text(b"\xff\xfe\xfd\x00\x01"), "its answer is not JSON"),
    ("deep", deep, "its answer is not JSON"),
    ("gzip", lambda r: r.text("no gzip", headers={"Content-Encoding": "gzip"}), "wrongly packed"),
    ("null", lambda r: r.json(None), "its layout has changed (no list at 'jobs')"),
    ("a-text", lambda r: r.json("jobs"), "its layout has changed (no list at 'jobs')"),
    ("elsewhere", lambda r: r.json({"results": JOBS}), "its layout has changed (no list at"),
    ("an-object", lambda r: r.json({"jobs": {"1": JOBS[0]}}), "its layout has changed"),
    ("untitled", lambda r: r.json({"jobs": [{"titel": "T"}] * 3}), "none of its 3 records can be"),
    ("no-objects", lambda r: r.json({"jobs": [1, "x", None]}), "3 not an object"),
    ("429", lambda r: r.status(429, {"Retry-After": "120"}), "429: too many requests, wait 120 s"),
    ("500", lambda r: r.status(500), "it answered 500 Internal Server Error"),
    ("404", lambda r: r.status(404), "it answered 404 Not Found"),
    ("304", lambda r: r.status(304), "it answered 304 Not Modified"),
    ("cut", lambda r: r.cut(), "broken off"),
    ("dropped", lambda r: r.dropped(), "no usable answer (ServerDisconnectedError)"),
    ("circle", lambda r: r.redirect("/circle"), "it redirects in a circle"),
    ("to-a-file", lambda r: r.redirect("file:///etc/passwd"), "no usable answer"),
    ("nowhere", lambda r: r.redirect("http://127.0.0.1:1/"), "can't connect"),
    ("hang", lambda r: r.hold(), "no answer within 0.5 s"),
]  # fmt: skip


async def test_a_bad_answer_costs_only_its_own_source(
    tmp_path: Path, server: FeedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a feed answers: the run completes with the others' postings, the person is told
    in one notice, the operator in one line that isn't repeated at the next failure."""
    caplog.set_level(logging.WARNING)
    server.route("/good").json({"jobs": JOBS})
    for name, script, _ in BAD:
        script(server.route(f"/{name}"))
    names = [name for name, _, _ in BAD]
    feeds = [feed(server, name, pause_s=0) for name in ("good", *names)]
    async with product(tmp_path, feeds, source_timeout_s=0.5) as core:
        for _ in range(2):
            result = await scout(core)
            assert result.status == "completed"
            assert titles(result) == ["Florist", "Python Developer"]
            notices = list(result.notices)
            assert notices[0] == f"1 of {len(BAD) + 1} sources answered."
            for name, _, words in BAD:
                told = [n for n in notices if name in (set(n.replace(":", ",").split(", ")))]
                assert len(told) == 1, (name, notices)
                (notice,) = told
                assert words in notice
                assert len(notice) < 200
                assert "\n" not in notice
    lines = logged(caplog)
    assert [level for level, _ in lines] == ["WARNING"] * len(BAD)
    for name, _, words in BAD:
        (message,) = (m for _, m in lines if m.startswith(f"source failed: {name}: "))
        assert words in message


async def test_a_feed_without_a_list_of_its_own_name(tmp_path: Path, server: FeedServer) -> None:
    """Where the answer itself should be the list, an error object is a changed layout."""
    server.route("/bare").json({"error": "moved"})
    server.route("/good").json({"jobs": JOBS})
    feeds = [feed(server, "good"), feed(server, "bare", records="")]
    async with product(tmp_path, feeds) as core:
        result = await scout(core)
    assert "bare: its layout has changed (no list)" in result.notices


async def test_a_recovery_is_logged_once(
    tmp_path: Path, server: FeedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """One line when it fails, one when it answers again."""
    caplog.set_level(logging.INFO)
    route = server.route("/one")
    route.status(500)
    feeds = [feed(server, "one", pause_s=0)]
    async with product(tmp_path, feeds, breaker_failures=100) as core:
        for _ in range(2):
            assert (await scout(core)).error is not None
        route.json({"jobs": JOBS})
        assert len((await scout(core)).matches) == 2
        assert len((await scout(core)).matches) == 2
    assert logged(caplog) == [
        ("WARNING", "source failed: one: it answered 500 Internal Server Error"),
        ("INFO", "source one answers again after 2 failures"),
    ]


async def test_an_empty_feed_is_no_failure(tmp_path: Path, server: FeedServer) -> None:
    """A board without openings has none."""
    server.route("/empty").json({"jobs": []})
    async with product(tmp_path, [feed(server, "empty")]) as core:
        result = await scout(core)
    assert (result.status, result.matches, result.error) == ("completed", (), None)


@pytest.mark.parametrize("packed", [False, True])
async def test_more_than_is_read_is_not_read(
    tmp_path: Path, server: FeedServer, *, packed: bool
) -> None:
    """Reading stops at 20 MB of 200, unpacked or not."""
    route = server.route("/long")
    if packed:
        bomb = gzip.compress(b'{"title": "' + b"x" * 200_000_000, compresslevel=1)
        route.text(bomb, headers={"Content-Encoding": "gzip"})
    else:
        route.stream(200_000_000)
    async with product(tmp_path, [feed(server, "long")]) as core:
        result = await scout(core)
    assert result.error is not None
    assert "long: more than 20 MB, which is not read" in result.error.message
    # What was under way in the buffers of both sides beside what was read.
    assert route.bytes_sent < BYTES_MAX + 20_000_000


async def test_a_feed_that_hangs_with_nothing_stored(tmp_path: Path, server: FeedServer) -> None:
    """It is given up, which is stored as its failure: the next scout does not wait for it."""
    route = server.route("/slow")
    route.hold()
    server.route("/good").json({"jobs": JOBS})
    feeds = [feed(server, "slow"), feed(server, "good")]
    async with product(tmp_path, feeds, source_timeout_s=0.2) as core:
        assert "slow: no answer within 0.2 s" in (await scout(core)).notices
        again = await scout(core)
        assert any("asked again in" in notice for notice in again.notices)
        states = {state.source: state for state in await core.shelf.states()}
    assert (states["slow"].failures, states["slow"].error) == (1, "slow: no answer within 0.2 s")
    assert route.requests == 1


async def test_a_redirect_to_where_it_moved_is_followed(tmp_path: Path, server: FeedServer) -> None:
    """Also to another server."""
    async with FeedServer() as other:
        other.route("/new").json({"jobs": JOBS})
        server.route("/old").redirect(f"{other.url}/new")
        async with product(tmp_path, [feed(server, "old")]) as core:
            assert len((await scout(core)).matches) == 2


async def test_odd_links_are_dropped(tmp_path: Path, server: FeedServer) -> None:
    """Only a web link is a link; the posting itself is kept."""
    links = [
        "javascript:alert(1)",
        "data:text/html,x",
        "ftp://x.example/",
        "https://",
        "x y",
        7,
        None,
    ]
    jobs = [{"id": n, "title": f"Job {n}", "url": link} for n, link in enumerate(links)]
    server.route("/odd").json(
        {"jobs": [*jobs, {"id": 8, "title": "Job 8", "url": "//a.example/8"}]}
    )
    async with product(tmp_path, [feed(server, "odd")]) as core:
        discovery = await core.discovery.discover(("odd",), Need())
    assert {o.url for o in discovery.opportunities} == {None, "https://a.example/8"}
    assert discovery.found == 8


async def test_records_of_all_sorts(tmp_path: Path, server: FeedServer) -> None:
    """Odd values in a record cost the value or the record, not the feed."""
    odd = [
        {"title": "Ok", "id": 1}, {"title": ["x"]}, {"title": {"a": 1}}, {"title": " "}, [], None,
        {"title": "Half \ud800 a character", "id": 2, "salary": {"deep": [1]}, "tags": {"a": 1}},
        {"title": "T" * 100_000, "id": 3, "location": 7, "posted_at": 1e300, "deadline": -1e300},
        {"title": "Big", "id": 10**40, "salary_min": float("inf"), "salary_max": "much"},
    ]  # fmt: skip
    server.route("/odd").json({"jobs": odd})
    async with product(tmp_path, [feed(server, "odd")]) as core:
        result = await scout(core)
    assert len(result.matches) == 4
    assert result.funnel.unreadable == 5
    assert any("odd: 5 of 9 records could not be read" in notice for notice in result.notices)


async def test_a_later_page_that_fails_leaves_those_before(
    tmp_path: Path, server: FeedServer
) -> None:
    """The notice says so, and the next refresh asks for all of it, whatever the version."""
    clock, route = HeldClock(), server.route("/api/hackathons")
    pages: Row = {"": {"hackathons": [hackathon(1)]}, "2": {"hackathons": [hackathon(2)]}}
    route.pages("page", pages)
    async with product(tmp_path, shipped(server), clock) as core:
        first = await scout(core, "devpost")
        assert [n for n in first.notices if n.startswith("devpost")] == [
            "devpost: it answered 404 Not Found; 2 of its pages were read"
        ]
        clock.advance(21_600)
        route.pages("page", pages | {"3": {"hackathons": [hackathon(3)]}, "4": {"hackathons": []}})
        assert len((await scout(core, "devpost")).matches) == 3
    assert not any("If-None-Match" in seen.headers for seen in route.seen)


class SlowReader(HttpReader):
    """Gives an endless feed, whose every page comes when its time is over."""

    async def read(
        self, label: str, request: JsonRequest, known: Validators | None = None
    ) -> JsonAnswer:
        """The same page again."""
        return JsonAnswer(value={"jobs": JOBS}, validators=Validators(etag='"1"'))


async def test_pages_that_come_slowly_end_with_the_time(server: FeedServer) -> None:
    """What has come by then is used, with a notice, and has no version to ask for."""
    pages = {"parameter": "page", "pages_max": 50}
    slow = Feed.model_validate(feed(server, "slow", pages=pages))
    fetched = await FeedFetcher(slow, SlowReader(timeout_s=-1.0), HeldClock().now).fetch(
        Validators()
    )
    assert fetched is not None
    assert len(fetched.opportunities) == 2
    assert fetched.notice == "slow: it is slow; 1 of its pages were read"
    assert fetched.validators == Validators()


# --- stored ------------------------------------------------------------------------------------


async def test_the_second_scout_asks_nobody(tmp_path: Path, server: FeedServer) -> None:
    """Within the period each match says that it is stored, and how old it is."""
    clock, route = HeldClock(), server.route("/one")
    route.json({"jobs": JOBS})
    async with product(tmp_path, [feed(server, "one")], clock) as core:
        first = await scout(core)
        clock.advance(2400)
        second = await scout(core)
    assert route.requests == 1
    assert [m.provenance.from_cache for m in first.matches] == [False, False]
    assert [(m.provenance.from_cache, m.provenance.age_s) for m in second.matches] == [
        (True, 2400)
    ] * 2
    assert {m.opportunity.source for m in second.matches} == {"one"}
    assert second.notices == first.notices


async def test_a_restart_keeps_what_is_stored(tmp_path: Path, server: FeedServer) -> None:
    """The store is the database, not the process."""
    clock, route = HeldClock(), server.route("/one")
    route.json({"jobs": JOBS})
    for _ in range(3):
        async with product(tmp_path, [feed(server, "one")], clock) as core:
            assert len((await scout(core)).matches) == 2
    assert route.requests == 1


VERSIONS = [
    ({"etag": 'W/"abc"'}, "If-None-Match", 'W/"abc"'),
    ({"last_modified": "Mon, 01 Jun 2026 10:00:00 GMT"}, "If-Modified-Since",
     "Mon, 01 Jun 2026 10:00:00 GMT"),
]  # fmt: skip


@pytest.mark.parametrize(("version", "header", "value"), VERSIONS)
async def test_an_unchanged_feed_is_asked_by_its_version(
    tmp_path: Path, server: FeedServer, version: dict[str, str], header: str, value: str
) -> None:
    """A 304 keeps the postings and makes them current."""
    clock, route = HeldClock(), server.route("/one")
    route.json({"jobs": JOBS}, **version)
    async with product(tmp_path, [feed(server, "one")], clock) as core:
        await scout(core)
        clock.advance(3600)
        result = await scout(core)
        assert {m.provenance.age_s for m in result.matches} == {0}
        assert not any(m.provenance.from_cache for m in result.matches)
        assert len(result.matches) == 2
        clock.advance(3600)
        assert len((await scout(core)).matches) == 2
    assert [seen.headers.get(header) for seen in route.seen] == [None, value, value]


async def test_a_version_that_no_store_can_keep(tmp_path: Path, server: FeedServer) -> None:
    """It is left out; the postings are read as ever."""
    clock, route = HeldClock(), server.route("/one")
    route.text(json.dumps({"jobs": JOBS}), headers={"ETag": '"é"'})
    async with product(tmp_path, [feed(server, "one")], clock) as core:
        for _ in range(2):
            assert len((await scout(core)).matches) == 2
            clock.advance(3600)
    assert "If-None-Match" not in route.seen[1].headers


async def test_other_field_names_are_not_answered_from_the_store(
    tmp_path: Path, server: FeedServer
) -> None:
    """Who changes a feed's description gets it read anew, though its answer is the same."""
    clock, route = HeldClock(), server.route("/one")
    route.json({"jobs": [{"title": "T", "firm": "Larkfield", "id": 1}]}, etag='"1"')
    async with product(tmp_path, [feed(server, "one")], clock) as core:
        assert (await scout(core)).matches[0].opportunity.organisation is None
    clock.advance(3600)
    fields = {"organisation": ["firm"]}
    async with product(tmp_path, [feed(server, "one", fields=fields)], clock) as core:
        assert (await scout(core)).matches[0].opportunity.organisation == "Larkfield"


async def test_a_hanging_feed_gives_what_is_stored(tmp_path: Path, server: FeedServer) -> None:
    """The scout ends while the server still hangs; the answer is stored for the next one."""
    clock, route = HeldClock(), server.route("/one")
    route.json({"jobs": JOBS})
    async with product(tmp_path, [feed(server, "one")], clock) as core:
        await scout(core)
        clock.advance(7200)
        route.hold()
        route.json({"jobs": JOBS[:1]})
        result = await scout(core)
        assert route.held
        assert len(result.matches) == 2
        assert all(match.provenance.from_cache for match in result.matches)
        again = "old; it is being read again"
        assert f"one: its postings here are 120 min {again}" in result.notices or (
            f"one: its postings here are 2 h {again}" in result.notices
        )
        route.release()
        await core.catalogue.feeds["one"].refresh_shared()
        later = await scout(core)
        assert titles(later) == ["Python Developer"]
        assert later.matches[0].provenance.age_s == 0
    assert route.requests == 2


async def test_what_has_gone_from_the_feed_is_no_longer_found_but_still_saved(
    tmp_path: Path, server: FeedServer
) -> None:
    """A saved posting is the person's own."""
    clock, route = HeldClock(), server.route("/one")
    route.json({"jobs": JOBS})
    async with product(tmp_path, [feed(server, "one")], clock) as core:
        person = await core.people.person("test", "1")
        matches = (await scout(core)).matches
        gone = next(m for m in matches if m.opportunity.title == "Florist")
        await core.people.save(person.id, gone.opportunity.id)
        route.json({"jobs": JOBS[:1]})
        clock.advance(3600)
        assert titles(await scout(core)) == ["Python Developer"]
        clock.advance(90 * 24 * 3600)
        await core.shelf.prune(clock.now() - timedelta(days=30))
        assert [item.title for item in await core.people.saved(person.id)] == ["Florist"]


async def test_the_sources_pause_is_obeyed(tmp_path: Path, server: FeedServer) -> None:
    """A feed that failed is not asked again before its terms allow, and the message says when."""
    clock, route = HeldClock(), server.route("/one")
    route.status(503)
    async with product(tmp_path, [feed(server, "one", pause_s=30)], clock) as core:
        await scout(core)
        clock.advance(10)
        result = await scout(core)
        assert result.error is not None
        assert "asked again in 20 s at the earliest" in result.error.message
        assert route.requests == 1
        clock.advance(20)
        await scout(core)
    assert route.requests == 2


async def test_many_scouts_at_once_are_one_request(tmp_path: Path, server: FeedServer) -> None:
    """Whoever asks meanwhile waits for the same answer."""
    route = server.route("/one")
    route.json({"jobs": JOBS})
    route.hold()
    async with product(tmp_path, [feed(server, "one")]) as core:
        asked = [
            asyncio.create_task(core.discovery.discover(("feeds", "one"), Need()))
            for _ in range(30)
        ]
        await server.until(lambda: route.requests == 1)
        route.release()
        found = await asyncio.gather(*asked)
    assert {discovery.found for discovery in found} == {2}
    assert route.requests == 1


async def test_a_scout_is_cancelled_while_a_feed_hangs(tmp_path: Path, server: FeedServer) -> None:
    """The cancel does not wait for the feed."""
    server.route("/one").hold()
    async with product(tmp_path, [feed(server, "one")]) as core:
        person = await core.people.person("test", "1")
        run_id = await core.runner.create(person.id, ScoutRequest(sources=("feeds",)))
        await core.runner.launch(run_id)
        await server.until(lambda: server.route("/one").requests == 1)
        assert await core.runner.cancel(run_id)
        assert (await core.runner.wait(run_id)).status == "cancelled"


@pytest.mark.unmeasured  # many postings
async def test_a_thousand_postings_of_a_feed(tmp_path: Path, server: FeedServer) -> None:
    """All of them are stored, in their order."""
    jobs = [{"id": n, "title": f"Job {n}", "url": f"https://a.example/{n}"} for n in range(2_500)]
    server.route("/one").json({"jobs": jobs})
    async with product(tmp_path, [feed(server, "one")]) as core:
        first = await core.discovery.discover(("one",), Need())
        second = await core.discovery.discover(("one",), Need())
    assert [o.source_id for o in first.opportunities] == [str(n) for n in range(2_500)]
    assert [o.id for o in second.opportunities] == [o.id for o in first.opportunities]


# --- the bot and the command line -------------------------------------------------------------


async def test_the_bot_reads_its_feeds_in_the_background(
    tmp_path: Path, server: FeedServer
) -> None:
    """A scout finds them stored."""
    for name in ("one", "two"):
        server.route(f"/{name}").json({"jobs": JOBS})
    feeds = feeds_file(tmp_path, [feed(server, "one"), feed(server, "two")])
    settings = local_settings(tmp_path, feeds_file=feeds, sources=("one",))
    async with build_bot(settings) as running, ChatClient(running.address or "") as chat:
        await server.until(lambda: server.route("/one").requests == 1)
        await chat.ask("/profile skills: python; kinds: job")
        await chat.say("/scout")
        await chat.until_text("Python Developer")
    assert server.route("/one").requests == 1
    assert server.route("/two").requests == 0  # not in SOURCES


@pytest.fixture
def elsewhere() -> Iterator[FeedServer]:
    """The server beside the command line's event loop."""
    with threaded(FeedServer()) as standin:
        yield standin


def test_a_feed_from_the_command_line(
    webscout: Run, tmp_path: Path, elsewhere: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name or with all feeds; a second scout is answered from the store, and says so."""
    route = elsewhere.route("/one")
    route.json({"jobs": JOBS})
    monkeypatch.setenv("FEEDS_FILE", str(feeds_file(tmp_path, [feed(elsewhere, "one")])))
    ages = []
    for source in ("one", "feeds"):
        code, out, _ = webscout("scout", "--json", "--source", source)
        assert code == 0
        matches = result_of(out)["matches"]
        (match,) = (m for m in matches if m["opportunity"]["title"] == "Python Developer")
        assert match["opportunity"]["source"] == "one"
        ages.append((match["provenance"]["from_cache"], match["provenance"]["age_s"] >= 0))
    assert ages == [(False, True), (True, True)]
    assert route.requests == 1


def test_a_list_that_can_not_be_used_is_exit_2(webscout: Run, tmp_path: Path) -> None:
    """One line that names the setting, the place and what is allowed."""
    (tmp_path / "feeds.json").write_text('{"feeds": [{"name": "x", "perod_s": 1}]}', "utf-8")
    no_feeds = str(NO_FEEDS)
    for name, values in (
        ("APIFY_ACTORS_FILE", {"APIFY_ACTORS_FILE": "nosuch.json"}),
        ("FEED_BOARDS", {"APIFY_ACTORS_FILE": "", "FEED_BOARDS": "nosuch:acme"}),
        ("FEEDS_FILE", {"FEEDS_FILE": "nosuch.json"}),
        ("FEEDS_FILE", {"FEEDS_FILE": "feeds.json"}),
    ):
        code, out, err = webscout(
            "scout", "--source", "sample", **{"FEEDS_FILE": no_feeds} | values
        )
        assert (code, out) == (2, "")
        assert f"{name}: " in err
        assert "allowed: " in err
        assert len(err.strip().splitlines()) == 1

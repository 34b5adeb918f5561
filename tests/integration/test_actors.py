"""Apify actors through the whole product, against the stand-in. Every posting here is invented,
but for the real samples of the last test."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agents.discovery.agent import AllSourcesFailed
from agents.discovery.port import Need
from agents.discovery.sources.apify_runs import START_MARK
from agents.domain.kind import Kind
from agents.domain.run import ScoutRequest
from bot.bootstrap import Core, Fakes, build_core
from resilience.breaker import CLOSED, Mode
from tests.conftest import local_settings
from tests.fakes.apify import TOKEN, FakeApify, Fault
from tests.fakes.people import WatchedClock
from tests.fakes.saga_clock import HeldClock
from tests.integration.test_cli import Run, webscout
from tests.integration.test_feeds import scout, titles

__all__ = ["webscout"]  # a fixture

Row = dict[str, Any]
INDEED, LINKEDIN, WEB = (
    "misceres/indeed-scraper", "harvestapi/linkedin-job-search", "apify/rag-web-browser",
)  # fmt: skip
ITEMS: list[object] = [
    {"id": "1", "positionName": "Python Developer", "company": "Larkfield",
     "url": "https://lark.example/1", "location": "Berlin"},
    {"id": "2", "positionName": "Florist", "company": "Fern", "url": "https://fern.example/2"},
]  # fmt: skip


@pytest.fixture
async def apify() -> AsyncIterator[FakeApify]:
    """The stand-in, with the actors that ship."""
    async with FakeApify() as standin:
        for name in (INDEED, LINKEDIN, WEB):
            standin.actor(name)
        yield standin


@asynccontextmanager
async def product(
    folder: Path, apify: FakeApify, clock: HeldClock | None = None, **settings: object
) -> AsyncIterator[Core]:
    """The product over the stand-in."""
    values = {
        "apify_api_token": TOKEN,
        "apify_api_base_url": apify.url,
        "sources": ("apify",),
    } | settings
    async with build_core(local_settings(folder, **values), Fakes(clock=clock)) as core:
        yield core


def one_actor(folder: Path, **changes: object) -> Path:
    """An operator's APIFY_ACTORS_FILE: one actor that is asked for jobs by words."""
    actor = {
        "actor": INDEED, "title": "Indeed", "kinds": ["job"], "period_s": 3600, "timeout_s": 60,
        "memory_mbytes": 512, "items_max": 100, "charge_max_usd": 0.4,
        "inputs": [{"input": {"position": "{words}"}}],
    } | changes  # fmt: skip
    path = folder / "actors.json"
    path.write_text(json.dumps({"actors": [actor]}), "utf-8")
    return path


def unmarked(run_input: object) -> Row:
    """A run's input as the actor's template has it: less the start's mark, which is there."""
    assert isinstance(run_input, dict)
    assert len(run_input[START_MARK]) == 32
    return {name: value for name, value in run_input.items() if name != START_MARK}


def test_apify_without_a_token(webscout: Run) -> None:
    """Wrong usage, said in one line that names what is missing."""
    code, out, err = webscout("scout", "--source", "apify")
    assert (code, out) == (2, "")
    assert "apify needs APIFY_API_TOKEN; allowed: file:PATH" in err
    assert len(err.strip().splitlines()) == 1


# --- what is asked ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "asked"),
    [
        ((Kind.JOB,), {INDEED, LINKEDIN}),
        ((Kind.GIG,), {INDEED}),
        ((Kind.GRANT,), {WEB}),
        ((Kind.BOUNTY,), set()),
        ((), {INDEED, LINKEDIN, WEB}),
    ],
)
async def test_actors_are_chosen_by_the_kinds(
    tmp_path: Path, apify: FakeApify, kinds: tuple[Kind, ...], asked: set[str]
) -> None:
    """No run is paid for that can't find what is needed."""
    async with product(tmp_path, apify) as core:
        await core.discovery.discover(("apify",), Need(kinds=kinds))
    assert {run.actor.name for run in apify.runs} == asked


async def test_the_input_is_filled_with_the_need(tmp_path: Path, apify: FakeApify) -> None:
    """The words, the place and the limits of the request stand in each actor's own input."""
    async with product(tmp_path, apify, HeldClock()) as core:
        await core.discovery.discover(
            ("apify",), Need(query="Rust", locations=("Berlin",), kinds=(Kind.JOB, Kind.GRANT))
        )
    inputs = {run.actor.name: unmarked(run.input) for run in apify.runs}
    assert inputs == {
        INDEED: {
            "position": "rust", "location": "Berlin", "maxItems": 100, "saveOnlyUniqueItems": True,
        },
        LINKEDIN: {
            "jobTitles": ["rust"], "locations": ["Berlin"], "maxItems": 100, "sortBy": "date",
        },
        WEB: {
            "query": "rust grant open call for applications 2026", "maxResults": 10,
            "outputFormats": ["text"],
        },
    }  # fmt: skip
    queries = {run.actor.name: run.query for run in apify.runs}
    assert queries[INDEED]["timeout"] == "120"
    assert queries[INDEED]["maxItems"] == "100"


@pytest.mark.parametrize("budget", [1.0, 0.5, 0.2, 0.05])
@pytest.mark.parametrize("kinds", [(), (Kind.JOB,), (Kind.JOB, Kind.GRANT)])
async def test_a_scouts_budget_is_split_among_its_actors(
    tmp_path: Path, apify: FakeApify, budget: float, kinds: tuple[Kind, ...]
) -> None:
    """What all of them together may charge is at most the setting, however often it is named."""
    async with product(tmp_path, apify, apify_run_usd=budget) as core:
        await core.discovery.discover(("apify", "apify"), Need(kinds=kinds))
    charges = [float(run.query["maxTotalChargeUsd"]) for run in apify.runs]
    assert len(charges) == {0: 4, 1: 2, 2: 3}[len(kinds)]
    assert all(charge > 0 for charge in charges)
    assert sum(charges) <= budget + 1e-9


async def test_what_is_found_and_what_it_cost(tmp_path: Path, apify: FakeApify) -> None:
    """The cards name the actor, the usage what Apify charged for all runs of the scout."""
    apify.actor(INDEED).items, apify.actor(INDEED).usage_usd = ITEMS, 0.125
    apify.actor(LINKEDIN).usage_usd = 0.25
    async with product(tmp_path, apify) as core:
        result = await scout(core, kinds=(Kind.JOB,))
    assert titles(result) == ["Florist", "Python Developer"]
    assert {m.provenance.source for m in result.matches} == {f"apify:{INDEED}"}
    assert result.usage.apify_usd == 0.375


async def test_grants_from_a_web_search_are_grants(tmp_path: Path, apify: FakeApify) -> None:
    """The input says of what kind its findings are."""
    apify.actor(WEB).items = [
        {"searchResult": {"title": "Moss Fund", "url": "https://moss.example", "description": "M."}}
    ]
    async with product(tmp_path, apify) as core:
        found = await core.discovery.discover(("apify",), Need(kinds=(Kind.GRANT,)))
    (card,) = found.opportunities
    assert (card.kind, card.title, card.url, card.source) == (
        Kind.GRANT, "Moss Fund", "https://moss.example", f"apify:{WEB}")  # fmt: skip


# --- shared, stored, cancelled ----------------------------------------------------------------

NEED = Need(query="python", kinds=(Kind.JOB,))


async def test_a_hundred_people_with_the_same_need_are_one_run(
    tmp_path: Path, apify: FakeApify
) -> None:
    """And one of them pays."""
    actor = apify.actor(INDEED)
    actor.items, actor.usage_usd = ITEMS, 0.25
    actor.hold()
    async with product(tmp_path, apify, apify_actors_file=one_actor(tmp_path)) as core:
        asked = [asyncio.create_task(core.discovery.discover(("apify",), NEED)) for _ in range(100)]
        await apify.until(lambda: actor.starts == 1)
        actor.release()
        found = await asyncio.gather(*asked)
    assert apify.starts == 1
    assert {discovery.found for discovery in found} == {2}
    assert sorted(discovery.cost_usd for discovery in found) == [0.0] * 99 + [0.25]


async def test_the_next_scout_within_the_period_starts_nothing(
    tmp_path: Path, apify: FakeApify
) -> None:
    """It is answered from the store, free, also after a restart; after the period it is run."""
    clock, actor = HeldClock(), apify.actor(INDEED)
    actor.items = ITEMS
    for restart in range(2):
        async with product(tmp_path, apify, clock, apify_actors_file=one_actor(tmp_path)) as core:
            result = await scout(core)
            assert len(result.matches) == 2
            assert all(m.provenance.from_cache is bool(restart) for m in result.matches)
            assert (result.usage.apify_usd > 0) is not bool(restart)
            clock.advance(1800)
    assert actor.starts == 1
    async with product(tmp_path, apify, clock, apify_actors_file=one_actor(tmp_path)) as core:
        assert (await scout(core)).usage.apify_usd > 0
    assert actor.starts == 2


async def test_cancelling_a_scout_aborts_its_run(tmp_path: Path, apify: FakeApify) -> None:
    """One start, one abort; the scout is cancelled when the abort is done, and its receipt says
    what was spent until then."""
    actor = apify.actor(INDEED)
    actor.hold()
    actor.usage_usd = 0.25
    async with product(tmp_path, apify, apify_actors_file=one_actor(tmp_path)) as core:
        person = await core.people.person("test", "1")
        run_id = await core.runner.create(person.id, ScoutRequest(sources=("apify",)))
        await core.runner.launch(run_id)
        await apify.until(lambda: bool(apify.seen("run")))
        assert await core.runner.cancel(run_id)
        result = await core.runner.wait(run_id)
        assert result.status == "cancelled"
        assert result.receipt is not None
        assert result.receipt.spent.apify_usd == 0.25
        assert (apify.starts, apify.aborts) == (1, 1)
        assert apify.runs[0].status == "ABORTED"


async def test_one_of_several_leaves_and_the_run_goes_on(tmp_path: Path, apify: FakeApify) -> None:
    """The last one's leaving aborts it."""
    actor = apify.actor(INDEED)
    actor.items = ITEMS
    actor.hold()
    async with product(tmp_path, apify, apify_actors_file=one_actor(tmp_path)) as core:
        asked = (core.discovery.discover(("apify",), NEED) for _ in range(2))
        first, second = map(asyncio.create_task, asked)
        await apify.until(lambda: bool(apify.seen("run")))
        for _ in range(20):  # the second has looked into the store meanwhile, and waits, too
            await core.shelf.states()
        first.cancel()
        await asyncio.wait({first})
        assert apify.aborts == 0
        actor.release()
        assert (await second).found == 2
        actor.hold()
        other = Need(query="other", kinds=(Kind.JOB,))
        last = asyncio.create_task(core.discovery.discover(("apify",), other))
        await apify.until(lambda: actor.starts == 2)
        last.cancel()
        await asyncio.wait({last})
    assert (apify.starts, apify.aborts) == (2, 1)


async def test_leaving_aborts_what_is_under_way(tmp_path: Path, apify: FakeApify) -> None:
    """A stop of the process leaves no run behind that goes on charging."""
    actor = apify.actor(INDEED)
    actor.hold()
    async with product(tmp_path, apify, apify_actors_file=one_actor(tmp_path)) as core:
        asked = asyncio.create_task(core.discovery.discover(("apify",), NEED))
        await apify.until(lambda: actor.starts == 1)
    assert (apify.starts, apify.aborts) == (1, 1)
    await asyncio.gather(asked, return_exceptions=True)


# --- what goes wrong --------------------------------------------------------------------------

REFUSALS = [
    (Fault(status=429, type="rate-limit-exceeded"), "Apify is rate-limited"),
    (Fault(status=402, type="not-enough-usage-to-run-paid-actor"), "account is out of credit"),
    (Fault(status=402, type="x402-payment-required"), "the Apify account is out of credit"),
    (Fault(status=402, type="concurrent-runs-limit-exceeded"), "too many Apify runs at once"),
    (Fault(status=401, type="user-or-token-not-found"), "the Apify token is refused"),
    (Fault(status=503, html="<h1>down</h1>"), "Apify has trouble (HTTP 503)"),
]


@pytest.mark.parametrize(("fault", "words"), REFUSALS)
async def test_a_refusal_is_said_in_words_and_the_others_stay(
    tmp_path: Path, apify: FakeApify, fault: Fault, words: str
) -> None:
    """The scout completes with what the other sources gave."""
    apify.actor(INDEED).faults["start"] = fault
    one, sources = one_actor(tmp_path), ("apify", "sample")
    async with product(tmp_path, apify, apify_actors_file=one, sources=sources) as core:
        result = await scout(core, kinds=(Kind.JOB,))
    assert result.status == "completed"
    assert result.matches
    assert "1 of 2 sources answered." in result.notices
    (notice,) = (n for n in result.notices if words in n)
    assert INDEED in notice
    assert TOKEN not in notice


async def test_a_run_that_failed_is_paid_for_and_not_repeated_at_once(
    tmp_path: Path, apify: FakeApify
) -> None:
    """Its cost stands in the usage; for half a minute nobody pays for another try."""
    clock, failing = HeldClock(), apify.actor(INDEED)
    failing.ends, failing.message, failing.usage_usd = "FAILED", "blocked", 0.125
    apify.actor(LINKEDIN).items = ITEMS
    async with product(tmp_path, apify, clock) as core:
        result = await scout(core, kinds=(Kind.JOB,))
        assert result.usage.apify_usd == 0.135
        assert any("the actor failed" in notice for notice in result.notices)
        clock.advance(20)
        again = await scout(core, kinds=(Kind.JOB,))
        assert again.usage.apify_usd == 0
        assert any("asked again in 10 s at the earliest" in n for n in again.notices)
        assert failing.starts == 1
        clock.advance(10)
        await scout(core, kinds=(Kind.JOB,))
    assert failing.starts == 2


async def test_an_actor_that_fails_later_leaves_what_is_stored(
    tmp_path: Path, apify: FakeApify
) -> None:
    """With a notice that says why, and how old the postings are."""
    clock, actor = HeldClock(), apify.actor(INDEED)
    actor.items = ITEMS
    async with product(tmp_path, apify, clock, apify_actors_file=one_actor(tmp_path)) as core:
        await scout(core)
        clock.advance(3 * 3600)
        actor.faults["start"] = Fault(status=402, type="not-enough-usage-to-run-paid-actor")
        result = await scout(core)
    assert len(result.matches) == 2
    (notice,) = (n for n in result.notices if "out of credit" in n)
    assert "its postings here are 3 h old; " in notice


async def test_nothing_found_is_no_failure(tmp_path: Path, apify: FakeApify) -> None:
    """And it is stored: the same need is not paid for again."""
    async with product(tmp_path, apify, apify_actors_file=one_actor(tmp_path)) as core:
        for _ in range(2):
            result = await scout(core)
            assert (result.status, result.matches) == ("completed", ())
    assert apify.starts == 1


ODD: list[tuple[list[object], int, int]] = [
    # items, how many can be read, how many can't
    ([*ITEMS, "text", 7, [1], {"headline": "T"}], 2, 4),
    ([{"title": "A"}, {"title": None}, {"name": "B", "url": "javascript:x"}], 2, 1),
]


@pytest.mark.parametrize(("items", "found", "unreadable"), ODD)
async def test_items_that_can_not_be_read_are_counted(
    tmp_path: Path, apify: FakeApify, items: list[object], found: int, unreadable: int
) -> None:
    """The others are used."""
    apify.actor(INDEED).items = items
    async with product(tmp_path, apify, apify_actors_file=one_actor(tmp_path)) as core:
        result = await scout(core)
    assert (len(result.matches), result.funnel.unreadable) == (found, unreadable)
    assert any("could not be read" in notice for notice in result.notices)


@pytest.mark.parametrize("items", [["x", 7], [{"headline": "T"}] * 3])
async def test_other_fields_throughout_are_a_failure(
    tmp_path: Path, apify: FakeApify, items: list[object]
) -> None:
    """An actor that writes its items anew is not mistaken for one that found nothing; the run
    was paid for all the same."""
    apify.actor(INDEED).items = items
    apify.actor(LINKEDIN).items = ITEMS
    async with product(tmp_path, apify) as core:
        result = await scout(core, kinds=(Kind.JOB,))
    assert any(f"none of its {len(items)} items can be read" in n for n in result.notices)
    assert len(result.matches) == 2
    assert result.usage.apify_usd == 0.02


async def test_a_hundred_thousand_items(tmp_path: Path, apify: FakeApify) -> None:
    """As many are read as the list of actors allows, and the notice says that there are more."""
    apify.actor(INDEED).items = [{"title": f"Job {n}", "id": n} for n in range(100_000)]
    async with product(tmp_path, apify, apify_actors_file=one_actor(tmp_path)) as core:
        found = await core.discovery.discover(("apify",), NEED)
    assert found.found == 100
    assert found.sources[0].notice == f"apify:{INDEED}: this is a part of what it found"


async def test_starts_within_a_minute_are_bounded(tmp_path: Path, apify: FakeApify) -> None:
    """The eleventh starts when its time has come, as two more do; who would wait for longer than
    20 s is told so."""
    clock = WatchedClock()
    async with product(tmp_path, apify, clock, apify_actors_file=one_actor(tmp_path)) as core:

        async def need(number: int) -> int:
            words = Need(query=f"words {number}", kinds=(Kind.JOB,))
            return (await core.discovery.discover(("apify",), words)).found

        for number in range(10):
            assert await need(number) == 0
        waiting = []
        for number, wait_s in ((10, 6), (11, 12), (12, 18)):
            waiting.append(asyncio.create_task(need(number)))
            await clock.until_asleep(wait_s)
        with pytest.raises(AllSourcesFailed, match=r"too many calls\); asked again in 24 s"):
            await need(13)
        assert apify.starts == 10
        for started in (11, 12, 13):
            clock.advance(6)
            await apify.until(lambda started=started: apify.starts == started)  # type: ignore[misc]
        assert await asyncio.gather(*waiting) == [0, 0, 0]
    assert apify.starts == 13


# --- what a paid run is worth -----------------------------------------------------------------


async def test_questions_are_asked_again_and_the_run_is_not_lost(
    tmp_path: Path, apify: FakeApify
) -> None:
    """An error on the way to its status, one on the way to its results: one start, one result."""
    actor = apify.actor(INDEED)
    actor.items = ITEMS
    actor.faults["run"] = Fault(status=502, html="<h1>bad gateway</h1>", times=1)
    actor.faults["items"] = Fault(status=429, type="rate-limit-exceeded", times=1)
    async with product(tmp_path, apify, apify_actors_file=one_actor(tmp_path)) as core:
        result = await scout(core, kinds=(Kind.JOB,))
    assert titles(result) == ["Florist", "Python Developer"]
    assert (apify.starts, apify.aborts) == (1, 0)


@pytest.mark.parametrize("operation", ["run", "items"])
@pytest.mark.parametrize("status", [429, 503])
async def test_no_error_after_the_start_is_a_reason_for_another(
    tmp_path: Path, apify: FakeApify, operation: str, status: int
) -> None:
    """Also with a breaker that lets everything through: a run is paid for once."""
    apify.actor(INDEED).faults[operation] = Fault(status=status, type="rate-limit-exceeded")
    async with product(tmp_path, apify, apify_actors_file=one_actor(tmp_path)) as core:
        core.guards.by_name["apify"].breaker.force(Mode.FORCED_CLOSED)
        result = await scout(core, kinds=(Kind.JOB,))
    assert result.status == "failed"
    assert apify.starts == 1


async def test_the_accounts_own_limit_is_no_failure_of_apify(
    tmp_path: Path, apify: FakeApify
) -> None:
    """Too many runs at once: said so, not tried again, and nobody else is refused for it."""
    busy = Fault(status=402, type="concurrent-runs-limit-exceeded")
    apify.actor(INDEED).faults["start"] = busy
    async with product(tmp_path, apify, apify_actors_file=one_actor(tmp_path)) as core:
        for number in range(7):
            await scout(core, kinds=(Kind.JOB,), skills=(f"skill{number}",))
        assert core.guards.by_name["apify"].breaker.state is CLOSED
    assert len(apify.seen("start")) == 7


async def test_a_part_does_not_replace_the_whole(tmp_path: Path, apify: FakeApify) -> None:
    """A run that ended badly with less than the last one found is a failure: the last one's
    postings stay, with their age."""
    clock, actor = HeldClock(), apify.actor(INDEED)
    actor.items = ITEMS
    async with product(tmp_path, apify, clock, apify_actors_file=one_actor(tmp_path)) as core:
        await scout(core, kinds=(Kind.JOB,))
        clock.advance(3600)
        actor.items, actor.ends = ITEMS[:1], "FAILED"
        result = await scout(core, kinds=(Kind.JOB,))
    assert titles(result) == ["Florist", "Python Developer"]
    assert {match.provenance.age_s for match in result.matches} == {3600}


async def test_a_start_whose_answer_was_lost_is_not_paid_for_again(
    tmp_path: Path, apify: FakeApify
) -> None:
    """The next scout, after a restart, uses its run; it is charged to that one."""
    clock, actor = HeldClock(), apify.actor(INDEED)
    apify.now, actor.items, actor.usage_usd = clock.now, ITEMS, 0.25
    actor.lose_answer()
    one = one_actor(tmp_path)
    async with product(tmp_path, apify, clock, apify_actors_file=one) as core:
        in_doubt = await scout(core)
    assert in_doubt.usage.apify_usd == 0.4  # the most that it may have cost
    clock.advance(31)
    async with product(tmp_path, apify, clock, apify_actors_file=one) as core:
        result = await scout(core)
    assert titles(result) == ["Florist", "Python Developer"]
    assert (apify.starts, result.usage.apify_usd) == (1, 0.25)


# --- real items -------------------------------------------------------------------------------


async def test_real_items_come_through_as_postings(
    tmp_path: Path, apify: FakeApify, real_data: Path
) -> None:
    """Nine layouts of real actors: every posting has a title, and most of them a link."""
    samples = sorted((real_data / "apify_samples").glob("*.json"))
    assert len(samples) == 9
    async with product(
        tmp_path,
        apify,
        apify_actors_file=one_actor(tmp_path, items_max=1000),
        apify_starts_per_min=20,
    ) as core:
        for sample in samples:
            value = json.loads(sample.read_text("utf-8"))
            items = value if isinstance(value, list) else next(
                inner for inner in value.values() if isinstance(inner, list)
            )  # fmt: skip
            apify.actor(INDEED).items = items
            need = Need(query=sample.stem, kinds=(Kind.JOB,))
            found = await core.discovery.discover(("apify",), need)
            assert found.found > 0, sample.name
            assert found.found + found.unreadable == len(items), sample.name
            assert found.unreadable <= len(items) // 10, sample.name
            assert all(o.title for o in found.opportunities)
            linked = sum(o.url is not None for o in found.opportunities)
            assert linked >= len(found.opportunities) * 0.9, sample.name

"""The Apify adapter with the real SDK, over loopback, against a stand-in of Apify."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from typing import TypeVar

import pytest
from apify_client import ApifyClientAsync

from agents.discovery.port import SourceFailed
from agents.discovery.sources.actor_run import ActorResult, Credit, RunLimits
from agents.discovery.sources.apify_refused import ApifyRefused, Refusal
from agents.discovery.sources.apify_runs import LOOKED_AT_MAX, START_MARK, ApifyRuns
from agents.domain.errors import InvalidValue
from tests.fakes.apify import TOKEN, FakeApify, Fault
from tests.fakes.clock import FixedClock

T = TypeVar("T")

ACTOR = "bebity/linkedin-jobs-scraper"
SUBJECT = f"apify:{ACTOR}: "
LIMITS = RunLimits(timeout_s=120, memory_mbytes=512, items_max=100, charge_max_usd=0.5)
A_SECOND = RunLimits(timeout_s=1, memory_mbytes=512, items_max=100, charge_max_usd=0.5)


@pytest.fixture
async def apify() -> AsyncIterator[FakeApify]:
    """The stand-in, with the actor."""
    async with FakeApify() as standin:
        standin.actor(ACTOR)
        yield standin


@pytest.fixture
async def runs(apify: FakeApify) -> AsyncIterator[ApifyRuns]:
    """The adapter over the stand-in."""
    adapter = ApifyRuns(TOKEN, apify.url, grace_s=0.0)
    yield adapter
    await adapter.close()


class Told:
    """A Watch that writes down what it is told."""

    def __init__(self, mark: str = "mark1") -> None:
        self.mark = mark
        self.words: list[str] = []

    async def started(self, run_id: str) -> None:
        """Apify's id."""
        self.words.append(f"started {run_id}")

    async def charged(self, usd: float) -> None:
        """The cost."""
        self.words.append(f"charged {usd:g}")

    async def settled(self) -> None:
        """It is over."""
        self.words.append("settled")

    async def begin(self) -> "Told":
        """The start is journaled."""
        self.words.append("begun")
        return self


async def run_of(
    runs: ApifyRuns,
    run_input: Mapping[str, object] | None = None,
    *,
    limits: RunLimits = LIMITS,
    actor: str = ACTOR,
    told: Told | None = None,
) -> ActorResult:
    """A run, whose start somebody is told of."""
    return await runs.run(actor, run_input or {}, limits, (told or Told()).begin)


async def refusal(runs: ApifyRuns, actor: str = ACTOR, limits: RunLimits = LIMITS) -> ApifyRefused:
    """What `run` is refused with; one line, which doesn't tell the token."""
    with pytest.raises(ApifyRefused) as caught:
        await run_of(runs, limits=limits, actor=actor)
    text = str(caught.value)
    assert "\n" not in text
    assert TOKEN not in text
    assert len(text) < 400
    return caught.value


def rows(count: int) -> list[object]:
    """As many items."""
    return [{"title": f"Job {number}"} for number in range(count)]


async def test_a_run_with_its_options(apify: FakeApify, runs: ApifyRuns) -> None:
    """Apify is told every limit and the input; the items and the cost come back."""
    apify.actor(ACTOR).items = rows(3)
    apify.actor(ACTOR).usage_usd = 0.25
    result = await run_of(runs, {"title": "Datenanalyst – Köln", "rows": 3})
    assert list(result.items) == rows(3)
    assert (result.cost_usd, result.truncated) == (0.25, False)
    (run,) = apify.runs
    assert run.input == {"title": "Datenanalyst – Köln", "rows": 3, START_MARK: "mark1"}
    assert run.query == {
        "timeout": "120",
        "memory": "512",
        "maxItems": "100",
        "maxTotalChargeUsd": "0.5",
    }
    assert apify.aborts == 0


async def test_waits_until_the_run_ends(apify: FakeApify, runs: ApifyRuns) -> None:
    """A run that takes its time is asked about again, each time for at most a minute."""
    actor = apify.actor(ACTOR)
    actor.items, actor.polls = rows(1), 2
    assert len((await run_of(runs)).items) == 1
    waits = [int(request.query["waitForFinish"]) for request in apify.seen("run")]
    assert len(waits) == 3
    assert all(0 < wait <= 60 for wait in waits)


async def test_a_held_run_ends_when_it_is_released(apify: FakeApify, runs: ApifyRuns) -> None:
    """One question waits at Apify for the end of the run."""
    actor = apify.actor(ACTOR)
    actor.items = rows(1)
    actor.hold()
    run = asyncio.create_task(run_of(runs))
    await apify.until(lambda: bool(apify.seen("run")))
    actor.release()
    assert len((await run).items) == 1
    assert len(apify.seen("run")) == 1


async def test_an_empty_success_is_no_failure(runs: ApifyRuns) -> None:
    """Nothing found is an answer."""
    result = await run_of(runs)
    assert (result.items, result.truncated) == ((), False)


async def test_pages_of_a_thousand(apify: FakeApify, runs: ApifyRuns) -> None:
    """2,500 items come in three pages, in order."""
    apify.actor(ACTOR).items = rows(2_500)
    result = await run_of(runs, limits=limits(items_max=5_000))
    assert list(result.items) == rows(2_500)
    assert not result.truncated
    pages = [(r.query["offset"], r.query["limit"]) for r in apify.seen("items")]
    assert pages == [("0", "1000"), ("1000", "1000"), ("2000", "1000")]


async def test_a_hundred_thousand_items_are_bounded(apify: FakeApify, runs: ApifyRuns) -> None:
    """No more is asked for than the limit, and the result says that there was more."""
    apify.actor(ACTOR).items = rows(100_000)
    result = await run_of(runs, limits=limits(items_max=1_500))
    assert list(result.items) == rows(1_500)
    assert result.truncated
    assert [r.query["limit"] for r in apify.seen("items")] == ["1000", "500"]


async def test_exactly_the_limit_is_not_truncated(apify: FakeApify, runs: ApifyRuns) -> None:
    """As many items as allowed, and no more of them."""
    apify.actor(ACTOR).items = rows(100)
    result = await run_of(runs)
    assert (len(result.items), result.truncated) == (100, False)


async def test_a_total_that_lags_loses_nothing(apify: FakeApify, runs: ApifyRuns) -> None:
    """Apify's count can be behind just after a run: a full page is followed by another."""
    apify.actor(ACTOR).items = rows(1_200)
    apify.actor(ACTOR).items_counted = 0
    result = await run_of(runs, limits=limits(items_max=5_000))
    assert len(result.items) == 1_200


async def test_items_that_are_no_objects(apify: FakeApify, runs: ApifyRuns) -> None:
    """They pass through, for the caller to count; empty ones and hidden fields don't."""
    apify.actor(ACTOR).items = [{"title": "a", "#debug": 1}, "text", 7, [1], {}, None]
    result = await run_of(runs)
    assert result.items == ({"title": "a"}, "text", 7, [1])


async def test_the_bytes_are_bounded(apify: FakeApify, runs: ApifyRuns) -> None:
    """Past 50 MB reading stops: whole items are kept, the cut one is not."""
    item = {"text": "x" * 240_000}
    apify.actor(ACTOR).items = [item] * 250
    result = await run_of(runs, limits=limits(items_max=250))
    assert 200 <= len(result.items) < 250
    assert result.truncated
    assert all(found == item for found in result.items)


async def test_a_giant_item_is_left_out(apify: FakeApify, runs: ApifyRuns) -> None:
    """It would hold up everything else while it is parsed; the result says that it is not all."""
    apify.actor(ACTOR).items = [{"text": "x" * 250_001}, *rows(2)]
    result = await run_of(runs)
    assert list(result.items) == rows(2)
    assert result.truncated


@pytest.mark.parametrize("ends", ["TIMED-OUT", "ABORTED", "FAILED"])
async def test_a_bad_end_with_items_is_a_part(apify: FakeApify, runs: ApifyRuns, ends: str) -> None:
    """What a run found before Apify or an error ended it was paid for, and is used."""
    actor = apify.actor(ACTOR)
    actor.items, actor.ends = rows(2), ends
    result = await run_of(runs)
    assert (list(result.items), result.ended_badly) == (rows(2), True)
    assert apify.aborts == 0


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ("FAILED", "the actor failed"),
        ("TIMED-OUT", "the actor ran out of time and found nothing"),
        ("ABORTED", "the run was aborted at Apify and found nothing"),
    ],
)
async def test_a_bad_end_with_nothing(
    apify: FakeApify, runs: ApifyRuns, ends: str, words: str
) -> None:
    """It is a failure, in the actor's words, with what it cost; nothing is left to abort."""
    actor = apify.actor(ACTOR)
    actor.ends, actor.message, actor.usage_usd = ends, "Proxy\n is down", 0.03
    error = await refusal(runs)
    assert str(error) == SUBJECT + words
    assert (error.reason, error.cost_usd) == (Refusal.ACTOR_FAILED, 0.03)
    assert apify.aborts == 0


async def test_cancel_during_the_run(apify: FakeApify, runs: ApifyRuns) -> None:
    """One start, one abort, and the run has really ended."""
    apify.actor(ACTOR).hold()
    run = asyncio.create_task(run_of(runs))
    await apify.until(lambda: bool(apify.seen("run")))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (apify.starts, apify.aborts) == (1, 1)
    assert apify.runs[0].status == "ABORTED"


async def test_cancel_during_the_start(apify: FakeApify, runs: ApifyRuns) -> None:
    """The run's id is waited for, then it is aborted: one start, one abort."""
    actor = apify.actor(ACTOR)
    actor.hold()
    actor.hold_start()
    run = asyncio.create_task(run_of(runs))
    await apify.until(lambda: apify.starts == 1)
    run.cancel()
    actor.release_start()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (apify.starts, apify.aborts) == (1, 1)
    assert not apify.seen("run")


async def test_a_second_cancel_does_not_stop_the_abort(apify: FakeApify, runs: ApifyRuns) -> None:
    """Whoever cancels twice is let go at once; closing waits for the abort."""
    actor = apify.actor(ACTOR)
    actor.hold_start()
    run = asyncio.create_task(run_of(runs))
    await apify.until(lambda: apify.starts == 1)
    run.cancel()
    while not run.done():
        await asyncio.sleep(0)
        run.cancel()
    assert apify.aborts == 0
    actor.release_start()
    await runs.close()
    assert (apify.starts, apify.aborts) == (1, 1)


async def test_cancel_of_a_start_that_fails(apify: FakeApify, runs: ApifyRuns) -> None:
    """There is no run, so nothing is aborted."""
    apify.actor(ACTOR).faults["start"] = Fault(hangs=True)
    run = asyncio.create_task(run_of(runs))
    await apify.until(lambda: bool(apify.seen("start")))
    run.cancel()
    await asyncio.sleep(0)
    await apify.close()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (apify.starts, apify.aborts) == (0, 0)


async def test_cancel_after_the_end_aborts_nothing(apify: FakeApify, runs: ApifyRuns) -> None:
    """A run that has ended costs nothing more."""
    apify.actor(ACTOR).faults["items"] = Fault(hangs=True)
    run = asyncio.create_task(run_of(runs))
    await apify.until(lambda: bool(apify.seen("items")))
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert apify.aborts == 0


async def test_the_deadline_aborts(apify: FakeApify, runs: ApifyRuns) -> None:
    """A run that doesn't end in time is aborted, once, and its cost is told."""
    actor = apify.actor(ACTOR)
    actor.usage_usd = 0.02
    actor.hold()
    error = await refusal(runs, limits=A_SECOND)
    assert str(error) == SUBJECT + "no answer within 1 s; the run was aborted"
    assert (error.reason, error.cost_usd) == (Refusal.TIMED_OUT, 0.02)
    assert (apify.starts, apify.aborts) == (1, 1)


async def test_an_abort_that_fails_is_told(
    apify: FakeApify, runs: ApifyRuns, caplog: pytest.LogCaptureFixture
) -> None:
    """The sentence doesn't claim an abort that did not happen; the log names the run."""
    apify.actor(ACTOR).hold()
    apify.actor(ACTOR).faults["abort"] = Fault(status=500)
    error = await refusal(runs, limits=A_SECOND)
    assert str(error) == SUBJECT + "no answer within 1 s; the run could not be aborted"
    assert "run1: Apify has trouble (HTTP 500)" in caplog.text
    assert len(apify.seen("abort")) == 1


async def test_a_failed_question_about_the_run_aborts_it(apify: FakeApify, runs: ApifyRuns) -> None:
    """Nobody waits for the run any more, so it must not go on."""
    apify.actor(ACTOR).faults["run"] = Fault(status=502, html="<h1>Bad gateway</h1>")
    error = await refusal(runs)
    assert str(error) == SUBJECT + "Apify has trouble (HTTP 502)"
    assert (apify.starts, apify.aborts, len(apify.seen("run"))) == (1, 1, 1)


REFUSALS = [
    (429, "rate-limit-exceeded", Refusal.RATE_LIMITED,
     "Apify is rate-limited"),
    (402, "some-new-type", Refusal.OUT_OF_CREDIT, "the Apify account is out of credit"),
    (403, "not-enough-usage-to-run-paid-actor", Refusal.OUT_OF_CREDIT,
     "the Apify account is out of credit"),
    (402, "concurrent-runs-limit-exceeded", Refusal.BUSY, "too many Apify runs at once"),
    (402, "actor-memory-limit-exceeded", Refusal.BUSY,
     "the Apify account's memory is all in use"),
    (401, "user-or-token-not-found", Refusal.TOKEN_REFUSED, "the Apify token is refused"),
    (401, "some-new-type", Refusal.TOKEN_REFUSED, "the Apify token is refused"),
    (404, "record-not-found", Refusal.NO_SUCH_ACTOR, "no such actor"),
    (403, "actor-is-not-rented", Refusal.REJECTED, "the Apify account has not rented this actor"),
    (400, "invalid-input", Refusal.REJECTED, "Apify refuses it (invalid-input)"),
    (500, "internal-server-error", Refusal.UNAVAILABLE, "Apify has trouble (HTTP 500)"),
]  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: f"{case[0]} {case[1]}")
async def test_each_refusal_has_its_sentence(
    apify: FakeApify, runs: ApifyRuns, case: tuple[int, str, Refusal, str]
) -> None:
    """Told apart by type; after exactly one request, since nothing is retried; without the token,
    which Apify's words may quote."""
    status, error_type, reason, words = case
    message = f"Field a.b\n is off, {TOKEN}"
    fault = Fault(status=status, type=error_type, message=message)
    apify.actor(ACTOR).faults["start"] = fault
    error = await refusal(runs)
    assert (str(error), error.reason) == (SUBJECT + words, reason)
    assert len(apify.requests) == 1


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (Fault(status=429, html="<p>slow down</p>"), Refusal.RATE_LIMITED,
         "Apify is rate-limited"),
        (Fault(status=418, html="<p>teapot</p>"), Refusal.UNAVAILABLE,
         "Apify's answer makes no sense (HTTP 418)"),
        (Fault(status=200, html="<p>welcome</p>"), Refusal.UNAVAILABLE,
         "Apify's answer makes no sense"),
        (Fault(status=200, html='{"data": []}'), Refusal.UNAVAILABLE,
         "Apify's answer makes no sense"),
    ],
)  # fmt: skip
async def test_an_answer_that_is_not_apifys(
    apify: FakeApify, runs: ApifyRuns, fault: Fault, reason: Refusal, words: str
) -> None:
    """A page of some proxy is not quoted to people."""
    apify.actor(ACTOR).faults["start"] = fault
    error = await refusal(runs)
    assert (str(error), error.reason) == (SUBJECT + words, reason)


async def test_an_actor_that_does_not_exist(apify: FakeApify, runs: ApifyRuns) -> None:
    """The sentence starts with the actor that was asked for."""
    error = await refusal(runs, actor="no/such")
    assert str(error) == "apify:no/such: no such actor"
    assert error.reason is Refusal.NO_SUCH_ACTOR


async def test_results_that_are_gone(apify: FakeApify, runs: ApifyRuns) -> None:
    """A missing dataset is not taken for a missing actor."""
    apify.actor(ACTOR).faults["items"] = Fault(status=404, type="record-not-found")
    assert str(await refusal(runs)) == SUBJECT + "the run or its results are gone"


async def test_results_that_are_no_json(apify: FakeApify, runs: ApifyRuns) -> None:
    """Garbage instead of items is a failure, not an item."""
    apify.actor(ACTOR).faults["items"] = Fault(status=200, html="<p>welcome</p>")
    assert str(await refusal(runs)) == SUBJECT + "Apify's answer makes no sense"


async def test_no_connection(apify: FakeApify, runs: ApifyRuns) -> None:
    """Nobody listens: one sentence, without the transport's many lines."""
    await apify.close()
    error = await refusal(runs)
    assert str(error) == SUBJECT + "Apify can't be reached"
    assert error.reason is Refusal.UNAVAILABLE


async def test_a_wrong_token(apify: FakeApify) -> None:
    """Apify refuses it; neither the sentence nor what is logged holds it."""
    runs = ApifyRuns("apify_api_wrong", apify.url)
    with pytest.raises(SourceFailed, match="the Apify token is refused") as caught:
        await run_of(runs)
    assert "apify_api_wrong" not in str(caught.value)
    await runs.close()


async def test_nothing_logged_holds_the_token(
    apify: FakeApify, runs: ApifyRuns, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even at DEBUG, where the SDK logs each request and each failure."""
    caplog.set_level(logging.DEBUG)
    apify.actor(ACTOR).faults["items"] = Fault(status=500, times=1)
    await refusal(runs)
    await run_of(runs)
    await apify.close()
    await refusal(runs)
    assert caplog.records
    assert not any(TOKEN in f"{record.__dict__} {record.exc_info}" for record in caplog.records)


@pytest.mark.parametrize("token", ["", "two words", "line\n", "tökén"])
def test_a_token_that_no_header_can_hold(token: str) -> None:
    """It is refused at once: the transport would quote it in its error."""
    with pytest.raises(InvalidValue, match=r"^Apify token: ") as caught:
        ApifyRuns(token, None)
    assert not token.strip() or token.strip() not in str(caught.value)


@pytest.mark.parametrize("name", ["timeout_s", "memory_mbytes", "items_max", "charge_max_usd"])
def test_no_limit_is_no_limit(name: str) -> None:
    """Zero would mean unlimited to Apify, and so can't be asked for."""
    with pytest.raises(InvalidValue, match=name):
        limits(**{name: 0})


async def test_credit(apify: FakeApify, runs: ApifyRuns) -> None:
    """What is used this month, of what; a run adds to it."""
    apify.used_usd, apify.limit_usd = 1.25, 5.0
    await run_of(runs)
    assert await runs.credit() == Credit(used_usd=1.26, limit_usd=5.0)


async def test_credit_refused(apify: FakeApify, runs: ApifyRuns) -> None:
    """Its sentences are the same, without an actor."""
    apify.faults["limits"] = Fault(status=429, type="rate-limit-exceeded")
    with pytest.raises(ApifyRefused, match=r"^apify: Apify is rate-limited"):
        await runs.credit()


async def test_a_spent_account_starts_nothing(apify: FakeApify, runs: ApifyRuns) -> None:
    """The stand-in refuses as Apify does once the month's limit is reached."""
    apify.used_usd = apify.limit_usd
    assert (await refusal(runs)).reason is Refusal.OUT_OF_CREDIT
    assert apify.starts == 0


async def test_runs_side_by_side(apify: FakeApify, runs: ApifyRuns) -> None:
    """Twenty first uses at once import the SDK once, and each gets its own items."""
    for number in range(20):
        apify.actor(f"user/{number}").items = [{"n": number}]
    results = await asyncio.gather(*(run_of(runs, actor=f"user/{n}") for n in range(20)))
    assert [result.items for result in results] == [({"n": n},) for n in range(20)]


async def test_the_stand_in_satisfies_the_sdk(apify: FakeApify, runs: ApifyRuns) -> None:
    """What the adapter doesn't use yet is answered as the SDK's strict models want it, too."""
    for number in range(3):
        await run_of(runs, {"n": number})
    client = ApifyClientAsync(TOKEN, api_url=apify.url, max_retries=0)
    listed = await client.actor(ACTOR).runs().list(desc=True, limit=2)
    assert [run.id for run in listed.items] == ["run3", "run2"]
    record = await client.key_value_store(listed.items[0].default_key_value_store_id).get_record(
        "INPUT"
    )
    assert record is not None
    assert record["value"] == {"n": 2, START_MARK: "mark1"}
    usage = await client.user().monthly_usage()
    assert usage.total_usage_credits_usd_after_volume_discount == pytest.approx(0.03)
    me = await client.user().get()
    assert me is not None
    assert me.username == "standin"
    run = await client.actor(ACTOR).start(wait_for_finish=60)
    assert run.status == "SUCCEEDED"
    page = await client.dataset(run.default_dataset_id).list_items()
    assert (page.items, page.total) == ([], 0)


def test_the_sdk_is_not_imported_before_it_is_used() -> None:
    """Its import takes 0.3 s, which a start without Apify shouldn't."""
    code = (
        "import sys; from agents.discovery.sources.apify_runs import ApifyRuns;"
        "ApifyRuns('token', None); sys.exit('apify_client' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def limits(**changes: float) -> RunLimits:
    """LIMITS with some changed."""
    values: Mapping[str, float] = {
        "timeout_s": 120,
        "memory_mbytes": 512,
        "items_max": 100,
        "charge_max_usd": 0.5,
    }
    make: Callable[..., RunLimits] = RunLimits
    return make(**{**values, **changes})


# --- what is told of a start, and a start that was lost ----------------------------------------


async def test_a_start_is_told_step_by_step(apify: FakeApify, runs: ApifyRuns) -> None:
    """Before the request, at its answer, and when its cost is known; it is over once what it found
    is stored, which others say."""
    told = Told()
    await run_of(runs, told=told)
    assert told.words == ["begun", "started run1", "charged 0.01"]


async def test_a_start_that_is_called_off(apify: FakeApify, runs: ApifyRuns) -> None:
    """What can't be journaled is not asked for; the error is the journal's."""

    async def begin() -> Told:
        raise KeyError("the journal is out")

    with pytest.raises(KeyError):
        await runs.run(ACTOR, {}, LIMITS, begin)
    assert not apify.requests


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: f"{case[0]} {case[1]}")
async def test_a_refused_start_is_settled(
    apify: FakeApify, runs: ApifyRuns, case: tuple[int, str, Refusal, str]
) -> None:
    """It costs nothing; a server error leaves open whether there is a run."""
    status, error_type, reason, _ = case
    apify.actor(ACTOR).faults["start"] = Fault(status=status, type=error_type)
    told = Told()
    with pytest.raises(ApifyRefused):
        await run_of(runs, told=told)
    sure = reason is not Refusal.UNAVAILABLE
    assert told.words == ["begun", *(("charged 0", "settled") if sure else ())]


async def test_a_start_without_an_answer_stays_open(apify: FakeApify, runs: ApifyRuns) -> None:
    """The connection broke after the request: there is a run, and nobody was told of it."""
    apify.actor(ACTOR).lose_answer()
    told = Told()
    with pytest.raises(ApifyRefused, match="Apify can't be reached"):
        await run_of(runs, told=told)
    assert (told.words, apify.starts, apify.aborts) == (["begun"], 1, 0)


@pytest.mark.parametrize(
    ("ends", "items", "words"),
    [
        ("FAILED", 0, ["charged 0.01", "settled"]),
        ("TIMED-OUT", 2, ["charged 0.01"]),
    ],
)
async def test_a_bad_end_is_an_end(
    apify: FakeApify, runs: ApifyRuns, ends: str, items: int, words: list[str]
) -> None:
    """It is paid for, whether something was found or not; where nothing was it is over."""
    actor = apify.actor(ACTOR)
    actor.ends, actor.items = ends, rows(items)
    told = Told()
    await asyncio.gather(run_of(runs, told=told), return_exceptions=True)
    assert told.words == ["begun", "started run1", *words]


@pytest.mark.parametrize("held", ["run", "start"])
async def test_an_aborted_run_is_settled(apify: FakeApify, runs: ApifyRuns, held: str) -> None:
    """With what it cost until then, also when the abort had to wait for the start's answer."""
    actor, told = apify.actor(ACTOR), Told()
    actor.hold()
    if held == "start":
        actor.hold_start()
    run = asyncio.create_task(run_of(runs, told=told))
    await apify.until(lambda: bool(apify.seen(held)))
    run.cancel()
    actor.release_start()
    await asyncio.wait({run})
    assert told.words == ["begun", "started run1", "charged 0.01", "settled"]


async def test_an_abort_that_failed_leaves_the_start_open(
    apify: FakeApify, runs: ApifyRuns
) -> None:
    """The run goes on and charges: nothing is settled."""
    apify.actor(ACTOR).hold()
    apify.actor(ACTOR).faults["abort"] = Fault(status=500)
    told = Told()
    with pytest.raises(ApifyRefused, match="could not be aborted"):
        await run_of(runs, limits=A_SECOND, told=told)
    assert told.words == ["begun", "started run1"]


@pytest.mark.parametrize(("status", "settled"), [(503, False), (404, True)])
async def test_results_that_can_not_be_read(
    apify: FakeApify, runs: ApifyRuns, status: int, settled: bool
) -> None:
    """They are paid for: the start stays open for the next fetch, unless they are gone."""
    apify.actor(ACTOR).faults["items"] = Fault(status=status, type="record-not-found-or-so")
    told = Told()
    with pytest.raises(ApifyRefused):
        await run_of(runs, told=told)
    assert told.words[2:] == ["charged 0.01", *(["settled"] if settled else [])]


async def test_a_run_is_found_by_its_mark(apify: FakeApify, runs: ApifyRuns) -> None:
    """Among others, with other inputs or none, of about that time; not another actor's."""
    actor = apify.actor(ACTOR)
    for run_input in ({}, None, [1], {START_MARK: "other"}, {START_MARK: "mark1"}, {"x": 1}):
        apify.begin(actor, run_input)
    apify.begin(apify.actor("other/actor"), {START_MARK: "mark2"})
    assert await runs.find(ACTOR, "mark1", apify.now()) == "run5"
    assert await runs.find(ACTOR, "mark2", apify.now()) is None
    assert {request.query["desc"] for request in apify.seen("runs")} <= {"true", "1"}


async def test_only_runs_of_that_time_are_looked_at(apify: FakeApify, runs: ApifyRuns) -> None:
    """Five minutes earlier at most, for the clocks; of more, the nearest, and so many at most."""
    clock = FixedClock()
    apify.now = clock.now
    apify.begin(apify.actor(ACTOR), {START_MARK: "mark1"})
    clock.advance(310)
    assert await runs.find(ACTOR, "mark1", clock.now()) is None
    assert not apify.seen("input")
    assert await runs.find(ACTOR, "mark1", clock.now() - timedelta(seconds=20)) == "run1"
    for _ in range(LOOKED_AT_MAX + 5):
        apify.begin(apify.actor(ACTOR), {})
    asked = len(apify.seen("input"))
    assert await runs.find(ACTOR, "mark1", clock.now() - timedelta(seconds=20)) is None
    assert len(apify.seen("input")) - asked == LOOKED_AT_MAX
    assert await runs.find(ACTOR, "mark1", clock.now() - timedelta(seconds=200)) == "run1"


async def test_a_run_without_an_input_is_not_ours(apify: FakeApify, runs: ApifyRuns) -> None:
    """Its record may be gone; one that can't be read now is a failure, not a no."""
    actor = apify.actor(ACTOR)
    apify.begin(actor, {START_MARK: "mark1"})
    actor.faults["input"] = Fault(status=404, type="record-not-found")
    assert await runs.find(ACTOR, "mark1", apify.now()) is None
    actor.faults["input"] = Fault(status=500)
    with pytest.raises(ApifyRefused, match="HTTP 500"):
        await runs.find(ACTOR, "mark1", apify.now())


@pytest.mark.parametrize("ended", [False, True])
async def test_an_adopted_run(apify: FakeApify, runs: ApifyRuns, ended: bool) -> None:
    """It is waited for, read and charged as one's own; there is no other start."""
    actor, told = apify.actor(ACTOR), Told()
    actor.items = rows(2)
    run = apify.begin(actor, {})
    if ended:
        run.status = "SUCCEEDED"
    result = await runs.adopt(ACTOR, run.id, LIMITS, told)
    assert (list(result.items), result.cost_usd) == (rows(2), 0.01)
    assert told.words == ["charged 0.01"]
    assert (apify.starts, apify.aborts) == (0, 0)


async def test_an_adopted_run_that_is_gone(apify: FakeApify, runs: ApifyRuns) -> None:
    """What it cost is not known, and not said to be nothing; nobody comes back to it."""
    told = Told()
    with pytest.raises(ApifyRefused, match="the run is gone"):
        await runs.adopt(ACTOR, "run7", LIMITS, told)
    assert told.words == ["settled"]


async def test_cancelling_an_adopted_run_aborts_it(apify: FakeApify, runs: ApifyRuns) -> None:
    """As one's own."""
    actor, told = apify.actor(ACTOR), Told()
    actor.hold()
    run = apify.begin(actor, {})
    adopted = asyncio.create_task(runs.adopt(ACTOR, run.id, LIMITS, told))
    await apify.until(lambda: len(apify.seen("run")) == 2)
    adopted.cancel()
    await asyncio.wait({adopted})
    assert (apify.aborts, run.status, told.words) == (1, "ABORTED", ["charged 0.01", "settled"])


async def test_a_run_that_had_ended_when_its_adopter_left(apify: FakeApify) -> None:
    """There is nothing to abort: it is charged, and its results are left for the next fetch."""
    answered, go_on = asyncio.Event(), asyncio.Event()

    async def ask(question: Callable[[], Awaitable[T]]) -> T:
        answer = await question()
        answered.set()
        await go_on.wait()
        return answer

    runs, told = ApifyRuns(TOKEN, apify.url, ask=ask), Told()
    run = apify.begin(apify.actor(ACTOR), {})
    run.status = "SUCCEEDED"
    adopted = asyncio.create_task(runs.adopt(ACTOR, run.id, LIMITS, told))
    await answered.wait()
    adopted.cancel()
    go_on.set()
    await asyncio.wait({adopted})
    assert adopted.cancelled()
    assert (apify.aborts, told.words) == (0, ["charged 0.01"])
    await runs.close()

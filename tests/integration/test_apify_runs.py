"""The Apify adapter with the real SDK, over loopback, against a stand-in of Apify."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
from apify_client import ApifyClientAsync

from agents.discovery.port import SourceFailed
from agents.discovery.sources.apify_refused import ApifyRefused, Refusal
from agents.discovery.sources.apify_runs import ApifyRuns, Credit, RunLimits
from agents.domain.errors import InvalidValue
from tests.fakes.apify import TOKEN, FakeApify, Fault

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


async def refusal(runs: ApifyRuns, actor: str = ACTOR, limits: RunLimits = LIMITS) -> ApifyRefused:
    """What `run` is refused with; one line, which doesn't tell the token."""
    with pytest.raises(ApifyRefused) as caught:
        await runs.run(actor, {}, limits)
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
    result = await runs.run(ACTOR, {"title": "Datenanalyst – Köln", "rows": 3}, LIMITS)
    assert list(result.items) == rows(3)
    assert (result.cost_usd, result.truncated) == (0.25, False)
    (run,) = apify.runs
    assert run.input == {"title": "Datenanalyst – Köln", "rows": 3}
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
    assert len((await runs.run(ACTOR, {}, LIMITS)).items) == 1
    waits = [int(request.query["waitForFinish"]) for request in apify.seen("run")]
    assert len(waits) == 3
    assert all(0 < wait <= 60 for wait in waits)


async def test_a_held_run_ends_when_it_is_released(apify: FakeApify, runs: ApifyRuns) -> None:
    """One question waits at Apify for the end of the run."""
    actor = apify.actor(ACTOR)
    actor.items = rows(1)
    actor.hold()
    run = asyncio.create_task(runs.run(ACTOR, {}, LIMITS))
    await apify.until(lambda: bool(apify.seen("run")))
    actor.release()
    assert len((await run).items) == 1
    assert len(apify.seen("run")) == 1


async def test_an_empty_success_is_no_failure(runs: ApifyRuns) -> None:
    """Nothing found is an answer."""
    result = await runs.run(ACTOR, {}, LIMITS)
    assert (result.items, result.truncated) == ((), False)


async def test_pages_of_a_thousand(apify: FakeApify, runs: ApifyRuns) -> None:
    """2,500 items come in three pages, in order."""
    apify.actor(ACTOR).items = rows(2_500)
    result = await runs.run(ACTOR, {}, limits(items_max=5_000))
    assert list(result.items) == rows(2_500)
    assert not result.truncated
    pages = [(r.query["offset"], r.query["limit"]) for r in apify.seen("items")]
    assert pages == [("0", "1000"), ("1000", "1000"), ("2000", "1000")]


async def test_a_hundred_thousand_items_are_bounded(apify: FakeApify, runs: ApifyRuns) -> None:
    """No more is asked for than the limit, and the result says that there was more."""
    apify.actor(ACTOR).items = rows(100_000)
    result = await runs.run(ACTOR, {}, limits(items_max=1_500))
    assert list(result.items) == rows(1_500)
    assert result.truncated
    assert [r.query["limit"] for r in apify.seen("items")] == ["1000", "500"]


async def test_exactly_the_limit_is_not_truncated(apify: FakeApify, runs: ApifyRuns) -> None:
    """As many items as allowed, and no more of them."""
    apify.actor(ACTOR).items = rows(100)
    result = await runs.run(ACTOR, {}, LIMITS)
    assert (len(result.items), result.truncated) == (100, False)


async def test_a_total_that_lags_loses_nothing(apify: FakeApify, runs: ApifyRuns) -> None:
    """Apify's count can be behind just after a run: a full page is followed by another."""
    apify.actor(ACTOR).items = rows(1_200)
    apify.actor(ACTOR).items_counted = 0
    result = await runs.run(ACTOR, {}, limits(items_max=5_000))
    assert len(result.items) == 1_200


async def test_items_that_are_no_objects(apify: FakeApify, runs: ApifyRuns) -> None:
    """They pass through, for the caller to count; empty ones and hidden fields don't."""
    apify.actor(ACTOR).items = [{"title": "a", "#debug": 1}, "text", 7, [1], {}, None]
    result = await runs.run(ACTOR, {}, LIMITS)
    assert result.items == ({"title": "a"}, "text", 7, [1])


async def test_the_bytes_are_bounded(apify: FakeApify, runs: ApifyRuns) -> None:
    """Past 50 MB reading stops: whole items are kept, the cut one is not."""
    item = {"text": "x" * 240_000}
    apify.actor(ACTOR).items = [item] * 250
    result = await runs.run(ACTOR, {}, limits(items_max=250))
    assert 200 <= len(result.items) < 250
    assert result.truncated
    assert all(found == item for found in result.items)


async def test_a_giant_item_is_left_out(apify: FakeApify, runs: ApifyRuns) -> None:
    """It would hold up everything else while it is parsed; the result says that it is not all."""
    apify.actor(ACTOR).items = [{"text": "x" * 250_001}, *rows(2)]
    result = await runs.run(ACTOR, {}, LIMITS)
    assert list(result.items) == rows(2)
    assert result.truncated


@pytest.mark.parametrize("ends", ["TIMED-OUT", "ABORTED", "FAILED"])
async def test_a_bad_end_with_items_is_a_part(apify: FakeApify, runs: ApifyRuns, ends: str) -> None:
    """What a run found before Apify or an error ended it was paid for, and is used."""
    actor = apify.actor(ACTOR)
    actor.items, actor.ends = rows(2), ends
    result = await runs.run(ACTOR, {}, LIMITS)
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
    run = asyncio.create_task(runs.run(ACTOR, {}, LIMITS))
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
    run = asyncio.create_task(runs.run(ACTOR, {}, LIMITS))
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
    run = asyncio.create_task(runs.run(ACTOR, {}, LIMITS))
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
    run = asyncio.create_task(runs.run(ACTOR, {}, LIMITS))
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
    run = asyncio.create_task(runs.run(ACTOR, {}, LIMITS))
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
        await runs.run(ACTOR, {}, LIMITS)
    assert "apify_api_wrong" not in str(caught.value)
    await runs.close()


async def test_nothing_logged_holds_the_token(
    apify: FakeApify, runs: ApifyRuns, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even at DEBUG, where the SDK logs each request and each failure."""
    caplog.set_level(logging.DEBUG)
    apify.actor(ACTOR).faults["items"] = Fault(status=500, times=1)
    await refusal(runs)
    await runs.run(ACTOR, {}, LIMITS)
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
    await runs.run(ACTOR, {}, LIMITS)
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
    results = await asyncio.gather(*(runs.run(f"user/{n}", {}, LIMITS) for n in range(20)))
    assert [result.items for result in results] == [({"n": n},) for n in range(20)]


async def test_the_stand_in_satisfies_the_sdk(apify: FakeApify, runs: ApifyRuns) -> None:
    """What the adapter doesn't use yet is answered as the SDK's strict models want it, too."""
    for number in range(3):
        await runs.run(ACTOR, {"n": number}, LIMITS)
    client = ApifyClientAsync(TOKEN, api_url=apify.url, max_retries=0)
    listed = await client.actor(ACTOR).runs().list(desc=True, limit=2)
    assert [run.id for run in listed.items] == ["run3", "run2"]
    record = await client.key_value_store(listed.items[0].default_key_value_store_id).get_record(
        "INPUT"
    )
    assert record is not None
    assert record["value"] == {"n": 2}
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

"""The guard as its callers see it: the order of what it does, and that nothing is ever lost."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from resilience.breaker import CLOSED, HALF_OPEN, OPEN, BreakerPolicy, Mode
from resilience.bucket import BucketPolicy
from resilience.bulkhead import BulkheadPolicy, Priority
from resilience.deadline import deadline
from resilience.errors import (
    BulkheadFull,
    CircuitOpen,
    DeadlineCut,
    DeadlinePassed,
    RateLimited,
    Refused,
)
from resilience.fault import BROKEN, CALLERS, TRANSIENT, Fault, FaultKind
from resilience.guard import CallEnded, Fallback, Guard, Guarded, GuardPolicy
from resilience.retry import RetryPolicy
from tests.fakes.virtual_time import LoopClock, in_virtual_time

ONCE = RetryPolicy(retries_max=0)
THRICE = RetryPolicy(retries_max=2, base_s=1.0)
ONE_PLACE = BulkheadPolicy(limit=1, queue_max=10)
NEVER_OPENS = BreakerPolicy(failures_max=1000, calls_min=1000)


class VendorError(Exception):
    """What the dependency raises."""

    def __init__(self, fault: Fault = TRANSIENT) -> None:
        super().__init__(fault.kind)
        self.fault = fault


def classify(error: Exception) -> Fault:
    """What the error says that it is; a cut attempt is a failure."""
    return error.fault if isinstance(error, VendorError) else TRANSIENT


def guard(
    *,
    deadline_s: float = 60.0,
    attempt_timeout_s: float = 30.0,
    retry: RetryPolicy = ONCE,
    breaker: BreakerPolicy | None = None,
    bulkhead: BulkheadPolicy | None = None,
    bucket: BucketPolicy | None = None,
) -> Guard:
    """A guard over the loop's time, whose waits are the longest of those that may be drawn."""
    policy = GuardPolicy(
        deadline_s=deadline_s,
        attempt_timeout_s=attempt_timeout_s,
        retry=retry,
        breaker=breaker or BreakerPolicy(jitter=0.0),
        bulkhead=bulkhead or BulkheadPolicy(),
        bucket=bucket,
    )
    return Guard(
        "api", policy, clock=LoopClock(), classify=classify, uniform=lambda _low, high: high
    )


class Dependency:
    """Raises the errors one after the other, then answers, each after `takes_s`."""

    def __init__(self, *errors: Exception, takes_s: float = 0.0) -> None:
        self.errors = list(errors)
        self.takes_s = takes_s
        self.asked_at: list[float] = []
        self.at_once = self.at_once_max = 0

    @property
    def asked(self) -> int:
        """How many requests it got."""
        return len(self.asked_at)

    async def ask(self) -> str:
        """One request."""
        self.asked_at.append(now())
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.at_once -= 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def now() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


async def failing_call(guarded: Guard, work: Callable[[], Awaitable[Any]], **more: Any) -> Any:
    """The error of a call that has to fail."""
    try:
        await guarded.call(work, **more)
    except Exception as error:  # noqa: BLE001 - which one it is, is what the test asks
        return error
    raise AssertionError("it succeeded")


async def trip(guarded: Guard) -> None:
    """Let the breaker open by its failures."""
    while guarded.breaker.state is CLOSED:
        assert isinstance(await failing_call(guarded, Dependency(VendorError()).ask), VendorError)


async def tokens(guarded: Guard) -> int:
    """How many calls the bucket lets through at this time; they are used up by it."""
    count = 0
    while not isinstance(await outcome(guarded), RateLimited):
        count += 1
    return count


async def outcome(guarded: Guard, dependency: Dependency | None = None, **more: Any) -> object:
    """A call's value, or its error."""
    try:
        return (await guarded.call((dependency or Dependency()).ask, **more)).value
    except Exception as error:  # noqa: BLE001 - which one it is, is what the test asks
        return error


def start(guarded: Guard, dependency: Dependency, **more: Any) -> asyncio.Task[object]:
    """A call of its own task."""
    return asyncio.create_task(outcome(guarded, dependency, **more))


# --- what a call gives back ------------------------------------------------------------------


@in_virtual_time
async def test_a_call_gives_the_value_and_what_happened() -> None:
    """Value, time, attempts; the listeners get the same."""
    heard: list[CallEnded] = []
    guarded = guard()
    guarded.subscribe(heard.append)
    got = await guarded.call(Dependency(takes_s=2).ask)
    ended = CallEnded(name="api", took_s=2, waited_s=0, attempts=1)
    assert got == Guarded(value="answer", ended=ended)
    assert heard == [ended]


@in_virtual_time
async def test_what_happened_before_a_value_is_told() -> None:
    """Three attempts, and the waits for a place and a token, but not those between attempts."""
    bucket = BucketPolicy(burst=2, refill_s=5, wait_max_s=20)
    guarded = guard(retry=THRICE, bulkhead=ONE_PLACE, bucket=bucket)
    first = start(guarded, Dependency(takes_s=3))
    await asyncio.sleep(0)
    got = await guarded.call(Dependency(VendorError(), VendorError()).ask)
    # A place at 3, a token at 5 (retry at 4) and one at 10 (retry at 7).
    ended = CallEnded(name="api", took_s=10, waited_s=3 + 1 + 3, attempts=3)
    assert got.ended == ended
    assert await first == "answer"


@in_virtual_time
async def test_listeners_given_at_the_start_are_told_of_failures() -> None:
    """The error is the one that was raised; nobody fell back, nothing was refused."""
    heard: list[CallEnded] = []
    error = VendorError()
    policy = GuardPolicy(retry=ONCE)
    guarded = Guard("api", policy, clock=LoopClock(), listeners=[heard.append])
    assert await failing_call(guarded, Dependency(error, takes_s=1).ask) is error
    assert heard == [
        CallEnded("api", took_s=1, waited_s=0, attempts=1, error=error, fault=FaultKind.TRANSIENT)
    ]


@in_virtual_time
async def test_a_listener_that_raises_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The call has its value, the next listener is told, the fault is in the log."""
    heard: list[CallEnded] = []

    def breaks(_ended: CallEnded) -> None:
        raise RuntimeError("a guest")

    guarded = guard()
    guarded.subscribe(breaks)
    guarded.subscribe(heard.append)
    assert await outcome(guarded) == "answer"
    error = VendorError(BROKEN)
    assert await outcome(guarded, Dependency(error)) is error
    assert [ended.error for ended in heard] == [None, error]
    assert "a listener broke" in caplog.text


@in_virtual_time
async def test_a_classifier_that_raises_does_not_replace_the_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It counts as a failure that is not tried again, and the probe's place is not lost."""

    def breaks(_error: Exception) -> Fault:
        raise RuntimeError("a guest")

    policy = GuardPolicy(breaker=BreakerPolicy(failures_max=2, jitter=0.0))
    guarded = Guard("api", policy, clock=LoopClock(), classify=breaks)
    for _ in range(2):
        error, dependency = VendorError(), Dependency()
        dependency.errors = [error]
        assert await outcome(guarded, dependency) is error
        assert dependency.asked == 1
    assert guarded.breaker.state is OPEN
    await asyncio.sleep(15)
    assert isinstance(await outcome(guarded, Dependency(VendorError())), VendorError)
    await asyncio.sleep(30)
    assert await outcome(guarded) == "answer"
    assert "the classifier broke" in caplog.text


# --- refused by the breaker ------------------------------------------------------------------


@in_virtual_time
async def test_a_call_that_an_open_breaker_refuses_costs_no_token_and_is_not_retried() -> None:
    """It comes back at once, and the bucket is as full as before."""
    bucket = BucketPolicy(burst=10, refill_s=1000)
    guarded = guard(retry=THRICE, bucket=bucket, breaker=BreakerPolicy(failures_max=1, jitter=0.0))
    await trip(guarded)
    dependency, began = Dependency(), now()
    for _ in range(50):
        error = await failing_call(guarded, dependency.ask)
        assert isinstance(error, CircuitOpen)
        assert error.retry_after_s == 15
    assert (dependency.asked, now()) == (0, began)
    await asyncio.sleep(15)
    assert await tokens(guarded) == 9  # of ten, the failure had one


@in_virtual_time
async def test_a_call_that_an_open_breaker_refuses_waits_in_no_queue() -> None:
    """Though the only place is taken, and one waits for it, the refusal comes at once."""
    guarded = guard(bulkhead=ONE_PLACE)
    start(guarded, Dependency(takes_s=20))
    await asyncio.sleep(1)
    guarded.breaker.force(Mode.FORCED_OPEN)
    assert isinstance(await outcome(guarded), CircuitOpen)
    assert (now(), guarded.bulkhead.waiting) == (1, 0)


@in_virtual_time
async def test_a_refused_call_is_told_as_refused() -> None:
    """No attempt was made, and the error is the refusal."""
    heard: list[CallEnded] = []
    guarded = guard()
    guarded.subscribe(heard.append)
    guarded.breaker.force(Mode.FORCED_OPEN)
    error = await failing_call(guarded, Dependency().ask)
    (ended,) = heard
    assert (ended.error, ended.refused, ended.fault) == (error, True, FaultKind.CALLERS)
    assert (ended.took_s, ended.waited_s, ended.attempts) == (0, 0, 0)


@in_virtual_time
async def test_no_retry_is_waited_for_that_the_breaker_would_refuse() -> None:
    """The failure that opens it is the last, and is raised at once as it is."""
    guarded = guard(retry=THRICE, breaker=BreakerPolicy(failures_max=2, jitter=0.0))
    dependency = Dependency(*(VendorError() for _ in range(3)))
    second = dependency.errors[1]
    assert await failing_call(guarded, dependency.ask) is second
    assert now() == 1  # the wait before the second


@in_virtual_time
async def test_no_retry_is_waited_for_while_the_breaker_waits_for_an_operator() -> None:
    """Open until told is longer than any wait."""
    guarded = guard(retry=THRICE)
    error = VendorError()

    async def ask() -> None:
        guarded.breaker.force(Mode.FORCED_OPEN)
        raise error

    assert await failing_call(guarded, ask) is error
    assert now() == 0


@in_virtual_time
async def test_a_retry_that_is_refused_does_not_hide_why_there_was_one() -> None:
    """A Refused says that nobody was asked: one who was asked once gets the answer of that."""
    heard: list[CallEnded] = []
    guarded = guard(retry=THRICE)
    guarded.subscribe(heard.append)
    error = VendorError()
    call = start(guarded, Dependency(error))
    await asyncio.sleep(0.5)
    guarded.breaker.force(Mode.FORCED_OPEN)
    assert await call is error
    assert heard == [
        CallEnded("api", took_s=1, waited_s=0, attempts=1, error=error, fault=FaultKind.TRANSIENT)
    ]


@in_virtual_time
async def test_a_call_whose_breaker_opened_while_it_waited_for_its_place_is_refunded() -> None:
    """The permit is asked for after the queue: refused, it gives back place and token."""
    bucket = BucketPolicy(burst=10, refill_s=1000)
    guarded = guard(bulkhead=ONE_PLACE, bucket=bucket)
    calls = [start(guarded, Dependency(takes_s=5)) for _ in range(4)]
    await asyncio.sleep(1)
    guarded.breaker.force(Mode.FORCED_OPEN)
    first, *others = await asyncio.gather(*calls)
    assert first == "answer"
    assert all(isinstance(error, CircuitOpen) for error in others)
    assert (now(), guarded.bulkhead.in_flight) == (5, 0)
    guarded.breaker.force(Mode.AUTO)
    assert await tokens(guarded) == 9


# --- the bucket ------------------------------------------------------------------------------


@in_virtual_time
async def test_a_call_waits_for_its_token() -> None:
    """As long as it takes, holding no place meanwhile."""
    guarded = guard(bucket=BucketPolicy(burst=1, refill_s=4, wait_max_s=8))
    dependency = Dependency()
    calls = [start(guarded, dependency) for _ in range(3)]
    await asyncio.sleep(1)
    assert guarded.bulkhead.in_flight == 0
    assert await asyncio.gather(*calls) == ["answer"] * 3
    assert dependency.asked_at == [0, 4, 8]


@in_virtual_time
async def test_a_call_that_would_wait_too_long_for_its_token_is_told_how_long() -> None:
    """At once, and to the second; waiting so long is enough."""
    guarded = guard(bucket=BucketPolicy(burst=1, refill_s=10, wait_max_s=3))
    await guarded.call(Dependency().ask)
    await asyncio.sleep(2)
    error = await failing_call(guarded, Dependency().ask)
    assert isinstance(error, RateLimited)
    assert (error.retry_after_s, now()) == (8, 2)
    await asyncio.sleep(8)
    assert (await guarded.call(Dependency().ask)).ended.waited_s == 0


@in_virtual_time
async def test_a_rate_limit_is_not_retried() -> None:
    """The call's own limit is nothing that a retry would mend."""
    guarded = guard(retry=THRICE, bucket=BucketPolicy(burst=1, refill_s=0.5))
    await guarded.call(Dependency().ask)
    assert isinstance(await outcome(guarded), RateLimited)
    assert now() == 0


@in_virtual_time
async def test_no_token_is_waited_for_past_the_deadline() -> None:
    """With two seconds left, a token in ten is out of reach, whatever `wait_max_s` is."""
    guarded = guard(deadline_s=2, bucket=BucketPolicy(burst=1, refill_s=10, wait_max_s=60))
    await guarded.call(Dependency().ask)
    error = await failing_call(guarded, Dependency().ask)
    assert isinstance(error, RateLimited)
    assert (error.retry_after_s, now()) == (10, 0)


@in_virtual_time
async def test_keys_and_costs_are_the_buckets() -> None:
    """One key's tokens are not another's, and a call may cost several."""
    guarded = guard(bucket=BucketPolicy(burst=4, refill_s=10))
    assert await outcome(guarded, key="a", cost=3) == "answer"
    error = await outcome(guarded, key="a", cost=3)
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 20
    assert await outcome(guarded, key="b", cost=4) == "answer"


@pytest.mark.parametrize("cost", [0, -1, 5])
@in_virtual_time
async def test_a_cost_that_no_bucket_holds_is_the_callers_mistake(cost: int) -> None:
    """Neither a retry nor a fallback covers it."""
    guarded = guard(retry=THRICE, bucket=BucketPolicy(burst=4, refill_s=10))
    with pytest.raises(ValueError, match="must be 1 to 4"):
        await guarded.call(Dependency().ask, cost=cost, fallback=stale)
    assert now() == 0


# --- the bulkhead ----------------------------------------------------------------------------


@in_virtual_time
async def test_no_more_calls_are_under_way_than_may_be() -> None:
    """The others wait, and what they waited is told."""
    guarded = guard(bulkhead=BulkheadPolicy(limit=2))
    dependency = Dependency(takes_s=1)
    calls = [guarded.call(dependency.ask) for _ in range(6)]
    ended = [got.ended for got in await asyncio.gather(*calls)]
    assert (dependency.at_once_max, now()) == (2, 3)
    assert [call.waited_s for call in ended] == [0, 0, 1, 1, 2, 2]


@in_virtual_time
async def test_a_call_without_a_place_to_wait_in_gets_its_token_back() -> None:
    """It is refused at once, is not retried, and costs nothing."""
    bucket = BucketPolicy(burst=10, refill_s=1000)
    guarded = guard(retry=THRICE, bulkhead=BulkheadPolicy(limit=1, queue_max=1), bucket=bucket)
    calls = [start(guarded, Dependency(takes_s=5)) for _ in range(2)]
    await asyncio.sleep(1)
    for _ in range(20):
        assert isinstance(await outcome(guarded), BulkheadFull)
    assert now() == 1
    await asyncio.gather(*calls)
    assert await tokens(guarded) == 8


@in_virtual_time
async def test_the_more_urgent_goes_first() -> None:
    """Of those that wait the operator is next, then people, then what runs by itself."""
    guarded = guard(bulkhead=ONE_PLACE)
    start(guarded, Dependency(takes_s=1))
    await asyncio.sleep(0)
    order: list[str] = []

    async def ask(name: str) -> None:
        async def work() -> None:
            order.append(name)

        await guarded.call(work, priority=Priority[name])

    await asyncio.gather(*(ask(name) for name in ("BACKGROUND", "INTERACTIVE", "OPERATOR")))
    assert order == ["OPERATOR", "INTERACTIVE", "BACKGROUND"]


@in_virtual_time
async def test_the_more_urgent_takes_the_place_of_one_that_waits() -> None:
    """The displaced one is refused and gets its token back."""
    bucket = BucketPolicy(burst=10, refill_s=1000)
    guarded = guard(bulkhead=BulkheadPolicy(limit=1, queue_max=1), bucket=bucket)
    first = start(guarded, Dependency(takes_s=1))
    await asyncio.sleep(0)
    later = start(guarded, Dependency(), priority=Priority.BACKGROUND)
    await asyncio.sleep(0)
    assert await outcome(guarded) == "answer"
    assert isinstance(await later, BulkheadFull)
    assert await first == "answer"
    assert await tokens(guarded) == 8


@in_virtual_time
async def test_a_retry_holds_no_place_while_it_waits() -> None:
    """Another call goes through the only place between the two attempts."""
    guarded = guard(retry=THRICE, bulkhead=ONE_PLACE)
    first = start(guarded, Dependency(VendorError()))
    await asyncio.sleep(0.25)
    assert guarded.bulkhead.in_flight == 0
    assert await outcome(guarded, Dependency(takes_s=0.25)) == "answer"
    assert await first == "answer"
    assert now() == 1


@in_virtual_time
async def test_a_retry_stands_in_the_queue_anew() -> None:
    """Behind those that came while it waited; and it needs a token of its own."""
    bucket = BucketPolicy(burst=10, refill_s=1000)
    guarded = guard(retry=THRICE, bulkhead=ONE_PLACE, bucket=bucket)
    retried = Dependency(VendorError())
    first = start(guarded, retried)
    await asyncio.sleep(0.5)
    others = [start(guarded, Dependency(takes_s=1)) for _ in range(2)]
    assert await first == "answer"
    assert retried.asked_at == [0, 2.5]
    await asyncio.gather(*others)
    assert await tokens(guarded) == 6


# --- places of calls that failed -------------------------------------------------------------


@in_virtual_time
async def test_places_of_calls_that_failed_stay_empty_until_one_succeeds() -> None:
    """Three failures leave one place of four; a success gives all of them back."""
    guarded = guard(
        bulkhead=BulkheadPolicy(limit=4), breaker=BreakerPolicy(failures_max=4, jitter=0.0)
    )
    for _ in range(3):
        await failing_call(guarded, Dependency(VendorError()).ask)
    dependency = Dependency(takes_s=1)
    calls = [start(guarded, dependency) for _ in range(9)]
    await asyncio.sleep(0.5)
    assert dependency.at_once == 1
    await asyncio.sleep(1)
    assert dependency.at_once == 4
    assert await asyncio.gather(*calls) == ["answer"] * 9


@in_virtual_time
async def test_failures_that_a_small_bulkhead_can_spare_keep_no_place_empty() -> None:
    """Where the breaker wants more failures than there are places, the first ones cost none."""
    guarded = guard(
        bulkhead=BulkheadPolicy(limit=2), breaker=BreakerPolicy(failures_max=5, jitter=0.0)
    )
    for failures, places in [(3, 2), (4, 1)]:
        while guarded.breaker.failures_in_a_row < failures:
            await failing_call(guarded, Dependency(VendorError()).ask)
        slow = Dependency(
            VendorError(CALLERS), VendorError(CALLERS), takes_s=1
        )  # says nothing of health
        await asyncio.gather(*(start(guarded, slow) for _ in range(2)))
        assert slow.at_once_max == places


@in_virtual_time
async def test_a_breaker_that_opened_keeps_no_place_empty() -> None:
    """Then it is the breaker that keeps calls away; when it closes, all places are there."""
    guarded = guard(bulkhead=BulkheadPolicy(limit=5))
    await trip(guarded)
    await asyncio.sleep(15)
    assert await outcome(guarded) == "answer"
    dependency = Dependency(takes_s=1)
    await asyncio.gather(*(start(guarded, dependency) for _ in range(5)))
    assert dependency.at_once_max == 5


# --- time ------------------------------------------------------------------------------------


@in_virtual_time
async def test_an_attempt_is_cut_when_its_time_is_over() -> None:
    """That is a failure of the dependency, and is tried again."""
    guarded = guard(attempt_timeout_s=5, retry=THRICE)
    dependency = Dependency(takes_s=100)
    error = await failing_call(guarded, dependency.ask)
    assert type(error) is TimeoutError
    assert dependency.asked_at == [0, 6, 13]
    assert (now(), guarded.breaker.failures_in_a_row) == (18, 3)


@in_virtual_time
async def test_a_call_may_have_an_attempt_timeout_of_its_own() -> None:
    """In place of the policy's, be it shorter or longer."""
    guarded = guard(attempt_timeout_s=5)
    assert isinstance(
        await outcome(guarded, Dependency(takes_s=2), attempt_timeout_s=1), TimeoutError
    )
    assert now() == 1
    assert await outcome(guarded, Dependency(takes_s=9), attempt_timeout_s=10) == "answer"


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf"), 60])
@in_virtual_time
async def test_an_attempt_timeout_that_means_nothing_is_the_callers_mistake(wrong: float) -> None:
    """It is refused by its name and is not held against the dependency."""
    guarded = guard()
    with pytest.raises(ValueError, match="attempt_timeout_s"):
        await guarded.call(Dependency().ask, attempt_timeout_s=wrong)
    assert guarded.breaker.failures_in_a_row == 0


@in_virtual_time
async def test_a_timeout_that_the_dependency_raises_itself_stays_what_it_is() -> None:
    """However little time the caller has left."""
    guarded, error = guard(), TimeoutError("the vendor's")
    with deadline(1, LoopClock().monotonic):
        assert await outcome(guarded, Dependency(error)) is error
    assert guarded.breaker.failures_in_a_row == 1


@in_virtual_time
async def test_the_deadline_is_over_all_attempts() -> None:
    """The last attempt is cut by it, though it had time of its own left."""
    guarded = guard(deadline_s=10, attempt_timeout_s=6, retry=THRICE)
    dependency = Dependency(takes_s=100)
    error = await failing_call(guarded, dependency.ask)
    assert type(error) is TimeoutError
    assert (dependency.asked_at, now()) == ([0, 7], 10)


@in_virtual_time
async def test_a_callers_deadline_shortens_the_guards() -> None:
    """The sooner of the two holds, also for waits between attempts."""
    guarded = guard(retry=RetryPolicy(retries_max=5, base_s=2.0))
    dependency = Dependency(*(VendorError() for _ in range(9)))
    with deadline(5, LoopClock().monotonic):
        assert isinstance(await outcome(guarded, dependency), VendorError)
    assert (dependency.asked_at, now()) == ([0, 2], 2)  # the next wait would end at 6


@pytest.mark.parametrize("bucket", [None, BucketPolicy(burst=5, refill_s=1000)])
@in_virtual_time
async def test_with_no_time_left_nobody_is_asked(bucket: BucketPolicy | None) -> None:
    """It costs no place and no token, and is told as refused."""
    guarded = guard(bucket=bucket, retry=THRICE)
    heard: list[CallEnded] = []
    guarded.subscribe(heard.append)
    dependency = Dependency()
    with deadline(0, LoopClock().monotonic):
        error = await failing_call(guarded, dependency.ask)
    assert isinstance(error, DeadlinePassed)
    assert (dependency.asked, guarded.bulkhead.in_flight) == (0, 0)
    assert [(ended.attempts, ended.refused) for ended in heard] == [(0, True)]
    if bucket is not None:
        assert await tokens(guarded) == 5


@in_virtual_time
async def test_a_token_that_comes_with_the_end_of_the_time_is_given_back() -> None:
    """Who waited for it to the last has no time left to use it."""
    guarded = guard(deadline_s=10, bucket=BucketPolicy(burst=1, refill_s=10, wait_max_s=60))
    await guarded.call(Dependency().ask)
    assert isinstance(await outcome(guarded), DeadlinePassed)
    assert now() == 10
    assert (await guarded.call(Dependency().ask)).ended.waited_s == 0


@in_virtual_time
async def test_no_place_is_waited_for_past_the_deadline() -> None:
    """The wait ends with it, and the token comes back."""
    bucket = BucketPolicy(burst=10, refill_s=1000)
    guarded = guard(deadline_s=7, bulkhead=ONE_PLACE, bucket=bucket)
    first = start(guarded, Dependency(takes_s=6.5))
    await asyncio.sleep(1)
    with deadline(3, LoopClock().monotonic):
        assert isinstance(await outcome(guarded), DeadlinePassed)
    assert (now(), guarded.bulkhead.waiting) == (4, 0)
    assert await first == "answer"
    assert await tokens(guarded) == 9


@in_virtual_time
async def test_time_that_is_over_before_the_queue_is_no_time_to_wait_in_it() -> None:
    """A token that came with the end of the time finds no place: that is the deadline, too."""
    bucket = BucketPolicy(burst=1, refill_s=10, wait_max_s=60)
    guarded = guard(bulkhead=ONE_PLACE, bucket=bucket)
    first = start(guarded, Dependency(takes_s=20))
    await asyncio.sleep(0)
    with deadline(10, LoopClock().monotonic):
        assert isinstance(await outcome(guarded), DeadlinePassed)
    assert now() == 10
    assert await first == "answer"


@pytest.mark.parametrize(
    ("left_s", "failures", "kind"), [(14.5, 0, DeadlineCut), (15.5, 1, TimeoutError)]
)
@in_virtual_time
async def test_an_attempt_with_less_than_half_its_time_says_nothing_of_the_dependency(
    left_s: float, failures: int, kind: type[Exception]
) -> None:
    """A caller in a hurry does not open the breaker for all; one with half a chance may."""
    guarded, heard = guard(attempt_timeout_s=30), list[CallEnded]()
    guarded.subscribe(heard.append)
    with deadline(left_s, LoopClock().monotonic):
        error = await failing_call(guarded, Dependency(takes_s=100).ask)
    assert type(error) is kind
    assert (guarded.breaker.failures_in_a_row, now()) == (failures, left_s)
    assert [ended.attempts for ended in heard] == [1]


@in_virtual_time
async def test_a_probe_that_a_hurried_caller_cut_gives_its_place_to_the_next() -> None:
    """The breaker neither closes nor opens by it."""
    guarded = guard()
    await trip(guarded)
    await asyncio.sleep(15)
    with deadline(1, LoopClock().monotonic):
        assert isinstance(await outcome(guarded, Dependency(takes_s=100)), DeadlineCut)
    assert guarded.breaker.state is HALF_OPEN
    assert await outcome(guarded) == "answer"
    assert guarded.breaker.state is CLOSED


@pytest.mark.parametrize(("failures", "asked"), [(0, 1), (1, 0)])
@in_virtual_time
async def test_a_call_that_waited_too_long_is_not_asked_of_a_dependency_that_fails(
    failures: int, asked: int
) -> None:
    """Four seconds of its ten would tell nothing; one that works may be done in time, though."""
    guarded = guard(attempt_timeout_s=10, bulkhead=ONE_PLACE)
    for _ in range(failures):
        await failing_call(guarded, Dependency(VendorError()).ask)
    first = start(guarded, Dependency(VendorError(CALLERS), takes_s=6))
    await asyncio.sleep(0)
    late = Dependency(takes_s=1)
    with deadline(10, LoopClock().monotonic):
        second = start(guarded, late)
    await first
    assert isinstance(await second, str if asked else DeadlinePassed)
    assert (late.asked, guarded.bulkhead.in_flight) == (asked, 0)


@in_virtual_time
async def test_a_call_in_a_hurry_is_asked_of_a_dependency_that_fails() -> None:
    """Having come with little time is no reason to be refused: nobody might be asked any more."""
    guarded = guard(attempt_timeout_s=30)
    await failing_call(guarded, Dependency(VendorError()).ask)
    with deadline(1, LoopClock().monotonic):
        assert await outcome(guarded) == "answer"


# --- the fallback ----------------------------------------------------------------------------


async def stale(_error: Exception) -> Fallback[str]:
    """What a cache would give."""
    await asyncio.sleep(1)
    return Fallback(value="old", stale_s=3600)


@in_virtual_time
async def test_a_fallback_is_given_the_error_and_its_value_is_labelled() -> None:
    """The caller and the listeners know that it is one, and how old it is."""
    heard: list[CallEnded] = []
    given: list[Exception] = []

    async def fallback(error: Exception) -> Fallback[str]:
        given.append(error)
        return await stale(error)

    guarded, error = guard(), VendorError()
    guarded.subscribe(heard.append)
    got = await guarded.call(Dependency(error, takes_s=2).ask, fallback=fallback)
    ended = CallEnded(
        name="api",
        took_s=3,
        waited_s=0,
        attempts=1,
        error=error,
        fault=FaultKind.TRANSIENT,
        fell_back=True,
        stale_s=3600,
    )
    assert (got.value, got.ended, heard) == ("old", ended, [ended])
    assert given == [error]


@in_virtual_time
async def test_a_refused_call_has_its_fallback_too() -> None:
    """One that is made now has no age."""

    async def fallback(_error: Exception) -> Fallback[str]:
        return Fallback(value="made now")

    guarded = guard()
    guarded.breaker.force(Mode.FORCED_OPEN)
    got = await guarded.call(Dependency().ask, fallback=fallback)
    assert got.value == "made now"
    assert (got.ended.fell_back, got.ended.refused, got.ended.stale_s) == (True, True, None)


@in_virtual_time
async def test_a_call_that_succeeds_does_not_ask_its_fallback() -> None:
    """It stands in for a failure only."""
    got = await guard().call(Dependency().ask, fallback=stale)
    assert (got.value, got.ended.fell_back) == ("answer", False)


@in_virtual_time
async def test_what_a_fallback_raises_is_raised() -> None:
    """The listeners are told of the dependency's error, not of the fallback's."""
    heard: list[CallEnded] = []
    error, worse = VendorError(), KeyError("not there either")

    async def fallback(_error: Exception) -> Fallback[str]:
        raise worse

    guarded = guard()
    guarded.subscribe(heard.append)
    assert await failing_call(guarded, Dependency(error).ask, fallback=fallback) is worse
    assert [(ended.error, ended.fell_back) for ended in heard] == [(error, False)]


@in_virtual_time
async def test_a_fallback_has_the_callers_time_not_what_the_call_left() -> None:
    """A second dependency is asked though the first took all its time; the caller's holds."""
    first, second = guard(deadline_s=10), guard(deadline_s=10)

    async def fallback(_error: Exception) -> Fallback[str]:
        return Fallback(value=(await second.call(Dependency(takes_s=4).ask)).value)

    async def call() -> object:
        return await outcome(first, Dependency(takes_s=100), fallback=fallback)

    assert await call() == "answer"
    assert now() == 14
    with deadline(12, LoopClock().monotonic):
        assert isinstance(await call(), DeadlineCut)
    assert now() == 26


# --- nested guards ---------------------------------------------------------------------------


@in_virtual_time
async def test_a_refusal_of_an_inner_guard_is_not_held_against_the_outer_dependency() -> None:
    """Nor is it tried again, nor told as anything but what it is."""
    inner, outer = guard(), guard(retry=THRICE)
    inner.breaker.force(Mode.FORCED_OPEN)
    for _ in range(20):
        error = await failing_call(outer, lambda: inner.call(Dependency().ask))
        assert isinstance(error, Refused)
    assert outer.breaker.state is CLOSED
    assert (outer.breaker.failures_in_a_row, now()) == (0, 0)


@in_virtual_time
async def test_an_inner_guard_has_the_time_that_is_left_of_the_outers() -> None:
    """However long its own deadline is."""
    inner, outer = guard(deadline_s=1000, attempt_timeout_s=20), guard(deadline_s=3)
    error = await failing_call(outer, lambda: inner.call(Dependency(takes_s=100).ask))
    assert isinstance(error, DeadlineCut)
    assert now() == 3
    assert inner.breaker.failures_in_a_row == outer.breaker.failures_in_a_row == 0


# --- cancellation ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "cancelled_at", "asked", "token_in_s"),
    [
        ("the token wait", 1, 0, 3),
        ("the queue", 5, 0, 0),
        ("the attempt", 11, 1, 0),
        ("the retry wait", 13, 1, 0),
        ("the token wait of the retry", 17, 1, 2),
        ("the retry", 20, 2, 3),
    ],
)
@in_virtual_time
async def test_a_cancel_loses_nothing_wherever_it_comes(
    where: str, cancelled_at: float, asked: int, token_in_s: float
) -> None:
    """At once the token is back if it was not used, and all places are free."""
    guarded = guard(
        retry=RetryPolicy(base_s=4.0),
        bulkhead=ONE_PLACE,
        bucket=BucketPolicy(burst=1, refill_s=4, wait_max_s=60),
        breaker=NEVER_OPENS,
    )
    holder = start(guarded, Dependency(takes_s=10))
    await asyncio.sleep(0)
    # A token at 4, the place from 10 to 12, a wait to 16, a token at 19, the place to 21.
    dependency = Dependency(VendorError(), takes_s=2)
    call = start(guarded, dependency)
    if cancelled_at > 15:
        await asyncio.sleep(15)
        assert await outcome(guarded) == "answer"
    await asyncio.sleep(cancelled_at - now())
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (now(), dependency.asked) == (cancelled_at, asked), where
    with deadline(0.001, LoopClock().monotonic):
        refused = await outcome(guarded)
    assert (refused.retry_after_s if isinstance(refused, RateLimited) else 0) == token_in_s
    await holder
    assert (guarded.bulkhead.in_flight, guarded.bulkhead.waiting) == (0, 0)
    assert await outcome(guarded) == "answer"


@pytest.mark.parametrize("seed", range(10))
@in_virtual_time
async def test_a_storm_of_cancels_loses_nothing(seed: int) -> None:
    """Calls that wait, fail and are cancelled at any moment leave the guard as it was made."""
    dice = random.Random(seed)
    guarded = guard(
        deadline_s=8,
        attempt_timeout_s=2,
        retry=RetryPolicy(base_s=0.5),
        bulkhead=BulkheadPolicy(limit=3, queue_max=5),
        bucket=BucketPolicy(burst=5, refill_s=0.1, wait_max_s=3),
        breaker=BreakerPolicy(failures_max=4, open_s=1, open_max_s=2, jitter=0.0),
    )
    calls: list[asyncio.Task[object]] = []
    for _ in range(300):
        errors = [VendorError()] * dice.randrange(3)
        dependency = Dependency(*errors, takes_s=dice.choice([0, 0, 0.5, 1, 3]))
        calls.append(start(guarded, dependency, priority=dice.choice(list(Priority))))
        await asyncio.sleep(dice.choice([0, 0.1, 0.25]))
        if dice.random() < 0.7:
            dice.choice(calls).cancel()
        assert guarded.bulkhead.in_flight <= 3
        assert guarded.bulkhead.waiting <= 5
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ended} >= {str, VendorError, asyncio.CancelledError, CircuitOpen}
    assert (guarded.bulkhead.in_flight, guarded.bulkhead.waiting) == (0, 0)
    await asyncio.sleep(300)
    assert await outcome(guarded) == "answer"
    assert guarded.breaker.state is CLOSED
    dependency = Dependency(takes_s=1)
    await asyncio.gather(*(start(guarded, dependency) for _ in range(3)))
    assert dependency.at_once_max == 3
    await asyncio.sleep(300)
    full = await asyncio.gather(*(guarded.call(Dependency().ask) for _ in range(5)))
    assert [got.ended.waited_s for got in full[:3]] == [0, 0, 0]


@in_virtual_time
async def test_a_cancelled_probe_gives_its_place_to_the_next() -> None:
    """The breaker stays half-open, and the next call is the probe."""
    guarded = guard()
    await trip(guarded)
    await asyncio.sleep(15)
    probe = start(guarded, Dependency(takes_s=100))
    await asyncio.sleep(1)
    assert isinstance(await outcome(guarded), CircuitOpen)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert guarded.breaker.state is HALF_OPEN
    assert await outcome(guarded) == "answer"


@in_virtual_time
async def test_a_cancel_is_no_failure_of_the_dependency() -> None:
    """Twenty callers that give up do not open its breaker."""
    guarded = guard(bulkhead=BulkheadPolicy(limit=20))
    calls = [start(guarded, Dependency(takes_s=100)) for _ in range(20)]
    await asyncio.sleep(1)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert (guarded.breaker.state, guarded.breaker.failures_in_a_row) == (CLOSED, 0)
    assert guarded.bulkhead.in_flight == 0


# --- the policy ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deadline_s", "attempt_timeout_s"])
@pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf")])
def test_nonsense_is_refused_by_name(name: str, wrong: float) -> None:
    """A policy that means nothing is refused when it is made, and the message names the field."""
    with pytest.raises(ValueError, match=name):
        GuardPolicy(**{name: wrong})  # type: ignore[arg-type]


# --- what takes its time ---------------------------------------------------------------------


@in_virtual_time
async def test_what_needs_more_time_than_is_left_is_not_begun() -> None:
    """Neither at once nor after the wait for a place, also when nothing fails."""
    guarded = guard(deadline_s=10, attempt_timeout_s=9, bulkhead=ONE_PLACE)
    busy, late = Dependency(takes_s=6), Dependency(takes_s=1)
    first = asyncio.create_task(guarded.call(busy.ask))
    await asyncio.sleep(0)
    error = await failing_call(guarded, late.ask, least_s=5)
    assert isinstance(error, DeadlinePassed)
    assert str(error) == "api: the wait left too little time"
    with deadline(4, LoopClock().monotonic):
        error = await failing_call(guarded, late.ask, least_s=5)
    assert str(error) == "api: too little time is left"
    await first
    assert (late.asked, guarded.bulkhead.in_flight) == (0, 0)
    assert (await guarded.call(late.ask, least_s=5)).value == "answer"


def test_a_probe_can_always_report() -> None:
    """Its place is not given up before its time for an answer is over."""
    with pytest.raises(ValueError, match="probe_timeout_s: 60"):
        GuardPolicy(attempt_timeout_s=60.0)

"""The token bucket: never more than it promises, and the wait it names is the wait there is."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.bucket import BucketPolicy, TokenBucket, Want, refund_all, take_all
from tests.fakes.clock import FixedClock

PAUSES = st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.5, 7.0, 60.0]), max_size=60)
NOT_ABOVE_ZERO = (0, -1, math.nan, math.inf, -math.inf)
NOT_WHOLE = (True, 1.5, 2.0)


def bucket(clock: FixedClock, burst: int = 5, refill_s: float = 60.0, **more: int) -> TokenBucket:
    """A bucket over the clock."""
    return TokenBucket(burst=burst, refill_s=refill_s, monotonic=clock.monotonic, **more)


def test_the_burst_is_there_at_once_and_no_more() -> None:
    """Five takes pass, the sixth is told to wait one refill."""
    tokens = bucket(FixedClock())
    assert [tokens.take("a") for _ in range(6)] == [0, 0, 0, 0, 0, 60]


def test_a_refused_take_costs_nothing() -> None:
    """Asking too early again and again does not move the wait."""
    clock = FixedClock()
    tokens = bucket(clock, burst=1)
    tokens.take("a")
    assert [tokens.take("a") for _ in range(3)] == [60, 60, 60]
    clock.advance(59)
    assert tokens.take("a") == 1
    clock.advance(1)
    assert tokens.take("a") == 0


def test_keys_do_not_share() -> None:
    """One who took all leaves the others theirs."""
    tokens = bucket(FixedClock(), burst=1)
    assert (tokens.take("a"), tokens.take("b")) == (0, 0)
    assert tokens.take("a") == 60


def test_a_take_may_cost_several() -> None:
    """Tokens are taken together or not at all."""
    clock = FixedClock()
    tokens = bucket(clock, burst=5, refill_s=2.0)
    assert tokens.take("a", 4) == 0
    assert tokens.take("a", 3) == 4
    assert tokens.take("a") == 0
    clock.advance(10)
    assert tokens.take("a", 5) == 0


@pytest.mark.parametrize("cost", [0, -1, 6])
def test_a_cost_that_never_fits_is_refused(cost: int) -> None:
    """What no wait would bring is the caller's mistake."""
    with pytest.raises(ValueError, match="must be 1 to 5"):
        bucket(FixedClock()).take("a", cost)


@pytest.mark.parametrize("wrong", [*NOT_ABOVE_ZERO, *NOT_WHOLE])
@pytest.mark.parametrize("name", ["burst", "keys_max"])
def test_a_number_of_things_is_whole_and_above_zero(name: str, wrong: float) -> None:
    """Every count is one, and the message names which is not."""
    values = {"burst": 1, "refill_s": 1.0, "keys_max": 1} | {name: wrong}
    with pytest.raises(ValueError, match=f"^{name}: "):
        TokenBucket(monotonic=FixedClock().monotonic, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [*NOT_ABOVE_ZERO, True])
def test_a_refill_takes_some_time(wrong: float) -> None:
    """A bucket that refills at once, never or backwards is refused."""
    with pytest.raises(ValueError, match=r"^refill_s: "):
        bucket(FixedClock(), refill_s=wrong)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("burst", wrong) for wrong in (*NOT_ABOVE_ZERO, *NOT_WHOLE)),
        *(("refill_s", wrong) for wrong in (*NOT_ABOVE_ZERO, True)),
        *(("wait_max_s", wrong) for wrong in (*NOT_ABOVE_ZERO[1:], True)),
    ],
)
def test_a_nonsense_policy_is_refused_by_the_name_of_its_field(name: str, wrong: float) -> None:
    """A typing error in a quota is found at the start, not at the first call."""
    values = {"burst": 1, "refill_s": 1.0, "wait_max_s": 0.0} | {name: wrong}
    with pytest.raises(ValueError, match=f"^{name}: "):
        BucketPolicy(**values)  # type: ignore[arg-type]


def test_a_policy_waits_for_no_token_unless_told() -> None:
    """The defaults of a quota."""
    assert BucketPolicy(burst=1, refill_s=0.5).wait_max_s == 0


def test_who_books_first_is_first() -> None:
    """Each booking stands behind those before it, and a take behind all of them."""
    tokens = bucket(FixedClock(), burst=1)
    assert [tokens.book("a", within_s=150) for _ in range(4)] == [
        (True, 0),
        (True, 60),
        (True, 120),
        (False, 180),
    ]
    assert tokens.take("a") == 180


def test_a_booking_within_the_wait_it_was_told_is_taken() -> None:
    """The bound is met by what is exactly on it, and missed by a millisecond less."""
    clock = FixedClock()
    tokens = bucket(clock, burst=3, refill_s=0.7)
    tokens.take("a", 3)
    for _ in range(20):
        clock.advance(0.1)
        _, wait_s = tokens.book("a", 2, within_s=0)
        assert tokens.book("a", 2, within_s=wait_s - 0.001) == (False, wait_s)
        assert tokens.book("a", 2, within_s=wait_s) == (True, wait_s)


def test_a_booking_may_be_for_whenever() -> None:
    """Without a bound, it is only told how long."""
    tokens = bucket(FixedClock(), burst=1)
    for number in range(100):
        assert tokens.book("a", within_s=math.inf) == (True, 60 * number)


@pytest.mark.parametrize("wrong", [-0.001, math.nan, -math.inf])
def test_a_booking_within_nonsense_is_refused(wrong: float) -> None:
    """A wait that is not a number would let everything pass."""
    tokens = bucket(FixedClock())
    with pytest.raises(ValueError, match=r"^within_s: "):
        tokens.book("a", within_s=wrong)
    assert len(tokens) == 0


def test_a_peek_takes_nothing() -> None:
    """It says what a take would, however often."""
    clock = FixedClock()
    tokens = bucket(clock, burst=2)
    assert [tokens.peek("a", 2) for _ in range(3)] == [0, 0, 0]
    assert len(tokens) == 0
    tokens.take("a", 2)
    assert [tokens.peek("a"), tokens.peek("a", 2), tokens.peek("a")] == [60, 120, 60]
    with pytest.raises(ValueError, match=r"^cost: 3, must be 1 to 2"):
        tokens.peek("a", 3)


def test_a_refund_is_there_at_once() -> None:
    """What was not used can be taken again, and no more than that."""
    tokens = bucket(FixedClock(), burst=3)
    tokens.take("a", 3)
    tokens.refund("a", 2)
    assert [tokens.take("a") for _ in range(3)] == [0, 0, 60]


def test_a_refund_fills_no_bucket_over_its_burst() -> None:
    """Giving back what has come again meanwhile gains nothing."""
    clock = FixedClock()
    tokens = bucket(clock, burst=2)
    tokens.refund("a")
    tokens.take("a")
    clock.advance(30)
    tokens.refund("a", 2)
    assert len(tokens) == 0
    tokens.take("a")
    clock.advance(600)
    tokens.refund("a")
    assert [tokens.take("a") for _ in range(3)] == [0, 0, 60]


@pytest.mark.parametrize("wrong", [0, -1, 6, math.nan])
def test_a_refund_of_what_cannot_have_been_taken_is_refused(wrong: int) -> None:
    """Less than nothing given back would be a take without asking."""
    tokens = bucket(FixedClock())
    tokens.take("a")
    with pytest.raises(ValueError, match=r"^cost: .*, must be 1 to 5"):
        tokens.refund("a", wrong)
    assert tokens.peek("a", 5) == 60


def test_an_idle_key_is_forgotten_once_it_is_full() -> None:
    """Not while it is not: who comes back a moment sooner still waits."""
    clock = FixedClock()
    tokens = bucket(clock, burst=2)
    tokens.take("idle", 2)
    clock.advance(119)
    tokens.take("a")
    assert len(tokens) == 2
    assert tokens.peek("idle", 2) == 1
    clock.advance(1)
    tokens.take("b")
    assert len(tokens) == 2
    assert tokens.peek("idle", 2) == 0


def test_a_flood_of_keys_takes_no_more_room_than_the_bound() -> None:
    """A flood of new keys pushes out the oldest, and memory stays where it is."""
    tokens = bucket(FixedClock(), burst=1)
    for number in range(300_000):
        tokens.take(str(number))
    assert len(tokens) == 100_000
    assert tokens.peek("299999") == tokens.peek("200000") == 60
    assert tokens.peek("199999") == 0


def test_full_buckets_are_forgotten() -> None:
    """Who asked long ago costs no memory."""
    clock = FixedClock()
    tokens = bucket(clock, refill_s=1.0)
    for number in range(10):
        tokens.take(str(number))
    assert len(tokens) == 10
    clock.advance(1)
    tokens.take("new")
    assert len(tokens) == 1


def test_a_crowd_is_forgotten_in_several_steps() -> None:
    """The one who comes first after it does not wait for all the sweeping."""
    clock = FixedClock()
    tokens = bucket(clock, refill_s=1.0)
    for number in range(2_500):
        tokens.take(str(number))
    clock.advance(1)
    left = []
    for _ in range(3):
        tokens.take("new")
        left.append(len(tokens))
    assert left == [1_501, 501, 1]


def test_there_are_never_too_many_keys() -> None:
    """Over the bound the one used longest ago begins anew; the one just used does not."""
    tokens = bucket(FixedClock(), burst=1, keys_max=2)
    for key in ("a", "b", "c"):
        tokens.take(key)
    assert len(tokens) == 2
    assert tokens.take("c") == 60
    assert tokens.take("a") == 0


def test_who_comes_again_is_not_the_oldest() -> None:
    """Over the bound it is the last use that counts, not the first."""
    tokens = bucket(FixedClock(), burst=2, keys_max=2)
    for key in ("a", "b", "a", "c"):
        tokens.take(key)
    assert (tokens.peek("a"), tokens.peek("b", 2)) == (60, 0)


@pytest.mark.parametrize("uptime_s", [0.0, 12_345.678, 1e7 + 0.1, 3e8 + 0.3])
def test_waiting_as_told_is_enough(uptime_s: float) -> None:
    """However long the machine is up: the hair that floats lose is not the caller's."""
    clock = FixedClock()
    clock.advance(uptime_s)
    tokens = bucket(clock, burst=3, refill_s=0.7)
    for _ in range(20):
        clock.advance(tokens.take("a"))
        assert tokens.take("a") <= 0.7 + 1e-6


def test_a_refill_too_short_for_the_clock_leaves_nothing_to_remember() -> None:
    """A bucket that is full again in the same instant is forgotten in it."""
    clock = FixedClock()
    clock.advance(1e18)
    tokens = bucket(clock, refill_s=0.3)
    assert tokens.take("a") == 0
    assert len(tokens) == 0


@given(burst=st.integers(1, 6), refill_s=st.sampled_from([0.3, 1.0, 2.0, 60.0]), pauses=PAUSES)
def test_no_window_sees_more_than_promised(
    burst: int, refill_s: float, pauses: list[float]
) -> None:
    """In any window of time at most burst + elapsed / refill takes pass."""
    clock, taken = FixedClock(), list[float]()
    tokens = bucket(clock, burst, refill_s)
    for pause in pauses:
        clock.advance(pause)
        if not tokens.take("a"):
            taken.append(clock.monotonic())
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            elapsed = taken[last] - start
            assert last - first + 1 <= burst + elapsed / refill_s + 1e-3


@given(burst=st.integers(1, 6), refill_s=st.sampled_from([0.3, 1.0, 2.0, 60.0]), pauses=PAUSES)
def test_the_wait_is_exact(burst: int, refill_s: float, pauses: list[float]) -> None:
    """A refused take passes after the seconds it was told, and not a bit earlier."""
    clock = FixedClock()
    tokens = bucket(clock, burst, refill_s)
    for pause in pauses:
        clock.advance(pause)
        wait_s = tokens.take("a")
        if wait_s:
            clock.advance(wait_s - 0.001)
            assert tokens.take("a") == pytest.approx(0.001, abs=1e-5)
            clock.advance(0.001)
            assert tokens.take("a") == 0


def test_several_buckets_give_all_or_nothing() -> None:
    """What one of them refuses costs the others nothing."""
    clock = FixedClock()
    wide, narrow = bucket(clock, burst=5), bucket(clock, burst=1)
    wants = [Want(wide, "chat", 2), Want(narrow, "all")]
    assert [take_all(wants), take_all(wants)] == [0, 60]
    assert (wide.peek("chat", 3), narrow.peek("all")) == (0, 60)


def test_nothing_wanted_is_there() -> None:
    """No wants, no wait."""
    assert take_all([]) == 0


def test_the_wait_is_until_all_are_there() -> None:
    """Waiting exactly that long is enough, a millisecond less is not."""
    clock = FixedClock()
    fast, slow = bucket(clock, burst=4, refill_s=0.7), bucket(clock, burst=2, refill_s=1.1)
    wants = [Want(slow, "a", 2), Want(fast, "a", 3), Want(fast, "b", 4)]
    assert take_all(wants) == 0
    for _ in range(20):
        wait_s = take_all(wants)
        assert wait_s == pytest.approx(4 * 0.7)
        clock.advance(wait_s - 0.001)
        assert take_all(wants) == pytest.approx(0.001, abs=1e-5)
        clock.advance(0.001)
        assert take_all(wants) == 0


def test_the_same_key_of_the_same_bucket_is_wanted_together() -> None:
    """Two wants of two each don't both get the same three tokens."""
    clock = FixedClock()
    tokens = bucket(clock, burst=4)
    tokens.take("a")
    wants = [Want(tokens, "a", 2), Want(tokens, "b"), Want(tokens, "a", 2)]
    assert take_all(wants) == 60
    assert tokens.peek("b", 4) == 0
    clock.advance(60)
    assert take_all(wants) == 0
    assert (tokens.peek("a"), tokens.peek("b", 4)) == (60, 60)


def test_wants_that_never_fit_take_nothing() -> None:
    """More than the burst together is the caller's mistake, found before anything is taken."""
    clock = FixedClock()
    other, tokens = bucket(clock), bucket(clock, burst=3)
    with pytest.raises(ValueError, match=r"^cost: 4, must be 1 to 3"):
        take_all([Want(other, "a"), Want(tokens, "a", 2), Want(tokens, "a", 2)])
    assert (len(other), len(tokens)) == (0, 0)


@pytest.mark.parametrize("wrong", [*NOT_ABOVE_ZERO, *NOT_WHOLE])
def test_a_want_of_nonsense_is_refused(wrong: int) -> None:
    """A want below nothing would make another one cheaper."""
    with pytest.raises(ValueError, match=r"^cost: "):
        Want(bucket(FixedClock()), "a", wrong)


def test_all_that_was_taken_is_given_back() -> None:
    """Also where the same key was wanted twice."""
    clock = FixedClock()
    one, two = bucket(clock), bucket(clock)
    wants = [Want(one, "a", 2), Want(two, "a"), Want(one, "a", 3)]
    assert take_all(wants) == 0
    refund_all(wants)
    assert (one.peek("a", 5), two.peek("a", 5)) == (0, 0)
    assert (len(one), len(two)) == (0, 0)

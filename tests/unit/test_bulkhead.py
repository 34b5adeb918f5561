"""The bulkhead: so many at work, so many waiting, the more urgent first; a cancellation at any
moment loses no place."""

import asyncio
import gc
import math
from collections.abc import AsyncIterator, Callable

import pytest

from resilience.bulkhead import Bulkhead, BulkheadPolicy, Priority
from resilience.errors import BulkheadFull

OPERATOR, INTERACTIVE, BACKGROUND = Priority
WAITS = (OPERATOR, OPERATOR, INTERACTIVE, INTERACTIVE, BACKGROUND, BACKGROUND)
NONSENSE = (-1, True, 1.5, 2.0, math.nan, math.inf)


@pytest.fixture(autouse=True)
async def nothing_unheard() -> AsyncIterator[None]:
    """The event loop has nothing to complain of: errors that nobody retrieved, tasks left over."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    yield
    gc.collect(1)
    assert complaints == []


class Team:
    """Workers at a bulkhead. Each comes, and works until told to leave."""

    def __init__(self, limit: int = 1, queue_max: int = 3) -> None:
        self.bulkhead = Bulkhead("feeds", BulkheadPolicy(limit=limit, queue_max=queue_max))
        self.admitted: list[str] = []
        self.refused: list[str] = []

    async def come(self, name: str, priority: Priority = INTERACTIVE) -> asyncio.Task[None]:
        """Has a place, waits or is refused by the time this returns."""
        task = asyncio.create_task(self._acquire(name, priority))
        await turns()
        return task

    async def _acquire(self, name: str, priority: Priority) -> None:
        try:
            await self.bulkhead.acquire(priority)
        except BulkheadFull:
            self.refused.append(name)
        else:
            self.admitted.append(name)

    async def leave(self, times: int = 1) -> None:
        """Give places back, one after the other."""
        for _ in range(times):
            self.bulkhead.release()
            await turns()

    @property
    def numbers(self) -> tuple[int, int]:
        """How many work, and how many wait."""
        return self.bulkhead.in_flight, self.bulkhead.waiting

    def all_places_are_free(self) -> bool:
        """Whether as many as the limit can be had at once, and no more."""
        free = [self.bulkhead.try_acquire() for _ in range(self.bulkhead.limit + 1)]
        return free == [True] * self.bulkhead.limit + [False]


async def turns(number: int = 5) -> None:
    """Let all the others do what they can."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_no_more_than_the_limit_work() -> None:
    """The others wait, and come in one by one as places are given back."""
    team = Team(limit=2)
    for name in "abcd":
        await team.come(name)
    assert (team.admitted, team.numbers) == (["a", "b"], (2, 2))
    await team.leave()
    assert (team.admitted, team.numbers) == (["a", "b", "c"], (2, 1))
    await team.leave(3)
    assert (team.admitted, team.numbers) == (["a", "b", "c", "d"], (0, 0))
    assert team.all_places_are_free()


async def test_no_more_than_the_queue_holds_wait() -> None:
    """One more is refused at once, by the name of the bulkhead, and holds nothing."""
    team = Team(queue_max=2)
    for name in "abc":
        await team.come(name)
    with pytest.raises(BulkheadFull, match=r"^feeds: too many calls are waiting already") as caught:
        await team.bulkhead.acquire()
    assert (caught.value.name, caught.value.retry_after_s) == ("feeds", None)
    assert team.numbers == (1, 2)
    await team.leave(3)
    assert team.all_places_are_free()


async def test_without_a_queue_nobody_waits() -> None:
    """A queue of none is a policy, too: not even an operator waits."""
    team = Team(queue_max=0)
    await team.come("a")
    await team.come("b", OPERATOR)
    assert (team.admitted, team.refused, team.numbers) == (["a"], ["b"], (1, 0))


async def test_the_more_urgent_go_first_and_within_one_priority_who_came_first() -> None:
    """Operator before interactive before background."""
    team = Team(queue_max=6)
    await team.come("first", BACKGROUND)
    for name, priority in (
        ("background 1", BACKGROUND),
        ("interactive 1", INTERACTIVE),
        ("operator 1", OPERATOR),
        ("background 2", BACKGROUND),
        ("operator 2", OPERATOR),
        ("interactive 2", INTERACTIVE),
    ):
        await team.come(name, priority)
    await team.leave(6)
    assert team.admitted == [
        "first",
        "operator 1",
        "operator 2",
        "interactive 1",
        "interactive 2",
        "background 1",
        "background 2",
    ]


async def test_who_does_not_say_is_interactive() -> None:
    """The default goes before background work, behind operators."""
    team = Team()
    await team.come("first")
    background = asyncio.create_task(team.bulkhead.acquire(BACKGROUND))
    default = asyncio.create_task(team.bulkhead.acquire())
    operator = asyncio.create_task(team.bulkhead.acquire(OPERATOR))
    await turns()
    for task in (operator, default, background):
        await team.leave()
        assert task.done()


async def test_the_last_of_the_least_urgent_makes_room_for_a_more_urgent_one() -> None:
    """In a full queue; those before it keep their places."""
    team = Team(queue_max=3)
    await team.come("first")
    for name, priority in (("b1", BACKGROUND), ("i1", INTERACTIVE), ("b2", BACKGROUND)):
        await team.come(name, priority)
    refused = []
    for name, priority in (("i2", INTERACTIVE), ("o1", OPERATOR), ("o2", OPERATOR)):
        await team.come(name, priority)
        refused.append(team.refused[-1])
        assert team.numbers == (1, 3)
    assert refused == ["b2", "b1", "i2"]
    await team.leave(3)
    assert team.admitted == ["first", "o1", "o2", "i1"]


@pytest.mark.parametrize("priority", Priority)
async def test_nobody_makes_room_for_one_as_urgent_or_less(priority: Priority) -> None:
    """Who comes last to a queue full of its like is refused, and the queue is as it was."""
    team = Team(queue_max=2)
    await team.come("first")
    await team.come("a", priority)
    await team.come("b", priority)
    await team.come("same", priority)
    await team.come("least", BACKGROUND)
    assert (team.refused, team.numbers) == (["same", "least"], (1, 2))
    await team.leave(3)
    assert team.admitted == ["first", "a", "b"]


async def test_nobody_jumps_the_queue() -> None:
    """A place that was given to one who waits is not free for one who tries meanwhile."""
    team = Team()
    await team.come("a")
    await team.come("b")
    assert not team.bulkhead.try_acquire()
    team.bulkhead.release()
    assert not team.bulkhead.try_acquire()
    await turns()
    assert team.admitted == ["a", "b"]


async def test_a_place_withheld_is_not_given_on() -> None:
    """Who works may end; who waits comes in only when the places left allow it."""
    team = Team(limit=3)
    for name in "abcde":
        await team.come(name)
    team.bulkhead.withhold(2)
    assert team.numbers == (3, 2)
    await team.leave(2)
    assert team.numbers == (1, 2)
    await team.leave()
    assert team.numbers == (1, 1)
    team.bulkhead.withhold(0)
    await turns()
    assert (team.numbers, team.admitted) == ((2, 0), list("abcde"))


async def test_one_place_is_never_withheld() -> None:
    """Somebody has to find out when it is better again."""
    team = Team(limit=2)
    team.bulkhead.withhold(100)
    assert [team.bulkhead.try_acquire() for _ in range(2)] == [True, False]
    team.bulkhead.withhold(100)
    await team.leave()
    team.bulkhead.withhold(0)
    assert team.all_places_are_free()


@pytest.mark.parametrize("wrong", [-1, 1.5, math.nan, math.inf])
def test_nonsense_is_not_withheld(wrong: int) -> None:
    """Less than none would be more places than the limit."""
    team = Team(limit=2)
    with pytest.raises(ValueError, match=r"^places: "):
        team.bulkhead.withhold(wrong)
    assert team.all_places_are_free()


def test_a_place_is_given_back_once() -> None:
    """More would let in more than the limit, unnoticed."""
    team = Team(limit=2)
    assert team.bulkhead.try_acquire()
    team.bulkhead.release()
    with pytest.raises(RuntimeError, match=r"^feeds: released more often than acquired"):
        team.bulkhead.release()
    assert team.all_places_are_free()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("limit", 0), *((name, wrong) for name in ("limit", "queue_max") for wrong in NONSENSE)],
)
def test_a_nonsense_policy_is_refused_by_the_name_of_its_field(name: str, wrong: int) -> None:
    """A bulkhead that lets in nobody, or parts of somebody, is a typing error."""
    with pytest.raises(ValueError, match=f"^{name}: "):
        BulkheadPolicy(**{name: wrong})


async def test_who_is_cancelled_while_waiting_leaves_the_queue() -> None:
    """The next in line is admitted instead."""
    team = Team()
    await team.come("a")
    waiter = await team.come("b")
    await team.come("c")
    waiter.cancel()
    await turns()
    assert waiter.cancelled()
    assert team.numbers == (1, 1)
    await team.leave()
    assert team.admitted == ["a", "c"]
    await team.leave()
    assert team.all_places_are_free()


async def test_who_is_cancelled_before_its_first_turn_held_nothing() -> None:
    """A task cancelled as soon as it is made never comes to the bulkhead."""
    team = Team()
    task = asyncio.create_task(team.bulkhead.acquire())
    task.cancel()
    await turns()
    assert task.cancelled()
    assert team.all_places_are_free()


async def test_a_place_given_to_one_cancelled_in_the_same_moment_goes_to_the_next() -> None:
    """Given first, cancelled second: the place was theirs and is given back."""
    team = Team()
    await team.come("a")
    waiter = await team.come("b")
    await team.come("c")
    team.bulkhead.release()
    waiter.cancel()
    assert team.numbers == (1, 1)
    await turns()
    assert waiter.cancelled()
    assert (team.admitted, team.numbers) == (["a", "c"], (1, 0))
    await team.leave()
    assert team.all_places_are_free()


async def test_a_place_is_not_given_to_one_cancelled_a_moment_before() -> None:
    """Cancelled first, given back second: the next in line gets it at once."""
    team = Team()
    await team.come("a")
    waiter = await team.come("b")
    await team.come("c")
    waiter.cancel()
    team.bulkhead.release()
    assert team.numbers == (1, 0)
    await turns()
    assert waiter.cancelled()
    assert team.admitted == ["a", "c"]


@pytest.mark.parametrize("displaced_first", [True, False])
async def test_one_displaced_and_cancelled_in_the_same_moment(displaced_first: bool) -> None:
    """Whichever came first, it ends cancelled and its error is not left unheard."""
    team = Team(queue_max=1)
    await team.come("a")
    waiter = await team.come("b", BACKGROUND)
    urgent = asyncio.create_task(team.bulkhead.acquire(OPERATOR))
    if displaced_first:
        asyncio.get_running_loop().call_soon(waiter.cancel)
    else:
        waiter.cancel()
    await turns()
    assert waiter.cancelled()
    assert (team.refused, team.numbers) == ([], (1, 1))
    await team.leave()
    assert urgent.done()
    await team.leave()
    assert team.all_places_are_free()


@pytest.mark.parametrize("given", [0, 1, 2, 3])
async def test_several_cancelled_at_once_lose_no_place(given: int) -> None:
    """Some waiting, some just given a place: those who are left get what there is."""
    team = Team(limit=3, queue_max=6)
    for name in "abc":
        await team.come(name)
    waiters = [
        await team.come(name, priority) for name, priority in zip("defghi", WAITS, strict=True)
    ]
    for _ in range(given):
        team.bulkhead.release()
    for waiter in waiters[:5]:
        waiter.cancel()
    await turns(10)
    assert [waiter.cancelled() for waiter in waiters] == [True] * 5 + [False]
    assert team.numbers == ((3, 1) if given == 0 else (4 - given, 0))
    await team.leave(3 if given == 0 else 4 - given)
    await team.leave(1 if given == 0 else 0)
    assert team.numbers == (0, 0)
    assert team.all_places_are_free()


EVENTS: dict[str, Callable[[Team], object]] = {
    "given": lambda team: team.bulkhead.release(),
    "withheld": lambda team: team.bulkhead.withhold(1),
    "displaced": lambda team: [
        asyncio.create_task(team.come(str(number), OPERATOR)) for number in range(4)
    ],
}


@pytest.mark.parametrize("turn", range(6))
@pytest.mark.parametrize("event", EVENTS)
async def test_a_cancellation_at_any_turn_loses_no_place(event: str, turn: int) -> None:
    """The waiter is cancelled so many turns after it came, and what happens happens at turn 2."""
    team = Team(limit=2)
    for name in ("a", "b", "before"):
        await team.come(name)
    waiter = asyncio.create_task(team.bulkhead.acquire(BACKGROUND))
    for now in range(8):
        if now == turn:
            waiter.cancel()
        if now == 2:
            EVENTS[event](team)
        await asyncio.sleep(0)
    await turns(20)
    await asyncio.wait([waiter])
    if not waiter.cancelled() and waiter.exception() is None:
        team.bulkhead.release()
    team.bulkhead.withhold(0)
    while team.bulkhead.in_flight:
        await team.leave()
    assert team.numbers == (0, 0)
    assert team.all_places_are_free()

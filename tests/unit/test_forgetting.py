"""Forgetting a person: what is said when something is left, and that it goes later."""

import asyncio
from typing import Any

import pytest

from agents.forget import AGAIN_AFTER_S, Forgetting, NotOverwrittenYet
from agents.store.errors import NotOverwritten, StoreError
from tests.fakes.saga_clock import HeldClock, settle


class People:
    """A store that fails as it is told to."""

    def __init__(self) -> None:
        self.owed: list[str] = []
        self.failures: dict[str, Exception] = {}

    async def forget(self, user_id: str) -> None:
        """Delete, and note whom the cache has to forget."""
        if type(self.failures.get("forget")) is not StoreError:
            self.owed.append(user_id)
        self._fail("forget")

    async def untold(self) -> list[str]:
        """Whom it has yet to forget."""
        self._fail("untold")
        return list(self.owed)

    async def told(self, user_id: str) -> None:
        """It has."""
        self._fail("told")
        self.owed.remove(user_id)

    def _fail(self, method: str) -> None:
        if (failure := self.failures.pop(method, None)) is not None:
            raise failure


class Cache:
    """A cache that answers, or does not."""

    def __init__(self) -> None:
        self.answers = True
        self.forgot: list[str] = []

    async def forget(self, tag: str) -> bool:
        """Whether it answered."""
        self.forgot.append(tag)
        return self.answers


def over(people: People, cache: Cache, clock: HeldClock | None = None) -> Forgetting:
    """The use case over them."""
    stores: Any = people
    caches: Any = cache
    return Forgetting(stores, caches, clock or HeldClock())


async def test_what_is_deleted_is_deleted_everywhere() -> None:
    """Nothing is owed."""
    people, cache = People(), Cache()
    await over(people, cache).forget("ada")
    assert (people.owed, cache.forgot) == ([], ["ada"])


async def test_a_log_in_use_is_said_and_the_cache_forgets_all_the_same() -> None:
    """The bytes go a little later, by themselves."""
    people, cache = People(), Cache()
    people.failures["forget"] = NotOverwritten("the log is in use")
    with pytest.raises(NotOverwrittenYet, match="log") as caught:
        await over(people, cache).forget("ada")
    assert not caught.value.in_cache
    assert (people.owed, cache.forgot) == ([], ["ada"])


async def test_when_nothing_was_deleted_nobody_says_it_was() -> None:
    """The store's own error comes through, and the cache is not asked."""
    people, cache = People(), Cache()
    people.failures["forget"] = StoreError("locked")
    with pytest.raises(StoreError, match="locked"):
        await over(people, cache).forget("ada")
    assert (people.owed, cache.forgot) == ([], [])


async def test_a_cache_that_does_not_answer_is_told_later() -> None:
    """Every ten minutes, also when the store can't say whom for a while."""
    people, cache, clock = People(), Cache(), HeldClock()
    cache.answers = False
    with pytest.raises(NotOverwrittenYet) as caught:
        await over(people, cache).forget("ada")
    assert caught.value.in_cache
    telling = asyncio.create_task(over(people, cache, clock).keep_telling())
    await settle()
    people.failures["untold"] = StoreError("locked")
    cache.answers = True
    clock.advance(AGAIN_AFTER_S)
    await settle()
    assert people.owed == ["ada"]
    clock.advance(AGAIN_AFTER_S)
    await settle()
    assert people.owed == []
    telling.cancel()


async def test_what_can_not_be_noted_is_told_once_more() -> None:
    """Forgetting twice is forgetting."""
    people, cache = People(), Cache()
    people.failures["told"] = StoreError("locked")
    await over(people, cache).forget("ada")
    assert people.owed == ["ada"]

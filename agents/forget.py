"""Forgetting a person: what they wrote and are, in the store and in the cache.

The store notes whom the cache has to forget in the transaction that deletes them: a cache that does
not answer is told later, also after a restart.
"""

import logging
from contextlib import suppress
from typing import Protocol

from agents.store.errors import NotOverwritten, StoreError
from agents.store.people import PeopleStore
from cache.tiered import Cache

AGAIN_AFTER_S = 600.0

log = logging.getLogger(__name__)


class NotOverwrittenYet(Exception):  # noqa: N818 - names the situation
    """Everything is deleted here, but the database's log still holds its bytes for a while, or the
    shared cache (`in_cache`) copies of the drafts."""

    def __init__(self, problem: str, *, in_cache: bool) -> None:
        super().__init__(problem)
        self.in_cache = in_cache


class Sleeps(Protocol):
    """The part of a clock that this needs."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        ...


class Forgetting:
    """The use case behind /forget."""

    def __init__(self, people: PeopleStore, cache: Cache, clock: Sleeps) -> None:
        self._people = people
        self._cache = cache
        self._clock = clock

    async def forget(self, user_id: str) -> None:
        """Delete everything about the person. Their runs have ended before.

        Raises NotOverwrittenYet when the database's log is in use, or the shared cache does not
        answer: it is told as soon as it does. Raises StoreError when nothing was deleted.
        """
        problem = None
        try:
            await self._people.forget(user_id)
        except NotOverwritten as error:
            problem = error
        if not await self._tell(user_id):
            raise NotOverwrittenYet("the cache's second tier does not answer", in_cache=True)
        if problem is not None:
            raise NotOverwrittenYet(str(problem), in_cache=False) from problem

    async def keep_telling(self) -> None:
        """Tell the cache whom it was not told, now and every ten minutes, until cancelled."""
        while True:
            try:
                for user_id in await self._people.untold():
                    await self._tell(user_id)
            except StoreError as error:
                log.warning("whom the cache has yet to forget can't be read: %s", error)
            await self._clock.sleep(AGAIN_AFTER_S)

    async def _tell(self, user_id: str) -> bool:
        if not await self._cache.forget(user_id):
            return False
        with suppress(StoreError):  # then it is told once more later
            await self._people.told(user_id)
        return True

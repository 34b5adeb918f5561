"""Forgetting a person: what they wrote and are, in the store and in the cache."""

from agents.store.errors import StoreError
from agents.store.people import PeopleStore
from cache.tiered import Cache


class NotOverwrittenYet(Exception):  # noqa: N818 - names the situation
    """Everything is deleted, but something still holds its bytes for a while."""


class Forgetting:
    """The use case behind /forget."""

    def __init__(self, people: PeopleStore, cache: Cache) -> None:
        self._people = people
        self._cache = cache

    async def forget(self, user_id: str) -> None:
        """Delete everything about the person. Their runs have ended before.

        Raises NotOverwrittenYet when the database's log is in use, or the shared cache does not
        answer: it is told as soon as it does.
        """
        told = await self._cache.forget(user_id)
        try:
            await self._people.forget(user_id)
        except StoreError as error:
            raise NotOverwrittenYet(str(error)) from error
        if not told:
            raise NotOverwrittenYet("the cache's second tier does not answer")

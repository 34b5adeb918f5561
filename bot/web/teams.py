"""Whose key it is: keys of the run API, compared in constant time."""

import hmac
from collections.abc import Iterable
from hashlib import sha256

from aiohttp import web

from bot.settings import TeamKey


class Teams:
    """The teams by their keys. Keys are kept as hashes, which are all of one length."""

    def __init__(self, keys: Iterable[TeamKey]) -> None:
        self._keys = [(_hashed(key.key.get_secret_value()), key.team) for key in keys]

    def team_of(self, request: web.Request) -> str | None:
        """The team whose key the request has, or None. Every key is looked at, whichever fits."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        hashed, found = _hashed(given.strip()), None
        for known, team in self._keys:
            if hmac.compare_digest(known, hashed):
                found = team
        return found if scheme.lower() == "bearer" else None


def _hashed(key: str) -> bytes:
    return sha256(key.encode(errors="surrogateescape")).digest()

"""The databases that the program is killed over."""

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.conftest import administrate
from tests.postgres import postgres

__all__ = ["postgres"]  # a fixture for this folder's tests


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database of the test's own, of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/var/webscout.db"
        return
    server = request.getfixturevalue("postgres")
    name = f"killed_{secrets.token_hex(4)}"
    asyncio.run(administrate(server, f"CREATE DATABASE {name}"))
    yield server.replace("/postgres?", f"/{name}?")
    asyncio.run(administrate(server, f"DROP DATABASE {name} WITH (FORCE)"))

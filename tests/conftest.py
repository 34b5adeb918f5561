"""What all tests share: settings over a temporary folder, real data when it is there."""

import gc
import logging
import os
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from bot.settings import Settings
from tests.migrated import place_migrated

NO_FEEDS = Path(__file__).with_name("fakes") / "no_feeds.json"
"""A test never reads a live feed."""
CI = os.environ.get("CI") == "true"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that is marked `unmeasured` is run without tracing, which coverage needs and which
    doubles its time.

    (pytest-cov's own `no_cover` does nothing in xdist's workers: they have two collectors, of which
    it stops one.)
    """
    if item.get_closest_marker("unmeasured") is None:
        return (yield)
    here, threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(here)
        threading.settrace(threads)


def pytest_collection_finish() -> None:
    """What is imported and collected by now stays: the collector of garbage need not look at these
    hundreds of thousands of objects again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """A command that a test runs in this process sets the level of all logs and where they go; the
    next test's are its own."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = [h for h in root.handlers if h in handlers]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings over a database of the test's own, on a free port, whatever the environment says."""
    return local_settings(tmp_path)


def local_settings(folder: Path, **changes: object) -> Settings:
    """Settings of a bot that keeps its data in `folder`, in a database that is migrated."""
    if "database_url" not in changes:
        place_migrated(folder / "var/webscout.db")
    values: dict[str, object] = {
        "telegram_bot_token": None,
        "host": "127.0.0.1",
        "port": 0,
        "database_url": f"sqlite:///{folder}/var/webscout.db",
        "sources": (),
        "feeds_file": NO_FEEDS,
        "scout_config": "scout@1",
    }
    return Settings.model_validate(values | changes)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real postings; tests that need it skip without it, and fail so under CI."""
    folder = os.environ.get("WEBSCOUT_TEST_DATA", "")
    if folder and Path(folder).is_dir():
        return Path(folder)
    if CI:
        pytest.fail("WEBSCOUT_TEST_DATA names no folder")
    pytest.skip("set WEBSCOUT_TEST_DATA to the folder of real postings")

"""How log lines are written: for people on a terminal, as JSON elsewhere; labelled with the run and
the (hashed) user that they are about."""

import hashlib
import logging
import secrets
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from resilience.labels import labels

_SALT = secrets.token_bytes(16)
"""Of this process: who reads the log can tell people apart, and nobody by their number."""
_CHATTY = ("aiohttp.access", "aiosqlite", "asyncio", "alembic", "httpx", "telegram")
"""A line for every request, and aiosqlite writes what people said into it."""


_PEOPLE = frozenset({"user", "sender"})
"""The labels that name somebody: a run's user, who sent an update."""


def hashed(name: str) -> str:
    """A person as log lines name them."""
    return hashlib.blake2b(name.encode(), key=_SALT, digest_size=4).hexdigest()


def configure(level: str, stream: TextIO | None = None) -> None:
    """Write everything that is logged to the stream (stderr)."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(for_people=stream.isatty()))
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # A traceback for each request that is no HTTP; what our handlers raise is logged by ourselves.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


def _formatter(*, for_people: bool) -> logging.Formatter:
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(
            fmt="%Y-%m-%d %H:%M:%S" if for_people else "iso", utc=not for_people
        ),
        _labelled,
    ]
    finish: list[Any]
    if for_people:
        # Plain: the prettier one shows the values of variables, secrets among them.
        finish = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    else:
        finish = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
    )


def _labelled(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """The labels of the work that logs."""
    for name, value in labels().items():
        event[name] = hashed(value) if name in _PEOPLE else value
    return event

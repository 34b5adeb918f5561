"""What the log lines of a piece of work are labelled with, whatever task of it writes them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_LABELS: ContextVar[Mapping[str, str]] = ContextVar("labels", default={})  # noqa: B039 - never changed


def labels() -> Mapping[str, str]:
    """The labels of the work that runs here."""
    return _LABELS.get()


@contextmanager
def labelled(**more: str) -> Iterator[None]:
    """Label what is logged within, also by the tasks made within."""
    token = _LABELS.set({**_LABELS.get(), **more})
    try:
        yield
    finally:
        _LABELS.reset(token)

"""The store's errors.

StoreError
├── StoreUnavailable  the database is out; it may be back soon
└── NotOverwritten    what was deleted still stands on the disk
"""

from resilience.saga import JournalUnavailable


class StoreError(Exception):
    """The database can't be used; the message says why in one line, without secrets."""


class StoreUnavailable(StoreError, JournalUnavailable):  # noqa: N818 - names the situation
    """The database does not answer, or does not take a write, now. Whether a write that failed so
    was stored is not known."""


class NotOverwritten(StoreError):  # noqa: N818 - names the situation
    """Everything is deleted, but its bytes are in a log that is in use; they go a little later."""

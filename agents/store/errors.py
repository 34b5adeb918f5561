"""The store's errors.

StoreError
└── NotOverwritten    what was deleted still stands on the disk
"""


class StoreError(Exception):
    """The database can't be used; the message says why in one line, without secrets."""


class NotOverwritten(StoreError):  # noqa: N818 - names the situation
    """Everything is deleted, but its bytes are in a log that is in use; they go a little later."""

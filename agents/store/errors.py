"""The store's one error."""


class StoreError(Exception):
    """The database can't be used; the message says why in one line, without secrets."""

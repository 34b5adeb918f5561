"""JSON of many megabytes, read in a thread without holding up the event loop.

`json.loads` is one call into C, which keeps Python's lock to its end: 45 ms for 20 MB. Here the
outer levels are read by the same module's Python, and only the records within them by C, so that
the lock is given away between two records.
"""

import json
from collections.abc import Callable
from json.decoder import JSONArray, JSONObject  # type: ignore[attr-defined]
from json.scanner import make_scanner
from typing import Any

_LEVELS = 3  # of `{"data": {"jobs": [...]}}`, the deepest that feeds wrap their records in

Scan = Callable[[str, int], tuple[Any, int]]


class _Decoder(json.JSONDecoder):
    """A decoder whose values of the outer levels are read one by one."""

    def __init__(self) -> None:
        super().__init__()
        whole: Scan = make_scanner(self)  # type: ignore[arg-type]  # typeshed: a context is meant
        scan = whole
        for _ in range(_LEVELS):
            scan = _by_parts(whole, scan)
        self.scan_once = scan


def _by_parts(whole: Scan, inner: Scan) -> Scan:
    """A scanner that has `inner` read what a list or an object holds."""

    def scan(text: str, at: int) -> tuple[Any, int]:
        match text[at : at + 1]:
            case "{":
                return JSONObject((text, at + 1), True, inner, None, None, {})  # type: ignore[no-any-return]  # noqa: FBT003
            case "[":
                return JSONArray((text, at + 1), inner)  # type: ignore[no-any-return]
            case _:
                return whole(text, at)

    return scan


def loads(text: str | bytes) -> Any:
    """As `json.loads`; raises ValueError, and RecursionError for what is nested too deep."""
    return json.loads(text, cls=_Decoder)

"""Which source a spec names."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from agents.discovery.port import Source
from agents.discovery.sources.file import FileSource
from agents.discovery.sources.sample import SampleSource
from agents.domain.errors import InvalidValue

ALLOWED = "file:PATH (JSONL, a JSON array or CSV), sample"


class Catalogue:
    """The sources that exist, by spec; `now` dates what they read."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def resolve(self, spec: str) -> Source:
        """The source that `spec` names; raises InvalidValue."""
        scheme, _, rest = spec.partition(":")
        if spec == "sample":
            return SampleSource(self._now)
        if scheme == "file" and rest:
            return FileSource(Path(rest).expanduser(), self._now)
        raise InvalidValue("source", f"unknown source {spec[:80]!r}", ALLOWED)

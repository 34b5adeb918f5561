"""Which source a spec names."""

from pathlib import Path

from agents.discovery.port import Source
from agents.discovery.sources.file import FileSource
from agents.discovery.sources.sample import SampleSource
from agents.domain.errors import InvalidValue

ALLOWED = "file:PATH (JSONL, a JSON array or CSV), sample"


class Catalogue:
    """The sources that exist, by spec."""

    def resolve(self, spec: str) -> Source:
        """The source that `spec` names; raises InvalidValue."""
        scheme, _, rest = spec.partition(":")
        if spec == "sample":
            return SampleSource()
        if scheme == "file" and rest:
            return FileSource(Path(rest).expanduser())
        raise InvalidValue("source", f"unknown source {spec[:80]!r}", ALLOWED)

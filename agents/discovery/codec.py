"""What was fetched, as bytes for the cache: a line for the account, then one a posting."""

from dataclasses import replace

from pydantic import TypeAdapter

from agents.discovery.stored import Fetched
from agents.domain.codec import OPPORTUNITY

_ACCOUNT = TypeAdapter(Fetched)


class FetchedCodec:
    """Implements the cache's Codec. Line by line: one long parse would hold the interpreter, and
    with it the event loop of the thread beside."""

    def encode(self, value: Fetched) -> bytes:
        """The value as JSON lines."""
        account = _ACCOUNT.dump_json(replace(value, opportunities=()))
        return b"\n".join([account, *map(OPPORTUNITY.dump_json, value.opportunities)])

    def decode(self, data: bytes) -> Fetched:
        """The value again; raises ValueError for bytes that are none."""
        account, *lines = data.split(b"\n")
        found = tuple(map(OPPORTUNITY.validate_json, lines))
        return replace(_ACCOUNT.validate_json(account), opportunities=found)

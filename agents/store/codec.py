"""Domain values as JSON and back; reading checks them again."""

from pydantic import TypeAdapter

from agents.domain.ask import AskRequest
from agents.domain.codec import OPPORTUNITY, PROFILE
from agents.domain.match import Provenance
from agents.domain.opportunity import Listing
from agents.domain.run import ScoutRequest

__all__ = ["ASK_REQUEST", "LISTINGS", "OPPORTUNITY", "PROFILE", "PROVENANCE", "REQUEST"]

LISTINGS = TypeAdapter(tuple[Listing, ...])
PROVENANCE = TypeAdapter(Provenance)
REQUEST = TypeAdapter(ScoutRequest)
ASK_REQUEST = TypeAdapter(AskRequest)

"""Domain values as JSON and back; reading checks them again."""

from pydantic import TypeAdapter

from agents.domain.match import Provenance
from agents.domain.opportunity import Listing, Opportunity
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest

LISTINGS = TypeAdapter(tuple[Listing, ...])
OPPORTUNITY = TypeAdapter(Opportunity)
PROFILE = TypeAdapter(Profile)
PROVENANCE = TypeAdapter(Provenance)
REQUEST = TypeAdapter(ScoutRequest)

"""Domain values as JSON and back; reading checks them again."""

from pydantic import TypeAdapter

from agents.domain.draft import Draft
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile

DRAFT = TypeAdapter(Draft)
OPPORTUNITY = TypeAdapter(Opportunity)
PROFILE = TypeAdapter(Profile)

"""What a draft claims about the applicant, and what backs it. Read `extraction.py` first.

The rules in plain words, and what they can't do: `docs/draft-claims.md`.
"""

from agents.action.claims.claim import Claim, ClaimKind, Stance
from agents.action.claims.extraction import claims_in
from agents.action.claims.support import Known, backed

__all__ = ["Claim", "ClaimKind", "Known", "Stance", "backed", "claims_in"]

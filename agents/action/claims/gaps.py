"""What stands in place of a claim that nothing backs: `[fill in: ...]`."""

from dataclasses import replace

from agents.action.claims.claim import Claim, ClaimKind, Stance
from agents.action.claims.extraction import claims_in
from agents.action.claims.sentences import GAP
from agents.action.claims.support import Known, backed
from agents.action.claims.words import lexicon
from agents.domain.opportunity import Opportunity

_WORDS = {
    ClaimKind.SKILL: "a skill of yours that matters here",
    ClaimKind.EXPERIENCE: "what you have done that matters here",
    ClaimKind.NUMBER: "a figure that you can stand behind",
    ClaimKind.YEAR: "when that was",
    ClaimKind.EMPLOYER: "where you worked",
    ClaimKind.DEGREE: "your degree",
    ClaimKind.CERTIFICATE: "your certificates, if you have any",
    ClaimKind.LANGUAGE: "the languages you speak",
    ClaimKind.SENIORITY: "how experienced you are, in your own words",
    ClaimKind.TITLE: "what you do",
    ClaimKind.AWARD: "a success of yours",
    ClaimKind.PERMIT: "whether you may work there",
    ClaimKind.PLACE: "where you live",
    ClaimKind.AVAILABILITY: "when you can start",
    ClaimKind.CONTACT: "how to reach you",
    ClaimKind.NAME: "the name that belongs here",
}
_EMPTY = "[fill in: what belongs here]"
# Which of several claims a gap asks for: the one that says most about what to write.
_ORDER = (
    ClaimKind.SKILL, ClaimKind.EMPLOYER, ClaimKind.DEGREE, ClaimKind.CERTIFICATE,
    ClaimKind.LANGUAGE, ClaimKind.CONTACT, ClaimKind.PERMIT, ClaimKind.AWARD, ClaimKind.PLACE,
    ClaimKind.AVAILABILITY, ClaimKind.NUMBER, ClaimKind.YEAR, ClaimKind.TITLE,
    ClaimKind.SENIORITY, ClaimKind.EXPERIENCE, ClaimKind.NAME,
)  # fmt: skip
_NAMING = frozenset(
    (ClaimKind.SKILL, ClaimKind.NUMBER, ClaimKind.YEAR, ClaimKind.EMPLOYER, ClaimKind.NAME,
     ClaimKind.LANGUAGE, ClaimKind.CONTACT, ClaimKind.PLACE)
)  # fmt: skip

_NAMED_IN_LOWER = frozenset((ClaimKind.NUMBER, ClaimKind.CONTACT))


def gap_for(claims: list[Claim], posting: Known) -> str:
    """One gap for all `claims`. It names a skill only if the posting asks for it, and nothing
    else of what was claimed."""
    claim = min(claims, key=lambda c: _ORDER.index(c.kind))
    if claim.kind is ClaimKind.SKILL and claim.near <= posting.skills:
        return f"[fill in: your experience with {' '.join(claim.text.split())}, if you have any]"
    if claim.kind is ClaimKind.NUMBER and claim.unit == "year":
        return "[fill in: how many years, if you want to say it]"
    return f"[fill in: {_WORDS[claim.kind]}]"


def checked_gaps(text: str, opportunity: Opportunity, profile: Known, posting: Known) -> str:
    """`text` with those of its gaps emptied that name what neither profile nor posting says."""

    def names_unknown(inner: str) -> bool:
        claims = [replace(c, stance=Stance.OPEN) for c in claims_in(inner, opportunity)]
        return any(
            claim.kind in _NAMING
            and (
                not claim.text.islower()
                or claim.kind in _NAMED_IN_LOWER
                or claim.text in lexicon("brands")
            )
            and (claim.kind is not ClaimKind.NUMBER or (claim.value or 0) > 5)
            and not backed(claim, profile, posting)
            for claim in claims
            if not claim.phrase
        )

    return GAP.sub(lambda m: _EMPTY if names_unknown(m[0].strip("[]")[8:].strip()) else m[0], text)

"""Checks a draft that a language model wrote: what the profile doesn't say does not reach the user.

What is claimed is found by the rules of `agents.action.claims`; a claim that nothing backs becomes
a gap, `[fill in: ...]`. `docs/draft-claims.md` has the rules in plain words.
"""

from dataclasses import dataclass

from agents.action.claims.claim import Claim
from agents.action.claims.cleaning import cleaned, cut, tidied
from agents.action.claims.extraction import claims_in
from agents.action.claims.gaps import checked_gaps
from agents.action.claims.language import is_latin
from agents.action.claims.repair import repaired, without
from agents.action.claims.sentences import GAP, masked, sentences_in
from agents.action.claims.support import Known, backed, known_of_posting, known_of_profile
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile

_ROUNDS_MAX = 6
_REPAIRS_MAX = 3
_SENTENCE_WORDS_MIN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is left of a draft. `rejected` says why none of it may be used; `text` is then empty.

    `unsupported` are the claims that nothing backed, by their places in the cleaned draft.
    """

    text: str
    unsupported: tuple[Claim, ...] = ()
    repaired: bool = False
    rejected: str | None = None


def check(text: str, profile: Profile, opportunity: Opportunity) -> Checked:
    """Check a draft of `profile` for `opportunity`, repair it or reject it; never raises.

    It works for milliseconds on the processor; a checked draft passes again unchanged.
    """
    plain = cleaned(text)
    if not is_latin(plain):
        return Checked(text="", rejected="it is in a script whose claims can't be checked")
    person, posting = known_of_profile(profile), known_of_posting(opportunity)
    left, replaced, unsupported = _settled(plain, opportunity, person, posting)
    reason = _why_rejected(plain, left, replaced, opportunity)
    if reason is not None:
        return Checked(text="", unsupported=unsupported, rejected=reason)
    return Checked(text=left, unsupported=unsupported, repaired=left != plain)


def _unsupported(
    text: str, opportunity: Opportunity, person: Known, posting: Known
) -> tuple[Claim, ...]:
    claims = claims_in(text, opportunity)
    return tuple(claim for claim in claims if not backed(claim, person, posting))


def _settled(
    text: str, opportunity: Opportunity, person: Known, posting: Known
) -> tuple[str, int, tuple[Claim, ...]]:
    """`text` repaired until nothing is left to repair, or empty; how many sentences went as a
    whole; and what was not backed at first."""
    replaced = 0
    first: tuple[Claim, ...] = ()
    for attempt in range(_ROUNDS_MAX):
        before = text
        text = checked_gaps(text, opportunity, person, posting)
        claims = _unsupported(text, opportunity, person, posting)
        first = first if attempt else claims
        if claims and attempt < _REPAIRS_MAX:
            text, whole = repaired(text, claims, posting)
            replaced += whole
        elif claims:
            replaced += len({claim.sentence for claim in claims})
            text = without(text, claims)
        text = cut(tidied(text))
        if text == before:
            return text, replaced, first
    return "", replaced, first


def _why_rejected(before: str, after: str, replaced: int, opportunity: Opportunity) -> str | None:
    if not after.strip():
        return "nothing of it is left" if before else "it is empty"
    read = sentences_in(masked(before), opportunity.organisation)
    sentences = sum(
        sum(len(clause.words) for clause in sentence.clauses) >= _SENTENCE_WORDS_MIN
        for sentence in read
    )
    if replaced and 2 * replaced > max(sentences, 1):
        return f"{replaced} of its {max(sentences, replaced)} sentences claim what nobody said"
    if not any(c.isalnum() for c in GAP.sub("", after)):
        return None if before == after else "only gaps are left of it"
    return None

"""Puts gaps in place of the smallest phrases that carry claims nothing backs."""

import re
from collections.abc import Sequence
from itertools import groupby

from agents.action.claims.claim import Claim, ClaimKind, Span
from agents.action.claims.gaps import gap_for
from agents.action.claims.sentences import GAP
from agents.action.claims.support import Known

_LISTED = frozenset((ClaimKind.SKILL, ClaimKind.LANGUAGE, ClaimKind.NAME, ClaimKind.EXPERIENCE))
_BEFORE_ITEM = re.compile(r"(?:[,:/&(]|\b(?:and|or|with|in|use|used|know|of|plus))\s*$|^\s*$")
_BEHIND_ITEM = re.compile(r"\s*(?:[,/&;.)]|(?:and|or)\b|$)")
_SEPARATED = re.compile(r",|/|&|\b(?:and|or)\b")
_SUBJECT = re.compile(r"\b(?:i|my|we|our|me|you|your|the|this)\b", re.IGNORECASE)
_RELATIVE = re.compile(
    r"(?:,\s*)?(?:which|who|that|where|as|than|both|two of|all of)\b", re.IGNORECASE
)
_REFERS = re.compile(r"\b(?:it|them|these|those|both|all)\b", re.IGNORECASE)
_SAME_GAPS = re.compile(r"(\[fill in:[^\[\]\n]{0,300}\])(?:[\s,;]*\1)+", re.IGNORECASE)


def repaired(text: str, claims: Sequence[Claim], posting: Known) -> tuple[str, int]:
    """`text` with one gap in each sentence that carries `claims`; how many went as a whole."""
    changes: list[tuple[Span, str]] = []
    whole = 0
    ordered = sorted(claims, key=lambda claim: (claim.sentence, claim.span))
    for sentence, group in groupby(ordered, key=lambda claim: claim.sentence):
        carried = list(group)
        span = _item(text, carried) or _clause(text, carried) or sentence
        whole += span == sentence
        changes.append((span, gap_for(carried, posting)))
    for span, gap in reversed(changes):
        text = text[: span.start] + gap + text[span.end :]
    return _SAME_GAPS.sub(r"\1", text), whole


def without(text: str, claims: Sequence[Claim]) -> str:
    """`text` without the sentences that carry `claims`."""
    for sentence in sorted({claim.sentence for claim in claims}, reverse=True):
        text = text[: sentence.start] + text[sentence.end :]
    return text


def _item(text: str, claims: Sequence[Claim]) -> Span | None:
    """The one item of a list that carries all the claims, if it stands by itself."""
    span = Span(min(c.span.start for c in claims), max(c.span.end for c in claims))
    clause = claims[0].clause
    if any(c.kind not in _LISTED or c.clause != clause for c in claims) or not clause.holds(span):
        return None
    before, behind = text[clause.start : span.start], text[span.end : clause.end]
    alone = _BEFORE_ITEM.search(before) and _BEHIND_ITEM.match(behind)
    rest = before + " " + behind
    if not alone or not _SEPARATED.search(rest) or GAP.search(rest):
        return None
    return None if _SEPARATED.search(text, span.start, span.end) else span


def _clause(text: str, claims: Sequence[Claim]) -> Span | None:
    """The one clause that carries all the claims, if what is left is a sentence."""
    clause, sentence = claims[0].clause, claims[0].sentence
    if any(c.clause != clause for c in claims) or clause == sentence:
        return None
    before = text[sentence.start : clause.start].rstrip(" ,;:–—-")
    behind = text[clause.end : sentence.end].lstrip(" ,;:–—-")
    rest = before or behind
    stands = len(rest.split()) > 3 and _SUBJECT.search(rest) and not _RELATIVE.match(behind)
    if not stands or GAP.search(rest) or _REFERS.search(rest):
        return None
    end = clause.end
    while end > clause.start and text[end - 1] in ".!?":
        end -= 1
    return Span(clause.start, end)

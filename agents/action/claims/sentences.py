"""Sentences and clauses of a draft, and whom each clause speaks of."""

import re
from dataclasses import dataclass

from agents.action.claims.claim import Span
from agents.action.claims.clauses import Clause, clauses_in
from agents.action.claims.words import MASK, lexicon, words_in

GAP = re.compile(r"\[fill in:[^\[\]\n]{0,300}\]", re.IGNORECASE)
_BULLET = re.compile(r"[ \t]*(?:[-*•–—·>]+|\d{1,2}[.)])[ \t]+")
_END = re.compile(rf"[.!?…]+[\"”’')\]]*\s+(?=\S)|{MASK}[.]?\s+(?=[A-Z])")
_ABBREVIATED = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|inc|ltd|corp|e\.g|i\.e|vs|approx|b\.?sc|m\.?sc|ph\.?d|b\.a|m\.a"
    r"|b\.s|m\.s|u\.s|u\.k|jr|sr|no))\.$",
    re.IGNORECASE,
)
# A clause begins at these marks, at a turn ("but"), or where a new subject comes.
_SUBJECT = (
    r"(?:i|we|you|your|my|our|the\s+(?:role|position|job|posting|team|work|project|company|stipend"
    r"|ad|listing|description|bounty|grant|third|first))\b"
)
_CLAUSE = re.compile(
    r"\s*[;:!?()]+\s+|\s+[–—-]+\s+|\s*—\s*|\n"
    r"|,?\s+(?=(?:but|although|though|however|whereas)\b)"
    rf"|,\s*(?=(?:(?:and|or|so|both|all|each|some|most|many)\s+)*(?:of\s+)?"
    rf"(?:which|who|where|that|as|something|skills|tools|things|one)?\s*{_SUBJECT})"
    rf"|\s+(?=(?:and|or|so|which|who|where|that|as|while|because|since|if|when|what|why|how"
    rf"|something|one|than)\s+{_SUBJECT})"
    r"|\s+(?=the\s+(?:posting|description|ad|listing)\s)"
    r"|,?\s+and\s+(?=(?:am|have|has|had|was|would|will|can|could|hope|want|wish|look|like)\b)"
    r"|\s+and\s+(?=the\s+[\w’'-]+\s+(?:is|are|was|were|will|would)\s)"
    rf"|(?<={MASK}),\s+"
    r"|,?\s+(?=(?:besides|apart from|aside from|unlike|except|in addition to)\b)"
    r"|,\s+(?=(?:and|so|but|while|yet|because|since)\s+(?:the|this|that|these|those|it|there|their)\s"
    r"(?!is\s+(?:me|what|exactly|precisely)\b))"
    r"|,\s+(?=(?:and|so|but|while|yet|because|since)\s+(?!that\s)(?:[a-z]+ing\s)?"
    r"(?:[\w’'-]+\s){1,3}(?:is|are|will|would|can|could)\s)"
    r"|,\s+(?=(?:which|both|two of|all of|as\s+do|and\s+so|and\s+both|and\s+these|and\s+all)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence or a bullet without its mark, and its clauses."""

    span: Span
    clauses: tuple[Clause, ...]
    paragraph: int


def masked(text: str) -> str:
    """`text` with each gap made of one sign that is in no word, of the same length."""
    return GAP.sub(lambda m: MASK * len(m[0]), text)


def sentences_in(text: str, organisation: str | None) -> list[Sentence]:
    """The sentences of a masked text, in order."""
    named = frozenset(w.plain for w in words_in(organisation or "")) - lexicon("neutral")
    found = []
    start = paragraph = 0
    for line in text.split("\n"):
        paragraph += not line.strip()
        for span in _sentence_spans(text, start, start + len(line)):
            clauses = _clauses(text, span, named)
            if any(clause.words for clause in clauses):
                found.append(Sentence(span, clauses, paragraph))
        start += len(line) + 1
    return found


def _sentence_spans(text: str, start: int, end: int) -> list[Span]:
    bullet = _BULLET.match(text, start, end)
    start = bullet.end() if bullet else start
    spans = []
    for mark in _END.finditer(text, start, end):
        before = text[max(start, mark.start() - 6) : mark.start() + 1]
        if _ABBREVIATED.search(before):
            continue
        spans.append(_trimmed(text, start, mark.end()))
        start = mark.end()
    spans.append(_trimmed(text, start, end))
    return [span for span in spans if span.start < span.end]


def _trimmed(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    return Span(start, max(start, start + len(part.strip())))


def _clauses(text: str, sentence: Span, organisation: frozenset[str]) -> tuple[Clause, ...]:
    cuts = [m.span() for m in _CLAUSE.finditer(text, sentence.start, sentence.end)]
    starts = [sentence.start, *(cut[1] for cut in cuts)]
    ends = [*(cut[0] for cut in cuts), sentence.end]
    spans = [Span(s, e) for s, e in zip(starts, ends, strict=True) if s < e]
    read = [(span, tuple(words_in(text, span.start, span.end))) for span in spans]
    return clauses_in(text, read, organisation)

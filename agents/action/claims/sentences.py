"""Sentences and clauses of a draft, and whom each clause speaks of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agents.action.claims.claim import Span, Stance
from agents.action.claims.stances import (
    BACK,
    DENIED_NOT,
    FIRST,
    HAS,
    OWN,
    TAKES_UP,
    TOPIC,
    stance_of,
)
from agents.action.claims.words import Word, lexicon, words_in

GAP = re.compile(r"\[fill in:[^\[\]\n]{0,300}\]", re.IGNORECASE)
MASK = "▮"
# "SwiftUI: [fill in: ...]" leaves it to the applicant.
_LABELS_GAP = re.compile(rf"\s*[:–—-]\s*{MASK}")
_POINTS_ON = ("as follows", "is this", "are these", "with these", "with this", "the following")
_MINE_IS_GAP = re.compile(
    r"(?:and )?(?:my (?:[\w'-]+ ){1,8}(?:is|are|would be|shows?|includes?|comprises?|covers?)"
    r"|i (?:can|could) (?:start|begin)(?: on| from| in)?"
    r"|i (?:am|would be) available(?: on| from| in)?)$"
)
_WISHING = re.compile(
    r"(?:i|we)(?:'d|'ll|(?: \w+ly| also)? (?:would|will|could|can|may|might|hope|want|wish|plan))\b"
)
_BEFORE_GAP = re.compile(rf"[,:–—-]\s*{MASK}")
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


_YOURS = frozenset(("you", "your", "yours", "you're", "you've"))
_BEFORE_DEEDS = frozenset(
    ("i", "we", "have", "had", "and", "then", "also", "or", "but", "once", "even")
)
_HAVING = frozenset(
    ("with", "having", "after", "experienced", "skilled", "proficient", "as", "from", "over")
)


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause, its words and whom it speaks of. `first` is whether the applicant is named,
    `taken_up` whether another clause says of it that it is so: `..., both of which I use`, and
    `owned` whether it is even the applicant's doing: `..., and I wrote them`."""

    span: Span
    words: tuple[Word, ...]
    stance: Stance
    first: bool
    taken_up: bool = False
    owned: bool = False

    def tells_before(self, end: int) -> bool:
        """Whether words up to the place `end` say what the applicant has or did: `my`, `worked`.
        What comes behind a "your" is the posting's."""
        words = [word for word in self.words if word.start < end]
        yours = max((at for at, w in enumerate(words) if w.plain in _YOURS), default=-1)
        words = words[yours + 1 :]
        mine = [at for at, word in enumerate(words) if FIRST.match(word.plain)]
        if not mine and (yours >= 0 or (words and words[0].plain not in _HAVING)):
            return False
        subjects = [at for at in mine if words[at].plain in ("i", "we")]
        words = words[(subjects or mine or [0])[-1 if subjects else 0] :]
        said = " ".join(word.text.lower().replace("’", "'") for word in words)
        if _WISHING.match(said):
            return False
        return HAS.search(said) is not None or any(
            word.plain.endswith("ed")
            and word.plain not in lexicon("states")
            and (before is None or before in _BEFORE_DEEDS or before.endswith("ly"))
            for before, word in zip((None, *(w.plain for w in words)), words, strict=False)
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
    return _with_stances(text, read, organisation)


def _with_stances(
    text: str, read: Sequence[tuple[Span, tuple[Word, ...]]], organisation: frozenset[str]
) -> tuple[Clause, ...]:
    clauses: list[Clause] = []
    bare = False  # whether the first clause only names what the next one speaks of
    for span, words in read:
        said = " ".join(word.text.lower().replace("’", "'") for word in words)
        stance = stance_of(said, words, organisation, text[span.end : span.end + 1])
        first = FIRST.search(said) is not None
        if _MINE_IS_GAP.match(said) and text[words[-1].end :].lstrip().startswith(MASK):
            stance = Stance.DENIED
        points_on = not first or said.startswith("my ") or said.endswith(_POINTS_ON)
        if points_on and _leaves_to_gap(text, span, said):
            stance = Stance.DENIED
        unsaid = stance is None
        if stance is None:
            before = clauses[-1] if clauses else None
            carried = before is not None and not OWN.search(said)
            stance = before.stance if before is not None and carried else Stance.CLAIMED
        clauses.append(Clause(span, words, stance, first))
        if len(clauses) == 1:
            bare = unsaid and not OWN.search(said) and not HAS.search(said)
        _look_back(clauses, said)
    others = {(clause.stance, clause.first) for clause in clauses[1:]}
    if (
        bare
        and others
        and others <= {(Stance.OPEN, True), (Stance.OPEN, False), (Stance.DENIED, False)}
    ):
        clauses[0] = replace(clauses[0], stance=Stance.OPEN)
    return tuple(clauses)


def _leaves_to_gap(text: str, clause: Span, said: str) -> bool:
    """Whether a gap says what the clause would: `Kafka: [fill in: ...]`, `As for Kafka, [...]`."""
    if TOPIC.search(said):
        return _BEFORE_GAP.search(text, clause.start, clause.end + 3) is not None
    short = len(said.split()) <= 6 or said.endswith(_POINTS_ON)
    return _LABELS_GAP.match(text, clause.end) is not None and short


def _look_back(clauses: list[Clause], said: str) -> None:
    """What the last clause says of those before it: `..., which I use` claims what they name, and
    `Kafka: not yet` denies it."""
    last = clauses[-1]
    owned = bool(TAKES_UP.search(said))
    for at, clause in enumerate(clauses[:-1]):
        topic = TOPIC.search(" ".join(word.text.lower() for word in clause.words))
        back = BACK.search(said) or owned or topic
        claimed = last.stance is Stance.CLAIMED and last.first and back
        if claimed and (clause.stance is Stance.OPEN or (owned and not clause.first)):
            clauses[at] = replace(clause, stance=Stance.CLAIMED, taken_up=True, owned=owned)
        elif last.stance is Stance.DENIED and at == len(clauses) - 2 and _deniable(clause):
            clauses[at] = replace(clause, stance=Stance.DENIED)


def _deniable(clause: Clause) -> bool:
    said = " ".join(word.text.lower() for word in clause.words)
    return not clause.first and not DENIED_NOT.search(said)

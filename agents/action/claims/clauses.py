"""Whom the clauses of a sentence speak of: by their own words, and by what stands around them."""

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
from agents.action.claims.words import MASK, Word, lexicon

# "SwiftUI: [fill in: ...]", "My notice period is [fill in: ...]": it is left to the applicant.
_LABELS_GAP = re.compile(rf"\s*[:–—-]\s*{MASK}")
_BEFORE_GAP = re.compile(rf"[,:–—-]\s*{MASK}")
_POINTS_ON = ("as follows", "is this", "are these", "with these", "with this", "the following")
_ADDS = ("i would say", "i would add", "i can say", "i can add")
_MINE_IS_GAP = re.compile(
    r"(?:and )?(?:my (?:[\w'-]+ ){1,8}(?:is|are|would be|shows?|includes?|comprises?|covers?)"
    r"|i (?:can|could) (?:start|begin)(?: on| from| in)?"
    r"|i (?:am|would be) available(?: on| from| in)?)$"
)
# "I would" do: what stands behind it is not told of oneself.
_WISHING = re.compile(
    r"(?:i|we)(?:'d|'ll|(?: \w+ly| also)? (?:would|will|could|can|may|might|hope|want|wish|plan))\b"
)
_YOURS = frozenset(("you", "your", "yours", "you're", "you've"))
# What stands before a deed: "I built", "and then shipped"; other words in -ed are no deeds.
_BEFORE_DEEDS = frozenset(
    ("i", "we", "have", "had", "and", "then", "also", "or", "but", "once", "even")
)
# How a clause without "I" begins that tells of the applicant.
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

    @property
    def said(self) -> str:
        """Its words in lower case, with one space between them."""
        return _said(self.words)

    def tells_before(self, end: int) -> bool:
        """Whether words up to the place `end` say what the applicant has or did: `my`, `worked`."""
        words = _of_the_applicant([word for word in self.words if word.start < end])
        said = _said(words)
        if _WISHING.match(said):
            return False
        return HAS.search(said) is not None or any(
            word.plain.endswith("ed")
            and word.plain not in lexicon("states")
            and (before is None or before in _BEFORE_DEEDS or before.endswith("ly"))
            for before, word in zip((None, *(w.plain for w in words)), words, strict=False)
        )


def _of_the_applicant(words: Sequence[Word]) -> Sequence[Word]:
    """The words from the last "I" on, else the first "my"; none where a "your" is nearer, and
    without either those of a clause that begins as what one has does: `with`, `after`."""
    yours = max((at for at, word in enumerate(words) if word.plain in _YOURS), default=-1)
    words = words[yours + 1 :]
    subjects = [at for at, word in enumerate(words) if word.plain in ("i", "we")]
    mine = [at for at, word in enumerate(words) if FIRST.match(word.plain)]
    if subjects or mine:
        return words[subjects[-1] if subjects else mine[0] :]
    return words if yours < 0 and words and words[0].plain in _HAVING else ()


def clauses_in(
    text: str, read: Sequence[tuple[Span, tuple[Word, ...]]], organisation: frozenset[str]
) -> tuple[Clause, ...]:
    """The clauses of a sentence, in order, from their places and words."""
    clauses: list[Clause] = []
    names_only = False  # whether the first clause only names what the others speak of
    for span, words in read:
        said = _said(words)
        stance = _own_stance(text, span, words, organisation)
        if not clauses:
            names_only = stance is None and not OWN.search(said) and not HAS.search(said)
        if stance is None:
            carried = clauses and not OWN.search(said)
            stance = clauses[-1].stance if carried else Stance.CLAIMED
        clauses.append(Clause(span, words, stance, FIRST.search(said) is not None))
        _look_back(clauses, said)
    if names_only and clauses[1:] and all(map(_claims_nothing, clauses[1:])):
        clauses[0] = replace(clauses[0], stance=Stance.OPEN)
    return tuple(clauses)


def _own_stance(
    text: str, span: Span, words: tuple[Word, ...], organisation: frozenset[str]
) -> Stance | None:
    """By the clause's own words, or by the gap that stands behind them."""
    said = _said(words)
    if _MINE_IS_GAP.match(said) and text[words[-1].end :].lstrip().startswith(MASK):
        return Stance.DENIED
    if said.endswith(_ADDS) and _LABELS_GAP.match(text, span.end):
        return Stance.OPEN
    points_on = FIRST.search(said) is None or said.startswith("my ") or said.endswith(_POINTS_ON)
    if points_on and _leaves_to_gap(text, span, said):
        return Stance.DENIED
    return stance_of(said, words, organisation, text[span.end : span.end + 1])


def _said(words: Sequence[Word]) -> str:
    return " ".join(word.text.lower().replace("’", "'") for word in words)


def _claims_nothing(clause: Clause) -> bool:
    return clause.stance is Stance.OPEN or (clause.stance is Stance.DENIED and not clause.first)


def _leaves_to_gap(text: str, clause: Span, said: str) -> bool:
    """Whether a gap says what the clause would: `Kafka: [fill in: ...]`, `As for Kafka, [...]`."""
    if TOPIC.search(said):
        return _BEFORE_GAP.search(text, clause.start, clause.end + 3) is not None
    short = len(said.split()) <= (14 if said.startswith("my ") else 6) or said.endswith(_POINTS_ON)
    return _LABELS_GAP.match(text, clause.end) is not None and short


def _look_back(clauses: list[Clause], said: str) -> None:
    """What the last clause says of those before it: `..., which I use` claims what they name, and
    `Kafka: not yet` denies it."""
    last = clauses[-1]
    owned = bool(TAKES_UP.search(said))
    for at, clause in enumerate(clauses[:-1]):
        topic = TOPIC.search(clause.said)
        back = BACK.search(said) or owned or topic
        claimed = last.stance is Stance.CLAIMED and last.first and back
        if claimed and (clause.stance is Stance.OPEN or (owned and not clause.first)):
            clauses[at] = replace(clause, stance=Stance.CLAIMED, taken_up=True, owned=owned)
        elif last.stance is Stance.DENIED and at == len(clauses) - 2 and _deniable(clause):
            clauses[at] = replace(clause, stance=Stance.DENIED)


def _deniable(clause: Clause) -> bool:
    return not clause.first and not DENIED_NOT.search(clause.said)

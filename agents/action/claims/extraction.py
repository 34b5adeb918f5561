"""The claims of a draft: sentence by sentence, clause by clause, each kind by its own rules."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from agents.action.claims.claim import Claim, ClaimKind, Span, Stance
from agents.action.claims.clauses import Clause
from agents.action.claims.contacts import contacts_in
from agents.action.claims.language import is_english
from agents.action.claims.names import names_in
from agents.action.claims.numbers import Number, numbers_in
from agents.action.claims.objects import items_in
from agents.action.claims.phrases import phrases_in
from agents.action.claims.sentences import Sentence, masked, sentences_in
from agents.action.claims.skills import skill_spans
from agents.action.claims.stances import PENDING, TAKES_UP
from agents.action.claims.words import common_words, lexicon, words_in
from agents.domain.opportunity import Opportunity

_SMALL_MAX = 5
_MANY = 1_000
_ASKED_WITHIN = 80
_TITLE_PARTS = re.compile(r"[,;:|()/–—]|\s-\s")
_I_AM = re.compile(
    r"(?:\bam|\bas|'m|’m|\bwas|\bbeen|\bmy|\bexperienced|^|[.!?\n])(?:\s+an?)?\s+$", re.IGNORECASE
)
_OF_POSTING = re.compile(r"\b(?:the|your|this|these|its)\s(?:\w+\s)?$", re.IGNORECASE)
_I_WAS_AT = re.compile(
    r"\b(?:work\w*|employ\w*|joined|interned|left|served|experience|colleagues?|former\w*|previous\w*"
    r"|(?:my|our) (?:[\w-]+ ){1,3}|i (?:was|am|have been)|years?|months?)(?: [\w-]+){0,3} $",
    re.IGNORECASE,
)
# "The eight to ten visits a day that you describe".
_AS_ASKED = re.compile(
    r"\b(?:you|the posting)(?: have|'ve| also)? (?:describe|mention|list|name|ask|offer|plan|need"
    r"|want|state|give|expect|quote|propose|set|call|require|suggest|schedule|advertise|provide"
    r"|hold|share|collect|note|run)",
    re.IGNORECASE,
)
# What is proposed may have numbers of its own.
_PLANS = re.compile(
    r"\b(?:would|will|i'd|i'll|could|propose|suggest|plan|aim|imagine|is to|intention)\b",
    re.IGNORECASE,
)
_MEASURES = frozenset(("date", "money", "%", "x"))
_NAMED_BY_PHRASES = frozenset((ClaimKind.DEGREE, ClaimKind.CERTIFICATE))


def claims_in(text: str, posting: Opportunity) -> tuple[Claim, ...]:
    """Everything a draft for `posting` claims, in order of appearance, backed or not.

    A draft that is not in English is read strictly: whatever it says is taken for the applicant's.
    """
    text = masked(text)
    strict = not is_english(text)
    sentences = sentences_in(text, posting.organisation)
    contacts = [Span(*place) for place in contacts_in(text)]
    titles = [*_titles_in(text, posting.title), *_addressed(text, posting.organisation or "")]
    common = common_words(posting.description or "")
    found: list[Claim] = []
    before: Sentence | None = None
    for sentence in sentences:
        claims = list(_contact_claims(text, sentence, contacts))
        claims += _sentence_claims(text, sentence, contacts, common, strict=strict)
        if before is not None and before.paragraph == sentence.paragraph:
            claims += _taken_up(text, before, sentence)
        found += claims
        before = sentence
    asked = [c for c in found if not any(t.start <= c.span.start < t.end for t in titles)]
    return tuple(sorted(asked, key=lambda claim: claim.span))


def _titles_in(text: str, title: str) -> Iterator[Span]:
    """Where the draft names what it applies for: `the Senior Data Engineer role`, but not `I am a
    Senior Data Engineer`."""
    for part in _TITLE_PARTS.split(title):
        if len(part.split()) > 1:
            for match in re.finditer(re.escape(part.strip()), text, re.IGNORECASE):
                if not _I_AM.search(text, 0, match.start()):
                    yield Span(*match.span())


def _contact_claims(text: str, sentence: Sentence, contacts: list[Span]) -> Iterator[Claim]:
    for place in contacts:
        if sentence.span.start <= place.start < sentence.span.end:
            clause = next((c.span for c in sentence.clauses if c.span.holds(place)), sentence.span)
            yield Claim(
                kind=ClaimKind.CONTACT,
                text=text[place.start : place.end],
                span=place,
                clause=clause,
                sentence=sentence.span,
                stance=Stance.CLAIMED,
            )


def _sentence_claims(
    text: str, sentence: Sentence, contacts: list[Span], common: frozenset[str], *, strict: bool
) -> list[Claim]:
    found: list[Claim] = []
    for clause in sentence.clauses:
        stance = Stance.CLAIMED if strict else clause.stance
        found += _clause_claims(_Carrier(text, clause, sentence.span, stance), common)
    return [c for c in found if not any(place.holds(c.span) for place in contacts)]


def _addressed(text: str, organisation: str) -> Iterator[Span]:
    """Where the draft names whom it is for, but not as somewhere that one was: `my time at ...`."""
    for match in re.finditer(re.escape(organisation), text) if organisation.strip() else ():
        if not _I_WAS_AT.search(text, 0, match.start()):
            yield Span(*match.span())


@dataclass(frozen=True, slots=True)
class _Carrier:
    """A clause that may carry claims, in its sentence, and its stance."""

    text: str
    clause: Clause
    sentence: Span
    stance: Stance

    def claim(self, kind: ClaimKind, span: Span, *, near: frozenset[str] = frozenset()) -> Claim:
        return Claim(
            kind=kind,
            text=self.text[span.start : span.end],
            span=span,
            clause=self.clause.span,
            sentence=self.sentence,
            stance=self.stance,
            near=near,
        )

    def repeated(self, claim: Claim) -> Claim:
        """The claim of a number or a name, which the posting backs too where nothing is told of
        the applicant: `I can do the 20 hours that you ask for`."""
        if self.clause.owned:
            return claim
        behind = self.text[claim.span.end : min(self.sentence.end, claim.span.end + _ASKED_WITHIN)]
        told = self.clause.tells_before(claim.span.end) and not _AS_ASKED.search(behind)
        if self.stance is Stance.CLAIMED and not told:
            return replace(claim, stance=Stance.OPEN)
        return claim


def _clause_claims(carrier: _Carrier, common: frozenset[str]) -> Iterator[Claim]:
    words = carrier.clause.words
    if not words:
        return
    skills = skill_spans(carrier.text, words)
    in_skills = frozenset(i for first, last, _ in skills for i in range(first, last + 1))
    for first, last, name in skills:
        span = Span(words[first].start, words[last].end)
        yield carrier.claim(ClaimKind.SKILL, span, near=frozenset((name,)))
    yield from _name_claims(carrier, in_skills, common)
    yield from _number_claims(carrier, in_skills)
    yield from _phrase_claims(carrier)
    if carrier.stance is Stance.CLAIMED and not carrier.clause.taken_up:
        yield from _item_claims(carrier, in_skills)


def _name_claims(
    carrier: _Carrier, in_skills: frozenset[int], common: frozenset[str]
) -> Iterator[Claim]:
    """The names of a clause. The words before it in its sentence are read along: only where a
    sentence begins a capital says nothing."""
    text, span = carrier.text, carrier.clause.span
    words = words_in(text, carrier.sentence.start, span.end)
    offset = len(words) - len(carrier.clause.words)
    known = frozenset(i + offset for i in in_skills)
    degrees = [
        Span(start, end)
        for phrase, start, end in phrases_in(text, span.start, span.end)
        if phrase.kind in _NAMED_BY_PHRASES
    ]
    for name in names_in(text, words, known, common):
        place = Span(words[name.first].start, words[name.last].end)
        if name.last < offset or any(degree.holds(place) for degree in degrees):
            continue
        claim = carrier.claim(name.kind, place)
        yield carrier.repeated(claim) if name.kind is ClaimKind.NAME else claim


def _number_claims(carrier: _Carrier, in_skills: frozenset[int]) -> Iterator[Claim]:
    for number in _counted(carrier.text, carrier.clause, in_skills):
        kind = ClaimKind.YEAR if number.year else ClaimKind.NUMBER
        claim = carrier.claim(kind, Span(number.start, number.end), near=number.near)
        claim = replace(claim, value=number.value, unit=number.unit)
        if not _of_experience(number, carrier):
            claim = carrier.repeated(claim)
        if not _in_passing(number, carrier, claim.stance):
            yield claim


def _phrase_claims(carrier: _Carrier) -> Iterator[Claim]:
    for phrase, start, end in phrases_in(
        carrier.text, carrier.clause.span.start, carrier.clause.span.end
    ):
        # "No visa needed" claims as well.
        denied = carrier.stance is Stance.DENIED and phrase.kind is ClaimKind.PERMIT
        if carrier.stance is Stance.CLAIMED or denied:
            claim = replace(carrier.claim(phrase.kind, Span(start, end)), phrase=True)
            of_posting = _OF_POSTING.search(carrier.text, carrier.clause.span.start, start)
            yield carrier.repeated(claim) if of_posting else claim


def _item_claims(carrier: _Carrier, in_skills: frozenset[int]) -> Iterator[Claim]:
    span, words = carrier.clause.span, carrier.clause.words
    for item in items_in(carrier.text, span.start, span.end, words, in_skills):
        place = Span(words[item.first].start, words[item.last].end)
        yield replace(carrier.claim(item.kind, place, near=item.stems), loose=item.loose)


def _counted(text: str, clause: Clause, in_skills: frozenset[int]) -> Iterator[Number]:
    """The numbers that count something: not `two things`, `three of the skills`, `web3`."""
    skill_starts = {clause.words[i].start for i in in_skills}
    for number in numbers_in(text, clause.words):
        if number.start in skill_starts:
            continue
        behind = [w.plain for w in words_in(text, number.end, number.end + 40)][:3]
        small = number.value is not None and number.value <= 5 and number.unit is None
        if behind[:1] and behind[0] in lexicon("counted") and (small or behind[0] == "o'clock"):
            continue
        if small and behind[:1] == ["of"] and _refers(behind):
            continue
        before = [w.plain for w in words_in(text, max(0, number.start - 16), number.start)]
        alone = before[-1:] == ["the"] and not text[number.end : number.end + 2].startswith(" ")
        if small and (alone or before[-2:] == ["of", "the"]):
            continue
        if small and before and before[-1] in lexicon("before_counts"):
            continue
        plain = number.unit is None and not number.year
        if plain and before and before[-1] in lexicon("numbered"):
            continue
        yield number


def _of_experience(number: Number, carrier: _Carrier) -> bool:
    """Whether it says for how long or since when: the posting's years are nobody's, unless they are
    told as such: `the seven years that you ask for`."""
    if not (number.year or number.unit == "year"):
        return False
    behind = carrier.text[number.end : min(carrier.sentence.end, number.end + _ASKED_WITHIN)]
    asked = carrier.text[max(0, number.start - 12) : number.start].endswith(("the ", " of "))
    return not (asked and _AS_ASKED.search(behind))


def _in_passing(number: Number, carrier: _Carrier, stance: Stance) -> bool:
    """Whether a plan or a remark counts without measuring: `two weeks earlier`, `half of them`."""
    if stance is Stance.DENIED and number.unit != "year":
        return True
    if stance is not Stance.OPEN or number.year or number.unit in _MEASURES:
        return False
    text, clause = carrier.text, carrier.clause.span
    word = text[number.start : number.end]
    if number.value is None and word.endswith("ed"):  # "sales doubled" tells of a result
        return False
    if number.unit != "year" and _PLANS.search(text, clause.start, number.start):
        return True
    if number.value is not None and number.value <= _SMALL_MAX:
        return True
    of_the_world = carrier.stance is Stance.OPEN and (number.value or 0) < _MANY
    return of_the_world and not any(c.isdigit() for c in text[number.start : number.end])


def _refers(behind: list[str]) -> bool:
    if behind[1:2] and behind[1] in ("them", "these", "those", "your"):
        return True
    follows = lexicon("counted") | lexicon("number_like")
    return behind[1:2] == ["the"] and bool(set(behind[2:3]) & follows)


def _taken_up(text: str, before: Sentence, sentence: Sentence) -> Iterator[Claim]:
    """What the sentence before says of the posting, where this one says `I have it` of it."""
    if not any(_takes_up(clause) for clause in sentence.clauses):
        return
    for clause in before.clauses:
        if clause.stance is Stance.OPEN and not clause.first:
            yield from _moved(text, clause, sentence.span)


def _takes_up(clause: Clause) -> bool:
    if PENDING.search(clause.said):
        return False
    return clause.first and clause.stance is Stance.CLAIMED and bool(TAKES_UP.search(clause.said))


def _moved(text: str, clause: Clause, sentence: Span) -> Iterator[Claim]:
    for claim in _clause_claims(_Carrier(text, clause, clause.span, Stance.CLAIMED), frozenset()):
        if claim.kind in (ClaimKind.SKILL, ClaimKind.NUMBER, ClaimKind.YEAR):
            yield replace(
                claim, span=sentence, clause=sentence, sentence=sentence, stance=Stance.CLAIMED
            )

"""What experience is claimed in, whatever it is called: `experience with X`, `I built X`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agents.action.claims.claim import ClaimKind
from agents.action.claims.words import OF_THINGS, Word, lexicon, stem

_WORDS_MAX = 14
_ARTICLE = r"(?:(?:an?|the|my|our|some|many|several|various|both) )?"
_WITH = r"(?:with|in|of|on|at|around|across|building|writing|using|doing|running|for|as an?|as)"

_CONTEXTS = (
    (ClaimKind.EMPLOYER, False, re.compile(
        r"\b(?:work(?:ing)?(?! with)|worked|intern(?:ed|ing|ship)?|employed|stints?|career"
        r"|job|role|position"
        r"|engineer|developer|analyst|years?|months?|freelanced|consult(?:ed|ing)"
        r"|contract(?:ed|ing)?"
        r"|spell|tenure|hired|colleagues?|manager|boss|trained|time(?! with))"
        r"(?: (?:on|as|in) (?:\w+ ){1,3}| )(?:at|for|with|by) ")),
    (ClaimKind.EMPLOYER, False, re.compile(
        r"\b(?:(?:i|we) (?:have )?joined|i left|formerly (?:at|of|with)|previously (?:at|with)"
        r"|employer was"
        r"|served (?:in|on|as|with)|sit on|sat on"
        r"|volunteer\w* (?:at|for|with|in))[ ,]+")),
    (ClaimKind.TITLE, False, re.compile(
        r"\b(?:i am|i'm|i was|i've been|i have been"
        r"|(?<!such )(?<!well )(?<!as much )as(?! the (?:\w+ ){1,3}(?:is|are|was|were|has"
        r"|have|will|can|would|needs?)\b)|being|became|worked as|role as|work as"
        r"|trained as) (?:an?|the) ")),
    (ClaimKind.EXPERIENCE, False, re.compile(
        r"(?<!share )(?<!sharing )(?<!exchange )"
        r"\b(?:experienced?|expertise|background|skills?|skilled|knowledge|proficien\w+|familiar\w*"
        r"|versed|speciali[sz]\w+|trained|comfortable|hands-on|competent|practice|grounding"
        r"|foundations?|career|know-how|understanding|command|grasp|mastery|knack|flair|strengths?"
        rf"|expert|degree|interned|worked|studied|at home|training|course|talent"
        rf"|diploma) {_WITH} ")),
    (ClaimKind.EXPERIENCE, False, re.compile(
        r"\b(?<!what )(?<!all )(?:i|we)(?: have|'ve)?(?: also| often| mostly| regularly"
        r"| previously)?"
        r" (?:know|use|used|speak|practi[sc]ed?"
        r"|do(?! (?:\w+ly )?(?:care|believe|think|have|hope|like|want|understand|enjoy"
        r"|appreciate|my|so|it"
        r"|see|need|feel|know|wonder)\b)|learned|learnt|picked up|mastered|taught|teach"
        r"|studied|majored in"
        r"|specialise in|specialize in) ")),
    (ClaimKind.EXPERIENCE, True, re.compile(
        r"(?:^|[,;:] (?:and )?|\band |\bthen |\bor "
        r"|\b(?:i|we)(?: have|'ve| had)?(?: \w+ly| also| once| even| then)? "
        r"|\b(?:have|had|has|who|which|that|having|(?:we|i) both) (?:\w+ly )?)"
        r"(?:built|developed|designed|created|shipped|written|wrote|implemented|launched|deployed"
        r"|automated|migrated|maintained?|optimi[sz]ed|delivered|organi[sz]ed?|improved|reduced"
        r"|increased|grew|scaled|handled|owned|ran|sold|raised|tested|analy[sz]ed|produced"
        r"|architected|engineered|set up|introduced|rebuilt|redesigned|coordinated|negotiated"
        r"|edited|translated|researched|programmed|coded|debugged|audited|administered) ")),
)  # fmt: skip
_OF_PERSONS = (
    *(
        "er",
        "or",
        "ist",
        "yst",
        "ian",
        "ant",
        "ent",
        "man",
        "woman",
        "ee",
        "ert",
        "ar",
        "eon",
        "ress",
    ),
)
_ITEM = re.compile(r",|/|&")
_LINKS = frozenset(("and", "or", "plus"))
# "I learned how ...", "I know that ...": no thing follows.
_NO_OBJECT = frozenset(
    ("how", "what", "why", "that", "whether", "to", "when", "where", "if", "not")
)

_VERBS = frozenset(
    ("is", "are", "was", "were", "has", "have", "had", "will", "would", "can", "without")
)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that experience is claimed in: its first and last word, its telling stems."""

    kind: ClaimKind
    first: int
    last: int
    stems: frozenset[str]
    loose: bool


def items_in(
    text: str, start: int, end: int, words: Sequence[Word], skill_words: frozenset[int]
) -> Iterator[Item]:
    """The things that a clause claims experience in. The words of known skills are left to the
    rule for skills, except where one known word is enough."""
    lowered = text[start:end].replace("’", "'").lower()
    if len(lowered) != end - start:  # a letter that grows when lowered would shift every place
        lowered = text[start:end]
    for kind, loose, context in _CONTEXTS:
        for match in context.finditer(lowered):
            passed = frozenset() if loose else skill_words
            yield from _items(text, words, start + match.end(), kind, passed, loose=loose)


def _items(
    text: str,
    words: Sequence[Word],
    behind: int,
    kind: ClaimKind,
    passed: frozenset[int],
    *,
    loose: bool,
) -> Iterator[Item]:
    first = next((i for i, word in enumerate(words) if word.start >= behind), None)
    if first is None or words[first].plain in _NO_OBJECT | _VERBS | {"your"}:
        return
    stops = lexicon("object_ends") | lexicon("did")  # "a diploma in economics, ran a farm"
    item: list[int] = []
    for at in range(first, min(len(words), first + _WORDS_MAX)):
        between = text[words[at - 1].end : words[at].start] if at > first else ""
        if kind is ClaimKind.EMPLOYER and "," in between:
            break
        link = words[at].plain in _LINKS
        ends = words[at].plain in stops
        if _ends_object(between) or (ends and (item or at > first)):
            break
        if link or _ITEM.search(between):
            yield from _item(words, item, kind, loose=loose)
            item = []
        if not link and at not in passed:
            item.append(at)
    yield from _item(words, item, kind, loose=loose)


def _is_adverb(word: str) -> bool:
    return word.endswith("ly") and len(word) > 6 and word not in lexicon("no_adverbs")


def _is_person(word: str) -> bool:
    """Whether a noun may name a person: `as a natural continuation` is no title."""
    if word.endswith(OF_THINGS) or word.removesuffix("s") in lexicon("things"):
        return False
    return word.endswith(_OF_PERSONS) or word in lexicon("persons")


def _ends_object(between: str) -> bool:
    return any(mark in between for mark in ".;:!?()–—[]▮\n")


def _item(
    words: Sequence[Word], item: Sequence[int], kind: ClaimKind, *, loose: bool
) -> Iterator[Item]:
    common = lexicon("neutral") | lexicon("unspecific") | lexicon("stop_words")
    common |= lexicon("number_like")
    if kind is ClaimKind.TITLE:
        common |= lexicon("role_words")
        if not _is_person(words[item[-1]].plain if item else ""):
            return
    telling = [
        words[at].plain
        for at in item
        if words[at].plain not in common and not _is_adverb(words[at].plain)
        and not words[at].text[0].isdigit()
    ]  # fmt: skip
    if kind is ClaimKind.EMPLOYER and lexicon("common").issuperset(telling[:1]):
        return
    if telling:
        named = any(words[at].capital for at in item)
        known_by_one = loose or (kind is ClaimKind.EMPLOYER and not named)
        yield Item(kind, item[0], item[-1], frozenset(stem(word) for word in telling), known_by_one)

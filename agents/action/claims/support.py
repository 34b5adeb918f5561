"""What is known of a person or a posting, and whether it backs a claim."""

from collections.abc import Sequence
from functools import cached_property

from agents.action.claims.claim import Claim, ClaimKind, Stance
from agents.action.claims.language import is_latin
from agents.action.claims.numbers import Number, numbers_of
from agents.action.claims.phrases import phrases_in
from agents.action.claims.words import lexicon, lexicon_map, plain, stem, stems, tables, words_in
from agents.domain.opportunity import Opportunity
from agents.domain.pay import Pay
from agents.domain.profile import Profile
from agents.domain.skill import canonical_skill, skills_in

# "I would begin with three drafts": a plan may count a little.
_SMALL_MAX = 5
# A larger number that the profile has too is the same one, whatever it counts there.
_CHANCE_MAX = 10
_STRICT = frozenset(("year", "money", "%"))
_BOUNDS = stems(("least", "over", "minimum"))
_UNITS_SAID = {"year": "year", "month": "month"}


class Known:
    """The facts of a text and of a list of skills; each is worked out when it is asked for."""

    def __init__(
        self, text: str, skills: Sequence[str], links: Sequence[str], headline: str = ""
    ) -> None:
        self.text = text
        self._listed = skills
        self.links = frozenset(_link(link) for link in links)
        self._headline = headline

    @cached_property
    def words(self) -> frozenset[str]:
        """All words, folded."""
        return frozenset(word.plain for word in words_in(self.text))

    @cached_property
    def headline(self) -> frozenset[str]:
        """A posting's title, organisation and places."""
        return frozenset(word.plain for word in words_in(self._headline))

    @cached_property
    def stems(self) -> frozenset[str]:
        """Stems of all words, and the English words for the units of numbers."""
        units = frozenset(n.unit for n in self.numbers if n.unit in _UNITS_SAID)
        abbreviated = lexicon_map("abbreviations")
        said = [part for word in self.words for part in abbreviated.get(word, word).split()]
        return stems([*said, *self.words]) | units

    @cached_property
    def stemmed(self) -> str:
        """The stems in the order of the words, with a space round each."""
        return f" {' '.join(stem(word.plain) for word in words_in(self.text))} "

    @cached_property
    def skills(self) -> frozenset[str]:
        """The one name of each skill."""
        listed = {canonical_skill(skill) for skill in self._listed}
        return frozenset(listed | set(skills_in(self.text)) | set(skills_in(self.text.title())))

    @cached_property
    def umbrellas(self) -> frozenset[str]:
        """Fields that the skills are of: `web development` by React."""
        known = {skill.lower() for skill in self.skills}
        return frozenset(
            canonical_skill(field)
            for field, of in tables("umbrellas").items()
            if any(f" {skill} " in f" {of} " for skill in known)
        )

    @cached_property
    def initials(self) -> frozenset[str]:
        """What runs of two to five words are abbreviated by: `qts` for qualified teacher status."""
        first = [word.plain[0] for word in words_in(self.text)]
        return frozenset(
            "".join(first[at : at + many]) for many in range(2, 6) for at in range(len(first))
        )

    @cached_property
    def numbers(self) -> tuple[Number, ...]:
        """All numbers."""
        return tuple(numbers_of(self.text))

    @cached_property
    def latin(self) -> bool:
        """Whether the words can be compared with English ones."""
        return is_latin(self.text)


def known_of_profile(profile: Profile) -> Known:
    """What a person says about themselves."""
    said = [*profile.skills, *profile.locations, profile.about, *map(str, profile.kinds)]
    if profile.min_pay is not None:
        said.append(str(profile.min_pay))
    if profile.remote:
        said.append("remote")
    return Known("\n".join(said), profile.skills, [w for w in profile.about.split() if "." in w])


def known_of_posting(posting: Opportunity) -> Known:
    """What a posting says about itself."""
    headline = "\n".join([posting.title, posting.organisation or "", *posting.locations])
    said = [headline, *posting.skills, _pay(posting.pay), posting.deadline_text or ""]
    if posting.deadline is not None:
        said.append(f"{posting.deadline:%d %B %Y} {posting.deadline.day}")
    said.append(posting.description or "")
    return Known("\n".join(said), posting.skills, [posting.url] if posting.url else [], headline)


def _pay(pay: Pay | None) -> str:
    if pay is None:
        return ""
    amounts = [f"${amount:.0f}" for amount in (pay.min, pay.max) if amount is not None]
    return " ".join([pay.text, *amounts])


def backed(claim: Claim, profile: Known, posting: Known) -> bool:
    """Whether the profile, or for what is not claimed of the applicant the posting, says so."""
    match claim.kind:
        case ClaimKind.CONTACT:
            return _link(claim.text) in profile.links | posting.links
        case ClaimKind.SKILL:
            return _skill_backed(claim, profile, posting)
        case ClaimKind.NUMBER | ClaimKind.YEAR:
            open_ = claim.stance is not Stance.CLAIMED
            return _number_backed(claim, profile) or (open_ and _number_named(claim, posting))
        case _ if claim.phrase:
            return _phrase_backed(claim, profile, posting)
        case _ if claim.near:
            return _words_backed(claim, profile)
        case _:
            return _name_backed(claim, profile, posting)


def _skill_backed(claim: Claim, profile: Known, posting: Known) -> bool:
    """English is backed by the draft itself, which is in English."""
    said = [stem(word.plain) for word in words_in(claim.text)]
    if claim.stance is Stance.DENIED or claim.near <= profile.skills | {"english"}:
        return True
    if f" {' '.join(said)} " in profile.stemmed or claim.near & profile.umbrellas:
        return True
    if claim.stance is not Stance.OPEN:
        return False
    if claim.text.islower() and lexicon("everyday_skills").issuperset(claim.text.split()):
        return True
    return claim.near <= posting.skills or posting.stems >= set(said)


def _words_backed(claim: Claim, profile: Known) -> bool:
    if claim.loose:
        skills = skills_in(claim.text)
        return bool(claim.near & profile.stems) or not profile.skills.isdisjoint(skills)
    return claim.near <= profile.stems


def _name_backed(claim: Claim, profile: Known, posting: Known) -> bool:
    said = {word.plain for word in words_in(claim.text)}
    if said <= profile.words or (claim.text.isupper() and said <= profile.initials):
        return True
    if claim.stance is not Stance.CLAIMED:
        if stems(said) <= posting.stems:
            return True
        return _continents(said) <= _continents(profile.words | posting.words)
    return claim.kind is ClaimKind.NAME and said <= profile.words | posting.headline


def _continents(words: frozenset[str] | set[str]) -> set[str]:
    """The words, `american` as `america`."""
    return {lexicon_map("continents").get(word, word) for word in words}


def _phrase_backed(claim: Claim, profile: Known, posting: Known) -> bool:
    for phrase, start, end in phrases_in(claim.text, 0, len(claim.text)):
        if phrase.kind is not claim.kind or end - start < len(claim.text):
            continue
        if phrase.backed_by is not None and phrase.backed_by.search(profile.text):
            return True
    said = {word.plain for word in words_in(claim.text)} - lexicon("stop_words") - lexicon("trades")
    if claim.stance is Stance.OPEN and stems(said) <= posting.stems:
        return True
    return all(stem(word) in profile.stems for word in said)


def _number_named(claim: Claim, posting: Known) -> bool:
    """Whether the posting has the number: sentences about it may say it in other words."""
    if claim.value is None:
        in_passing = claim.unit != "year" and plain(claim.text) in lexicon("stretches")
        return in_passing or claim.near <= posting.stems
    if claim.unit is None and claim.value <= _SMALL_MAX and claim.kind is ClaimKind.NUMBER:
        return True
    return any(
        number.value == claim.value and claim.unit in (None, number.unit)
        for number in posting.numbers
    )


def _number_backed(claim: Claim, profile: Known) -> bool:
    if (claim.unit or "").startswith("#") and plain(claim.text) in profile.words:
        return True  # "second place" by "came second"
    if claim.value is None:
        return _vague_backed(claim, profile)
    if any(_same(claim, number, profile) or _exceeds(number, claim) for number in profile.numbers):
        return True
    years = [n.value for n in profile.numbers if n.unit == "year" and n.value is not None]
    return claim.unit == "year" and len(years) > 1 and claim.value == sum(years)


def _exceeds(number: Number, claim: Claim) -> bool:
    """Whether `8 years` backs `over five years`."""
    if claim.unit != "year" or number.unit != "year" or None in (number.value, claim.value):
        return False
    bound = claim.text.endswith("+") or not claim.near.isdisjoint(_BOUNDS)
    return bound and (number.value or 0) >= (claim.value or 0)


def _same(claim: Claim, number: Number, profile: Known) -> bool:
    if number.value != claim.value or number.year != (claim.kind is ClaimKind.YEAR):
        return False
    if claim.kind is ClaimKind.YEAR or claim.unit == number.unit is not None:
        return True
    if _STRICT.isdisjoint((claim.unit, number.unit)) and (claim.value or 0) > _CHANCE_MAX:
        return True
    if claim.unit is not None:
        return number.unit is None and not profile.latin
    if number.unit is not None and number.unit in claim.near:
        return True
    if number.unit is None and (claim.value or 0) <= _SMALL_MAX:
        return True
    return not claim.near or bool(claim.near & number.near)


# How many a vague word may stand for.
_RANGES = {"couple": (2, 2), "few": (2, 6), "several": (3, 9), "some": (1, 9), "multiple": (2, 99),
           "many": (5, 99), "decades": (20, 99), "numerous": (5, 99)}  # fmt: skip


def _vague_backed(claim: Claim, profile: Known) -> bool:
    word = plain(claim.text)
    if stem(word) in profile.stems:
        return True
    if word in ("few", "several", "some") and any(number.year for number in profile.numbers):
        return True  # since a year
    least, most = _RANGES.get(word, (1, 0))
    return any(
        number.unit == claim.unit and number.value is not None and least <= number.value <= most
        for number in profile.numbers
    )


def _link(text: str) -> str:
    bare = text.strip().strip(".,;:!?()<>[]\"'").casefold().rstrip("/")
    return bare.removeprefix("https://").removeprefix("http://").removeprefix("www.")

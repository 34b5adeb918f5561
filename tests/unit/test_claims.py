"""What a draft claims, by kind, and whom its sentences speak of."""

import pytest

from agents.action.claims import ClaimKind, Stance, claims_in
from agents.action.claims.language import is_english, is_latin
from agents.action.claims.numbers import numbers_of
from agents.action.claims.words import stem
from tests.fakes.opportunities import opportunity

POSTING = opportunity(description="We run Kafka with 3 people.")


def found(text: str) -> set[tuple[ClaimKind, str]]:
    """The kinds and words of what a text claims of the applicant."""
    return {
        (claim.kind, claim.text)
        for claim in claims_in(text, POSTING)
        if claim.stance is Stance.CLAIMED
    }


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("I have used Kafka.", ClaimKind.SKILL, "Kafka"),
        ("Experienced with Kafka and Python.", ClaimKind.SKILL, "Kafka"),
        ("You need Kafka, which I have used.", ClaimKind.SKILL, "Kafka"),
        ("I am proficient in Foobar.", ClaimKind.EXPERIENCE, "Foobar"),
        ("I have experience in contract law.", ClaimKind.EXPERIENCE, "contract law"),
        ("I have 5+ years of practice.", ClaimKind.NUMBER, "5+"),
        ("I bring a decade of practice.", ClaimKind.NUMBER, "decade"),
        ("I cut costs by 40%.", ClaimKind.NUMBER, "40"),
        ("I have served dozens of clients.", ClaimKind.NUMBER, "dozens"),
        ("I have done this since 2019.", ClaimKind.YEAR, "2019"),
        ("I worked at Google.", ClaimKind.EMPLOYER, "Google"),
        ("i worked at stripe.", ClaimKind.EMPLOYER, "stripe"),
        ("I graduated from MIT.", ClaimKind.NAME, "MIT"),
        ("I hold a BSc in law.", ClaimKind.DEGREE, "BSc"),
        ("I am PMP certified.", ClaimKind.CERTIFICATE, "PMP"),
        ("I am fluent in Thai.", ClaimKind.LANGUAGE, "Thai"),
        ("I am an expert.", ClaimKind.SENIORITY, "expert"),
        ("I led people.", ClaimKind.SENIORITY, "led"),
        ("I was a surgeon.", ClaimKind.TITLE, "surgeon"),
        ("I won a medal.", ClaimKind.AWARD, "medal"),
        ("I need no visa.", ClaimKind.PERMIT, "visa"),
        ("I live in Oslo.", ClaimKind.PLACE, "Oslo"),
        ("I can start immediately.", ClaimKind.AVAILABILITY, "can start"),
        ("Write to me@example.org.", ClaimKind.CONTACT, "me@example.org"),
        ("Call +49 170 1234567.", ClaimKind.CONTACT, "+49 170 1234567"),
    ],
)
def test_what_is_claimed(text: str, kind: ClaimKind, words: str) -> None:
    """Each kind of claim is found, with the words that make it."""
    assert (kind, words) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "You ask for Kafka.",
        "Your team of 3 runs Kafka.",
        "I have not used Kafka yet.",
        "I am keen to learn Kafka.",
        "Kafka would be new to me.",
        "I would like to hear how you use Kafka.",
        "[fill in: your experience with Kafka]",
        "Kafka: [fill in: your experience]",
        "I have two questions.",
        "Go through the code with me?",
        "As for Kafka, [fill in: your experience with it].",
        "A cluster of 3 people affects everybody else.",
        "I appreciate careful work and value clarity.",
        "I would see it as a natural continuation.",
        "I would begin with half of them, two weeks earlier.",
        "I am comfortable with feedback and deadlines.",
        "",
    ],
)
def test_what_is_not_claimed(text: str) -> None:
    """Of the posting, of a wish, of what is missing and in a gap, nothing is claimed."""
    assert found(text) == set()


@pytest.mark.parametrize(
    "text",
    [
        "I have not only used Kafka.",
        "Kafka is not new to me.",
        "You ask for Kafka. I have plenty of it.",
        "You will find an engineer with Kafka.",
        "I am excited to bring my Kafka skills.",
        "I have not used Rust, besides my work in Kafka.",
        "I believe in Kafka because I have operated it.",
        "I am grateful for my years with Kafka.",
    ],
)
def test_a_claim_in_disguise(text: str) -> None:
    """A double negation, a pronoun, or a wish that speaks of what one has, claims."""
    claims = [c for c in claims_in(text, POSTING) if c.stance is Stance.CLAIMED]
    assert any(claim.near == {"kafka"} for claim in claims)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("five years", 5, "year"),
        ("5 yrs", 5, "year"),
        ("10+ years", 10, "year"),
        ("twenty-five people", 25, None),
        ("one hundred and fifty users", 150, None),
        ("half a million users", None, None),
        ("a decade", 10, "year"),
        ("1,500 users", 1_500, None),
        ("20k", 20_000, None),
        ("$2M", 2_000_000, "money"),
        ("€4.5 million", 4_500_000, "money"),
        ("40 %", 40, "%"),
        ("forty percent", 40, "%"),
        ("3x", 3, "x"),
        ("٥ سنوات", 5, "year"),
        ("second place", 2, "#place"),
        ("many years", None, "year"),
    ],
)
def test_numbers(text: str, value: float | None, unit: str | None) -> None:
    """A number has its value and unit however it is written."""
    number = numbers_of(text)[0]
    assert (number.value, number.unit) == (value, unit)


def test_one_alone_is_no_number() -> None:
    """A pronoun counts nothing."""
    assert numbers_of("one of the first to ask") == []


def test_a_number_shares_the_unit_of_the_one_before() -> None:
    """In what a profile says, the second number of a sentence may leave its unit out."""
    assert [n.unit for n in numbers_of("8 years, of which 5 at Acme")] == ["year", "year"]
    assert numbers_of("from 1 March")[0].unit == "date"


def test_stems() -> None:
    """A word and what is derived from it are taken for the same."""
    assert stem("developed") == stem("developer") == stem("development")
    assert stem("studied") == stem("studies")
    assert stem("built") == stem("building")
    assert stem("python") != stem("rust")


def test_languages() -> None:
    """The rules know whether they can read a text."""
    german = "Ich habe lange in diesem Beruf gearbeitet und freue mich sehr auf ein Gespräch"
    assert not is_english(german)
    assert is_english("I have worked in this field for a long time and would like to talk to you")
    assert is_latin(german)
    assert not is_latin("لدي خبرة طويلة")

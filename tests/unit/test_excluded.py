"""Words that a posting may not say."""

import pytest

from agents.domain.untrusted import READ_MAX
from agents.matching.excluded import without
from tests.fakes.opportunities import opportunity

# Bugs, reported: "c", "go", "ai" or "r" leave out whatever has a word that begins so ("Cat",
# "Good", "aid", "Rust"), "java" leaves out JavaScript, ".net" leaves out nothing but ASP.NET.


def left_out(word: str, **fields: object) -> bool:
    """Whether a posting with these fields is left out for the word."""
    posting = opportunity(**{"skills": (), "organisation": None, "title": "Clerk"} | fields)
    kept, count = without([posting], [word])
    assert (list(kept), count) in (([posting], 0), ([], 1))
    return count == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "Crypto Clerk"},
        {"title": "Clerk", "organisation": "The Crypto Company"},
        {"skills": ("python", "crypto")},
        {"description": "We do\ncrypto."},
        {"title": "Cryptocurrency Clerk"},
        {"title": "CRYPTO-Clerk"},
        {"title": "Web3/crypto"},
    ],
)
def test_wherever_it_is_said(fields: dict[str, object]) -> None:
    """In the title, the organisation, the skills or the text, in capitals, or as a longer form."""
    assert left_out("crypto", **fields)


@pytest.mark.parametrize(
    ("word", "title"),
    [
        ("crypto", "Microcrypto Clerk"),
        ("crypto", "Cryptic Clerk"),
        ("gambling", "Clerk"),
        ("c++", "C Developer"),
        ("a.b", "axb"),
        ("machine learning", "Machine Operator, learning on the job"),
        ("(", "Clerk"),
    ],
)
def test_what_is_not_said(word: str, title: str) -> None:
    """Another word that has the letters inside does not count, nor does a pattern."""
    assert not left_out(word, title=title)


@pytest.mark.parametrize(
    ("word", "title"),
    [
        ("Machine  Learning", "machine\tlearning engineer"),
        ("c++", "Modern C++ Developer"),
        ("zurich", "Clerk in Zürich"),
        ("ZÜRICH", "clerk, zurich"),
        ("продаж", "Менеджер по продажам"),
    ],
)
def test_however_it_is_written(word: str, title: str) -> None:
    """Accents, capitals and gaps make no difference; signs are signs."""
    assert left_out(word, title=title)


def test_no_words_leave_nothing_out() -> None:
    """Nor do empty ones; the very same list comes back."""
    postings = [opportunity()]
    assert without(postings, []) == (postings, 0)
    assert without(postings, [" ", ""]) == (postings, 0)
    assert without([], ["crypto"]) == ([], 0)


def test_several_words_and_postings() -> None:
    """Any one word is enough; the others keep their order."""
    titles = ("Clerk", "Crypto Clerk", "Nurse", "Casino Host", "Cook")
    postings = [opportunity(id=title, title=title) for title in titles]
    kept, count = without(postings, ["casino", "crypto"])
    assert [o.title for o in kept] == ["Clerk", "Nurse", "Cook"]
    assert count == 2


def test_the_text_is_read_as_far_as_anything_is() -> None:
    """Its last characters count too."""
    text = "x" * (READ_MAX - 7) + " crypto"
    assert left_out("crypto", description=text)


@pytest.mark.parametrize(
    ("word", "title"),
    [
        ("crypto", "Rust for a DeFi wallet"),
        ("Crypto", "Engineer, NFT marketplace"),
        ("crypto", "Clerk at a bitcoin exchange"),
        ("blockchain", "Web3 Clerk"),
        ("cryptocurrencies", "Solidity Developer, smart contracts"),
        ("gambling", "Clerk for a sportsbook"),
        ("weapons", "Clerk, defence industry"),
    ],
)
def test_a_trade_is_left_out_by_what_its_postings_say(word: str, title: str) -> None:
    """Who wants nothing of crypto wants no NFT either."""
    assert left_out(word, title=title)


@pytest.mark.parametrize(
    ("word", "title"),
    [("nft", "Bitcoin Clerk"), ("crypto", "Slots for volunteers"), ("gambling", "Crypto Clerk")],
)
def test_a_part_of_a_trade_is_not_the_whole(word: str, title: str) -> None:
    """What was not meant stays."""
    assert not left_out(word, title=title)

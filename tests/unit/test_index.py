"""The ranker's index: read once, bounded, and the same whatever came before."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agents.configs import find_config
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from agents.matching.filters import PlaceFit, PlaceWish
from agents.matching.index import Index
from agents.matching.ranker import RankedOpportunity, Ranker
from agents.matching.wish import Wish
from tests.fakes.clock import NOON
from tests.fakes.opportunities import opportunity

WEIGHTS = find_config("scout@1").values.ranking
WORDS = ["freight", "kafka", "nurse", "python", "garden", "ledger", "robot", "poetry"]


def postings(prefix: str, count: int) -> list[Opportunity]:
    """Postings of different words."""
    return [
        opportunity(
            id=f"{prefix}{n}",
            title=f"{WORDS[n % 8]} {WORDS[n * 3 % 7]}",
            skills=(),
            description=f"{WORDS[n * 5 % 8]} {prefix} number{n % 11}",
        )
        for n in range(count)
    ]


def rank(ranker: Ranker, found: Sequence[Opportunity]) -> list[RankedOpportunity]:
    """Ranked for one who asks for Python and Kafka."""
    profile = Profile(skills=("Python", "Kafka"))
    candidates = [(one, PlaceFit.ANY) for one in found]
    wish = Wish.of(profile, "", PlaceWish.of(profile))
    return ranker.rank(candidates, wish, NOON, WEIGHTS)


def test_the_same_postings_are_read_once() -> None:
    """A second look, with equal copies too, adds nothing."""
    index = Index()
    first = index.rows(postings("a", 30)).tolist()
    assert index.rows([replace(one) for one in postings("a", 30)]).tolist() == first
    assert index.size == 30


def test_a_changed_posting_is_read_anew() -> None:
    """An edit of its text counts at once."""
    ranker, one = Ranker(), opportunity(title="Gardener", skills=())
    others = postings("a", 20)
    before = next(r for r in rank(ranker, [one, *others]) if r.opportunity.id == one.id)
    edited = replace(one, title="Python and Kafka Engineer")
    after = rank(ranker, [edited, *others])[0]
    assert after.opportunity == edited
    assert after.score > before.score


def test_a_repeated_scout_gets_the_same_to_the_letter() -> None:
    """Scores, order and reasons."""
    ranker, found = Ranker(), postings("a", 60)
    assert rank(ranker, found) == rank(ranker, found) == rank(Ranker(), found)


def test_what_was_seen_before_moves_scores_by_the_topic_alone() -> None:
    """With the topic's part away, an index with a past scores as a fresh one; with it, within that
    part's share of the whole."""
    found, used = postings("a", 60), Ranker()
    rank(used, postings("b", 200))
    share = 100 * WEIGHTS.topic / (WEIGHTS.skills + WEIGHTS.role + WEIGHTS.topic)
    fresh = {r.opportunity.id: r.score for r in rank(Ranker(), found)}
    later = {r.opportunity.id: r.score for r in rank(used, found)}
    assert all(abs(fresh[one] - later[one]) <= 1.5 * share for one in fresh)
    silent = WEIGHTS.model_copy(update={"topic": 1e-9})
    profile = Profile(skills=("Python", "Kafka"))
    wish = Wish.of(profile, "", PlaceWish.of(profile))
    candidates = [(one, PlaceFit.ANY) for one in found]
    assert [(r.opportunity.id, r.score) for r in used.rank(candidates, wish, NOON, silent)] == [
        (r.opportunity.id, r.score) for r in Ranker().rank(candidates, wish, NOON, silent)
    ]


def test_the_order_in_which_postings_came_changes_nothing() -> None:
    """Neither rows nor numbers of terms show in a result."""
    found = postings("a", 80)
    assert rank(Ranker(), found) == rank(Ranker(), found[::-1])


@pytest.mark.parametrize("bound", [{"postings_max": 50}, {"terms_max": 300}])
def test_it_stays_within_its_bounds(bound: dict[str, int]) -> None:
    """However many scouts come, what was used last stays, within the bound and what one brings."""
    index = Index(**bound)
    for n in range(40):
        index.rows(postings(f"{n}-", 20))
    assert index.size <= 80
    assert index.terms <= 400


def test_after_making_room_scores_are_those_of_a_fresh_index() -> None:
    """Rows and terms that got new numbers still say the same."""
    ranker, last = Ranker(postings_max=50), postings("last", 40)
    for n in range(10):
        rank(ranker, postings(f"{n}-", 30))
    named = {r.opportunity.id: r.reasons for r in rank(Ranker(), last)}
    found = {r.opportunity.id: r.reasons for r in rank(ranker, last)}
    assert {i: [x for x in r if "skills" in x] for i, r in named.items()} == {
        i: [x for x in r if "skills" in x] for i, r in found.items()
    }

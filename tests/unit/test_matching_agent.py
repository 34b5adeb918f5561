"""The Matching agent: hard filters, each counted, then a score with its reasons."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.configs import RankingWeights, find_config
from agents.domain.kind import Kind
from agents.domain.match import Funnel, Match, MatchMethod
from agents.domain.opportunity import Opportunity
from agents.domain.pay import MinPay, Pay, Period
from agents.domain.profile import Profile
from agents.matching.agent import Matching, MatchingAgent
from agents.matching.filters import PlaceFit, PlaceWish, sift
from agents.matching.ranker import RankedOpportunity, Ranker
from agents.matching.wish import Wish
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.opportunities import opportunity

WEIGHTS = find_config("scout@1").values.ranking
NOBODY = Profile()
BERLINER = Profile(locations=("Berlin",))
REMOTE = Profile(remote=True)
BERLIN_OR_REMOTE = Profile(locations=("Berlin",), remote=True)
WELL_PAID = MinPay(amount=60_000, currency="USD", period=Period.YEAR)

POSTINGS = st.builds(
    lambda kind, locations, remote, skills, posted, deadline, active, pay, title: {
        "kind": kind,
        "locations": locations,
        "remote": remote,
        "skills": skills,
        "posted_at": None if posted is None else NOON - timedelta(days=posted),
        "deadline": None if deadline is None else NOON + timedelta(days=deadline),
        "active": active,
        "pay": pay,
        "title": title,
    },
    st.sampled_from(list(Kind)),
    st.sampled_from([(), ("Berlin",), ("Lagos",), ("Remote",), ("Anywhere",)]),
    st.sampled_from([None, True, False]),
    st.sampled_from([(), ("python",), ("python", "sql"), ("go",)]),
    st.sampled_from([None, -3, 0, 1, 200]),
    st.sampled_from([None, -1, 1, 90]),
    st.sampled_from([None, True, False]),
    st.sampled_from(
        [
            None,
            Pay(text="Competitive"),
            Pay(max=10_000, currency="USD", period=Period.YEAR, text="$10k"),
            Pay(max=90_000, currency="USD", period=Period.YEAR, text="$90k"),
        ]
    ),
    st.sampled_from(["Python Engineer", "Go Developer", "Cook"]),
)
PROFILES = st.builds(
    Profile,
    skills=st.sampled_from([(), ("Python",), ("Python", "SQL", "Go")]),
    locations=st.sampled_from([(), ("Berlin",), ("Lagos", "EU")]),
    remote=st.booleans(),
    kinds=st.sampled_from([(), (Kind.JOB,), (Kind.GRANT, Kind.BOUNTY)]),
    min_pay=st.sampled_from([None, WELL_PAID]),
)


class FakeScores:
    """Keeps matches in memory, by run."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Match, ...]] = {}

    async def keep_matches(self, run_id: str, matches: Sequence[Match]) -> None:
        """Replace what the run had."""
        self.kept[run_id] = tuple(matches)

    async def unscore(self, run_id: str) -> int:
        """Forget the run's scores; how many there were."""
        return len(self.kept.pop(run_id, ()))


def fit(profile: Profile, **fields: object) -> PlaceFit:
    """How a posting with these fields stands to the places of a profile."""
    return PlaceWish.of(profile).fit(opportunity(**fields))


def ranked(
    postings: Sequence[Opportunity],
    profile: Profile = NOBODY,
    query: str = "",
    weights: RankingWeights = WEIGHTS,
) -> list[RankedOpportunity]:
    """All postings ranked for a profile, none filtered out."""
    place = PlaceWish.of(profile)
    candidates = [(posting, place.fit(posting)) for posting in postings]
    return Ranker().rank(candidates, Wish.of(profile, query, place), NOON, weights)


def one(profile: Profile = NOBODY, query: str = "", **fields: object) -> RankedOpportunity:
    """One posting ranked alone."""
    return ranked([opportunity(**fields)], profile, query)[0]


async def match(
    postings: Sequence[Opportunity],
    profile: Profile = NOBODY,
    *,
    query: str = "",
    limit: int = 10,
    dismissed: frozenset[str] = frozenset(),
    scores: FakeScores | None = None,
) -> Matching:
    """Match with the agent alone."""
    agent = MatchingAgent(scores or FakeScores(), FixedClock())
    return await agent.match(
        "run-1",
        postings,
        profile,
        query=query,
        limit=limit,
        weights=WEIGHTS,
        dismissed=dismissed,
    )


# --- places -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "locations", "remote", "expected"),
    [
        (NOBODY, ("Lagos",), None, PlaceFit.ANY),
        (NOBODY, (), None, PlaceFit.ANY),
        (BERLINER, ("Berlin, DE",), None, PlaceFit.HERE),
        (BERLINER, ("Lagos", "Berlin"), None, PlaceFit.HERE),
        (BERLINER, ("Germany",), None, PlaceFit.ELSEWHERE),
        (BERLINER, ("Lagos",), None, PlaceFit.ELSEWHERE),
        (BERLINER, (), None, PlaceFit.UNKNOWN),
        (BERLINER, ("2 locations",), None, PlaceFit.UNKNOWN),
        (BERLINER, (), False, PlaceFit.UNKNOWN),
        (BERLINER, (), True, PlaceFit.ELSEWHERE),
        (BERLINER, ("Remote - Europe",), True, PlaceFit.HERE),
        (REMOTE, ("Lagos",), True, PlaceFit.REMOTE),
        (REMOTE, (), True, PlaceFit.REMOTE),
        (REMOTE, ("Lagos",), None, PlaceFit.ELSEWHERE),
        (REMOTE, ("Lagos",), False, PlaceFit.ELSEWHERE),
        (REMOTE, (), False, PlaceFit.ELSEWHERE),
        (REMOTE, (), None, PlaceFit.UNKNOWN),
        (BERLIN_OR_REMOTE, ("Berlin",), False, PlaceFit.HERE),
        (BERLIN_OR_REMOTE, ("Munich",), True, PlaceFit.REMOTE),
        (BERLIN_OR_REMOTE, ("Potsdam",), False, PlaceFit.NEAR),
        (BERLIN_OR_REMOTE, ("Lagos",), True, PlaceFit.ELSEWHERE),
        (BERLIN_OR_REMOTE, ("Remote in USA",), True, PlaceFit.ELSEWHERE),
        (BERLIN_OR_REMOTE, ("Remote, EMEA",), True, PlaceFit.HERE),
        (BERLIN_OR_REMOTE, ("Remote, LATAM",), True, PlaceFit.ELSEWHERE),
        (BERLIN_OR_REMOTE, ("Munich", "Remote in Canada"), True, PlaceFit.ELSEWHERE),
        (BERLIN_OR_REMOTE, ("Lagos", "Remote in Germany"), True, PlaceFit.REMOTE),
        (
            Profile(locations=("Nowhereville",), remote=True),
            ("Remote in USA",),
            True,
            PlaceFit.REMOTE,
        ),
        (BERLIN_OR_REMOTE, ("Lagos",), False, PlaceFit.ELSEWHERE),
        (BERLIN_OR_REMOTE, (), False, PlaceFit.UNKNOWN),
    ],
)
def test_place_and_remote(
    profile: Profile, locations: tuple[str, ...], remote: bool | None, expected: PlaceFit
) -> None:
    """A place alone asks for that place, remote alone for remote, both for either one."""
    assert fit(profile, locations=locations, remote=remote) is expected


@pytest.mark.parametrize("name", ["NYC", "New York", "NY", "New York, NY"])
def test_aliases_of_a_place_ask_for_the_same(name: str) -> None:
    """Whichever alias is asked for, every alias is found."""
    for stated in ("NYC", "New York City", "New York, NY"):
        assert fit(Profile(locations=(name,)), locations=(stated,)) is PlaceFit.HERE


def test_a_metro_area_asks_for_its_cities() -> None:
    """Several places of a person are alternatives, each once."""
    wish = PlaceWish.of(Profile(locations=("Bay Area", "San Francisco", "Lagos")))
    assert len(set(wish.places)) == len(wish.places)
    assert wish.fit(opportunity(locations=("Oakland, CA",))) is PlaceFit.HERE


# --- filters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "counted"),
    [
        ({"kind": Kind.GIG, "deadline": NOON - timedelta(days=1), "active": False}, "kind"),
        ({"deadline": NOON - timedelta(days=1), "active": False, "id": "bad"}, "expired"),
        ({"active": False, "id": "bad", "locations": ("Lagos",)}, "inactive"),
        ({"id": "bad", "locations": ("Lagos",)}, "dismissed"),
        ({"locations": ("Lagos",), "pay": Pay(max=1, currency="USD", period=Period.YEAR, text="")},
         "place"),
        ({"pay": Pay(max=1, currency="USD", period=Period.YEAR, text="")}, "pay"),
        ({"pay": Pay(text="Competitive")}, "kept"),
        ({"pay": Pay(max=1, currency="USD", text="")}, "kept"),
        ({"pay": None, "locations": (), "deadline": None, "active": None}, "kept"),
        ({"deadline": NOON}, "kept"),
    ],
)  # fmt: skip
def test_a_posting_is_counted_under_the_first_filter_that_drops_it(
    fields: dict[str, object], counted: str
) -> None:
    """Kind, expired, inactive, dismissed, place, pay, in this order; unknown drops nothing."""
    profile = Profile(kinds=(Kind.JOB,), locations=("Berlin",), min_pay=WELL_PAID)
    sifted = sift([opportunity(**fields)], profile, PlaceWish.of(profile), frozenset({"bad"}), NOON)
    counts = {
        "kept": len(sifted.kept),
        "expired": sifted.expired,
        "inactive": sifted.inactive,
        **sifted.filtered,
    }
    assert {name: count for name, count in counts.items() if count} == {counted: 1}


def test_without_wishes_only_the_dead_are_dropped() -> None:
    """A person who asked for nothing sees every live posting."""
    postings = [
        opportunity(id="a", kind=Kind.GIG, locations=("Lagos",)),
        opportunity(id="b", active=False),
    ]
    sifted = sift(postings, NOBODY, PlaceWish.of(NOBODY), frozenset(), NOON)
    assert sifted.kept == ((postings[0], PlaceFit.ANY),)
    assert (sifted.inactive, sifted.filtered) == (1, {})


# --- scores and reasons -----------------------------------------------------------------------


def test_more_of_the_skills_ranks_higher() -> None:
    """Who asks for more of what a person can do stands first, and the reason names it."""
    profile = Profile(skills=("Python", "Postgres", "Kafka"))
    best, other = ranked(
        [
            opportunity(id="some", skills=("python",)),
            opportunity(id="more", skills=("python", "postgresql")),
        ],
        profile,
    )
    assert (best.opportunity.id, other.opportunity.id) == ("more", "some")
    assert best.score > other.score
    assert best.reasons[0] == "2 of 3 skills: Python, Postgres"


def test_a_rare_skill_counts_more_than_a_common_one() -> None:
    """A skill that few postings ask for tells more than one that most ask for."""
    common = [opportunity(id=f"common {n}", skills=("python",)) for n in range(9)]
    rare = opportunity(id="rare", skills=("cuda",))
    order = ranked([*common, rare], Profile(skills=("python", "cuda")))
    assert order[0].opportunity.id == "rare"


def test_many_skills_are_named_in_part() -> None:
    """A reason stays short: six skills and a sign that there are more."""
    skills = ("python", "sql", "go", "rust", "java", "php", "ruby", "kotlin")
    reason = one(Profile(skills=skills), skills=skills).reasons[0]
    assert reason == "8 of 8 skills: python, sql, go, rust, java, php, …"


def test_skills_told_in_words_count_where_none_are_listed() -> None:
    """What a person writes about themselves names skills too; a list comes first."""
    told = Profile(about="I have written Kafka consumers for years.")
    assert one(told, skills=("kafka",)).reasons[0] == "1 of 1 skills: kafka"
    listed = Profile(about="I have written Kafka consumers.", skills=("SQL",))
    assert not any("kafka" in reason for reason in one(listed, skills=("kafka",)).reasons)


@pytest.mark.parametrize(
    ("query", "title", "reason"),
    [
        ("backend", "Backend Engineer", "title says backend"),
        ("back-end engineer", "Backend Engineer", "title says backend, engineer"),
        ("backend", "Back-end Engineer", "title says backend"),
        ("engineering", "Engineer", "title says engineering"),
        ("engineers", "Engineering Lead", "title says engineers"),
        ("python jobs in the", "Python Engineer", "title says python"),
        ("freight", "Engineer", "mentions freight"),
        ("c++", "C++ Engineer", "title says c++"),
        ("cook", "Engineer", None),
    ],
)
def test_words_of_the_query(query: str, title: str, reason: str | None) -> None:
    """A word in the title counts most, elsewhere some; plural and joined forms are the word."""
    found = one(query=query, title=title, description="Freight planning.").reasons
    assert [r for r in found if r.startswith(("title", "mentions"))] == ([reason] if reason else [])


def test_a_word_in_the_title_beats_one_in_the_text() -> None:
    """Of two postings the one whose title says it stands first."""
    titled = opportunity(id="titled", title="Freight Planner")
    told = opportunity(id="told", description="We move freight.")
    neither = opportunity(id="neither")
    order = ranked([neither, told, titled], query="freight")
    assert [r.opportunity.id for r in order] == ["titled", "told", "neither"]


def test_a_query_of_small_words_asks_for_nothing() -> None:
    """`find me a job` has no word to look for: all postings stand alike."""
    assert one(query="find me a job").score == one().score


def test_the_place_is_a_reason() -> None:
    """A posting at the place, or remote, says so; with many places, how many more."""
    assert "in Berlin, Germany" in one(BERLINER).reasons
    assert "remote" in one(REMOTE, remote=True).reasons
    many = one(BERLINER, locations=("Berlin", "Munich", "Lagos", "Paris"))
    assert "in Berlin, Munich and 2 more" in many.reasons


def test_a_posting_without_a_place_ranks_lower_with_a_caution() -> None:
    """It stays, behind one that is at the place."""
    here, unknown = ranked([opportunity(id="a", locations=()), opportunity(id="b")], BERLINER)
    assert (here.opportunity.id, unknown.opportunity.id) == ("b", "a")
    assert unknown.cautions == ("states no place",)


def test_pay_that_reaches_the_minimum_is_a_reason() -> None:
    """Known to be enough is a reason and ranks higher; unknown is a caution where it is stated."""
    profile = Profile(min_pay=WELL_PAID)
    enough = Pay(min=70_000, max=80_000, currency="USD", period=Period.YEAR, text="$70-80k")
    best, silent, vague = ranked(
        [
            opportunity(id="vague", pay=Pay(text="Competitive")),
            opportunity(id="silent", posted_at=NOON - timedelta(days=2)),
            opportunity(id="enough", pay=enough),
        ],
        profile,
    )
    assert best.opportunity.id == "enough"
    assert "pays your minimum of 60,000 USD/year or more" in best.reasons
    assert silent.cautions == ()
    assert vague.cautions == ("its pay can't be compared with your minimum",)


@pytest.mark.parametrize(
    ("posted", "deadline", "reason"),
    [
        (NOON, None, "posted today"),
        (NOON - timedelta(days=1), None, "posted 1 day ago"),
        (NOON - timedelta(days=3), None, "posted 3 days ago"),
        (NOON - timedelta(days=59), None, "posted 59 days ago"),
        (NOON - timedelta(days=61), None, None),
        (NOON + timedelta(days=3), None, None),
        (None, NOON + timedelta(days=10), "open for 10 more days"),
        (None, NOON + timedelta(days=1), "open for 1 more day"),
        (None, NOON + timedelta(hours=2), None),
        (None, NOON + timedelta(days=90), None),
        (None, None, None),
    ],
)
def test_freshness_is_a_reason(
    posted: datetime | None, deadline: datetime | None, reason: str | None
) -> None:
    """A young posting says how old it is; one without a date, how long it is open."""
    found = one(Profile(skills=("cobol",)), posted_at=posted, deadline=deadline).reasons
    assert [r for r in found if r.startswith(("posted", "open"))] == ([reason] if reason else [])


def test_fresher_ranks_higher() -> None:
    """Of two like postings the younger one stands first."""
    order = ranked(
        [
            opportunity(id="old", posted_at=NOON - timedelta(days=40)),
            opportunity(id="new", posted_at=NOON - timedelta(days=1)),
        ]
    )
    assert [r.opportunity.id for r in order] == ["new", "old"]


def test_every_score_has_a_reason() -> None:
    """Where nothing speaks for a posting, that is said."""
    stale = one(Profile(skills=("cobol",)), posted_at=NOON - timedelta(days=300))
    assert stale.reasons == ("a current job; nothing in it matches your words",)


@pytest.mark.parametrize(
    ("profile", "fields", "caution"),
    [
        (NOBODY, {"source": "sample"}, "sample posting, not a real offer"),
        (NOBODY, {"url": None}, "no link"),
        (NOBODY, {"posted_at": NOON - timedelta(days=400)}, "posted 1 year ago, may be filled"),
        (NOBODY, {"posted_at": NOON - timedelta(days=800)}, "posted 2 years ago, may be filled"),
        (NOBODY, {"posted_at": NOON - timedelta(days=200)}, "posted 6 months ago, may be filled"),
        (NOBODY, {"posted_at": NOON + timedelta(days=9)}, "opens on 10 Jun 2026"),
        (NOBODY, {"deadline_text": "TBA"}, "deadline unknown: it says “TBA”"),
        (NOBODY, {"deadline_text": "Rolling, monthly"}, None),
        (NOBODY, {"deadline_text": "Jun 9", "deadline": NOON + timedelta(days=8)}, None),
        (NOBODY, {"posted_at": NOON - timedelta(days=179)}, None),
        (
            REMOTE,
            {"remote": True, "locations": ("Remote (US)",)},
            "remote, but names United States: check that your place is meant",
        ),
        (BERLIN_OR_REMOTE, {"remote": True, "locations": ("Munich",)}, None),
    ],
)
def test_what_to_be_careful_of(
    profile: Profile, fields: dict[str, object], caution: str | None
) -> None:
    """Each doubt about a posting is said in words, and nothing is said without a doubt."""
    assert ranked([opportunity(**fields)], profile)[0].cautions == ((caution,) if caution else ())


# --- the order --------------------------------------------------------------------------------


def test_equal_scores_are_ordered_by_date_deadline_and_id() -> None:
    """Newest first, then the soonest deadline, then the id."""
    flat = RankingWeights(skills=1, role=1, topic=1, pay=1, freshness=0)
    day = timedelta(days=1)
    postings = [
        opportunity(id="d"),
        opportunity(id="c"),
        opportunity(id="b", deadline=NOON + 9 * day),
        opportunity(id="a", posted_at=None),
        opportunity(id="e", posted_at=NOON - day),
        opportunity(id="f", deadline=NOON + 2 * day),
    ]
    order = ranked(postings, Profile(skills=("cobol",)), weights=flat)
    assert len({r.score for r in order}) == 1
    assert "".join(r.opportunity.id for r in order) == "efbcda"


@settings(deadline=None)
@given(
    fields=st.lists(POSTINGS, max_size=8),
    profile=PROFILES,
    query=st.sampled_from(["", "python", "senior go developer", "cook"]),
    random=st.randoms(use_true_random=False),
)
def test_the_order_is_total_and_independent_of_the_input_s(
    fields: list[dict[str, object]], profile: Profile, query: str, random: Random
) -> None:
    """However the postings come, each stands once, at the same rank, with the same score."""
    postings = [opportunity(id=f"{n}", **values) for n, values in enumerate(fields)]
    shuffled = list(postings)
    random.shuffle(shuffled)
    order = ranked(postings, profile, query)
    assert order == ranked(shuffled, profile, query)
    assert sorted(r.opportunity.id for r in order) == sorted(p.id for p in postings)
    assert all(r.reasons and 0 <= r.score <= 100 for r in order)
    assert [r.score for r in order] == sorted((r.score for r in order), reverse=True)


# --- the agent --------------------------------------------------------------------------------


async def test_the_best_are_kept_and_returned() -> None:
    """The best `limit` in rank order, with provenance; what they were chosen from is counted."""
    scores = FakeScores()
    postings = [opportunity(id=f"{n}", posted_at=NOON - timedelta(days=n)) for n in range(5)]
    matching = await match(postings, limit=2, scores=scores)
    assert [(m.rank, m.opportunity.id) for m in matching.matches] == [(1, "0"), (2, "1")]
    assert (matching.ranked, matching.filtered) == (5, {})
    assert scores.kept == {"run-1": matching.matches}
    best = matching.matches[0]
    assert best.method is MatchMethod.HEURISTIC
    assert best.provenance.source == "file"
    assert best.provenance.age_s == 3600.0
    assert not best.provenance.from_cache


async def test_a_copy_from_the_future_has_no_negative_age() -> None:
    """A clock that runs behind makes no copy younger than now."""
    matching = await match([opportunity(fetched_at=NOON + timedelta(seconds=5))])
    assert matching.matches[0].provenance.age_s == 0.0


@pytest.mark.parametrize(
    ("query", "unheard"),
    [
        ("", ()),
        ("backend engineers", ()),
        ("freight", ()),
        ("underwater freight welding", ("underwater", "welding")),
        ("jobs in the", ()),
    ],
)
async def test_words_that_no_posting_says_are_told(query: str, unheard: tuple[str, ...]) -> None:
    """A word that neither a title nor a text of what was ranked says is named."""
    matching = await match([opportunity(description="We plan freight.")], query=query)
    assert matching.unheard == unheard


async def test_what_was_not_for_me_is_never_shown_again() -> None:
    """A dismissed posting is counted, and no match."""
    postings = [opportunity(id="a"), opportunity(id="b")]
    matching = await match(postings, dismissed=frozenset({"a"}))
    assert [m.opportunity.id for m in matching.matches] == ["b"]
    assert matching.filtered == {"dismissed": 1}


async def test_no_postings_make_no_matches() -> None:
    """Nothing in, nothing out, and that is kept too."""
    scores = FakeScores()
    matching = await match([], Profile(skills=("python",)), scores=scores)
    assert matching == Matching(matches=(), expired=0, inactive=0, filtered={}, ranked=0)
    assert scores.kept == {"run-1": ()}


@settings(deadline=None)
@given(fields=st.lists(POSTINGS, max_size=10), profile=PROFILES, limit=st.integers(1, 5))
async def test_the_account_of_a_matching_adds_up(
    fields: list[dict[str, object]], profile: Profile, limit: int
) -> None:
    """Whatever comes in: postings = expired + inactive + filtered + ranked, as a Funnel wants."""
    postings = [opportunity(id=f"{n}", **values) for n, values in enumerate(fields)]
    matching = await match(postings, profile, limit=limit)
    funnel = Funnel(
        found=len(postings),
        expired=matching.expired,
        inactive=matching.inactive,
        filtered=matching.filtered,
        ranked=matching.ranked,
        shown=len(matching.matches),
    )
    assert funnel.shown == min(limit, funnel.ranked)
    assert [m.rank for m in matching.matches] == list(range(1, funnel.shown + 1))


@pytest.mark.parametrize(
    ("count", "undone"), [(0, None), (1, "1 score removed"), (3, "3 scores removed")]
)
async def test_the_undo_removes_the_scores(count: int, undone: str | None) -> None:
    """The undo says in words how much it removed, or nothing when nothing was there."""
    scores = FakeScores()
    agent = MatchingAgent(scores, FixedClock())
    await match([opportunity(id=f"{n}") for n in range(count)], scores=scores)
    assert await agent.unscore("run-1") == undone
    assert await agent.unscore("run-1") is None
    assert scores.kept == {}

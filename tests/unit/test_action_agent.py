"""The Action agent and its template: facts of the profile and the posting, and gaps."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.action.agent import NoWriter
from agents.action.template import write_draft
from agents.domain.draft import DRAFT_MAX, Draft, DraftMethod
from agents.domain.kind import Kind
from agents.domain.opportunity import TITLE_MAX, Opportunity
from agents.domain.pay import MinPay, Pay, Period
from agents.domain.profile import (
    ABOUT_MAX,
    LOCATION_LENGTH_MAX,
    LOCATIONS_MAX,
    SKILL_LENGTH_MAX,
    Profile,
)
from tests.fakes.clock import NOON
from tests.fakes.llm import action_agent, writing
from tests.fakes.opportunities import opportunity

GAP = re.compile(r"\[fill in: [^\]]+\]")
# Every word that the template itself may say, outside of its gaps.
OWN_WORDS = frozenset(
    re.findall(
        r"\w+",
        "hello team i am applying for the position internship at would like to take on work "
        "bounty part in you ask which with besides places that suit me and working remotely suits "
        "me kind regards",
    )
)
PERSON = Profile(
    skills=("Python", "Postgres", "Kafka"),
    locations=("Lagos, Nigeria",),
    remote=True,
    about="I have kept a payments ledger running for six years.",
)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=12)
PROFILES = st.builds(
    Profile,
    skills=st.lists(WORDS, max_size=12, unique=True).map(tuple),
    locations=st.lists(WORDS, max_size=4, unique=True).map(tuple),
    remote=st.booleans(),
    about=st.lists(WORDS, max_size=12).map(" ".join),
    min_pay=st.just(MinPay(amount=123_456, currency="USD", period=Period.YEAR)),
)


class MemoryDrafts:
    """Keeps drafts in memory, by run."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Draft, ...]] = {}

    async def keep_drafts(self, run_id: str, drafts: Sequence[Draft]) -> None:
        """Replace what the run had."""
        self.kept[run_id] = tuple(drafts)

    async def discard_drafts(self, run_id: str) -> int:
        """Forget the run's drafts; how many there were."""
        return len(self.kept.pop(run_id, ()))


def said(draft: Draft) -> str:
    """The draft without its gaps."""
    return GAP.sub(" ", draft.text)


def words(text: str) -> set[str]:
    """The words of a text, in lower case."""
    return set(re.findall(r"\w+", text.lower()))


# --- the template -----------------------------------------------------------------------------


def test_a_whole_draft() -> None:
    """What was told stands in the draft, in this order, and what was not is a gap."""
    draft = write_draft(opportunity(skills=("postgresql", "go"), remote=True), PERSON)
    assert draft.method is DraftMethod.TEMPLATE
    assert draft.opportunity_id == "posting-1"
    assert draft.text == (
        "Hello Larkfield Systems team,\n\n"
        "I am applying for the position “Backend Engineer” at Larkfield Systems.\n\n"
        "You ask for Postgres, which I work with, besides Python and Kafka. "
        "[fill in: a result of yours that shows it]\n\n"
        "I have kept a payments ledger running for six years.\n\n"
        "[fill in: why this role and this employer]\n\n"
        "Places that suit me: Lagos, Nigeria. Working remotely suits me. "
        "[fill in: when you can start]\n\n"
        "Kind regards\n[fill in: your name and how to reach you]"
    )


def test_a_draft_for_somebody_who_told_nothing() -> None:
    """Without a profile every sentence about the person is a gap."""
    draft = write_draft(opportunity(organisation=None), Profile())
    assert draft.text.startswith("Hello,\n\nI am applying for the position “Backend Engineer”.")
    assert "[fill in: your skills that matter here]" in draft.text
    assert words(said(draft)) <= OWN_WORDS | {"backend", "engineer"}


@pytest.mark.parametrize(
    ("kind", "opening"),
    [
        (Kind.JOB, "I am applying for the position “Backend Engineer” at"),
        (Kind.INTERNSHIP, "I am applying for the internship “Backend Engineer” at"),
        (Kind.GIG, "I would like to take on “Backend Engineer” at"),
        (Kind.BOUNTY, "I would like to work on the bounty “Backend Engineer” at"),
        (Kind.GRANT, "I am applying for “Backend Engineer” at"),
        (Kind.HACKATHON, "I would like to take part in “Backend Engineer” at"),
    ],
)
def test_each_kind_has_its_own_opening_and_gaps(kind: Kind, opening: str) -> None:
    """A draft opens as its kind wants and leaves open what that kind needs."""
    drafts = {k: write_draft(opportunity(kind=k), PERSON) for k in Kind}
    assert opening in drafts[kind].text
    others = {tuple(GAP.findall(draft.text)) for k, draft in drafts.items() if k is not kind}
    assert tuple(GAP.findall(drafts[kind].text)) not in others


def test_skills_that_the_posting_does_not_name_are_not_said_to_be_asked_for() -> None:
    """Without a shared skill the draft claims none, and asks how the others help."""
    text = write_draft(opportunity(skills=("cobol",)), PERSON).text
    assert "You ask for" not in text
    assert "I work with Python, Postgres and Kafka." in text
    assert "cobol" not in text.lower()


def test_a_single_shared_skill_needs_no_besides() -> None:
    """Lists of one and two read as sentences do."""
    only = write_draft(opportunity(skills=("python",)), Profile(skills=("Python",))).text
    assert "You ask for Python, which I work with. [fill in" in only
    both = write_draft(opportunity(), Profile(skills=("Python", "Postgres"))).text
    assert "You ask for Python and Postgres, which I work with. [fill in" in both


def test_many_skills_are_named_in_part() -> None:
    """At most eight skills are listed, those that are asked for first."""
    profile = Profile(skills=tuple(f"skill{n:02}" for n in range(20)))
    text = write_draft(opportunity(skills=("skill18", "skill19")), profile).text
    assert len(re.findall(r"skill\d\d", text)) == 8
    assert "You ask for skill18 and skill19, which I work with, besides skill00" in text
    asked = write_draft(opportunity(skills=profile.skills), profile).text
    assert len(re.findall(r"skill\d\d", asked)) == 8
    assert "besides" not in asked


@pytest.mark.parametrize(
    ("posting", "person", "said_so"),
    [(True, True, True), (True, False, False), (False, True, False), (None, True, False)],
)
def test_working_remotely_is_said_only_where_both_say_it(
    posting: bool | None, person: bool, said_so: bool
) -> None:
    """Remote is no matter where the posting is not, or the person did not ask for it."""
    text = write_draft(opportunity(remote=posting), Profile(remote=person)).text
    assert ("Working remotely suits me." in text) is said_so
    assert "Places that suit me" not in text


def test_a_long_story_is_cut_at_a_word() -> None:
    """What a person wrote about themselves is shown up to 1,500 characters, whole words only."""
    text = write_draft(opportunity(), Profile(about="ledger " * 500)).text
    story = next(p for p in text.split("\n\n") if p.startswith("ledger"))
    assert len(story) <= 1_500 + 2
    assert story.endswith("ledger …")


def test_braces_in_a_posting_are_only_text() -> None:
    """A title is shown as it is, whatever stands in it."""
    text = write_draft(opportunity(title="{at} %s {0} $HOME"), PERSON).text
    assert "“{at} %s {0} $HOME”" in text


def test_pay_dates_and_links_stay_out() -> None:
    """A draft repeats neither the pay nor the minimum, dates or links."""
    posting = opportunity(
        pay=Pay(min=77_777, currency="USD", period=Period.YEAR, text="$77,777"),
        deadline=NOON,
        description="A secret: 4711.",
    )
    profile = Profile(min_pay=MinPay(amount=88_888, currency="USD", period=Period.YEAR))
    text = write_draft(posting, profile).text
    assert not re.search(r"\d|http", text)


def test_the_longest_facts_make_a_valid_draft() -> None:
    """The longest profile and posting still fit into a draft."""
    profile = Profile(
        skills=tuple(f"{n:02}".ljust(SKILL_LENGTH_MAX, "s") for n in range(40)),
        locations=tuple(f"{n:02}".ljust(LOCATION_LENGTH_MAX, "p") for n in range(LOCATIONS_MAX)),
        remote=True,
        about="a" * ABOUT_MAX,
    )
    posting = opportunity(title="t" * TITLE_MAX, organisation="o" * 200, remote=True)
    assert len(write_draft(posting, profile).text) <= DRAFT_MAX


@given(
    profile=PROFILES,
    kind=st.sampled_from(list(Kind)),
    title=WORDS,
    organisation=st.one_of(st.none(), WORDS),
    asked=st.lists(WORDS, max_size=5),
    shared=st.integers(0, 12),
    remote=st.sampled_from([None, True, False]),
)
def test_nothing_is_said_that_nobody_told_us(
    *,
    profile: Profile,
    kind: Kind,
    title: str,
    organisation: str | None,
    asked: list[str],
    shared: int,
    remote: bool | None,
) -> None:
    """Outside its gaps a draft says the person's words, the posting's, and its own few."""
    posting = opportunity(
        kind=kind,
        title=title,
        organisation=organisation,
        skills=(*asked, *profile.skills[:shared]),
        remote=remote,
        description="undisclosed",
    )
    draft = write_draft(posting, profile)
    told = " ".join((title, organisation or "", *profile.skills, *profile.locations, profile.about))
    assert words(said(draft)) <= OWN_WORDS | words(told)
    assert len(GAP.findall(draft.text)) >= 3
    assert "[" not in said(draft)


# --- the agent --------------------------------------------------------------------------------


async def test_a_draft_for_each_posting_is_kept_and_returned() -> None:
    """One draft a posting, in their order, kept under the run."""
    store = MemoryDrafts()
    drafted = await action_agent(store).act(
        "run-1", [opportunity(id="a"), opportunity(id="b")], PERSON, writing()
    )
    assert [draft.opportunity_id for draft in drafted.drafts] == ["a", "b"]
    assert store.kept == {"run-1": drafted.drafts}


async def test_where_only_a_language_model_may_write_nobody_does() -> None:
    """A configuration without a fallback fails, and keeps nothing."""
    store = MemoryDrafts()
    with pytest.raises(NoWriter, match="no language model"):
        await action_agent(store).act(
            "run-1", [opportunity()], PERSON, writing(template_allowed=False)
        )
    assert store.kept == {}


async def test_nothing_to_draft_needs_no_writer() -> None:
    """Without postings there is nothing to fail at."""
    nothing: list[Opportunity] = []
    drafted = await action_agent(MemoryDrafts()).act(
        "run-1", nothing, PERSON, writing(template_allowed=False)
    )
    assert drafted.drafts == ()


@pytest.mark.parametrize(
    ("count", "undone"), [(0, None), (1, "1 draft discarded"), (3, "3 drafts discarded")]
)
async def test_the_undo_discards_the_drafts(count: int, undone: str | None) -> None:
    """The undo says in words how many drafts it discarded, or nothing when none was there."""
    store = MemoryDrafts()
    agent = action_agent(store)
    await agent.act("run-1", [opportunity(id=f"{n}") for n in range(count)], PERSON, writing())
    assert await agent.discard("run-1") == undone
    assert await agent.discard("run-1") is None
    assert store.kept == {}

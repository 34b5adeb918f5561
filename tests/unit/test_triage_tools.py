"""The tools of triage: what a call may ask for, what comes of it, and what is remembered."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agents.ask_calls import HANDED_ON, in_hand, waiting
from agents.ask_state import Talk
from agents.ask_tools import (
    RESULT_TOKENS_MAX,
    TOOL_NAME_MAX,
    Done,
    at_rank,
    changed,
    done_here,
    drafted,
    failed,
    scout_request,
    scouted,
)
from agents.discovery.agent import Discovery
from agents.domain.ask import AskRequest, ToolUse
from agents.domain.draft import Draft, DraftMethod
from agents.domain.errors import InvalidValue
from agents.domain.kind import Kind
from agents.domain.match import Match, MatchMethod, Provenance
from agents.domain.pay import MinPay, Pay, Period
from agents.domain.profile import SKILLS_MAX, Profile
from agents.llm.port import Message, Role, ToolCall
from agents.llm.tokens import pack_conversation, tokens_of
from agents.matching.agent import Matching
from agents.scout_state import ScoutState
from agents.triage.memory import EXCHANGES_MAX, Exchange, remembered
from agents.triage.tools import (
    CALLS,
    RANKS_MAX,
    AskBackCall,
    Call,
    ChangeProfileCall,
    DraftCall,
    ExplainCall,
    LeastPay,
    SaveCall,
    ScoutCall,
    WrongCall,
    read_call,
    tools,
)
from tests.fakes.clock import NOON
from tests.fakes.injections import INJECTIONS
from tests.fakes.opportunities import opportunity

PERSON = Profile(
    skills=("Python", "postgres"),
    locations=("Berlin",),
    remote=True,
    kinds=(Kind.JOB,),
    min_pay=MinPay(amount=1.0, currency="USD", period=Period.HOUR),
    about="I teach.",
)
ASKED = AskRequest(text="x", profile=PERSON, sources=("feeds",), limit=7, sample_fallback=True)
KEEPS = replace(ASKED, remember=True)
# Bugs, reported: a scout whose skill is "\u001c" is refused with "another agent does that"; the six
# characters of an escaped NUL are refused as if they were one; remote=False drops the profile's
# places; a skill that is named twice in one call is added twice.


def match(rank: int, **fields: object) -> Match:
    """A match of that rank."""
    return Match(
        rank=rank,
        score=81.4,
        method=MatchMethod.LLM,
        reasons=("2 of 2 skills", "remote"),
        cautions=(),
        provenance=Provenance(source="file", fetched_at=NOON, from_cache=False, age_s=0.0),
        opportunity=opportunity(id=f"o{rank}", title=f"Title {rank}", **fields),
    )


LIST = tuple(map(match, range(1, 5)))


def asked(name: str, arguments: str = "{}") -> Call:
    """What a call of a model comes to."""
    return read_call(ToolCall(id="c", name=name, arguments=arguments))


# --- what a call may ask for ------------------------------------------------------------------


def test_every_tool_is_described() -> None:
    """With a valid schema that leaves nothing open, and without Pydantic's titles."""
    assert [tool.name for tool in tools()] == list(CALLS)
    for tool in tools():
        Draft202012Validator.check_schema(dict(tool.parameters))
        assert tool.description
        assert "title" not in json.dumps(tool.parameters).replace("titles", "")
        assert tool.parameters["additionalProperties"] is False


@pytest.mark.parametrize(
    ("name", "arguments", "call"),
    [
        ("scout", "{}", ScoutCall()),
        ("scout", "", ScoutCall()),
        (
            "scout",
            '{"query":"rust","kinds":["gig"],"remote":true,"locations":["Lagos"],"skills":["go"],'
            '"min_pay":{"amount":50,"currency":"USD","period":"hour"},"exclude":["crypto"]}',
            ScoutCall(
                query="rust",
                kinds=[Kind.GIG],
                remote=True,
                locations=["Lagos"],
                skills=["go"],
                min_pay=LeastPay(amount=50, currency="USD", period=Period.HOUR),
                exclude=["crypto"],
            ),
        ),
        ("draft", '{"ranks":[1,2]}', DraftCall(ranks=[1, 2])),
        ("save", '{"ranks":[100]}', SaveCall(ranks=[100])),
        ("explain", '{"rank":3}', ExplainCall(rank=3)),
        ("change_profile", '{"add_skills":["go"]}', ChangeProfileCall(add_skills=["go"])),
        ("change_profile", '{"locations":[]}', ChangeProfileCall(locations=[])),
        ("ask_back", '{"question":"Where?"}', AskBackCall(question="Where?")),
    ],
)
def test_a_call_is_read(name: str, arguments: str, call: Call) -> None:
    """As the model wrote it."""
    assert asked(name, arguments) == call


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("delete_everything", "{}", "there is no tool 'delete_everything'; there are scout, draft"),
        ("x" * 500, "{}", f"there is no tool '{'x' * 40}';"),
        ("draft", "{oops", "draft: arguments: Invalid JSON"),
        ("draft", "[]", "draft: arguments: "),
        ("draft", "None", "draft: arguments: Invalid JSON"),
        ("draft", "{}", "draft: ranks: Field required"),
        ("draft", '{"ranks":[]}', "draft: ranks: List should have at least 1"),
        ("draft", f'{{"ranks":{list(range(1, RANKS_MAX + 2))}}}', "draft: ranks: List should have"),
        ("save", '{"ranks":[0]}', "save: ranks.0: "),
        ("save", '{"ranks":[101]}', "save: ranks.0: "),
        ("save", '{"ranks":["1"]}', "save: ranks.0: "),
        ("save", '{"ranks":[1.5]}', "save: ranks.0: "),
        ("explain", '{"rank":true}', "explain: rank: "),
        ("scout", '{"url":"http://evil"}', "scout: url: Extra inputs"),
        ("scout", '{"query":null}', "scout: query: "),
        ("scout", json.dumps({"query": "x" * 201}), "scout: query: "),
        ("scout", '{"kinds":["war"]}', "scout: kinds.0: "),
        ("scout", '{"remote":"yes"}', "scout: remote: "),
        ("scout", '{"exclude":[" "]}', "scout: exclude.0: "),
        ("scout", json.dumps({"exclude": ["x"] * 21}), "scout: exclude: "),
        ("scout", '{"min_pay":{"amount":0,"currency":"USD","period":"hour"}}', "scout: min_pay.am"),
        ("scout", '{"min_pay":{"amount":1,"currency":"usd","period":"hour"}}', "scout: min_pay.cu"),
        ("scout", '{"min_pay":{"amount":1,"currency":"USD","period":"eon"}}', "scout: min_pay.per"),
        (
            "scout",
            '{"min_pay":{"amount":NaN,"currency":"USD","period":"hour"}}',
            "scout: min_pay.a",
        ),
        ("change_profile", json.dumps({"about": "x" * 4_001}), "change_profile: about: "),
        ("change_profile", '{"add_skills":[""]}', "change_profile: add_skills.0: "),
        ("ask_back", '{"question":" "}', "ask_back: question: "),
        ("ask_back", '{"question":"\\ud800"}', "ask_back: "),
        ("scout", '{"query":"\\u0000"}', "scout: characters that can't be stored"),
        ("scout", '{"query":"\\ud83e"}', "scout: "),
        ("scout", '{"query":"\ud83e"}', "scout: "),
        ("scout", '{"\\ud83e":1}', "scout: "),
        ("save", '{"ranks":["\ud83e"]}', "save: "),
        ("change_profile", '{"add_skills":["a\\u0000b"]}', "change_profile: characters that"),
        ("scout", '{"query":"' + "x" * 20_000 + '"}', "scout: its arguments are over 20,000"),
    ],
)
def test_a_wrong_call_is_named(name: str, arguments: str, words: str) -> None:
    """In words for who made it: which tool, which argument, what about it."""
    with pytest.raises(WrongCall) as wrong:
        asked(name, arguments)
    assert str(wrong.value).startswith(words)
    assert str(wrong.value).encode()  # it goes into the conversation, which is stored
    assert len(str(wrong.value)) < 300


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([*CALLS, "nix"]), st.text(max_size=60) | st.from_regex(r"\{.*\}"))
def test_any_arguments(name: str, arguments: str) -> None:
    """Are read or refused."""
    try:
        call = asked(name, arguments)
    except WrongCall:
        return
    assert isinstance(call, CALLS[name])


# --- what a scout looks for -------------------------------------------------------------------


def test_a_scout_for_nothing_is_the_profiles() -> None:
    """With the request's sources and limit, and no drafts."""
    request = scout_request(ASKED, PERSON, ScoutCall())
    assert request.profile == PERSON
    assert (request.sources, request.limit, request.sample_fallback) == (("feeds",), 7, True)
    assert (request.query, request.excluded, request.drafts) == ("", (), 0)


def test_what_is_said_counts() -> None:
    """In the profile's place; said skills come before the known ones."""
    call = ScoutCall(
        query="  rust \n now ",
        kinds=[Kind.GIG],
        skills=["Rust", "Python"],
        min_pay=LeastPay(amount=50, currency="EUR", period=Period.DAY),
        exclude=["crypto"],
    )
    request = scout_request(ASKED, PERSON, call)
    assert (request.query, request.excluded) == ("rust now", ("crypto",))
    assert request.profile == replace(
        PERSON,
        kinds=(Kind.GIG,),
        skills=("Rust", "Python", "postgres"),
        min_pay=MinPay(amount=50, currency="EUR", period=Period.DAY),
    )


@pytest.mark.parametrize(
    ("call", "places", "remote"),
    [
        (ScoutCall(), ("Berlin",), True),
        (ScoutCall(remote=True), (), True),
        (ScoutCall(locations=["Lagos"]), ("Lagos",), False),
        (ScoutCall(locations=["Lagos"], remote=True), ("Lagos",), True),
        (ScoutCall(locations=["Lagos"], remote=False), ("Lagos",), False),
    ],
)
def test_where(call: ScoutCall, places: tuple[str, ...], remote: bool) -> None:
    """Who asks for remote work, or for a place, means that alone."""
    profile = scout_request(ASKED, PERSON, call).profile
    assert (profile.locations, profile.remote) == (places, remote)


def test_a_scout_with_many_skills_is_bounded() -> None:
    """What was said now stays."""
    known = replace(PERSON, skills=tuple(f"skill {n}" for n in range(SKILLS_MAX)))
    skills = scout_request(ASKED, known, ScoutCall(skills=["new"])).profile.skills
    assert len(skills) == SKILLS_MAX
    assert skills[:2] == ("new", "skill 0")


# --- what a profile becomes -------------------------------------------------------------------


def test_what_is_not_said_stays() -> None:
    """A change of nothing changes nothing."""
    assert changed(PERSON, ChangeProfileCall()) == PERSON


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        (ChangeProfileCall(add_skills=["Go"]), {"skills": ("Python", "postgres", "Go")}),
        (ChangeProfileCall(add_skills=["python", "PostgreSQL"]), {}),
        (ChangeProfileCall(remove_skills=["PostgreSQL", "Go"]), {"skills": ("Python",)}),
        (
            ChangeProfileCall(add_skills=["Go"], remove_skills=["python"]),
            {"skills": ("postgres", "Go")},
        ),
        (ChangeProfileCall(locations=["Lagos"]), {"locations": ("Lagos",)}),
        (ChangeProfileCall(locations=[]), {"locations": ()}),
        (ChangeProfileCall(remote=False), {"remote": False}),
        (ChangeProfileCall(kinds=[Kind.GIG]), {"kinds": (Kind.GIG,)}),
        (ChangeProfileCall(kinds=[]), {"kinds": ()}),
        (ChangeProfileCall(about=""), {"about": ""}),
        (
            ChangeProfileCall(min_pay=LeastPay(amount=9, currency="EUR", period=Period.DAY)),
            {"min_pay": MinPay(amount=9, currency="EUR", period=Period.DAY)},
        ),
    ],
)
def test_what_is_said_changes(call: ChangeProfileCall, fields: dict[str, object]) -> None:
    """That alone; a skill they have, by whatever name, is not added again."""
    assert changed(PERSON, call) == replace(PERSON, **fields)  # type: ignore[arg-type]


def test_a_full_profile_stays_valid() -> None:
    """Skills beyond the most are left out."""
    full = replace(PERSON, skills=tuple(f"skill {n}" for n in range(SKILLS_MAX)))
    assert changed(full, ChangeProfileCall(add_skills=["Go"])) == full


# --- what is done at once ---------------------------------------------------------------------


def here(call: Call, profile: Profile = PERSON, shortlist: Sequence[Match] = LIST) -> Done:
    """What comes of it for somebody of whom things are remembered."""
    return done_here("c", call, profile, shortlist, KEEPS)


def into(done: Done, **fields: object) -> Talk:
    """The conversation with it."""
    return done.into(replace(Talk(profile=PERSON), **fields))  # type: ignore[arg-type]


def test_saving() -> None:
    """Notes the postings, beside those noted before, and says their titles."""
    talk = into(here(SaveCall(ranks=[3, 1])), saves=("old",), told=("Hi.",))
    assert talk.saves == ("old", "o3", "o1")
    assert talk.told == ("Hi.", "Saved “Title 3”, “Title 1”.")
    assert talk.turns == (Message(role=Role.TOOL, text='{"saved":[3,1]}', call_id="c"),)
    assert talk.actions == (ToolUse("save", ok=True),)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "2. “Title 2”: 81 of 100, by a language model. 2 of 2 skills; remote."),
        (
            {"method": MatchMethod.HEURISTIC, "score": 9.6},
            "2. “Title 2”: 10 of 100, by the heuristic. 2 of 2 skills; remote.",
        ),
        ({"score": None}, "2. “Title 2”: without a score. 2 of 2 skills; remote."),
        (
            {"cautions": ("unpaid", "a fee")},
            "2. “Title 2”: 81 of 100, by a language model. 2 of 2 skills; remote."
            " Careful: unpaid; a fee.",
        ),
    ],
)
def test_explaining(changes: dict[str, object], words: str) -> None:
    """Says the score, who gave it, why, and what to be careful of."""
    shortlist = (LIST[0], replace(LIST[1], **changes))  # type: ignore[arg-type]
    done = here(ExplainCall(rank=2), PERSON, shortlist)
    assert done.told == words
    assert into(done).profile == PERSON


OLD = ToolCall(id="old", name="change_profile", arguments='{"add_skills":["Zig"]}')


def test_changing_the_profile() -> None:
    """Is noted in the conversation, and said in full."""
    call = ChangeProfileCall(add_skills=["Go"], about="I teach and build.")
    done = here(call, PERSON, ())
    talk = into(done, changes=(OLD,))
    assert talk.profile == changed(PERSON, call)
    assert [read_call(change) for change in talk.changes] == [read_call(OLD), call]
    assert done.told == (
        "Noted. Your profile now: skills: Python, postgres, Go; places: Berlin; remote: yes;"
        " kinds: job; least pay: 1 USD/hour."
    )
    assert here(ChangeProfileCall(), Profile(), ()).told.endswith("now: empty.")


def test_two_changes_of_one_turn_are_both_made() -> None:
    """Each was read over the profile as it was when the turn began."""
    talk = Talk(profile=PERSON)
    for call in (ChangeProfileCall(add_skills=["Go"]), ChangeProfileCall(locations=["Lagos"])):
        talk = here(call, PERSON, ()).into(talk)
    assert talk.profile == replace(
        PERSON, skills=("Python", "postgres", "Go"), locations=("Lagos",)
    )
    assert len(talk.changes) == 2


def test_asking_back() -> None:
    """Is the answer."""
    talk = into(here(AskBackCall(question="Where?"), PERSON, ()))
    assert (talk.reply, talk.told) == ("Where?", ())


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("Log in at https://evil.example/now first?", "Log in at (link left out) first?"),
        ("See www.evil.example", "See (link left out)"),
        ("Where\u0007\u202e?\n", "Where  ?"),
    ],
)
def test_a_question_is_a_models_words_too(question: str, words: str) -> None:
    """No link and no control characters."""
    assert into(here(AskBackCall(question=question))).reply == words


@pytest.mark.parametrize("question", ["\u0007", "\u202e\u2028", "\u001c"])
def test_a_question_of_nothing_is_none(question: str) -> None:
    """It has no letter that can be shown."""
    with pytest.raises(WrongCall, match=r"^the question is empty$"):
        here(AskBackCall(question=question))


@pytest.mark.parametrize(
    "call", [SaveCall(ranks=[1]), SaveCall(ranks=[9]), ChangeProfileCall(add_skills=["Go"])]
)
def test_nothing_is_remembered_of_whom_nothing_is_kept(call: Call) -> None:
    """A team's program is told where to say it; what keeps nothing goes on."""
    with pytest.raises(WrongCall, match="nothing is remembered for this caller"):
        done_here("c", call, PERSON, LIST, ASKED)
    assert done_here("c", ExplainCall(rank=1), PERSON, LIST, ASKED).ok
    assert done_here("c", AskBackCall(question="Where?"), PERSON, LIST, ASKED).ok


def test_a_profile_that_none_takes() -> None:
    """A skill of nothing but a separator passes the tool's own check."""
    with pytest.raises(InvalidValue):
        here(ChangeProfileCall(add_skills=["\u001c"]))


@pytest.mark.parametrize("call", [ScoutCall(), DraftCall(ranks=[1])])
def test_what_others_do_is_not_done_here(call: Call) -> None:
    """It is refused, not forgotten."""
    with pytest.raises(WrongCall, match="another agent"):
        here(call)


@pytest.mark.parametrize("call", [SaveCall(ranks=[1, 5]), ExplainCall(rank=5)])
def test_a_rank_that_there_is_not(call: Call) -> None:
    """Is named, with those that there are; nothing is done by halves."""
    with pytest.raises(WrongCall, match=r"^the shortlist has no match 5, it has 1 to 4$"):
        here(call)
    with pytest.raises(WrongCall, match="no shortlist yet"):
        here(call, PERSON, ())


def test_a_rank_is_the_matchs_own() -> None:
    """Also where the list does not begin with the first."""
    assert at_rank(LIST[2:], 4).opportunity.id == "o4"


def test_a_failure_is_told_to_both() -> None:
    """To the model as data, to the person in words."""
    talk = into(failed(OLD, "it took too long", told=True))
    assert talk.turns[0].call_id == "old"
    assert talk.turns[0].text == '{"error":"it took too long"}'
    assert talk.told == ("Change profile did not work: it took too long.",)
    assert talk.actions == (ToolUse("change_profile", ok=False),)


def test_a_wrong_call_is_told_to_the_model_alone() -> None:
    """Its name, which may be anything, is bounded."""
    call = ToolCall(id="c", name="x" * 500, arguments="{}")
    talk = into(failed(call, "there is no such tool"))
    assert (talk.told, talk.turns[0].text) == ((), '{"error":"there is no such tool"}')
    assert talk.actions == (ToolUse("x" * TOOL_NAME_MAX, ok=False),)


# --- what other agents did --------------------------------------------------------------------


def found(*matches: Match, filtered: dict[str, int] | None = None) -> ScoutState:
    """A scout of 1,200 postings that is over."""
    left_out = filtered or {}
    return ScoutState(
        run_id="r",
        user_id="u",
        request=scout_request(ASKED, PERSON, ScoutCall()),
        discovery=Discovery(opportunities=(), found=1_200, duplicates=3, sources=()),
        matching=Matching(
            matches=matches,
            expired=0,
            inactive=1,
            filtered=left_out,
            ranked=1_196 - sum(left_out.values()),
        ),
    )


def test_a_scout_is_told() -> None:
    """The counts that are not zero, and the best ten as facts."""
    many = tuple(map(match, range(1, 13)))
    done = scouted("c", found(*many, filtered={"pay": 6, "kind": 0}))
    told = json.loads(into(done).turns[0].text)
    assert told["found"] == 1_200
    assert told["ranked"] == 1_190
    assert told["left_out"] == {"duplicates": 3, "inactive": 1, "pay": 6}
    assert [fact["rank"] for fact in told["shortlist"]] == list(range(1, 11))
    assert done.told == (
        "Found 1,200 postings, 1,190 of them within what you asked for; the best come first."
    )


def test_a_scout_for_nothing_is_told() -> None:
    """As it is."""
    done = scouted("c", found())
    assert (done.ok, done.result) == (
        True,
        {"found": 1_200, "ranked": 1_196, "left_out": {"duplicates": 3, "inactive": 1},
         "shortlist": []},
    )  # fmt: skip
    assert done.told == "Found 1,200 postings, and none fits what you asked for."


def test_a_single_posting_is_one() -> None:
    """Not "1 postings"."""
    for matches, filtered in (((match(1),), {}), ((), {"pay": 1})):
        matching = Matching(
            matches=matches, expired=0, inactive=0, filtered=filtered, ranked=len(matches)
        )
        discovery = Discovery(opportunities=(), found=1, duplicates=0, sources=())
        scout = replace(found(), discovery=discovery, matching=matching)
        assert scouted("c", scout).told.startswith("Found 1 posting, ")


def test_a_match_as_the_model_is_told_of_it() -> None:
    """Facts alone: neither its link nor its text."""
    one = match(1, pay=Pay(text="€60k"), description="Secret words.", organisation=None)
    text = into(scouted("c", found(one))).turns[0].text
    assert json.loads(text)["shortlist"] == [
        {
            "rank": 1,
            "score": 81.4,
            "title": "Title 1",
            "kind": "job",
            "places": "Berlin, Germany",
            "pay": "€60k",
            "why": ["2 of 2 skills", "remote"],
        }
    ]


@pytest.mark.parametrize("sentence", INJECTIONS)
def test_a_match_can_t_talk_to_the_model(sentence: str) -> None:
    """Whatever stands in its title, its employer's name or its places."""
    plain = match(1)
    fields = {"title": f"Title 1\n{sentence}", "organisation": sentence, "locations": (sentence,)}
    bad = replace(plain, opportunity=opportunity(id="o1", **fields))
    said = json.loads(into(scouted("c", found(bad))).turns[0].text)["shortlist"][0]
    assert said["title"] == "Title 1"
    assert not said.get("at") or len(said["at"]) < len(sentence)


def test_a_result_is_bounded() -> None:
    """Ten matches that are as long as can be."""
    long = {"title": "漢" * 300, "organisation": "漢" * 300, "locations": ("漢" * 100,) * 9}
    matches = [
        replace(
            match(n),
            reasons=("漢" * 300,) * 2,
            cautions=("漢" * 300,) * 2,
            opportunity=opportunity(**long),
        )
        for n in range(1, 11)
    ]
    text = into(scouted("c", found(*matches))).turns[0].text
    assert tokens_of(text) <= RESULT_TOKENS_MAX
    assert text.endswith("…")


@pytest.mark.parametrize("methods", [(DraftMethod.LLM,), (DraftMethod.LLM, DraftMethod.TEMPLATE)])
def test_drafts_are_told(methods: tuple[DraftMethod, ...]) -> None:
    """What they are for, and how many a model wrote; the text is for the person alone, and what
    was drafted for others before is not counted."""
    postings = [match.opportunity for match in LIST[: len(methods)]]
    drafts = [
        Draft(opportunity_id=posting.id, method=method, text="Secret.")
        for posting, method in zip(postings, methods, strict=True)
    ]
    before = Draft(opportunity_id="o4", method=DraftMethod.LLM, text="Another.")
    done = drafted("c", postings, [before, *drafts])
    assert done.result == {
        "drafted": len(methods),
        "by_a_model": 1,
        "shown_to_the_person": True,
    }
    titles = ", ".join(f"“{posting.title}”" for posting in postings)
    assert done.told.startswith(f"Drafted for {titles}. Read it before you send it")
    assert "Secret" not in into(done).turns[0].text


# --- which calls wait for which -----------------------------------------------------------------


def turn(*wanted: tuple[str, str]) -> tuple[ToolCall, ...]:
    """The calls of a turn, numbered."""
    return tuple(
        ToolCall(id=str(n), name=name, arguments=arguments)
        for n, (name, arguments) in enumerate(wanted)
    )


DRAFTS = (("draft", '{"ranks":[1]}'), ("draft", '{"ranks":[2]}'))
SAVE, WHY = ("save", '{"ranks":[1]}'), ("explain", '{"rank":1}')
NOTE, SCOUT = ("change_profile", '{"add_skills":["Go"]}'), ("scout", '{"query":"go"}')
ODD = ("scout", '{"skills":["\\u001c"]}')


@pytest.mark.parametrize(
    ("wanted", "later", "at_once"),
    [
        ((), (), ()),
        ((SAVE, NOTE, WHY), (), (SAVE, NOTE, WHY)),
        ((SAVE, DRAFTS[0], WHY, DRAFTS[1]), DRAFTS, (SAVE, WHY)),
        ((SAVE, DRAFTS[0], WHY, SCOUT, NOTE), (SCOUT, DRAFTS[0], SAVE, WHY), (NOTE,)),
        ((SCOUT, DRAFTS[0], SCOUT), (SCOUT, SCOUT, DRAFTS[0]), ()),
        ((SCOUT, ("save", "{}"), ("nix", "{}")), (SCOUT,), (("save", "{}"), ("nix", "{}"))),
        (((ODD), SAVE), (), (ODD, SAVE)),
        ((("scout", "{oops"), WHY), (), (("scout", "{oops"), WHY)),
    ],
)
def test_what_is_said_of_a_list_waits_for_it(
    wanted: tuple[tuple[str, str], ...],
    later: tuple[tuple[str, str], ...],
    at_once: tuple[tuple[str, str], ...],
) -> None:
    """Scouts first, then drafts next to each other, then the rest; wrong calls hold nobody up."""
    waits, here_and_now = waiting(KEEPS, PERSON, turn(*wanted))
    assert [(call.name, call.arguments) for call in waits] == list(later)
    assert [(call.name, call.arguments) for call in here_and_now] == list(at_once)
    assert {call.id for call in (*waits, *here_and_now)} == {str(n) for n in range(len(wanted))}


@pytest.mark.parametrize(
    ("pending", "count"),
    [((), 0), ((SCOUT, SCOUT), 1), ((SCOUT, *DRAFTS), 1), (DRAFTS, 2), ((*DRAFTS, SAVE), 2)],
)
def test_what_one_agent_has_in_hand(pending: tuple[tuple[str, str], ...], count: int) -> None:
    """A scout by itself, drafts in a row: they are one handoff."""
    calls = turn(*pending)
    assert in_hand(calls) == calls[:count]
    assert all(call.name in HANDED_ON for call in in_hand(calls))


def test_the_words_that_are_answered_stay() -> None:
    """Two thousand Chinese characters and a call that is as long: the model goes on knowing what
    was asked, and no result stands there without its call."""
    call = ToolCall(id="1", name="change_profile", arguments=json.dumps({"about": "é" * 1_500}))
    packed = pack_conversation(
        (
            Message(role=Role.SYSTEM, text="x" * 1_000),
            Message(role=Role.USER, text="我" * 2_000),
            Message(role=Role.ASSISTANT, text="", calls=(call,)),
            Message(role=Role.TOOL, text="{}", call_id="1"),
        ),
        3_000,
    )
    called = {call.id for message in packed for call in message.calls}
    assert {m.call_id for m in packed if m.role is Role.TOOL} <= called
    assert any(message.role is Role.USER for message in packed)


# --- what was said before ---------------------------------------------------------------------


def test_the_last_exchanges_are_nearly_whole() -> None:
    """As they were said, in one line each."""
    said = remembered([Exchange("rust\n gigs", "Here they are."), Exchange("x" * 500, "")])
    assert [(message.role, message.text) for message in said] == [
        (Role.USER, "rust gigs"),
        (Role.ASSISTANT, "Here they are."),
        (Role.USER, "x" * 399 + "…"),
        (Role.ASSISTANT, ""),
    ]


def test_what_lies_before_them_is_a_line_each() -> None:
    """Oldest first; what is older still is forgotten."""
    said = remembered([Exchange(f"text {n} {'x' * 99}", f"reply {n}") for n in range(20)])
    assert len(said) == 7
    first = said[0].text.splitlines()
    assert first[0].startswith("Earlier, in short")
    assert len(first) == 1 + EXCHANGES_MAX - 3
    assert first[1].startswith("- text 8 xxx")
    assert first[-1].endswith("…: reply 16")
    assert said[1].text.startswith("text 17 ")
    assert said[-1].text == "reply 19"


def test_nothing_was_said_before() -> None:
    """Nothing is made up."""
    assert remembered([]) == ()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.builds(Exchange, st.text(max_size=900), st.text(max_size=900)), max_size=30))
def test_memory_is_bounded(exchanges: list[Exchange]) -> None:
    """To about 4,000 characters, whatever was said."""
    said = remembered(exchanges)
    assert sum(len(message.text) for message in said) <= 4_000
    assert len(said) <= 7

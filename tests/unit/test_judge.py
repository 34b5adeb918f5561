"""Judging: what the model said of which posting, remembered, or why there is nothing."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from agents.configs.prompts import NamedPrompt
from agents.domain.kind import Kind
from agents.domain.opportunity import Listing, Opportunity
from agents.domain.profile import Profile
from agents.llm.port import NO_MODEL, Answer, Finish, LlmUnavailable, Prompt
from agents.matching.judge import (
    JUDGED_MAX,
    SCORES,
    Judge,
    Judged,
    Judgement,
    JudgementCodec,
    Wanted,
)
from cache.tiered import Cache
from resilience.saga import KillSwitch
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.llm import MemoryAccount, MemoryTexts, Said, ScriptedModel, says
from tests.fakes.opportunities import opportunity

TOLD = NamedPrompt("match@1", "Judge them.")
PERSON = Profile(skills=("Python", "SQL"), locations=("Lagos",))
REFUSED = Answer(text="No.", tokens=5, finish=Finish.REFUSED)
# Bugs, reported: links outside seven top-level domains ("t.me/boss", "bit.ly/x", "evil.xyz") pass
# in a reason; a second judging of the same run forgets the first one's keys, so that undoing the
# run leaves its scores.


class Bench:
    """A judge over a scripted model, with a cache that several judges may share."""

    def __init__(self, *script: Said | str, cache: Cache | None = None) -> None:
        self.model = ScriptedModel(*script)
        self.texts = MemoryTexts()
        self.account = MemoryAccount()
        self.cache = cache or Cache(FixedClock(), None)
        said = self.cache.of(SCORES, JudgementCodec())
        self.judge = Judge(self.model, said, self.texts, lambda: 0.0)

    async def judged(self, *best: Opportunity, **wanted: object) -> Judged:
        """What the judge says of them."""
        return await self.judge.judge(best, self.wanted(**wanted))

    def wanted(self, **changes: object) -> Wanted:
        """A run of Ada's."""
        usual = Wanted(
            run_id="run-1",
            owner="ada",
            profile=PERSON,
            query="data",
            prompt=TOLD,
            account=self.account,
            within_s=30.0,
        )
        return replace(usual, **changes)  # type: ignore[arg-type]


def fair(prompt: Prompt) -> Answer:
    """A model that gives the postings 10, 20, 30, ..."""
    assert prompt.schema is not None
    names = prompt.schema.body["required"]
    assert isinstance(names, list)
    return says(verdicts({name: (min(100, 10 * n), "fits") for n, name in enumerate(names, 1)}))


def verdicts(said: Mapping[str, tuple[object, object]]) -> str:
    """An answer's JSON."""
    return json.dumps({name: {"score": s, "why": w} for name, (s, w) in said.items()})


def postings(count: int) -> list[Opportunity]:
    """Some."""
    return [opportunity(id=f"o{n}") for n in range(count)]


# --- the usual way ----------------------------------------------------------------------------


async def test_one_call_judges_all() -> None:
    """Each posting has its own score, under its own id; the account pays."""
    bench = Bench(fair)
    judged = await bench.judged(*postings(3))
    assert {name: said.score for name, said in judged.by_id.items()} == {
        "o0": 10,
        "o1": 20,
        "o2": 30,
    }
    assert (judged.without_ai, judged.configured) == (None, True)
    assert len(bench.model.asked) == len(bench.account.settled) == 1
    assert bench.model.asked[0].purpose == "match"


async def test_only_the_best_are_judged() -> None:
    """Twenty of them."""
    bench = Bench(fair)
    judged = await bench.judged(*postings(JUDGED_MAX + 5))
    assert list(judged.by_id) == [f"o{n}" for n in range(20)]


async def test_nothing_to_judge_asks_nobody() -> None:
    """No posting, no call."""
    bench = Bench(fair)
    assert await bench.judged() == Judged(by_id={})
    assert bench.model.asked == []


async def test_without_a_model() -> None:
    """That is said, and that it is no outage."""
    said = Cache(FixedClock(), None).of(SCORES, JudgementCodec())
    judge = Judge(None, said, MemoryTexts(), lambda: 0.0)
    judged = await judge.judge(postings(1), Bench(fair).wanted())
    assert judged == Judged(by_id={}, without_ai=NO_MODEL, configured=False)


# --- what is remembered -----------------------------------------------------------------------


async def test_the_same_again_asks_nobody() -> None:
    """In another run too, and for postings in another order."""
    bench = Bench(fair)
    first = await bench.judged(*postings(3))
    again = await bench.judged(*reversed(postings(3)), run_id="run-2")
    assert dict(again.by_id) == dict(first.by_id)
    assert len(bench.model.asked) == 1


async def test_only_what_is_new_is_asked_for() -> None:
    """The rest is remembered."""
    bench = Bench(fair)
    await bench.judged(*postings(2))
    judged = await bench.judged(*postings(3))
    assert [said.score for said in judged.by_id.values()] == [10, 20, 10]
    assert len(bench.model.asked) == 2
    schema = bench.model.asked[1].schema
    assert schema is not None
    assert schema.body["required"] == ["p1"]


OTHERS: dict[str, Callable[[Bench], dict[str, object]]] = {
    "owner": lambda _: {"owner": "bob"},
    "profile": lambda _: {"profile": replace(PERSON, about="I teach.")},
    "query": lambda _: {"query": "Data"},
    "prompt version": lambda _: {"prompt": NamedPrompt("match@2", TOLD.text)},
    "prompt text": lambda _: {"prompt": NamedPrompt(TOLD.name, "Judge them well.")},
}


@pytest.mark.parametrize("what", OTHERS)
async def test_another_wish_is_judged_anew(what: str) -> None:
    """Each of what an answer depends on."""
    bench = Bench(fair)
    await bench.judged(*postings(1))
    await bench.judged(*postings(1), **OTHERS[what](bench))
    assert len(bench.model.asked) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Another"},
        {"description": "New words."},
        {"locations": ("Lagos",)},
        {"kind": Kind.GIG},
        {"url": "https://example.com/jobs/2"},
        {"active": True},
    ],
)
async def test_another_text_is_judged_anew(changes: dict[str, object]) -> None:
    """A posting that was changed is another one."""
    bench = Bench(fair)
    posting = opportunity()
    await bench.judged(posting)
    await bench.judged(replace(posting, **changes))  # type: ignore[arg-type]
    assert len(bench.model.asked) == 2


async def test_when_and_where_else_it_was_seen_does_not_matter() -> None:
    """The same posting, read again tomorrow and by another source too."""
    bench = Bench(fair)
    posting = opportunity()
    copy = Listing(source="hn", source_id=None, url=None, title="Copy")
    await bench.judged(posting)
    await bench.judged(
        replace(posting, fetched_at=NOON + timedelta(days=1), also_at=(copy,)),
        account=MemoryAccount(),
        within_s=1.0,
        run_id="run-2",
    )
    assert len(bench.model.asked) == 1


async def test_undoing_a_run_forgets_what_it_learned() -> None:
    """It is asked for again; what another run learned stays."""
    bench = Bench(fair)
    await bench.judged(opportunity(id="a"))
    await bench.judged(opportunity(id="b"), run_id="run-2")
    await bench.judge.unscore("run-1")
    await bench.judge.unscore("run-of-nobody")
    await bench.judged(opportunity(id="b"), run_id="run-3")
    assert len(bench.model.asked) == 2
    await bench.judged(opportunity(id="a"), run_id="run-3")
    assert len(bench.model.asked) == 3


async def test_forgetting_a_person_forgets_their_scores() -> None:
    """And nobody else's."""
    bench = Bench(fair)
    for owner in ("ada", "bob"):
        await bench.judged(opportunity(), owner=owner)
    assert await bench.cache.forget("ada")
    for owner in ("bob", "ada"):
        await bench.judged(opportunity(), owner=owner)
    assert len(bench.model.asked) == 3


async def test_keys_are_journaled_before_scores_are_remembered() -> None:
    """What was remembered can be undone after a crash; the journal says nothing of the person."""
    bench = Bench(fair)

    class Failing(MemoryTexts):
        async def keep_text(self, run_id: str, name: str, body: str) -> None:
            assert "ada" in body
            assert "Lagos" not in body
            raise OSError("the disk is full")

    said = bench.cache.of(SCORES, JudgementCodec())
    with pytest.raises(OSError, match="full"):
        await Judge(bench.model, said, Failing(), lambda: 0.0).judge(postings(1), bench.wanted())
    await bench.judged(*postings(1))
    assert len(bench.model.asked) == 2


@pytest.mark.parametrize("value", [None, Judgement(score=12.5, why="жж")])
def test_what_is_stored_is_read_again(value: Judgement | None) -> None:
    """Also the nothing that stands in the place of an undone score."""
    codec = JudgementCodec()
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize("data", [b"", b"{}", b'{"score":101,"why":""}', b'{"score":1}', b"[1]"])
def test_what_is_no_judgement_is_not_read(data: bytes) -> None:
    """Poisoned bytes are an error, which the cache takes for nothing."""
    with pytest.raises(ValueError, match=r".+"):
        JudgementCodec().decode(data)


# --- answers that are none --------------------------------------------------------------------

GOOD = verdicts({"p1": (70, "fits")})


@pytest.mark.parametrize("around", ["{}", "```json\n{}\n```", "```\n{}```", " \n{} "])
async def test_json_in_any_wrapping(around: str) -> None:
    """As models write it."""
    judged = await Bench(around.replace("{}", GOOD)).judged(*postings(1))
    assert judged.by_id["o0"] == Judgement(score=70, why="fits")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("", "it is empty"),
        ("  \n", "it is empty"),
        ("Sure! Here you go", "it is not JSON"),
        (GOOD[:-3], "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[1]", "it is not a JSON object"),
        ("null", "it is not a JSON object"),
        ("{}", "nothing is said of p1, p2"),
        (verdicts({"p1": (1, "x")}), "nothing is said of p2"),
        (
            verdicts({"p1": (1, "x"), "p2": (1, "x"), "p3": (1, "x")}),
            "there is no posting 'p3'; there are p1, p2",
        ),
        (verdicts({"p1": (1, "x"), "o1": (1, "x")}), "there is no posting 'o1'"),
        (verdicts({"p1": (101, "x"), "p2": (1, "x")}), "p1.score: Input should be less"),
        (verdicts({"p1": (1, "x"), "p2": (-1, "x")}), "p2.score: Input should be greater"),
        (verdicts({"p1": (1, "x"), "p2": ("9", "x")}), "p2.score: Input should be a valid number"),
        (verdicts({"p1": (True, "x"), "p2": (1, "x")}), "p1.score: Input should be a valid number"),
        (verdicts({"p1": (float("nan"), "x"), "p2": (1, "x")}), "p1.score: Input should be"),
        (verdicts({"p1": (10**400, "x"), "p2": (1, "x")}), "p1.score: Input should be"),
        (verdicts({"p1": (1, None), "p2": (1, "x")}), "p1.why: Input should be a valid string"),
        (verdicts({"p1": (1, "\ud800"), "p2": (1, "x")}), "p1.why: Input should be a valid string"),
        (verdicts({"p1": (1, "x" * 2_001), "p2": (1, "x")}), "p1.why: String should have at most"),
        ('{"p1": 5, "p2": 6}', "p1: Input should be a valid dictionary"),
        (
            '{"p1": {"score": 1, "why": "x", "url": "http://evil"}, "p2": {}}',
            "p1.url: Extra inputs are not permitted",
        ),
    ],
)
async def test_the_model_is_told_what_is_wrong(bad: str, reason: str) -> None:
    """And its next answer counts."""
    bench = Bench(bad, fair)
    judged = await bench.judged(*postings(2))
    assert [said.score for said in judged.by_id.values()] == [10, 20]
    assert f"That answer can't be used: {reason}" in bench.model.asked[1].messages[-1].text


async def test_answers_that_stay_useless() -> None:
    """Nothing is judged and nothing remembered; the last one is kept, and it is said."""
    bench = Bench("one", "two", "three", fair)
    judged = await bench.judged(*postings(2))
    assert judged.by_id == {}
    assert judged.without_ai == "the language model's answers could not be used"
    assert judged.configured
    assert bench.texts.kept == {("run-1", "raw-match"): "three"}
    assert len((await bench.judged(*postings(2))).by_id) == 2


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (LlmUnavailable("all down"), "no language model answers now"),
        (REFUSED, "the language model's answers could not be used"),
    ],
)
async def test_no_answer(out: Said, words: str) -> None:
    """Then nothing is judged, also of what is known: one list, one judge."""
    bench = Bench(fair, out)
    await bench.judged(*postings(1))
    judged = await bench.judged(*postings(2))
    assert judged == Judged(by_id={}, without_ai=words)


async def test_a_run_without_tokens_is_stopped() -> None:
    """What the account raises is not an outage."""

    def stop(_: Prompt) -> Answer:
        raise KillSwitch("no tokens left", type="token-budget-exhausted")

    with pytest.raises(KillSwitch):
        await Bench(stop).judged(*postings(1))


# --- reasons ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "shown"),
    [
        ("Asks for Python.", "Asks for Python."),
        ("  two\nlines\t and\x00 more\u202e ", "two lines and more"),
        ("Asks for postgresql and SQL", "Asks for postgresql and SQL"),
        ("ж" * 160, "ж" * 160),
        ("word " * 40, "word " * 31 + "word…"),
        ("", ""),
        ("Knows Kubernetes well", ""),
        ("See https://evil.example", ""),
        ("See HTTP://evil", ""),
        ("See www.evil.example", ""),
        ("See evil.com for more", ""),
        ("Write to a@evil.example", ""),
        ("Ask @boss", ""),
        ("Remote @ home", "Remote @ home"),
        ("Seniority fits. No gap", "Seniority fits. No gap"),
    ],
)
async def test_a_reason_as_it_may_be_shown(why: str, shown: str) -> None:
    """One short line without links, and without a skill that neither side has."""
    judged = await Bench(verdicts({"p1": (50, why)})).judged(*postings(1))
    assert judged.by_id["o0"] == Judgement(score=50, why=shown)


@pytest.mark.parametrize(
    ("profile", "shown"),
    [
        (Profile(), ""),
        (Profile(skills=("k8s",)), "Kubernetes helps"),
        (Profile(about="I ran Kubernetes clusters."), "Kubernetes helps"),
    ],
)
async def test_a_skill_of_the_person(profile: Profile, shown: str) -> None:
    """By whatever name they have it, among their skills or in what they tell."""
    bench = Bench(verdicts({"p1": (50, "Kubernetes helps")}))
    judged = await bench.judged(*postings(1), profile=profile)
    assert judged.by_id["o0"].why == shown

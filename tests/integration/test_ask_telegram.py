"""Free text on Telegram: one message from the placeholder to the answer, its buttons, its limits,
and what is kept of it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from llmock.scenarios import Delay, Match, Reply

from agents.domain.ask import AskResult, ToolUse
from agents.domain.draft import Draft, DraftMethod
from agents.domain.match import Funnel, MatchMethod, Provenance
from agents.domain.match import Match as Ranked
from agents.domain.opportunity import Listing
from agents.domain.run import Usage
from bot.bootstrap import Fakes
from bot.telegram import views
from bot.telegram.markup import parse_html
from tests.fakes.bot_api import BotApi, BotMessage
from tests.fakes.clock import NOON
from tests.fakes.llmock_server import LlmServer
from tests.fakes.opportunities import opportunity
from tests.fakes.people import PROFILE, Person, rows, telegram_bot, until_rows
from tests.fakes.sources import FailingSource, HeldSource, TestSources
from tests.integration.test_ask import GIGS, SENTENCE
from tests.integration.test_llm_matching import counting_down, write_jobs

PLENTY: dict[str, Any] = {"commands_burst": 1_000, "scouts_burst": 1_000}
MESSAGE_MAX = 4_096
DRAFT = "Hello,\n\nI would like to take this on. [fill in: a result of yours]\n\nKind regards"
ASKED = "SELECT count(*) > 0 FROM run_events WHERE type = 'step.progress'"
"""Whether a model is being asked."""
NASTY = "<b>Rust</b> & <script>alert(1)</script> </pre> &lt; 5"


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    """Telegram's stand-in, running."""
    async with BotApi() as api:
        yield api


@pytest.fixture
def gigs(tmp_path: Path) -> dict[str, Any]:
    """Settings of a bot whose postings are Rust work of all sorts."""
    return PLENTY | {"sources": (write_jobs(tmp_path / "gigs.jsonl", GIGS),)}


@pytest.fixture
async def plain(api: BotApi, tmp_path: Path, gigs: dict[str, Any]) -> AsyncIterator[Person]:
    """Someone at a bot without a model."""
    async with telegram_bot(api, tmp_path, **gigs):
        yield Person(api)


@pytest.fixture
async def person(
    api: BotApi, tmp_path: Path, server: LlmServer, gigs: dict[str, Any]
) -> AsyncIterator[Person]:
    """Someone at a bot with one."""
    async with telegram_bot(api, tmp_path, **(gigs | server.settings())):
        yield Person(api)


def held(*postings: Any, **more: Any) -> tuple[HeldSource, Fakes]:
    """A source in the test's hand, and the bot's fakes with it."""
    source = HeldSource(postings)
    return source, Fakes(sources=TestSources({"held": source, **more}))


def units(text: str) -> int:
    """Its length as Telegram counts it."""
    return len(text.encode("utf-16-le")) // 2


def run_of(message: BotMessage) -> str:
    """The run whose list it is."""
    return message.buttons[0][0].data.split(":")[2]


# --- one message --------------------------------------------------------------------------------


async def test_the_placeholder_becomes_the_answer(person: Person, server: LlmServer) -> None:
    """One message is sent, and edited into the answer: nothing else comes."""
    server.replies("Hello to you.")
    placeholder = await person.ask("hello")
    answer = await person.read("Hello to you.")
    assert answer.message_id == placeholder.message_id
    assert len(person.api.calls_of("sendMessage", person.id)) == 1
    assert answer.edits >= 1
    assert answer.buttons == ()


async def test_progress_stands_in_the_same_message(api: BotApi, tmp_path: Path) -> None:
    """While a source is read the placeholder stays, and no second message comes."""
    source, fakes = held(opportunity(title="Rust parser"))
    async with telegram_bot(api, tmp_path, fakes, **PLENTY, sources=("held",)):
        person = Person(api)
        placeholder = await person.ask("rust jobs")
        assert placeholder.text == "On it…\n\n/cancel stops it."
        await asyncio.wait_for(source.asked.wait(), 20)
        source.gate.set()
        answer = await person.read("Rust parser")
        assert (answer.message_id, len(person.messages)) == (placeholder.message_id, 1)


async def test_a_second_text_waits_for_the_first(api: BotApi, tmp_path: Path) -> None:
    """One at a time: it is told so, and nothing of it is begun; the first is answered."""
    source, fakes = held(opportunity(title="Rust parser"))
    async with telegram_bot(api, tmp_path, fakes, **PLENTY, sources=("held",)):
        person = Person(api)
        await person.say("rust jobs")
        await asyncio.wait_for(source.asked.wait(), 20)
        assert "Something of yours is under way" in (await person.ask("python jobs")).text
        source.gate.set()
        await person.read("Rust parser")
    assert rows(tmp_path, "SELECT count(*) FROM runs") == [(1,)]


async def test_the_same_update_twice_is_one_answer(person: Person, server: LlmServer) -> None:
    """Telegram may bring an update again: the model is asked once."""
    server.replies("Hello to you.")
    update = await person.say("hello")
    await person.read("Hello to you.")
    await person.api.redeliver(update)
    assert "What I can do" in (await person.ask("/help")).text
    assert len(person.messages) == 2
    assert len(server.bodies) == 1


async def test_a_failing_source_is_said_in_words(
    api: BotApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer says what did not work; the chat is no worse for it, nor who listens."""
    caplog.set_level(logging.ERROR)
    fakes = Fakes(sources=TestSources({"failing": FailingSource()}))
    async with telegram_bot(api, tmp_path, fakes, **PLENTY, sources=("failing",)):
        person = Person(api)
        await person.say("rust jobs")
        answer = await person.read("did not work")
        assert "it is down" in answer.text
        assert len(person.messages) == 1
    assert "a listener broke" not in caplog.text


# --- the shortlist ------------------------------------------------------------------------------


async def test_the_sentence_becomes_a_shortlist(person: Person, server: LlmServer) -> None:
    """The model's words, then the list with its buttons, whose method is not hidden."""
    asked = {"query": "rust", "kinds": ["gig"], "remote": True, "exclude": ["crypto"]}
    server.calls(("scout", asked))
    server.replies(counting_down(2), "Two gigs fit.")
    await person.say(SENTENCE)
    found = await person.read("best matches")
    assert found.text.startswith("Two gigs fit.\n\n2 best matches from 5 found")
    assert "without AI" not in found.text
    assert found.labels == ["· 1 ·", "2", "Save", "Draft", "Not for me", "Why not more", "Refresh"]
    assert 'href="https://example.com/' in found.source


async def test_the_sentence_without_a_model(plain: Person) -> None:
    """The rules find the same, and say that they did."""
    await plain.say(SENTENCE)
    found = await plain.read("1 best match")
    assert "1. Rust parser" in found.text
    assert "ranked without AI" in found.text
    assert "Understood and ranked without AI: no language model is configured." in found.text


async def test_the_buttons_work(api: BotApi, tmp_path: Path) -> None:
    """Number, Save, Draft, More, Why not more and Not for me act on an ask's list as on a
    scout's."""
    async with telegram_bot(api, tmp_path, **PLENTY):
        person = Person(api)
        await person.ask(PROFILE)
        await person.say("work with python or sql")
        await person.read("best matches")
        await person.tap("2")
        await person.read("▸ 2. ")
        await person.tap("Save")
        await person.read("★")
        await person.tap("Draft")
        assert "[fill in:" in (await person.read("Draft for 2.")).text
        await person.tap("More")
        await person.read("▸ 6. ")
        await person.tap("More")
        await person.read("▸ 1. ")
        await person.tap("Why not more")
        assert "60 found" in (await person.read("Why not more")).text
        await person.tap("Not for me")
        await person.read("5 best matches")
        assert "Saved" in (await person.ask("/saved")).text


async def test_refresh_repeats_the_words(person: Person, server: LlmServer) -> None:
    """The same words are asked again, in the same message; the answer may be another."""
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(5), "Five fit.")
    await person.say("rust work, please")
    first = await person.read("Five fit.")
    server.calls(("scout", {"query": "rust", "kinds": ["job"]}))
    server.replies(counting_down(1), "One fits now.")
    await person.tap("Refresh")
    second = await person.read("One fits now.")
    assert second.message_id == first.message_id
    assert run_of(second) != run_of(first)
    assert server.asked_for("triage")[2]["messages"][-1]["content"] == "rust work, please"
    assert len(person.messages) == 1


async def test_nothing_that_fits_is_accounted_for(plain: Person) -> None:
    """A scout without a match says what was found and why it does not fit."""
    await plain.say("remote grants in Lagos")
    answer = await plain.read("none fits")
    assert "5 found" in answer.text
    assert "5 of another kind" in answer.text


# --- drafts -------------------------------------------------------------------------------------


async def test_a_draft_is_the_answer(person: Person, server: LlmServer) -> None:
    """The words and the draft stand in one message; the list it is from stays where it is."""
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(5), "Five fit.")
    await person.say("rust work")
    await person.read("Five fit.")
    server.calls(("draft", {"ranks": [2]}))
    server.replies(DRAFT, "Here it is.")
    placeholder = await person.ask("draft the second")
    answer = await person.read("Here it is.")
    assert answer.message_id == placeholder.message_id
    draft = "Draft for Rust crypto wallet, by a language model\nHello,\n\nI would like to take"
    assert draft in answer.text
    assert len(person.messages) == 2


async def test_found_and_drafted_in_one_request(
    api: BotApi, tmp_path: Path, server: LlmServer, gigs: dict[str, Any]
) -> None:
    """The list is shown with its links and buttons, and which of it have a draft."""
    async with telegram_bot(api, tmp_path, **(gigs | server.settings())):
        person = Person(api)
        server.calls(("scout", {"query": "rust"}), ("draft", {"ranks": [2]}))
        server.replies(counting_down(5), DRAFT, "Found five, and drafted for the second.")
        await person.say("find rust work and draft for the second")
        answer = await person.read("Found five, and drafted for the second.")
        assert "Drafted: /draft 2\n" in answer.text
        assert "5 best matches" in answer.text
        assert "https://example.com/" in answer.source
        assert "Save" in answer.labels
        assert len(person.messages) == 1
        assert "I would like to take this on." in (await person.ask("/draft 2")).text


async def test_draft_n_means_the_last_shortlist(plain: Person) -> None:
    """An ask's list counts as a scout's does; an ask that came to none leaves the one before."""
    await plain.ask(PROFILE)
    assert "no shortlist to draft from" in (await plain.ask("/draft 1")).text
    await plain.say(SENTENCE)
    await plain.read("1 best match")
    assert "Draft for 1. Rust parser" in (await plain.ask("/draft 1")).text
    for text, words in (
        ("how are you?", "What shall I look for?"),
        ("remote grants in Lagos", "none fits"),
        ("draft 1", "Drafted for “Rust parser”"),
        ("save 1", "Saved “Rust parser”"),
    ):
        await plain.say(text)
        await plain.read(words)
        assert "Draft for 1. Rust parser" in (await plain.ask("/draft 1")).text
        assert "it has 1 to 1" in (await plain.ask("/draft 2")).text
    await plain.say("rust engineer, no gigs")
    await plain.read("1. Rust engineer")
    assert "Draft for 1. Rust engineer" in (await plain.ask("/draft 1")).text


async def test_saved_by_words_is_saved(plain: Person) -> None:
    """`save 1` is what the button does."""
    await plain.say(SENTENCE)
    await plain.read("1 best match")
    await plain.say("save 1")
    await plain.read("Saved “Rust parser”")
    assert "1. Rust parser" in (await plain.ask("/saved")).text


# --- conversations ------------------------------------------------------------------------------


async def test_a_question_and_its_answer(person: Person, server: LlmServer) -> None:
    """What was asked back is understood with what came before; each text has its own message."""
    server.calls(("ask_back", {"question": "Which city?"}))
    await person.say("rust near me")
    await person.read("Which city?")
    server.calls(("scout", {"query": "rust", "locations": ["Lyon"]}))
    server.replies(counting_down(1), "One in Lyon.")
    await person.say("Lyon")
    found = await person.read("One in Lyon.")
    assert "Rust kiosk" in found.text
    assert len(person.messages) == 2
    said = [m["content"] for m in server.asked_for("triage")[1]["messages"]]
    assert said[1:] == ["rust near me", "Which city?", "Lyon"]


async def test_what_they_tell_goes_into_the_profile(plain: Person) -> None:
    """And the next scout asks no questions."""
    await plain.say("I know Rust and SQL")
    await plain.read("Noted. Your profile now")
    assert "Skills: Rust, SQL" in (await plain.ask("/profile")).text
    await plain.say("/scout")
    await plain.read("best matches")


async def test_people_do_not_share_a_conversation(
    api: BotApi, person: Person, server: LlmServer
) -> None:
    """Another person's words, list and profile are not there."""
    server.calls(("scout", {"query": "rust"}), ("change_profile", {"about": "secret-about"}))
    server.replies(counting_down(5), "secret-reply")
    await person.say("secret-text")
    await person.read("secret-reply")
    other = Person(api, 43)
    server.calls(("explain", {"rank": 1}))
    server.replies("Nothing there.")
    await other.say("why is 1 there?")
    await other.read("Nothing there.")
    told = json.dumps(server.asked_for("triage")[-1]["messages"])
    assert "there is no shortlist yet" in told
    assert "secret" not in told
    assert "no shortlist to draft from" in (await other.ask("/draft 1")).text


async def test_a_text_answers_the_open_question(
    person: Person, server: LlmServer, tmp_path: Path
) -> None:
    """While the set-up asks, free text is its answer and no model is asked; after it, free text is
    free again."""
    await person.say("/scout")
    await person.read("What can you do?")
    await person.say("rust gigs")
    await person.read("Where do you want to work?")
    assert rows(tmp_path, "SELECT count(*) FROM runs") == [(0,)]
    await person.say("/cancel")
    await person.read("All right, nothing was changed.")
    assert server.bodies == []
    server.replies("Hello to you.")
    await person.say("hello")
    await person.read("Hello to you.")
    assert "Skills: rust gigs" in (await person.ask("/profile")).text


async def test_a_text_answers_a_question_of_the_menu(person: Person, server: LlmServer) -> None:
    """The same where one part of the profile is asked for."""
    menu = await person.ask("/profile")
    await person.tap("About", menu)
    await person.read("Tell me about you")
    assert "About: find me rust gigs" in (await person.ask("find me rust gigs")).text
    assert server.bodies == []


# --- cancelling ---------------------------------------------------------------------------------


async def test_cancel_while_the_model_is_asked(
    person: Person, server: LlmServer, tmp_path: Path
) -> None:
    """/cancel is obeyed at once; its receipt and the message say so, and nothing is remembered."""
    server.will(Delay(3.0))
    server.calls(("change_profile", {"add_skills": ["Rust"]}))
    placeholder = await person.ask("I know Rust")
    await until_rows(tmp_path, ASKED, [(1,)])
    receipt = await person.ask("/cancel")
    assert "Stopped: understanding your words" in receipt.text
    assert "Undone: nothing to undo" in receipt.text
    ended = await person.read("Cancelled. Nothing of this request was kept.")
    assert ended.message_id in {placeholder.message_id, receipt.message_id}
    assert "Skills: not set" in (await person.ask("/profile")).text
    assert rows(tmp_path, "SELECT status FROM runs") == [("cancelled",)]


async def test_cancel_while_a_source_is_read(api: BotApi, tmp_path: Path) -> None:
    """The work is stopped; the words can be said again."""
    source, fakes = held(opportunity(title="Rust parser"))
    async with telegram_bot(api, tmp_path, fakes, **PLENTY, sources=("held",)):
        person = Person(api)
        placeholder = await person.ask("rust jobs")
        await asyncio.wait_for(source.asked.wait(), 20)
        await person.say("/cancel")
        await person.read("Stopped: gathering postings")
        await api.wait_for(lambda: "Cancelled." in person.messages[0].text)
        assert person.messages[0].message_id == placeholder.message_id
        assert source.stopped == 1
        source.gate.set()
        await person.tap("Refresh", person.messages[0])
        await person.read("Rust parser")


async def test_cancel_when_it_is_over(plain: Person) -> None:
    """Nothing is under way, and the answer stays."""
    await plain.say(SENTENCE)
    found = await plain.read("1 best match")
    assert "Nothing is under way" in (await plain.ask("/cancel")).text
    assert plain.messages[0].text == found.text


# --- what may stand in a message ----------------------------------------------------------------


async def test_markup_is_text(api: BotApi, tmp_path: Path, server: LlmServer) -> None:
    """In the person's words, the model's, a question, a title, a reason and a draft."""
    source, fakes = held(opportunity(title=NASTY, organisation=NASTY, locations=(NASTY,)))
    source.gate.set()
    settings = PLENTY | server.settings() | {"sources": ("held",)}
    async with telegram_bot(api, tmp_path, fakes, **settings):
        person = Person(api)
        server.calls(("scout", {"query": NASTY}))
        why = json.dumps({"p1": {"score": 90, "why": NASTY}})
        server.replies(why, NASTY)
        await person.say(NASTY)
        found = await person.read("1 best match")
        assert found.text.startswith(NASTY)
        assert f"1. {NASTY}" in found.text
        server.calls(("ask_back", {"question": f"{NASTY}?"}))
        await person.say(NASTY)
        await person.read(f"{NASTY}?")
        server.calls(("draft", {"ranks": [1]}))
        server.replies(f"{DRAFT}\n{NASTY}", NASTY)
        await person.say("draft it")
        assert NASTY in (await person.read(f"Draft for {NASTY}, by a language model")).text
    statuses = {call.status for call in api.calls_of("editMessageText")}
    assert statuses == {200}


@pytest.mark.parametrize("text", ["word " * 2_000, "🦀" * 10_000, "a\n" * 5_000, "&" * 10_000])
async def test_the_longest_reply_fits(person: Person, server: LlmServer, text: str) -> None:
    """Ten thousand characters are shortened into one message."""
    server.replies(text)
    await person.say("hello")
    answer = (await person.api.wait_for(lambda: replied(person))).pop()
    assert 100 < units(answer.text) <= MESSAGE_MAX
    assert answer.text[0] == text[0]
    assert len(person.messages) == 1


def replied(person: Person) -> list[BotMessage]:
    """Their messages that are no placeholder any more."""
    return [m for m in person.messages if "On it…" not in m.text]


async def test_the_longest_shortlist_fits(api: BotApi, tmp_path: Path, server: LlmServer) -> None:
    """A long reply over postings of the longest texts, in characters that count double, with as
    many notices as there may be; and each of its pages."""
    big = write_jobs(
        tmp_path / "big.jsonl",
        [
            {
                "title": "🎉" * 200, "company": "🏢" * 100, "location": "🏝" * 150,
                "salary": "💰" * 150, "deadline": "⏰" * 200, "description": "python",
            }
            for _ in range(30)
        ],
    )  # fmt: skip
    sources = (*(f"file:{tmp_path}/nosuch{i}{'x' * 80}" for i in range(9)), big)
    settings = PLENTY | server.settings() | {"sources": sources}
    async with telegram_bot(api, tmp_path, **settings):
        person = Person(api)
        server.calls(("scout", {"query": "🎉" * 99}))
        server.will(Reply(text="no JSON", times=3, match=Match(tools=False)))
        server.replies("🦀🦀🦀🦀🦀🦀🦀🦀🦀\n" * 100)
        await person.say("all of it")
        found = await person.read("30 best matches")
        assert units(found.text) <= MESSAGE_MAX
        for rank in ("6", "11"):
            await person.tap("More")
            page = await person.read(f"▸ {rank}. ")
            assert units(page.text) <= MESSAGE_MAX
    assert {call.status for call in api.calls_of("editMessageText")} == {200}


def long_match(rank: int) -> Ranked:
    """A match whose texts are longer than what is shown of them."""
    posting = opportunity(
        id=f"p{rank}",
        title="T" * 200,
        organisation="O" * 100,
        locations=("L" * 100, "M" * 100),
        posted_at=NOON - timedelta(days=1),
        also_at=tuple(
            Listing(source="s" * 40, source_id=str(n), url=None, title="t") for n in range(5)
        ),
    )
    return Ranked(
        rank=rank,
        score=100.0,
        method=MatchMethod.LLM,
        reasons=("r" * 100, "s" * 100),
        cautions=("c" * 200,),
        provenance=Provenance(source="s" * 80, fetched_at=NOON, from_cache=False, age_s=60.0),
        opportunity=posting,
    )


LONGEST = AskResult(
    run_id="r",
    status="completed",
    partial=False,
    receipt=None,
    matches=(),
    drafts=(),
    funnel=Funnel(found=200_000, ranked=200_000, shown=30),
    notices=("n" * 200,) * 9,
    usage=Usage(),
    reply="x" * 2_000,
    actions=(ToolUse("scout", ok=True),),
    drafted_for=(),
)
REPLIES = ["x" * 900, "🦀🦀🦀🦀🦀🦀🦀🦀🦀\n" * 90, "&\n" * 1_000]


@pytest.mark.parametrize("reply", REPLIES, ids=["words", "crabs", "lines"])
@pytest.mark.parametrize("drafted", [False, True])
def test_each_page_of_the_longest_shortlist_fits(reply: str, drafted: bool) -> None:
    """By construction, whatever the model says over it and how much of it has a draft."""
    matches = tuple(map(long_match, range(1, 31)))
    drafts = [
        Draft(opportunity_id=match.opportunity.id, method=DraftMethod.LLM, text="x" * 4_000)
        for match in matches[-10 if drafted else 30 :]
    ]
    titles = ("T" * 200,) * len(drafts)
    result = replace(
        LONGEST, reply=reply, matches=matches, drafts=tuple(drafts), drafted_for=titles
    )
    sizes = [shown(views.shortlist(result, page=page)) for page in range(6)]
    assert max(sizes) <= MESSAGE_MAX, sizes
    assert shown(views.answer(result)) <= MESSAGE_MAX


def shown(view: views.View) -> int:
    """Its length as Telegram counts it."""
    return units(parse_html(view.text).text)


async def test_a_text_that_is_too_long_is_refused(plain: Person, tmp_path: Path) -> None:
    """Nothing is begun, and what is allowed is said; the longest that is allowed is answered."""
    answer = await plain.ask("rust " * 500)
    assert "text: 2,499 characters" in answer.text
    assert "at most 2,000" in answer.text
    assert rows(tmp_path, "SELECT count(*) FROM runs") == [(0,)]
    await plain.say("r" * 2_000)
    await plain.api.wait_for(lambda: replied(plain)[1:])


# --- what is kept -------------------------------------------------------------------------------


def left(folder: Path, words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Which of the words still stand in which file."""
    files = (file for file in (folder / "var").rglob("*") if file.is_file())
    bodies = {file.name: file.read_bytes() for file in files}
    return [
        (name, word) for name, body in bodies.items() for word in words if word.encode() in body
    ]


async def test_forget_leaves_no_byte(person: Person, server: LlmServer, tmp_path: Path) -> None:
    """No text, reply, tool argument, reason, draft, or answer that could not be used stands in the
    database, its log or the cache's file."""
    words = (
        "xylophonist", "quixotically", "zeppelinfahrt", "ornithopter", "mistletoe", "vuvuzela",
        "kaleidoscope", "thunderbolt",
    )  # fmt: skip
    server.calls(("scout", {"query": f"rust {words[0]}"}), ("change_profile", {"about": words[1]}))
    whys = {f"p{n}": {"score": 40 + n, "why": words[2]} for n in range(1, 6)}
    server.replies(json.dumps(whys), words[3])
    await person.say(f"rust work, {words[4]}")
    await person.read(words[3])
    server.calls(("save", {"ranks": [1]}), ("draft", {"ranks": [1]}))
    server.replies(f"{DRAFT} {words[5]}")
    server.will(*[Reply(text=words[6], finish_reason="content_filter")] * 3)
    await person.say(f"save and draft 1 {words[7]}")
    await person.read("Drafted for “")
    kept = {word for _, word in left(tmp_path, words)}
    assert {words[1], words[3], words[4], words[6]} <= kept  # else this test shows nothing
    assert rows(tmp_path, "SELECT count(*) FROM run_texts WHERE name LIKE 'raw%'") == [(1,)]
    await person.say("/forget")
    await person.read("Everything about you is deleted")
    assert left(tmp_path, words) == []
    server.replies("Who are you?")
    await person.say("hello")
    await person.read("Who are you?")
    assert [m["role"] for m in server.asked_for("triage")[-1]["messages"]] == ["system", "user"]


async def test_forget_while_the_model_is_asked(
    person: Person, server: LlmServer, tmp_path: Path
) -> None:
    """The run is stopped first; what it was asked is gone, and its message promises no more."""
    server.will(Delay(3.0))
    await person.ask("rust xylophonist")
    await until_rows(tmp_path, ASKED, [(1,)])
    await person.say("/forget")
    await person.read("Everything about you is deleted")
    assert left(tmp_path, ("xylophonist",)) == []
    assert rows(tmp_path, "SELECT status FROM runs") == [("cancelled",)]


async def test_export_has_what_was_asked(person: Person, server: LlmServer) -> None:
    """The words, the list and the drafts of each ask."""
    server.calls(("scout", {"query": "rust"}))
    server.replies(counting_down(5), "Five fit.")
    await person.say("rust zeppelins")
    await person.read("Five fit.")
    server.calls(("draft", {"ranks": [1]}), ("save", {"ranks": [2]}))
    server.replies(DRAFT, "Done so.")
    await person.say("draft 1, save 2")
    await person.read("Done so.")
    export = json.loads((await person.ask("/export")).file)
    texts = [scout["request"]["text"] for scout in export["scouts"]]
    assert texts == ["rust zeppelins", "draft 1, save 2"]
    assert {"Five fit.", "Done so."} <= set(strings(export))
    assert len(export["matches"]) == 5
    assert [draft["text"] for draft in export["drafts"]] == [DRAFT]
    assert len(export["saved"]) == 1


def strings(value: object) -> list[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in strings(part)]


# --- restarts -----------------------------------------------------------------------------------


async def test_a_restart_answers_in_the_same_message(api: BotApi, tmp_path: Path) -> None:
    """Stopped while a source is read: the next start goes on, and there is one answer."""
    source, fakes = held(opportunity(title="Rust parser"))
    settings = PLENTY | {"sources": ("held",)}
    person = Person(api)
    async with telegram_bot(api, tmp_path, fakes, **settings):
        placeholder = await person.ask("rust jobs")
        await asyncio.wait_for(source.asked.wait(), 20)
    source.gate.set()
    async with telegram_bot(api, tmp_path, fakes, **settings):
        answer = await person.read("Rust parser")
        assert answer.message_id == placeholder.message_id
        await person.tap("Save")
        await person.read("★")
    assert len(person.messages) == 1


# --- without a model ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("how are you?", "What shall I look for?"),
        ("draft 3", "there is no shortlist yet"),
        ("why 1", "there is no shortlist yet"),
        ("I live in Lagos", "places: Lagos"),
        ("rust", "best matches"),
        ("🦀", "What shall I look for?"),
        ("مرحبا كيف حالك", "none fits"),
    ],
)
async def test_the_rules_have_an_answer(plain: Person, text: str, words: str) -> None:
    """Whatever is written: one message, and it says that no model is configured."""
    await plain.say(text)
    answer = (await plain.api.wait_for(lambda: replied(plain))).pop()
    assert words in answer.text or "best match" in answer.text
    assert "without AI: no language model is configured." in answer.text
    assert len(plain.messages) == 1

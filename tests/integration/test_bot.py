"""The bot in local mode over HTTP: every command and button, and every way to misuse them."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from agents.action.agent import ActionAgent, Drafted
from bot.bootstrap import Fakes, build_bot
from tests.conftest import local_settings
from tests.fakes.chat_client import ChatClient
from tests.fakes.sources import FailingSource, HeldSource, TestSources

PROFILE = "/profile skills: python, sql; location: Berlin; remote: yes; kinds: job, grant"


@asynccontextmanager
async def bot(
    folder: Path, fakes: Fakes | None = None, **settings: object
) -> AsyncIterator[ChatClient]:
    """A running bot and a person at its chat."""
    async with (
        build_bot(local_settings(folder, **settings), fakes) as running,
        ChatClient(running.address or "") as chat,
    ):
        yield chat


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[ChatClient]:
    """A bot on the sample postings, with a profile."""
    async with bot(tmp_path) as client:
        await client.ask(PROFILE)
        yield client


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    """What stands in the database."""
    with sqlite3.connect(folder / "var/webscout.db") as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def write(folder: Path, statement: str) -> None:
    """Change the database behind the bot's back."""
    with sqlite3.connect(folder / "var/webscout.db") as connection:
        connection.execute(statement)
    connection.close()


class BrokenAction(ActionAgent):
    """An action agent that fails at its work."""

    def __init__(self) -> None:
        """It needs nothing."""

    async def act(self, *_args: object, **_kwargs: object) -> Drafted:
        """Fail."""
        raise RuntimeError("the printer is on fire")

    async def discard(self, run_id: str) -> str | None:
        """Nothing was made."""
        return None


# --- the main way -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/start", "Webscout finds jobs"),
        ("/help", "/scout"),
        ("/privacy", "/forget deletes all of it"),
        ("/saved", "Nothing saved yet"),
        ("/cancel", "Nothing is under way"),
        ("/draft 1", "no shortlist to draft from"),
        ("/profile", "Your profile"),
    ],
)
async def test_every_command_answers(chat: ChatClient, command: str, words: str) -> None:
    """Each command has its answer before anything was scouted."""
    assert words in (await chat.ask(command))["text"]


async def test_profile_line_is_kept_and_shown(chat: ChatClient) -> None:
    """One line sets several parts of the profile and leaves the others."""
    answer = await chat.ask("/profile about: I build; things: too; min: 1000 USD/month")
    assert "Minimum pay: 1,000 USD/month" in answer["text"]
    assert "About: I build; things: too" in answer["text"]
    assert "Skills: python, sql" in answer["text"]


async def test_scout_edits_one_message_into_the_shortlist(chat: ChatClient) -> None:
    """The placeholder itself becomes the shortlist, with all the facts and buttons."""
    placeholder = await chat.ask("/scout")
    shortlist = await chat.until_text("best matches")
    assert shortlist["message_id"] == placeholder["message_id"]
    numbers, acts = ["· 1 ·", "2", "3", "4", "5"], ["Save", "Draft", "Not for me"]
    assert chat.labels(shortlist) == [*numbers, *acts, "More", "Why not more", "Refresh"]
    assert "skills: python" in shortlist["text"]
    assert shortlist["text"].count("sample, read just now") == 5


async def test_sample_postings_say_so(chat: ChatClient) -> None:
    """Without a source the sample is shown, said in a notice and on every card."""
    await chat.say("/scout")
    text = (await chat.until_text("best matches"))["text"]
    assert "hese are sample postings" in text
    assert text.count("sample posting, not a real offer") == 5


async def test_query_words_count(chat: ChatClient) -> None:
    """The words after /scout rank what says them first."""
    await chat.say("/scout maintainer")
    shortlist = await chat.until_text("best matches")
    assert "Maintainer" in shortlist["text"].split("2. ")[0]


async def test_query_words_that_nothing_says_are_named(chat: ChatClient) -> None:
    """A word that no posting says is not dropped in silence."""
    await chat.say("/scout zeppelin")
    assert "says “zeppelin”" in (await chat.until_text("best matches"))["text"]


async def test_an_empty_profile_is_asked_for(tmp_path: Path) -> None:
    """A new person is led through three questions, and their answers are the profile."""
    async with bot(tmp_path) as chat:
        await chat.say("/scout zeppelin")
        await chat.until_text("What can you do?")
        await chat.say("Python, Rust")
        await chat.until_text("Where do you want to work?")
        await chat.say("New York, NY, Lagos, remote")
        question = await chat.until_text("What are you looking for?")
        await chat.tap("grant", question)
        await chat.until(lambda c: "✓ grant" in c.labels(c.bot_messages()[-1]))
        await chat.tap("Done")
        await chat.until_text("that is all I need")
        profile = (await chat.ask("/profile"))["text"]
        assert "Skills: Python, Rust" in profile
        assert "Places: New York, NY, Lagos" in profile
        assert "Remote: yes" in profile
        assert "Kinds: grant" in profile
        await chat.tap("Scout now", (await chat.until_text("that is all I need")))
        await chat.until_text("says “zeppelin”")  # the words that began it are not lost


async def test_the_setup_can_be_skipped(tmp_path: Path) -> None:
    """Every question can be skipped, and the scout runs all the same."""
    async with bot(tmp_path) as chat:
        await chat.say("/start")
        await chat.until_text("three short questions")
        await chat.tap("Begin")
        await chat.until_text("What can you do?")
        await chat.tap("Skip")
        await chat.until_text("Where do you want to work?")
        await chat.tap("Skip")
        await chat.until_text("What are you looking for?")
        await chat.tap("Done")
        await chat.until_text("Nothing set")
        await chat.tap("Scout now")
        await chat.until_text("best matches")


# --- the shortlist's buttons -------------------------------------------------------------------


async def test_save_keeps_and_remove_forgets(chat: ChatClient) -> None:
    """A saved match is starred, listed and can be removed; a second tap changes nothing."""
    await chat.say("/scout")
    await chat.until_text("best matches")
    await chat.tap("Save")
    shortlist = await chat.until(
        lambda c: next((m for m in c.bot_messages() if "★" in m["text"]), None)
    )
    await chat.tap("Save", shortlist)
    await chat.until(lambda c: c.toasts.count("Saving…") == 2)
    saved = await chat.ask("/saved")
    assert saved["text"].startswith("Saved\n\n1. ")
    await chat.tap("Remove 1", saved)
    await chat.until_text("Nothing saved yet")


async def test_picking_moves_the_mark(chat: ChatClient) -> None:
    """A number chooses the match that the buttons act on."""
    await chat.say("/scout")
    shortlist = await chat.until_text("best matches")
    await chat.tap("3", shortlist)
    await chat.until_text("▸ 3. ")
    await chat.tap("Draft")
    draft = await chat.until_text("Draft for 3.")
    assert "[fill in: your name and how to reach you]" in draft["text"]


async def test_not_for_me_is_never_shown_again(chat: ChatClient) -> None:
    """A dismissed posting leaves the list, and the next scout leaves it out and says so."""
    await chat.say("/scout")
    shortlist = await chat.until_text("best matches")
    title = shortlist["text"].split("▸ 1. ")[1].split(" · ")[0]
    await chat.tap("Not for me")
    await chat.until_text("▸ 2. ")
    await chat.say("/scout")
    again = await chat.until(
        lambda c: next(
            (m for m in c.bot_messages() if m["message_id"] > shortlist["message_id"]
             and "best matches" in m["text"]), None)
    )  # fmt: skip
    assert title not in again["text"]
    await chat.tap("Why not more", again)
    assert "1 marked “Not for me”" in (await chat.until_text("1 marked"))["text"]


async def test_more_turns_the_page_and_comes_round(chat: ChatClient) -> None:
    """More shows the next five, and the first five again after the last."""
    await chat.say("/scout")
    first = await chat.until_text("best matches")
    await chat.tap("More")
    second = await chat.until_text("▸ 6. ")
    assert second["message_id"] == first["message_id"]
    for _ in range(20):
        before = chat.bot_messages()[-1]["text"]
        if "▸ 1. " in before:
            break
        await chat.tap("More")
        await chat.until(partial(says_other, before))
    assert "▸ 1. " in chat.bot_messages()[-1]["text"]


async def test_why_not_more_adds_up(chat: ChatClient) -> None:
    """The funnel names everything found and what became of it."""
    await chat.say("/scout")
    await chat.until_text("best matches")
    await chat.tap("Why not more")
    text = (await chat.until_text("Why not more"))["text"]
    assert "60 found" in text
    assert "40 of another kind" in text


async def test_refresh_scouts_again_in_the_same_message(chat: ChatClient, tmp_path: Path) -> None:
    """Refresh starts another run whose shortlist replaces the old one."""
    await chat.say("/scout")
    first = await chat.until_text("best matches")
    old = first["buttons"][0][0]["data"]
    await chat.tap("Refresh")
    await chat.until(
        lambda c: (
            "best matches" in c.messages[first["message_id"]]["text"]
            and c.messages[first["message_id"]]["buttons"][0][0]["data"] != old
        )
    )
    assert len(rows(tmp_path, "SELECT id FROM runs")) == 2


async def test_draft_command_takes_a_number(chat: ChatClient) -> None:
    """/draft N drafts match N; other numbers and words are told what is allowed."""
    await chat.say("/scout")
    await chat.until_text("best matches")
    assert "Draft for 2." in (await chat.ask("/draft 2"))["text"]
    assert "has no match 99" in (await chat.ask("/draft 99"))["text"]
    assert "is for match 2" in (await chat.ask("/draft"))["text"]
    assert "is for match 2" in (await chat.ask("/draft ²"))["text"]


def says_other(before: str, chat: ChatClient) -> bool:
    """Whether the newest message changed."""
    return bool(chat.bot_messages()[-1]["text"] != before)


# --- cancel, failure, restart ------------------------------------------------------------------


async def test_cancel_stops_the_source_and_says_so(tmp_path: Path) -> None:
    """/cancel passes the queue, stops the work and gives a receipt; the message ends with it."""
    held = HeldSource()
    async with bot(tmp_path, Fakes(sources=TestSources({"held": held})), sources=("held",)) as chat:
        await chat.ask(PROFILE)
        placeholder = await chat.ask("/scout")
        await held.asked.wait()
        await chat.say("/cancel")
        ended = await chat.until_text("Stopped: gathering postings")
        assert "Undone: nothing to undo" in ended["text"]
        await chat.until(lambda c: "Cancelled." in c.messages[placeholder["message_id"]]["text"])
        assert held.stopped == 1
    assert rows(tmp_path, "SELECT status FROM runs") == [("cancelled",)]


async def test_a_second_scout_waits_for_the_first(tmp_path: Path) -> None:
    """One scout a person at a time: the second command says so and starts nothing."""
    held = HeldSource()
    async with bot(tmp_path, Fakes(sources=TestSources({"held": held})), sources=("held",)) as chat:
        await chat.ask(PROFILE)
        await chat.say("/scout")
        await chat.say("/scout")
        await chat.until_text("Something of yours is under way")
        held.gate.set()
        await chat.until_text("best matches")
    assert len(rows(tmp_path, "SELECT id FROM runs")) == 1


async def test_other_commands_answer_during_a_scout(tmp_path: Path) -> None:
    """A scout under way holds up nothing else in the chat."""
    held = HeldSource()
    async with bot(tmp_path, Fakes(sources=TestSources({"held": held})), sources=("held",)) as chat:
        await chat.ask(PROFILE)
        await chat.say("/scout")
        await held.asked.wait()
        assert "What I can do" in (await chat.ask("/help"))["text"]


@pytest.mark.parametrize("by", ["configuration", "agent"])
async def test_a_failed_draft_undoes_the_matching(tmp_path: Path, by: str) -> None:
    """When acting fails, the scores become NULL and the person reads what, and to try again."""
    config = "scout-strict@1" if by == "configuration" else "scout@1"
    fakes = Fakes(action=BrokenAction()) if by == "agent" else None
    async with bot(tmp_path, fakes, scout_config=config) as chat:
        await chat.ask(PROFILE)
        await chat.say("/scout")
        text = (await chat.until_text("Drafting failed"))["text"]
        assert "Nothing of this scout was kept; please try again." in text
        assert "Undone: 6 scores removed" in text
    assert rows(tmp_path, "SELECT status FROM runs") == [("compensated",)]
    scores = rows(tmp_path, "SELECT count(*), count(score), count(reasons) FROM matches")
    assert scores == [(6, 0, 0)]
    assert rows(tmp_path, "SELECT count(*) FROM opportunities") == [(60,)]


async def test_a_failing_source_is_named(tmp_path: Path) -> None:
    """The other sources' results are shown, and the notice says which failed."""
    sources = TestSources({"failing": FailingSource()})
    async with bot(tmp_path, Fakes(sources=sources), sources=("failing", "sample")) as chat:
        await chat.ask(PROFILE)
        await chat.say("/scout")
        text = (await chat.until_text("best matches"))["text"]
        assert "failing: it is down" in text
        assert "1 of 2 sources answered" in text


async def test_a_restart_finishes_the_scout_in_its_message(tmp_path: Path) -> None:
    """A scout that a stop interrupted goes on at the next start and ends in the same message."""
    held = HeldSource()
    fakes = Fakes(sources=TestSources({"held": held}))
    async with bot(tmp_path, fakes, sources=("held",)) as chat:
        await chat.ask(PROFILE)
        placeholder = await chat.ask("/scout")
        await held.asked.wait()
    assert rows(tmp_path, "SELECT status FROM runs") == [("running",)]
    free = HeldSource()
    free.gate.set()
    fakes = Fakes(sources=TestSources({"held": free}))
    async with bot(tmp_path, fakes, sources=("held",)) as chat:
        shortlist = await chat.until_text("best matches")
        assert shortlist["message_id"] == placeholder["message_id"]
        assert "Skills: python, sql" in (await chat.ask("/profile"))["text"]


# --- misuse ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/profile skils: python", "unknown part 'skils'"),
        ("/profile python, sql", "can't read 'python, sql'"),
        ("/profile kinds: jobb", "unknown kind 'jobb'"),
        ("/profile min: lots", "no single amount"),
        ("/profile min: 1000", "no known currency"),
        ("/profile remote: perhaps", "yes or no"),
        ("/profile about: " + "x" * 10_000, "10,000 characters"),
        ("/profile skills: " + ",".join(f"skill{i}" for i in range(501)), "501 entries"),
    ],
)
async def test_a_wrong_profile_line_changes_nothing(
    chat: ChatClient, text: str, words: str
) -> None:
    """It is told what was wrong and what is allowed, and the profile stays as it was."""
    before = (await chat.ask("/profile"))["text"]
    answer = (await chat.ask(text))["text"]
    assert words in answer
    assert "Nothing was changed." in answer
    assert (await chat.ask("/profile"))["text"] == before


@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000,
        "مرحبا كيف حالك",
        "🎉🎉🎉",
        "<b>bold</b> & <script>alert(1)</script>",
        "/nosuchcommand <b>x</b>",
        "/" + "y" * 5_000,
        "hello there",
        "\u202eright to left override",
    ],
)
async def test_any_text_gets_a_clear_answer(chat: ChatClient, text: str) -> None:
    """Whatever is sent is answered, and the profile is still there."""
    await chat.ask(text)
    answer = await chat.until(
        lambda c: next((m for m in c.bot_messages()[-1:] if "On it…" not in m["text"]), None)
    )
    expected = ("/scout", "at most 2,000", "best match", "none fits", "What shall I look")
    assert any(words in answer["text"] for words in expected)
    assert "Skills: python, sql" in (await chat.ask("/profile"))["text"]


async def test_html_in_a_profile_is_shown_as_it_is(chat: ChatClient) -> None:
    """Angle brackets and ampersands are text, not formatting."""
    answer = await chat.ask("/profile skills: <b>c++</b>, R&D")
    assert "Skills: <b>c++</b>, R&D" in answer["text"]


async def test_a_long_query_is_refused(chat: ChatClient, tmp_path: Path) -> None:
    """Ten thousand characters of query start nothing and say what is allowed."""
    assert "query: 9,999 characters" in (await chat.ask("/scout " + "word " * 2_000))["text"]
    assert rows(tmp_path, "SELECT count(*) FROM runs") == [(0,)]


async def test_a_wrong_answer_is_asked_again(tmp_path: Path) -> None:
    """In the set-up a wrong answer leaves the question open."""
    async with bot(tmp_path) as chat:
        await chat.say("/scout")
        await chat.until_text("What can you do?")
        await chat.say("x" * 200)
        assert "Please send it again" in (await chat.until_text("send it again"))["text"]
        await chat.say("python")
        await chat.until_text("Where do you want to work?")


@pytest.mark.parametrize(
    "data",
    ["1:save:0123456789abcdef:0:1", "0:save:x", "1:nosuch::0:0", "rubbish", "1:edit:salary:0:0",
     "1:kind:volunteering:0:0", "1:again:0123456789abcdef:0:0", "1:pick::x:0"],
)  # fmt: skip
async def test_a_button_from_elsewhere_does_nothing(tmp_path: Path, data: str) -> None:
    """A button that the page doesn't show is refused, and one from an older list is called old."""
    async with bot(tmp_path) as chat:
        message = await chat.ask("/profile")
        await chat.tap_data(message["message_id"], data, status=422)
    put_button(tmp_path, message["message_id"], data)
    async with bot(tmp_path) as chat:
        await chat.tap_data(message["message_id"], data)
        await chat.until(
            lambda c: any(
                "older message" in text
                for text in (*c.toasts, *(m["text"] for m in c.bot_messages()))
            )
        )


def put_button(folder: Path, message_id: int, data: str) -> None:
    """Write a button into a stored message, as an older program may have left it."""
    markup = {"inline_keyboard": [[{"text": "Old", "callback_data": data}]]}
    with sqlite3.connect(folder / "var/webscout.db") as connection:
        (body,) = connection.execute(
            "SELECT body FROM chat_messages WHERE message_id = ?", (message_id,)
        ).fetchone()
        new = json.dumps(json.loads(body) | {"reply_markup": markup})
        connection.execute(
            "UPDATE chat_messages SET body = ? WHERE message_id = ?", (new, message_id)
        )
    connection.close()


async def test_double_taps_make_one_scout(chat: ChatClient, tmp_path: Path) -> None:
    """Two taps on Scout now at once never make two scouts at a time."""
    menu = await chat.ask("/profile")
    await asyncio.gather(*(chat.tap("Scout now", menu) for _ in range(2)))
    await chat.until_text("best matches")
    assert (await chat.ask("/help"))["text"]
    running = "SELECT count(*) FROM runs WHERE status = 'running'"
    assert rows(tmp_path, running) == [(0,)]


# --- what is kept ------------------------------------------------------------------------------


async def test_export_holds_everything(chat: ChatClient) -> None:
    """The file has the profile, what was saved and dismissed, scouts and drafts."""
    await chat.say("/scout climate")
    await chat.until_text("best matches")
    await chat.tap("Save")
    await chat.until_text("★")
    await chat.say("/export")
    message = await chat.until(lambda c: next((m for m in c.bot_messages() if m["document"]), None))
    assert message["document"]["name"] == "webscout-export.json"
    export = json.loads(await chat.get(message["document"]["url"]))
    assert export["profile"]["skills"] == ["python", "sql"]
    assert len(export["saved"]) == len(export["drafts"]) == len(export["scouts"]) == 1
    assert "climate" in json.dumps(export["scouts"])


async def test_forget_leaves_no_byte(tmp_path: Path) -> None:
    """After /forget nothing that the person wrote stands in any file, and they begin anew."""
    words = ("xylophonist", "Quixotebury", "zeppelinquery")
    async with bot(tmp_path) as chat:
        await chat.ask(f"/profile skills: {words[0]}, python; location: {words[1]}; remote: yes")
        await chat.say(f"/scout {words[2]}")
        await chat.until_text("best matches")
        await chat.tap("Save")
        await chat.until_text("★")
        await chat.say("/forget")
        await chat.until(lambda c: c.resets == 1 and c.bot_messages())
        assert left(tmp_path, words) == []
        assert len(chat.messages) == 1
        await chat.say("/scout")
        await chat.until_text("What can you do?")
    assert left(tmp_path, words) == []
    assert rows(tmp_path, "SELECT status FROM runs") == [("completed",)]


def left(folder: Path, words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Which of the words still stand in which file."""
    return [
        (file.name, word)
        for file in (folder / "var").iterdir()
        for word in words
        if word.encode() in file.read_bytes()
    ]


# --- limits -------------------------------------------------------------------------------------


async def test_the_longest_shortlist_fits_into_a_message(tmp_path: Path) -> None:
    """Postings of the longest texts, in characters that count double, still make a shortlist."""
    rows_of_emoji = [
        {
            "id": str(i), "title": "🎉" * 200, "company": "🏢" * 100, "location": "🏝" * 150,
            "salary": "💰" * 150, "deadline": "⏰" * 200, "description": "python",
            "url": f"https://example.com/{i}",
        }
        for i in range(30)
    ]  # fmt: skip
    (tmp_path / "big.json").write_text(json.dumps(rows_of_emoji), "utf-8")
    sources = (
        *(f"file:{tmp_path}/nosuch{i}{'x' * 80}" for i in range(9)),
        f"file:{tmp_path}/big.json",
    )
    async with bot(tmp_path, sources=sources) as chat:
        await chat.ask("/profile skills: python; about: " + "🙂" * 1_900)
        await chat.say("/scout")
        shortlist = await chat.until_text("best matches")
        assert len(shortlist["text"].encode("utf-16-le")) // 2 <= 4096
        await chat.tap("Save")
        await chat.until_text("★")
        assert "Draft for 1." in (await chat.ask("/draft 1"))["text"]
        assert "Saved" in (await chat.ask("/saved"))["text"]


async def test_half_a_character_is_answered(chat: ChatClient) -> None:
    """JSON can carry what no database can hold; it is replaced, and answered."""
    assert (await chat.ask("/foo\ud800"))["text"].startswith("I don't know /foo?")


async def test_cancel_ends_a_run_that_nobody_executes(tmp_path: Path) -> None:
    """A run left open by a failure is ended by /cancel, and the next scout can start."""
    held = HeldSource()
    fakes = Fakes(sources=TestSources({"held": held}))
    async with bot(tmp_path, fakes, sources=("held",)) as chat:
        await chat.ask(PROFILE)
        await chat.say("/scout")
        await held.asked.wait()
    write(tmp_path, "UPDATE users SET channel = 'elsewhere'")
    async with bot(tmp_path, fakes, sources=("held",)) as chat:
        await asyncio.to_thread(write, tmp_path, "UPDATE users SET channel = 'local'")
        await chat.ask("/help")
        await chat.say("/cancel")
        await chat.until_text("Stopped:")
    assert rows(tmp_path, "SELECT status FROM runs") == [("cancelled",)]

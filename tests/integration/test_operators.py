"""Operators in their chat on Telegram: health, runs, alerts, and what they do."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bot.bootstrap import Fakes
from bot.ops.watch import EVERY_S
from bot.telegram import ops_views
from tests.fakes.api_client import StagedAction, park
from tests.fakes.bot_api import BotApi, BotMessage
from tests.fakes.people import PROFILE, Person, WatchedClock, rows, telegram_bot, until_rows
from tests.fakes.saga_clock import settle

OPERATORS, SECOND, ANYONE = 7, -1_000_000_007, 42
ADMINS: dict[str, Any] = {"admin_chat_id": (OPERATORS, SECOND)}


@pytest.fixture
async def api() -> AsyncIterator[BotApi]:
    """Telegram's stand-in, running."""
    async with BotApi() as api:
        yield api


def jammed() -> tuple[WatchedClock, StagedAction, Fakes]:
    """A bot whose drafting fails, and can't be undone."""
    clock, action = WatchedClock(), StagedAction(fails=True)
    action.undo_fails = True
    return clock, action, Fakes(clock=clock, action=action)


async def parked_scout(person: Person, clock: WatchedClock, folder: Path) -> str:
    """The person's scout, parked; its id."""
    await person.ask(PROFILE)
    await person.say("/scout")
    await park(clock)
    await until_rows(folder, "SELECT status FROM runs", [("parked",)])
    ((run_id,),) = rows(folder, "SELECT id FROM runs")
    return str(run_id)


def alerts(api: BotApi, chat_id: int = OPERATORS) -> list[BotMessage]:
    """The alerts of parked runs in the chat."""
    return [message for message in api.messages(chat_id) if "is parked" in message.text]


async def watched(clock: WatchedClock, seen: Callable[[], object]) -> None:
    """Let time pass, look by look of the watch, until the test has `seen` what it waits for."""
    for _ in range(60):
        await clock.until_asleep(EVERY_S)
        if seen():
            return
        clock.advance(EVERY_S)
        await settle()  # until it is awake
    raise AssertionError("never seen")


def more_than(known: int, api: BotApi, chat_id: int) -> bool:
    """Whether the chat has more alerts than that."""
    return len(alerts(api, chat_id)) > known


async def all_told(folder: Path, count: int = 1) -> None:
    """Wait until it is journaled that the operators know."""
    query = "SELECT count(*) FROM runs WHERE alerted_seq > 0"
    await until_rows(folder, query, [(count,)])


async def test_runs_are_listed_and_shown(api: BotApi, tmp_path: Path) -> None:
    """/runs lists the newest, /run ID says where one stands; a wrong ID is answered."""
    async with telegram_bot(api, tmp_path, **ADMINS):
        operator, person = Person(api, OPERATORS), Person(api)
        assert (await operator.ask("/runs")).text == "There are no runs yet."
        await person.scout()
        ((run_id,),) = rows(tmp_path, "SELECT id FROM runs")
        assert (await operator.ask("/runs")).text.endswith("scout completed")
        assert str(run_id) in operator.messages[-1].text
        shown = (await operator.ask(f"/run {run_id}")).text
        assert f"Run {run_id}: scout, scout@1" in shown
        assert "Status: completed" in shown
        assert "3. act: completed" in shown
        for wrong in ("nosuch", "<b>", "&", "x" * 500):
            assert "There is no run" in (await operator.ask(f"/run {wrong}")).text
        assert "Say which: /run ID" in (await operator.ask("/run")).text
        assert "Say which: /retry ID" in (await operator.ask("/retry")).text
        assert "There is no run" in (await operator.ask("/retry nosuch")).text
        answer = (await operator.ask(f"/retry {run_id}")).text
        assert "is completed. Only a parked run is retried" in answer


async def test_elsewhere_they_are_unknown_commands(api: BotApi, tmp_path: Path) -> None:
    """What anyone else writes, also an operator in a chat of their own, gets the answer that any
    unknown command gets; in other groups there is none. Nothing is retried."""
    clock, _action, fakes = jammed()
    async with telegram_bot(api, tmp_path, fakes, admin_chat_id=(SECOND,)):
        person, operator = Person(api), Person(api, OPERATORS)
        run_id = await parked_scout(person, clock, tmp_path)
        expected = (await person.ask("/nosuch")).text.replace("/nosuch", "{}")
        for command in ("/runs", f"/run {run_id}", f"/retry {run_id}"):
            for somebody in (person, operator):
                said = (await somebody.ask(command)).text
                assert said == expected.replace("{}", command.split()[0])
            await api.say(OPERATORS, command, -5, "supergroup")
            await api.say(OPERATORS, command, SECOND, "supergroup", edit_date=1)
        await person.ask("/help")
        assert api.messages(-5) == []
        assert rows(tmp_path, "SELECT status FROM runs") == [("parked",)]


async def test_a_group_may_be_the_operators(api: BotApi, tmp_path: Path) -> None:
    """In it they are obeyed, also with the bot's name after the command."""
    async with telegram_bot(api, tmp_path, **ADMINS):
        for command in ("/runs", "/runs@webscout_test_bot"):
            known = len(api.messages(SECOND))
            await api.say(ANYONE, command, SECOND, "supergroup")
            await api.wait_for(lambda n=known: len(api.messages(SECOND)) > n)  # type: ignore[misc]
            assert api.messages(SECOND)[-1].text == "There are no runs yet."


async def test_a_parked_run_is_told_once_and_retried(api: BotApi, tmp_path: Path) -> None:
    """One alert in each chat, also over a restart; /retry finishes the undo, the run closes as it
    was heading, and its own message says so."""
    clock, action, fakes = jammed()
    person, operator = Person(api), Person(api, OPERATORS)
    async with telegram_bot(api, tmp_path, fakes, **ADMINS):
        run_id = await parked_scout(person, clock, tmp_path)
        told = await person.read("an operator has to finish that")
        await watched(clock, lambda: alerts(api, SECOND))
        await all_told(tmp_path)
        assert f"/retry {run_id}" in alerts(api)[0].text
    async with telegram_bot(api, tmp_path, fakes, **ADMINS):
        await operator.ask("/runs")
        assert [len(alerts(api, chat)) for chat in (OPERATORS, SECOND)] == [1, 1]
        action.undo_fails = False
        assert "Undoing run" in (await operator.ask(f"/retry {run_id}")).text
        await api.wait_for(lambda: "Nothing of this scout was kept" in message(api, told).text)
        assert "Status: compensated" in (await operator.ask(f"/run {run_id}")).text
        assert "Only a parked run is retried" in (await operator.ask(f"/retry {run_id}")).text
    assert rows(tmp_path, "SELECT status, error_type FROM runs") == [("compensated", "step-failed")]
    assert [len(alerts(api, chat)) for chat in (OPERATORS, SECOND)] == [1, 1]


def message(api: BotApi, known: BotMessage) -> BotMessage:
    """The person's message as it stands now."""
    found = {m.message_id: m for m in api.messages(ANYONE)}
    return found[known.message_id]


async def test_a_retry_that_fails_parks_and_tells_again(api: BotApi, tmp_path: Path) -> None:
    """Parked once more is another alert, with nothing lost of the first undo's way."""
    clock, action, fakes = jammed()
    person, operator = Person(api), Person(api, OPERATORS)
    async with telegram_bot(api, tmp_path, fakes, **ADMINS):
        run_id = await parked_scout(person, clock, tmp_path)
        await watched(clock, lambda: alerts(api, SECOND))
        await all_told(tmp_path)
        await operator.say(f"/retry {run_id}")
        await park(clock)
        await watched(clock, lambda: len(alerts(api)) == 2)
        await until_rows(tmp_path, "SELECT alerted_seq = last_seq FROM runs", [(1,)])
        action.undo_fails = False
        await operator.say(f"/retry {run_id}")
        await until_rows(tmp_path, "SELECT status FROM runs", [("compensated",)])


async def test_one_operators_chat_that_is_shut_silences_no_other(
    api: BotApi, tmp_path: Path
) -> None:
    """A chat that the bot was thrown out of: the other has each alert, once, also at the start."""
    clock, _action, fakes = jammed()
    for number, (shut, other) in enumerate(((SECOND, OPERATORS), (OPERATORS, SECOND))):
        folder, person = tmp_path / str(number), Person(api, ANYONE + number)
        api.unblock(other)
        api.block(shut)
        known = len(alerts(api, other))
        for _start in range(2):
            async with telegram_bot(api, folder, fakes, **ADMINS):
                if _start == 0:
                    await parked_scout(person, clock, folder)
                    await watched(clock, partial(more_than, known, api, other))
                    await all_told(folder)
                await person.ask("/help")
        assert len(alerts(api, other)) == known + 1


async def test_an_alert_that_telegram_did_not_take_comes_later(api: BotApi, tmp_path: Path) -> None:
    """What could not be told before the end of the process is told by the next, once to each."""
    clock, _action, fakes = jammed()
    async with telegram_bot(api, tmp_path, fakes, **ADMINS):
        person = Person(api)
        await person.ask(PROFILE)
        await person.say("/scout")
        await clock.until_asleep(1.0)
        api.fail("sendMessage", 502, times=len(ADMINS["admin_chat_id"]))
        await park(clock)
        await watched(clock, lambda: sum(call.status == 502 for call in api.calls) == 2)
    assert rows(tmp_path, "SELECT status, alerted_seq FROM runs") == [("parked", 0)]
    async with telegram_bot(api, tmp_path, fakes, **ADMINS):
        await watched(clock, lambda: alerts(api) and alerts(api, SECOND))
        await all_told(tmp_path)
    assert [len(alerts(api, chat)) for chat in (OPERATORS, SECOND)] == [1, 1]


# --- health, breakers, agents -------------------------------------------------------------------


async def test_health_is_one_look(api: BotApi, tmp_path: Path) -> None:
    """It fits 80 columns and one message, and names every agent, the queue, credits and alerts."""
    async with telegram_bot(api, tmp_path, **ADMINS):
        await Person(api).scout()
        text = await settled_health(Person(api, OPERATORS))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(text) <= 4_096
    assert lines[0].startswith("Webscout is ok.")
    for agent in ("discovery", "matching", "action", "triage"):
        (line,) = (line for line in lines if line.startswith(agent))
        assert ("never" in line) == (agent == "triage")
    for words in ("Runs: 0 waiting", "The database takes writes", "Credits:", "Alerts: none"):
        assert words in text


async def settled_health(operator: Person) -> str:
    """The answer to /health, once what it says is not of before Telegram was connected."""
    async with asyncio.timeout(10):
        while "not connected yet" in (text := (await operator.ask("/health")).text):
            pass
    return text


async def test_an_agent_is_paused_and_resumed(api: BotApi, tmp_path: Path) -> None:
    """A scout waits meanwhile, also over a restart; who did it is journaled."""
    operator, person = Person(api, OPERATORS), Person(api)
    async with telegram_bot(api, tmp_path, **ADMINS):
        assert "discovery is paused" in (await operator.ask("/pause discovery")).text
        await person.ask(PROFILE)
        await person.say("/scout")
        await person.read("Waiting: new work is held up by the operators for now…")
        waiting = rows(tmp_path, "SELECT status FROM runs")
        assert waiting == [("queued",)]
        async with asyncio.timeout(10):  # what is seen may be half a second old
            while not re.search(r"discovery .* 1 +0  paused", (await operator.ask("/health")).text):
                pass
    async with telegram_bot(api, tmp_path, **ADMINS):
        await person.ask("/help")
        assert rows(tmp_path, "SELECT status FROM runs") == [("queued",)]
        assert "discovery goes on" in (await operator.ask("/resume Discovery")).text
        await person.read("best match")
    done = rows(
        tmp_path,
        "SELECT channel, external_id, action, subject, outcome IS NOT NULL FROM operator_actions "
        "JOIN users ON users.id = who ORDER BY operator_actions.id",
    )
    assert done == [
        ("telegram", str(OPERATORS), "pause", "agent:discovery", 1),
        ("telegram", str(OPERATORS), "resume", "agent:discovery", 1),
    ]


async def test_a_breaker_is_opened_and_closed_by_hand(api: BotApi, tmp_path: Path) -> None:
    """It stands so over a restart, until it is left to itself again; a name may have blanks."""
    operator = Person(api, OPERATORS)
    async with telegram_bot(api, tmp_path, **ADMINS):
        assert "cache file" in (await operator.ask("/breakers")).text
        assert "held open" in (await operator.ask("/breaker cache file open")).text
        assert "by hand" in (await operator.ask("/breakers")).text
    async with telegram_bot(api, tmp_path, **ADMINS):
        assert "by hand" in (await operator.ask("/breakers")).text
        assert "held closed" in (await operator.ask("/breaker cache file close")).text
        assert "on its own again" in (await operator.ask("/breaker cache file AUTO")).text
        assert "by hand" not in (await operator.ask("/breakers")).text


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("/pause", "Say which: /pause AGENT"),
        ("/pause nosuch", "There is no agent 'nosuch'. Agents: discovery, matching, action,"),
        ("/resume <b>&", "There is no agent '<b>&'"),
        ("/breaker", "Say /breaker NAME open, close or auto"),
        ("/breaker cache file", "Say /breaker NAME open, close or auto"),
        ("/breaker cache file sideways", "Say /breaker NAME open, close or auto"),
        ("/breaker nosuch open", "There is no breaker 'nosuch'. Breakers: cache file"),
        ("/retry ü", "There is no run ü"),
        ("/run ü", "There is no run ü"),
    ],
)
async def test_a_mistake_is_answered(
    api: BotApi, tmp_path: Path, command: str, answer: str
) -> None:
    """What was wrong, and what is allowed; nothing is done."""
    async with telegram_bot(api, tmp_path, **ADMINS):
        assert answer in (await Person(api, OPERATORS).ask(command)).text
    assert rows(tmp_path, "SELECT count(*) FROM operator_actions") == [(0,)]


async def test_operators_menus_have_their_commands(api: BotApi, tmp_path: Path) -> None:
    """Each chat's own; nobody else's menu has one of them."""
    async with telegram_bot(api, tmp_path, **ADMINS):
        pass
    theirs = {name for name, _ in ops_views.COMMANDS}
    for scope, commands in api.commands.items():
        shown = {command["command"] for command in commands}
        assert (shown >= theirs) == scope.startswith("chat:"), scope
        assert scope.startswith("chat:") or not shown & theirs
    assert {f"chat:{chat}" for chat in (OPERATORS, SECOND)} <= set(api.commands)


async def test_commands_from_elsewhere_are_logged(
    api: BotApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Once each; ordinary commands and operators' own are not."""
    async with telegram_bot(api, tmp_path, **ADMINS):
        await Person(api).ask("/pause@webscout_test_bot discovery")
        await Person(api).ask("/help")
        await Person(api, OPERATORS).ask("/health")
    refused = [r.getMessage() for r in caplog.records if "refused" in r.getMessage()]
    assert refused == ["/pause was refused: it came from another chat"]

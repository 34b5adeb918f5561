"""SIGKILL in the middle of a scout: nothing is lost, and the placeholder ends with an answer."""

import json
import os
import signal
import sqlite3
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.process import Program
from tests.fakes.chat_client import ChatClient

KILLS = int(os.environ.get("WEBSCOUT_KILLS", "3"))
RECORDS = 30_000  # a second or two of reading: time to be killed in


def write_postings(folder: Path) -> None:
    """A file that takes a while to read."""
    row = {"location": "Berlin", "remote": True, "description": "python and sql " * 20}
    with (folder / "big.jsonl").open("w", encoding="utf-8") as file:
        for number in range(RECORDS):
            file.write(json.dumps(row | {"id": str(number), "title": f"Job {number}"}) + "\n")


def statuses(folder: Path) -> list[str]:
    """The statuses of the runs, oldest first."""
    connection = sqlite3.connect(folder / "var/webscout.db")
    found = connection.execute("SELECT status FROM runs ORDER BY created_at").fetchall()
    connection.close()
    return [status for (status,) in found]


def is_shortlist(message_id: int, chat: ChatClient) -> bool:
    """Whether the message became a shortlist."""
    return "best matches" in chat.messages.get(message_id, {"text": ""})["text"]


@pytest.mark.timeout(30 + 30 * KILLS)
async def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    """Profile and saved postings survive, each interrupted scout ends in its own message, once."""
    write_postings(tmp_path)
    async with (
        Program.running(tmp_path, SOURCES="sample") as program,
        ChatClient(program.address) as chat,
    ):
        await chat.ask("/profile skills: python, sql; location: Berlin; remote: yes")
        await chat.say("/scout")
        await chat.until_text("best matches")
        await chat.tap("Save")
        await chat.until_text("★")
        await program.end(signal.SIGKILL)

    for _ in range(KILLS):
        async with (
            Program.running(tmp_path, SOURCES="file:big.jsonl") as program,
            ChatClient(program.address) as chat,
        ):
            await chat.say("/scout")  # what was handled just before the kill may be answered again
            placeholder = await chat.until_text("Scouting")
            await program.end(signal.SIGKILL)
        assert statuses(tmp_path)[-1] in {"queued", "running"}

        async with (
            Program.running(tmp_path, SOURCES="file:big.jsonl") as program,
            ChatClient(program.address) as chat,
        ):
            await chat.until(partial(is_shortlist, placeholder["message_id"]))
            assert "Skills: python, sql" in (await chat.ask("/profile"))["text"]
            assert "1. " in (await chat.ask("/saved"))["text"]
            code, printed = await program.end(signal.SIGTERM)
        assert code == 0, printed
        assert "Traceback" not in printed

    assert statuses(tmp_path) == ["completed"] * (KILLS + 1)
    connection = sqlite3.connect(tmp_path / "var/webscout.db")
    bodies = connection.execute("SELECT body FROM chat_messages").fetchall()
    connection.close()
    shortlists = [body for (body,) in bodies if "best matches" in body]
    assert len(shortlists) == KILLS + 1

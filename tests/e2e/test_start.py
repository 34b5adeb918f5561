"""What the program says when it starts."""

from pathlib import Path

from tests.e2e.process import Program
from tests.fakes.chat_client import ChatClient


async def test_a_file_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    """In one line; the bot runs, and its scouts say so too."""
    (tmp_path / "there.jsonl").write_text('{"title": "Baker", "url": "https://x.example/1"}\n')
    sources = "file:there.jsonl,file:nosuch.jsonl"
    async with (
        Program.running(tmp_path, SOURCES=sources) as program,
        ChatClient(program.address) as chat,
    ):
        (line,) = (line for line in program.printed.splitlines() if "SOURCES" in line)
        assert line.startswith("webscout: SOURCES: file:nosuch.jsonl: no such file; ")
        await chat.ask("/profile skills: baking")
        await chat.say("/scout")
        await chat.until_text("nosuch.jsonl: no such file")
        await chat.until_text("Baker")

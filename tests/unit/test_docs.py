"""What the documents promise is there, and what is there is documented."""

import re
from pathlib import Path

import pytest

from agents.configs import ask_configs, scout_configs
from bot.settings import Settings
from bot.telegram.views import COMMANDS

ROOT = Path(__file__).parents[2]


def read(name: str) -> str:
    """A file of the project."""
    return (ROOT / name).read_text("utf-8")


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_every_setting_is_documented(name: str) -> None:
    """Each setting stands in .env.example and in the README."""
    assert re.search(rf"^#{name}=", read(".env.example"), re.MULTILINE)
    assert f"`{name}`" in read("README.md")


def test_no_other_setting_is_documented() -> None:
    """.env.example promises no setting that nobody reads."""
    promised = set(re.findall(r"^#([A-Z_]+)=", read(".env.example"), re.MULTILINE))
    assert promised == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", [name for name, _ in COMMANDS])
def test_every_chat_command_is_documented(name: str) -> None:
    """Each command of the chat stands in the README."""
    assert f"/{name}" in read("README.md") or name == "help"


def test_make_targets_are_there() -> None:
    """The Makefile has the targets that the documents name."""
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    assert targets >= {"install", "run", "test", "check", "bench", "chaos", "clean", "help"}


def test_every_decision_is_listed_and_says_when_to_reconsider() -> None:
    """docs/decisions/README.md lists each record, and each has its way out."""
    index = read("docs/decisions/README.md")
    for file in (ROOT / "docs/decisions").glob("0*.md"):
        assert file.name in index
        assert "**Reconsider**" in file.read_text("utf-8")


def test_every_failure_mode_names_its_test_and_every_test_its_row() -> None:
    """Each row of docs/failure-modes.md links a test that is there, and no test lacks a row."""
    linked = re.findall(
        r"\(\.\./(tests/failure_modes/test_\w+\.py)\)", read("docs/failure-modes.md")
    )
    there = {str(p.relative_to(ROOT)) for p in (ROOT / "tests/failure_modes").glob("test_*.py")}
    assert set(linked) == there
    assert len(linked) == len(set(linked))


def test_configurations_ship() -> None:
    """The configurations that the README names can be loaded."""
    assert set(scout_configs()) == {"scout@1", "scout-strict@1"}
    assert set(ask_configs()) == {"ask@1"}


def test_constraints_are_names_and_versions_only() -> None:
    """No address of any package index stands in the pins."""
    for line in read("constraints.txt").splitlines():
        assert re.fullmatch(r"[A-Za-z0-9_.\-]+==[A-Za-z0-9_.\-+]+", line), line

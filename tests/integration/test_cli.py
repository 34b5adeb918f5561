"""The command line, as a terminal user and a program meet it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bot.cli.main import main
from tests.conftest import NO_FEEDS

Run = Callable[..., tuple[int, str, str]]

POSTINGS = [
    {"id": "1", "kind": "job", "title": "Python Developer", "company": "A", "url": "https://a.example/1",
     "location": "Berlin, Germany", "salary": "€70,000 per year", "tags": ["python", "sql"]},
    {"id": "2", "kind": "job", "title": "Backend Engineer", "company": "B", "url": "https://b.example/2",
     "location": "Remote", "salary": "€40,000 per year", "description": "Go and SQL"},
    {"id": "3", "kind": "grant", "title": "Open Source Grant", "url": "https://c.example/3",
     "deadline": "2020-01-01"},
    {"id": "4", "kind": "internship", "title": "Data Intern", "active": False},
    {"id": "5", "kind": "job", "title": "Python Developer", "url": "https://a.example/1"},
]  # fmt: skip


@pytest.fixture
def webscout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run a command in a folder of the test's own; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("SOURCES", "DATABASE_URL", "TELEGRAM_BOT_TOKEN", "SCOUT_CONFIG", "HOST", "PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FEEDS_FILE", str(NO_FEEDS))

    def run(*argv: str, **environment: str) -> tuple[int, str, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        try:
            code = main(argv)
        except SystemExit as stopped:  # argparse's own refusals
            code = int(stopped.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def postings(tmp_path: Path) -> str:
    """A file of five postings, with one broken line; gives its source spec."""
    lines = [json.dumps(p) for p in POSTINGS]
    lines.insert(2, '{"title": "cut off')
    (tmp_path / "jobs.jsonl").write_text("\n".join(lines), "utf-8")
    return "file:jobs.jsonl"


def result_of(out: str) -> dict[str, Any]:
    """The one JSON object on stdout."""
    result: dict[str, Any] = json.loads(out)
    return result


def test_json_result_has_the_contracts_shape(webscout: Run, postings: str, real_data: Path) -> None:
    """One object on stdout that the contract's JSON Schema accepts, nothing else."""
    code, out, _ = webscout("scout", "--json", "--skills", "python", "--source", postings)
    assert code == 0
    schema = json.loads((real_data.parent / "schemas/scout-result.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(
        result_of(out)
    )


def test_the_funnel_adds_up_and_names_everything(webscout: Run, postings: str) -> None:
    """Broken, duplicate, expired and inactive records are each counted once."""
    code, out, _ = webscout("scout", "--json", "--source", postings)
    result = result_of(out)
    assert code == 0
    assert result["funnel"] == {
        "found": 5, "unreadable": 1, "duplicates": 1, "expired": 1, "inactive": 1,
        "filtered": {}, "ranked": 2, "shown": 2,
    }  # fmt: skip
    assert any("1 of 6 records could not be read (1 broken line)" in n for n in result["notices"])


def test_a_match_says_why_and_where_from(webscout: Run, postings: str) -> None:
    """Reasons, provenance and the posting's own id come with every match."""
    _, out, _ = webscout("scout", "--json", "--skills", "python,sql", "--source", postings)
    first = result_of(out)["matches"][0]
    assert first["reasons"][0] == "2 of 2 skills: python, sql"
    assert first["provenance"]["source"] == "file"
    assert first["opportunity"]["source_id"] == "1"
    assert first["opportunity"]["also_at"][0]["source_id"] == "5"


def test_filters_are_counted(webscout: Run, postings: str) -> None:
    """Place and pay filters drop what is known to fail them, and say how many."""
    _, out, _ = webscout(
        "scout", "--json", "--kind", "job", "--location", "Berlin", "--min-pay", "60000 EUR/year",
        "--source", postings,
    )  # fmt: skip
    result = result_of(out)
    assert [m["opportunity"]["source_id"] for m in result["matches"]] == ["1"]
    assert result["funnel"]["filtered"] == {"kind": 2, "place": 1}
    _, out, _ = webscout("scout", "--json", "--min-pay", "60000 EUR/year", "--source", postings)
    assert result_of(out)["funnel"]["filtered"] == {"pay": 1}


def test_the_table_fits_eighty_columns(
    webscout: Run, postings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People get a table, the draft and the funnel, no line of the table wider than 80."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = webscout("scout", "--skills", "python", "--source", postings, "--drafts", "0")
    assert code == 0
    assert "Python Developer" in out
    assert "5 found; 1 duplicate;" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--kind", "volunteering", "--source", "sample"], 2, "job, internship, gig, bounty"),
        (["--min-pay", "lots", "--source", "sample"], 2, "min pay: no single amount"),
        (["--min-pay", "60000 EUR", "--source", "sample"], 2, "min pay: no period"),
        (["--limit", "0", "--source", "sample"], 2, "limit: 0; allowed: 1 to 100"),
        (["--drafts", "11", "--source", "sample"], 2, "drafts: 11; allowed: 0 to 10"),
        (["--config", "scout@9", "--source", "sample"], 2, "scout-strict@1, scout@1"),
        (["--source", "nosuch"], 2, "unknown source 'nosuch'; allowed: file:PATH"),
        (["--source", "file:"], 2, "unknown source 'file:'"),
        ([], 2, "no source is configured"),
        (["x" * 201, "--source", "sample"], 2, "query: 201 characters; allowed: at most 200"),
        (["--source", "file:nosuch.jsonl"], 1, "no such file"),
        (["--source", "file:."], 1, "not a file but a directory"),
        (["--source", "file:junk.bin"], 1, "not a text file"),
        (["--source", "file:prose.txt"], 1, "none of its 1 records can be read"),
        (["--source", "file:broken.json"], 1, "not valid JSON"),
        (["--config", "scout-strict@1", "--source", "sample"], 1, "Nothing of this scout was kept"),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_clear_line(
    webscout: Run, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    """The exit code of the contract, what was wrong and what is allowed, and no traceback."""
    (tmp_path / "junk.bin").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "prose.txt").write_text("Dear reader this is prose", "utf-8")
    (tmp_path / "broken.json").write_text('[{"title": ', "utf-8")
    got, _, err = webscout("scout", *arguments)
    assert got == code, err
    assert words in err
    assert "Traceback" not in err
    if code == 2:
        assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["scout", "--skill", "python"], "usage: webscout scout "),
        (["doctor", "--sql"], "usage: webscout doctor "),
        (["migrate", "now"], "usage: webscout migrate "),
        (["--bogus"], "usage: webscout [-h] [--version] COMMAND"),
        (["nosuch"], "usage: webscout [-h] [--version] COMMAND"),
    ],
)
def test_an_unknown_option_is_told_with_its_commands_usage(
    webscout: Run, arguments: list[str], usage: str
) -> None:
    """What the command does take stands beside it."""
    code, _, err = webscout(*arguments)
    assert (code, err.startswith(usage)) == (2, True)
    assert next(word for word in arguments if word not in usage) in err


def test_the_version(webscout: Run) -> None:
    """It says what the package is."""
    assert webscout("--version") == (0, f"webscout {version('webscout')}\n", "")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PORT", "99999", "PORT: '99999' is not allowed; allowed: a whole number from 0 to 65,535"),
        ("PORT", "abc", "PORT: 'abc' is not allowed; allowed: a whole number from 0 to 65,535"),
        ("LLM_TIMEOUT_S", "0", "allowed: a number above 0, at most 60"),
        ("TEAM_TOKENS_PER_DAY", "0", "allowed: a whole number from 1"),
        ("OPENAI_BASE_URL", "ftp://u:s3cret@x", "OPENAI_BASE_URL: not allowed; allowed: an"),
        ("SOURCES", "nosuch", "SOURCES: unknown source 'nosuch'; allowed: file:PATH"),
        ("DATABASE_URL", "mysql://x", "DATABASE_URL: unknown database 'mysql'; allowed: sqlite"),
        ("DATABASE_URL", "postgresql://user:s3cret@127.0.0.1:1/x", "database: "),
        ("SCOUT_CONFIG", "nosuch@1", "SCOUT_CONFIG: unknown configuration"),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL: unknown level"),
        ("SOURCE_TIMEOUT_S", "-1", "SOURCE_TIMEOUT_S: '-1' is not allowed; allowed: a number"),
    ],
)
def test_a_bad_setting_stops_the_start(webscout: Run, name: str, value: str, words: str) -> None:
    """The setting is named with what is allowed; a secret in it is not printed."""
    code, _, err = webscout("scout", "--source", "sample", **{name: value})
    assert code == (1 if value.startswith("postgresql") else 2)
    assert words in err
    assert "s3cret" not in err
    assert "Traceback" not in err


def test_nothing_found_is_exit_3_with_the_object(webscout: Run, postings: str) -> None:
    """A completed scout without a match still prints its funnel."""
    code, out, _ = webscout("scout", "--json", "--kind", "bounty", "--source", postings)
    assert code == 3
    assert result_of(out)["matches"] == []
    assert result_of(out)["status"] == "completed"


def test_some_sources_failing_is_a_notice(webscout: Run, postings: str) -> None:
    """The sources that answer are used, and the notice counts them."""
    code, out, _ = webscout("scout", "--json", "--source", postings, "--source", "file:nosuch")
    assert code == 0
    assert "1 of 2 sources answered." in result_of(out)["notices"]


def test_all_sources_failing_is_a_failed_run(webscout: Run) -> None:
    """The object is printed too, with the status and the error."""
    code, out, _ = webscout("scout", "--json", "--source", "file:nosuch")
    result = result_of(out)
    assert (code, result["status"], result["error"]["type"]) == (1, "failed", "sources-failed")


def test_strict_configuration_undoes_the_matching(webscout: Run) -> None:
    """Without a language model the strict scout is compensated and shows no match."""
    code, out, _ = webscout("scout", "--json", "--source", "sample", "--config", "scout-strict@1")
    result = result_of(out)
    assert (code, result["status"], result["matches"], result["drafts"]) == (
        1,
        "compensated",
        [],
        [],
    )
    assert result["receipt"]["undone"] == ["10 scores removed"]


def test_place_aliases_are_one_place(webscout: Run, tmp_path: Path) -> None:
    """NYC, New York, NY and the city's full name find the same postings."""
    texts = ["NYC", "New York, NY", "New York City", "NY office", "Brooklyn, NY", "Boston, MA"]
    rows = [json.dumps({"id": str(i), "title": "T", "location": t}) for i, t in enumerate(texts)]
    (tmp_path / "places.jsonl").write_text("\n".join(rows), "utf-8")
    found = set()
    for alias in ("NYC", "New York", "NY", "New York, NY", "new york city"):
        _, out, _ = webscout(
            "scout", "--json", "--location", alias, "--source", "file:places.jsonl"
        )
        found.add(tuple(sorted(m["opportunity"]["source_id"] for m in result_of(out)["matches"])))
    assert found == {("0", "1", "2", "3", "4")}


def test_doctor_checks_and_never_prints_a_secret(webscout: Run) -> None:
    """A table row for each check; JSON for programs; 1 when the database can't be used."""
    code, out, _ = webscout("doctor", "--json", PORT="0")
    assert code == 0
    assert {check["name"] for check in json.loads(out)} >= {"settings", "database", "port"}
    code, out, err = webscout("doctor", DATABASE_URL="postgresql://u:s3cret@127.0.0.1:1/x")
    assert code == 1
    assert "webscout migrate" in out
    assert "s3cret" not in out + err


def test_migrate_says_what_it_did(webscout: Run) -> None:
    """The first time brings the schema up to date, the second finds it so; --sql prints it."""
    assert "brought up to date" in webscout("migrate")[1]
    assert "is up to date" in webscout("migrate")[1]
    assert "CREATE TABLE opportunities" in webscout("migrate", "--sql")[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"HOST": "0.0.0.0"}, "loopback only"),
        ({"TELEGRAM_BOT_TOKEN": "rubbish"}, "TELEGRAM_BOT_TOKEN"),
    ],
)
def test_the_bot_refuses_what_it_can_not_serve(
    webscout: Run, settings: dict[str, str], words: str
) -> None:
    """A chat page without a login is not put on the network."""
    code, _, err = webscout(**settings)
    assert code == 2
    assert words in err


def step_started(database: Path) -> bool:
    """Whether a run's first step stands in the journal."""
    time.sleep(0.02)
    if not database.exists():
        return False
    connection = sqlite3.connect(database)
    try:
        query = "SELECT count(*) FROM run_events WHERE type = 'step.started'"
        return bool(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # not migrated yet
        return False
    finally:
        connection.close()


def test_ctrl_c_cancels_the_run(tmp_path: Path) -> None:
    """SIGINT stops the scout, undoes it, and leaves with 130."""
    record = json.dumps({"title": "T", "location": "Berlin", "description": "python " * 50})
    (tmp_path / "big.jsonl").write_text("\n".join(
        record.replace('"T"', f'"T{i}"') for i in range(60_000)), "utf-8")  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "scout", "--json", "--source", "file:big.jsonl"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "LOG_LEVEL": "INFO"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not step_started(tmp_path / "var/webscout.db"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert result_of(out)["status"] == "cancelled"
    assert result_of(out)["receipt"]["stopped"] == ["gathering postings"]
    assert "Traceback" not in err

"""The main job on 8,281 real postings, through the command line."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.cli.main import main

# Thousands of postings through what the other tests cover with a few.
pytestmark = pytest.mark.unmeasured

KINDS = ("grant", "bounty", "hackathon")


@pytest.fixture(scope="module")
def records(real_data: Path) -> dict[str, dict[str, Any]]:
    """The raw records by their own id."""
    lines = (real_data / "opportunities_public.jsonl").read_text("utf-8").splitlines()
    return {record["id"]: record for record in map(json.loads, lines)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, without settings."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scout(
    capsys: pytest.CaptureFixture[str], data: Path, *words: str
) -> tuple[int, dict[str, Any]]:
    """Scout the real postings; gives the exit code and the result."""
    source = f"file:{data / 'opportunities_public.jsonl'}"
    code = main(["scout", *words, "--limit", "10", "--json", "--source", source])
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, result


def adds_up(funnel: dict[str, Any]) -> bool:
    """Whether everything found is accounted for."""
    gone = funnel["duplicates"] + funnel["expired"] + funnel["inactive"]
    return bool(funnel["found"] == gone + sum(funnel["filtered"].values()) + funnel["ranked"])


def test_backend_jobs_in_new_york_or_remote(
    folder: Path, real_data: Path, records: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten active matches of the right kinds and places, with reasons and provenance."""
    code, result = scout(
        capsys, real_data, "backend", "--skills", "python,postgresql,docker",
        "--location", "New York", "--remote", "--kind", "job,internship",
    )  # fmt: skip
    assert code == 0
    assert result["status"] == "completed"
    assert len(result["matches"]) == 10
    assert result["funnel"]["found"] == 8281
    assert adds_up(result["funnel"])
    for match in result["matches"]:
        opportunity = match["opportunity"]
        raw = records[opportunity["source_id"]]
        assert raw["active"] is not False
        assert raw["kind"] in {"job", "internship"}
        assert opportunity["url"] == raw["url"]
        assert opportunity["remote"] or any(
            place in text for text in raw["locations"] for place in ("New York", "NY")
        )
        assert match["reasons"]
        assert match["provenance"]["source"] == "file"


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_are_open_and_of_that_kind(
    folder: Path,
    real_data: Path,
    records: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    kind: str,
) -> None:
    """Only the kind asked for, and none whose deadline has passed, the expired ones counted."""
    code, result = scout(capsys, real_data, "--kind", kind, "--skills", "python,ai")
    today = datetime.now(UTC).isoformat()
    assert code in {0, 3}
    assert adds_up(result["funnel"])
    assert {m["opportunity"]["kind"] for m in result["matches"]} <= {kind}
    for match in result["matches"]:
        opportunity = match["opportunity"]
        assert opportunity["deadline"] is None or opportunity["deadline"] >= today
        assert records[opportunity["source_id"]]["deadline"] != "closed"
        assert records[opportunity["source_id"]]["active"] is not False
    if kind != "hackathon":
        assert len(result["matches"]) == 10
    of_kind = Counter(record["kind"] for record in records.values())[kind]
    gone = result["funnel"]["expired"] + result["funnel"]["inactive"]
    assert gone + result["funnel"]["ranked"] <= of_kind
    if kind in {"grant", "hackathon"}:
        assert result["funnel"]["expired"] > 0

"""Reading runs over HTTP: one with all there is to it, and the list, page by page."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from referencing import Registry, Resource

from bot.bootstrap import Fakes
from tests.fakes.api_client import ApiClient, api_bot
from tests.fakes.sources import FailingSource, TestSources


@pytest.fixture
async def blue(tmp_path: Path) -> AsyncIterator[ApiClient]:
    """The blue team's program at a running bot."""
    async with api_bot(tmp_path, team_runs=1_000) as client:
        yield client


@pytest.fixture(scope="session")
def run_schema(real_data: Path) -> jsonschema.Draft202012Validator:
    """The contract's schema of a run."""
    folder = real_data.parent / "schemas"
    if not folder.is_dir():
        pytest.skip(f"there are no schemas in {folder}")
    found = {file.name: json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")}
    registry: Registry[Any] = Registry().with_resources(
        (name, Resource.from_contents(schema)) for name, schema in found.items()
    )
    return jsonschema.Draft202012Validator(
        found["run.json"], registry=registry, format_checker=jsonschema.FormatChecker()
    )


async def test_every_kind_of_end_has_the_contracts_shape(
    tmp_path: Path, run_schema: jsonschema.Draft202012Validator
) -> None:
    """A run that completed, was compensated, failed or was degraded: each as the schema has it."""
    fakes = Fakes(sources=TestSources({"failing": FailingSource()}))
    wanted: dict[str, dict[str, object]] = {
        "completed": {},
        "compensated": {"config": "scout-strict@1"},
        "failed": {"sources": ["failing"]},
        "degraded": {"sources": ["sample", "failing"]},
    }
    async with api_bot(tmp_path, fakes) as blue:
        runs = {name: await blue.ended(await blue.started(**body)) for name, body in wanted.items()}
        listed = (await blue.ask("GET", "/v1/runs")).body["runs"]
    for run in [*runs.values(), *listed]:
        run_schema.validate(run)
    assert [run["run_id"] for run in reversed(listed)] == [run["run_id"] for run in runs.values()]
    assert {run["result"] for run in listed} == {None}
    ends = {name: (run["status"], (run["error"] or {}).get("type")) for name, run in runs.items()}
    assert ends == {
        "completed": ("completed", None),
        "compensated": ("compensated", "llm-unavailable"),
        "failed": ("failed", "sources-failed"),
        "degraded": ("completed", None),
    }
    assert runs["degraded"]["degraded"] == ["1 of 2 sources answered"]
    assert runs["compensated"]["result"]["matches"] == []
    assert runs["compensated"]["steps"][-1]["error"] == {"type": "llm-unavailable"}


@pytest.mark.unmeasured  # many runs
async def test_pages_lose_and_repeat_nothing_while_new_runs_come(blue: ApiClient) -> None:
    """45 runs are read page by page; what begins meanwhile is not among them, and moves none."""
    first = [await blue.started(drafts=0) for _ in range(45)]
    read: list[str] = []
    page = (await blue.ask("GET", "/v1/runs", query={"limit": 7})).body
    while True:
        read += [run["run_id"] for run in page["runs"]]
        if page["next_cursor"] is None:
            break
        assert len(page["runs"]) == 7
        await blue.started(drafts=0)
        page = (
            await blue.ask("GET", "/v1/runs", query={"limit": 7, "cursor": page["next_cursor"]})
        ).body
    assert read == first[::-1]
    assert len((await blue.ask("GET", "/v1/runs")).body["runs"]) == 20
    assert len((await blue.ask("GET", "/v1/runs", query={"limit": 100})).body["runs"]) > 45


async def test_a_list_may_be_of_one_status(blue: ApiClient) -> None:
    """The filter holds over pages, and a status that none has gives an empty list."""
    done = [await blue.started() for _ in range(3)]
    undone = [await blue.started(config="scout-strict@1") for _ in range(3)]
    for run_id in done + undone:
        await blue.ended(run_id)
    for status, run_ids in (("completed", done), ("compensated", undone), ("parked", [])):
        read: list[str] = []
        cursor = ""
        while cursor is not None:
            query = {"status": status, "limit": 2} | ({"cursor": cursor} if cursor else {})
            page = (await blue.ask("GET", "/v1/runs", query=query)).body
            read += [run["run_id"] for run in page["runs"]]
            cursor = page["next_cursor"]
        assert read == run_ids[::-1]


WRONG = [
    ("limit", "0"),
    ("limit", "101"),
    ("limit", "-1"),
    ("limit", "many"),
    ("limit", "1.0"),
    ("limit", "²"),
    ("limit", ""),
    ("limit", "9" * 400),
    ("status", "done"),
    ("status", "Completed"),
    ("status", ""),
    ("cursor", ""),
    ("cursor", "x"),
    ("cursor", "WzEsMl0"),
    ("cursor", "1-"),
    ("cursor", "-abc"),
    ("cursor", "12345678901234567-abc"),
    ("cursor", "1795295373628420-\x00"),
    ("cursor", "1795295373628420-ABC"),
    ("cursor", "9" * 20_000 + "-a"),
    ("page", "2"),
    ("Limit", "2"),
]


async def test_a_list_that_is_asked_for_wrongly(blue: ApiClient) -> None:
    """422 with what is wrong and what is allowed."""
    for name, value in WRONG:
        answer = await blue.ask("GET", "/v1/runs", query={name: value[:4_000]})
        assert (answer.status, answer.problem) == (422, "invalid-request"), value
        assert answer.places == [name]


async def test_a_cursor_at_any_time_is_a_place(blue: ApiClient) -> None:
    """A cursor of the right form is a place in the list, wherever it points to."""
    for cursor in ("0-0", "9999999999999999-ffff", "1795295373628420-e0a6"):
        assert (await blue.ask("GET", "/v1/runs", query={"cursor": cursor})).status == 200


async def test_the_answers_are_not_kept_by_anybody(blue: ApiClient) -> None:
    """No cache between keeps a run."""
    answer = await blue.ask("GET", f"/v1/runs/{await blue.started()}")
    assert answer.headers["Cache-Control"] == "no-store"

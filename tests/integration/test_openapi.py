"""The API's description: valid, true to the routes, and held against the served bot."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agents.configs import ask_configs, scout_configs
from resilience.saga import EventType, RunStatus
from tests.conftest import CI
from tests.fakes.api_client import BLUE, ApiClient, api_bot
from tests.fakes.people import rows

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
EXAMPLES = 20
WITHIN_S = 120.0
"""It takes some fifteen seconds on an idle machine."""

HOOKS = '''
import itertools
import schemathesis

used, numbers = set(), itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    """A key that was used for another request is refused, rightly, though the description allows
    it. And JSON Schema takes 7.0 for an integer; the API takes nothing for something else."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and key in used:
        case.headers["Idempotency-Key"] = f"used-{next(numbers)}"
    elif isinstance(key, str):
        used.add(key)
    if isinstance(case.body, dict):
        for name in ("limit", "drafts"):
            value = case.body.get(name)
            if isinstance(value, float) and value.is_integer():
                case.body[name] = int(value)
'''
CONFIG = f'''
hooks = "hooks.py"
[auth.openapi.key]
bearer = "{BLUE}"
'''
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


async def described(client: ApiClient) -> dict[str, Any]:
    """The description, which needs no key."""
    answer = await client.of(None).ask("GET", "/v1/openapi.json")
    assert (answer.status, answer.kind) == (200, "application/json")
    document: dict[str, Any] = answer.body
    return document


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The operations by method and path."""
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def references(part: object) -> set[str]:
    """All that is referred to."""
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*map(references, part.values()))
    return set().union(*map(references, part)) if isinstance(part, list) else set()


async def test_the_description_is_whole(tmp_path: Path) -> None:
    """OpenAPI 3.1: what it refers to is there, its schemas are valid, names are given once."""
    async with api_bot(tmp_path) as blue:
        document = await described(blue)
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"]
    assert document["info"]["version"]
    prefix = "#/components/schemas/"
    schemas = document["components"]["schemas"]
    assert {ref.removeprefix(prefix) for ref in references(document)} <= set(schemas)
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    found = operations(document)
    names = [operation["operationId"] for operation in found.values()]
    assert len(set(names)) == len(names)
    for (_method, path), operation in found.items():
        parameters = operation.get("parameters", [])
        in_path = {p["name"] for p in parameters if p["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        for parameter in parameters:
            jsonschema.Draft202012Validator.check_schema(parameter["schema"])
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert response["description"]
    assert found["get", "/v1/openapi.json"]["security"] == []


async def test_the_description_is_of_what_there_is(tmp_path: Path) -> None:
    """Each operation is served, with 401 to those without a key; the names it allows are those
    of the product."""
    async with api_bot(tmp_path) as blue:
        document = await described(blue)
        for (method, path), operation in operations(document).items():
            answer = await blue.of(None).ask(method.upper(), path.replace("{id}", "abc"))
            secured = operation.get("security") != []
            assert answer.status == (401 if secured else 200)
            assert str(answer.status) in operation["responses"]
    assert set(operations(document)) == {
        ("post", "/v1/runs"),
        ("get", "/v1/runs"),
        ("get", "/v1/runs/{id}"),
        ("get", "/v1/runs/{id}/events"),
        ("post", "/v1/runs/{id}/cancel"),
        ("get", "/v1/openapi.json"),
    }
    scout = document["components"]["schemas"]["ScoutIn"]
    assert set(scout["properties"]["config"]["enum"]) == set(scout_configs())
    ask = document["components"]["schemas"]["AskIn"]
    assert set(ask["properties"]["config"]["enum"]) == set(ask_configs())
    assert set(ask["required"]) == {"kind", "text"}
    assert "sample" in scout["properties"]["sources"]["items"]["enum"]
    assert scout["additionalProperties"] is False
    assert scout["required"] == ["kind"]
    text = json.dumps(document)
    assert all(f'"{word}"' in text for word in (*RunStatus, *EventType))


async def test_answers_are_as_described(tmp_path: Path) -> None:
    """A run, the list and a refusal each fit the schema that the description has for them."""
    async with api_bot(tmp_path) as blue:
        document = await described(blue)
        accepted = (await blue.start()).body
        answers = {
            "Accepted": accepted,
            "RunDetails": await blue.ended(accepted["run_id"]),
            "RunList": (await blue.ask("GET", "/v1/runs")).body,
            "Problem": (await blue.start({"kind": "no"})).body,
        }
    for name, answer in answers.items():
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(answer)


@pytest.mark.unmeasured
@pytest.mark.timeout(WITHIN_S + 60)
async def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """Every check, over examples that are the same each time, finds no failure and no 5xx."""
    if not SCHEMATHESIS.exists():
        assert not CI, "pip install schemathesis"
        pytest.skip("pip install schemathesis")
    (tmp_path / "hooks.py").write_text(HOOKS, "utf-8")
    (tmp_path / "schemathesis.toml").write_text(CONFIG, "utf-8")
    many = {"team_runs": 100_000, "runs_queued": 100_000}
    async with api_bot(tmp_path, **many) as blue:  # type: ignore[arg-type]
        process = await asyncio.create_subprocess_exec(
            SCHEMATHESIS, "--config-file", "schemathesis.toml",
            "run", f"{blue.address}/v1/openapi.json",
            "--checks", "all", "--generation-deterministic", "--max-examples", str(EXAMPLES),
            "--request-timeout", "30", "--continue-on-failure", "--no-color",
            cwd=tmp_path, env=ENVIRONMENT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            out, _ = await asyncio.wait_for(process.communicate(), WITHIN_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    said = out.decode()
    assert process.returncode == 0, said
    assert re.search(r"Operations: +5 selected / 5 total", said), said
    assert "Stateful" in said
    ((begun,),) = rows(tmp_path, "SELECT count(*) FROM runs")
    assert int(str(begun)) > 10  # what it sent was no rubbish only
    shutil.rmtree(tmp_path / ".schemathesis", ignore_errors=True)

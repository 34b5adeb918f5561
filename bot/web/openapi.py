"""`GET /v1/openapi.json`: the run API, described by the models that it is served with."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from agents.configs import ask_configs, scout_configs
from agents.domain.run import SOURCES_MAX
from agents.run_details import RunDetails
from bot.web.models import Accepted, AskIn, Cancelling, Problem, ScoutIn
from bot.web.runs import CURSOR, KEY_LENGTH_MAX, PAGE_DEFAULT, PAGE_MAX
from resilience.saga import EventType, RunStatus

_SCHEMAS = "#/components/schemas/{model}"
_RUN_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[0-9a-f]+$"},
}
_EVENT = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[1-9][0-9]*$"},
        "event": {"enum": list(EventType)},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_WORDS = {
    400: "The request can't be read",
    401: "No key, or one that is not known",
    404: "The team has no such run",
    409: "The run ended in another way",
    413: "The body is over 64 KiB",
    422: "Something in it is not allowed; `errors` names each place",
    429: "A quota of the team is used up; Retry-After says when to come again",
    503: "Not now; Retry-After says when to come again",
}
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}
}


@lru_cache(maxsize=4)
def document(version: str, sources: tuple[str, ...]) -> Mapping[str, Any]:
    """The OpenAPI 3.1 description; `sources` are the names that a run may give."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Webscout runs",
            "version": version,
            "description": "Start scouts, or say in words what you want, follow what happens "
            "to them, and read what they found. "
            "A run belongs to the team of the key that started it.",
        },
        "security": [{"key": []}],
        "paths": {
            "/v1/runs": {"post": _create(), "get": _list()},
            "/v1/runs/{id}": {"get": _get()},
            "/v1/runs/{id}/events": {"get": _events()},
            "/v1/runs/{id}/cancel": {"post": _cancel()},
            "/v1/openapi.json": {"get": _openapi()},
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(sources),
        },
    }


def _schemas(sources: Sequence[str]) -> dict[str, Any]:
    models: list[tuple[type[BaseModel], Literal["validation"]]]
    models = [(ScoutIn, "validation"), (AskIn, "validation")]
    _, taken = models_json_schema(models, ref_template=_SCHEMAS)
    _, given = models_json_schema(
        [(Accepted, "serialization"), (Cancelling, "serialization"), (Problem, "serialization")],
        ref_template=_SCHEMAS,
    )
    run = TypeAdapter(RunDetails).json_schema(mode="serialization", ref_template=_SCHEMAS)
    schemas: dict[str, Any] = {**given["$defs"], **run.pop("$defs"), **taken["$defs"]}
    schemas["RunDetails"] = run
    for model, configs in (("ScoutIn", scout_configs()), ("AskIn", ask_configs())):
        asked = schemas[model]["properties"]
        asked["sources"] |= {"items": {"enum": list(sources)}, "maxItems": SOURCES_MAX}
        asked["config"] = {"enum": list(configs), "default": asked["config"]["default"]}
    schemas["RunIn"] = {"oneOf": [_ref("ScoutIn"), _ref("AskIn")]}
    schemas["RunList"] = {
        "type": "object",
        "required": ["runs", "next_cursor"],
        "properties": {
            "runs": {"type": "array", "items": _ref("RunDetails")},
            "next_cursor": {"type": ["string", "null"]},
        },
    }
    return schemas


def _create() -> dict[str, Any]:
    accepted = {
        "content": _json("Accepted"),
        "headers": {"Location": {"schema": {"type": "string"}}},
    }
    return {
        "operationId": "createRun",
        "summary": "Start a run",
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key and body give the first run again, for 24 h",
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": KEY_LENGTH_MAX,
                    "pattern": "^[!-~]([ -~]*[!-~])?$",
                },
            }
        ],
        "requestBody": {"required": True, "content": _json("RunIn")},
        "responses": {
            "202": {"description": "The run is journaled, and goes on by itself", **accepted},
            "200": {
                "description": "The first run with this key; Idempotency-Replayed: true",
                **accepted,
            },
            **_problems(400, 401, 413, 422, 429, 503),
        },
    }


def _list() -> dict[str, Any]:
    return {
        "operationId": "listRuns",
        "summary": "The team's runs, newest first, without their results",
        "parameters": [
            _query("status", {"enum": list(RunStatus)}),
            _query(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT},
            ),
            _query("cursor", {"type": "string", "pattern": CURSOR.pattern})
            | {"description": "A next_cursor that was given"},
        ],
        "responses": {
            "200": {"description": "A page of runs", "content": _json("RunList")},
            **_problems(401, 422, 503),
        },
    }


def _get() -> dict[str, Any]:
    return {
        "operationId": "getRun",
        "summary": "A run: where it stands, its steps, what it used, its result",
        "parameters": [_RUN_ID],
        "responses": {
            "200": {"description": "The run", "content": _json("RunDetails")},
            **_problems(401, 404, 503),
        },
    }


def _events() -> dict[str, Any]:
    number = {"type": "integer", "minimum": 0, "maximum": 10**9 - 1}
    return {
        "operationId": "followRun",
        "summary": "What happens to a run, as server-sent events, up to a closing one",
        "parameters": [
            _RUN_ID,
            {"name": "Last-Event-ID", "in": "header", "schema": number},
            _query("after", number),
        ],
        "responses": {
            "200": {
                "description": "`id` is the event's number from 1 without gaps, `event` its type, "
                "`data` JSON. The schema is that of each event.",
                "content": {"text/event-stream": {"schema": _EVENT}},
            },
            **_problems(400, 401, 404, 503),
        },
    }


def _cancel() -> dict[str, Any]:
    return {
        "operationId": "cancelRun",
        "summary": "Stop a run and undo it",
        "parameters": [_RUN_ID],
        "responses": {
            "202": {"description": "It is being stopped", "content": _json("Cancelling")},
            **_problems(401, 404, 409, 503),
        },
    }


def _openapi() -> dict[str, Any]:
    return {
        "operationId": "describe",
        "summary": "This description",
        "security": [],
        "responses": {
            "200": {
                "description": "OpenAPI 3.1",
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
    }


def _problems(*statuses: int) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {
        str(status): {"description": _WORDS[status], "content": content}
        | ({"headers": _RETRY_AFTER} if status in {429, 503} else {})
        for status in statuses
    }


def _json(model: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(model)}}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _ref(model: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model}"}

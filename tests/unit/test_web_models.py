"""What the run API takes: strict, and never more than the product itself takes."""

import json
import sys
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.domain.kind import Kind
from agents.domain.pay import Period
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest
from bot.web.models import Links, ScoutIn

SCOUT: dict[str, Any] = {"kind": "scout"}


def taken(body: object) -> bool:
    """Whether the body is accepted."""
    try:
        ScoutIn.model_validate_json(json.dumps(body))
    except ValidationError:
        return False
    return True


def lists(items: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Short lists, and some that are too long."""
    return st.lists(items, max_size=4) | st.lists(items, min_size=20, max_size=60)


WORDS = st.text(max_size=12) | st.sampled_from(["", " ", "\u3000", "\x1f", "\u200b", "x" * 70])
PAYS = st.fixed_dictionaries(
    {
        "amount": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
        "currency": st.sampled_from(["EUR", "eur", "EURO", "EÜR"]),
        "period": st.sampled_from([*Period, "decade"]),
    }
)
PROFILES = st.fixed_dictionaries(
    {},
    optional={
        "skills": lists(WORDS),
        "locations": lists(WORDS),
        "remote": st.booleans(),
        "kinds": lists(st.sampled_from([*Kind])),
        "min_pay": st.none() | PAYS,
        "about": WORDS | st.just("x" * 3_000),
    },
)
BODIES = st.fixed_dictionaries(
    {"kind": st.just("scout")},
    optional={
        "query": WORDS | st.just("x" * 201),
        "profile": PROFILES,
        "sources": lists(WORDS),
        "limit": st.integers(-1, 102),
        "drafts": st.integers(-1, 12),
        "config": st.sampled_from(["scout@1", "scout", "a-b@22"]),
    },
)


@settings(deadline=None)
@given(BODIES)
def test_what_is_taken_is_a_request(body: dict[str, Any]) -> None:
    """Nothing that the models let through is refused by the product's own values."""
    if taken(body):
        asked = ScoutIn.model_validate_json(json.dumps(body))
        request = asked.request(("sample",))
        assert isinstance(request, ScoutRequest)
        assert request.sources == (tuple(body.get("sources", ())) or ("sample",))
        assert request.profile.skills == tuple(body.get("profile", {}).get("skills", ()))


@pytest.mark.unmeasured  # many values by chance
@settings(deadline=None)
@given(BODIES)
def test_the_schema_says_what_is_taken(body: dict[str, Any]) -> None:
    """The description and the models agree on every body."""
    validator = jsonschema.Draft202012Validator(ScoutIn.model_json_schema())
    assert validator.is_valid(body) == taken(body)


@pytest.mark.parametrize("field", ["skills", "locations"])
def test_a_blank_is_a_blank_to_both(field: str) -> None:
    """For every character: the API refuses a skill or a place of it alone where the product
    does; of control characters alone, everywhere."""
    for code in (*range(0x3100), 0xFEFF, 0xE000, 0x1F600, sys.maxunicode):
        character = chr(code)
        fits: Callable[..., Profile] = Profile
        try:
            fits(**{field: (character,)})
            allowed = True
        except ValueError:
            allowed = False
        expected = allowed and code >= 0x20
        assert taken(SCOUT | {"profile": {field: [character]}}) == expected, hex(code)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
))  # fmt: skip
def test_nothing_else_breaks_it(body: object) -> None:
    """Any other JSON is refused with its places, and nothing but a ValidationError is raised."""
    assert not taken(body)
    for name in ScoutIn.model_fields:
        taken(SCOUT | {name: body})


def test_the_links_of_a_run() -> None:
    """Paths, under the names of the contract."""
    assert Links.of("abc").model_dump(by_alias=True) == {
        "self": "/v1/runs/abc",
        "events": "/v1/runs/abc/events",
        "cancel": "/v1/runs/abc/cancel",
    }

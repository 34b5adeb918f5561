"""The list of feeds and of actors: what ships, and what an operator may get wrong."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agents.discovery.port import Need
from agents.discovery.sources.actor_list import Actor, fill, input_key, load_actors
from agents.discovery.sources.feed_list import RESERVED, load_feeds
from agents.domain.errors import InvalidValue
from agents.domain.kind import Kind
from bot.bootstrap import build_core
from tests.conftest import local_settings

FEED = {"name": "a", "title": "A", "home": "https://a.example", "url": "https://a.example/api",
        "period_s": 3600}  # fmt: skip
FAMILY = FEED | {"name": "boards", "url": "https://b.example/{board}/jobs"}
INPUT = {"input": {"q": "{words}"}}
ACTOR = {"actor": "user/actor", "title": "A", "kinds": ["job"], "period_s": 60, "timeout_s": 60,
         "memory_mbytes": 512, "items_max": 10, "charge_max_usd": 0.1,
         "inputs": [INPUT]}  # fmt: skip


def file(folder: Path, content: object) -> Path:
    """A file with that content: text as it is, anything else as JSON."""
    path = folder / "list.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def one_feed(**changes: object) -> dict[str, object]:
    """A list of one feed with these fields."""
    return {"feeds": [FEED | changes]}


def one_actor(**changes: object) -> dict[str, object]:
    """A list of one actor with these fields."""
    return {"actors": [ACTOR | changes]}


# --- feeds ------------------------------------------------------------------------------------


def test_what_ships_keeps_to_the_sources_terms() -> None:
    """Each feed says what its terms are, and is read no more often than they allow."""
    feeds = {feed.name: feed for feed in load_feeds(None)}
    assert set(feeds) == {
        "remotive", "jobicy", "grants-gov", "devpost", "hn-who-is-hiring", "remoteok", "arbeitnow",
        "himalayas",
    }  # fmt: skip
    assert all(feed.terms and feed.home and feed.kinds for feed in feeds.values())
    assert all(feed.period_s >= 3600 for feed in feeds.values())
    assert feeds["remotive"].pause_s >= 30  # over two a minute is blocked


def test_boards_are_feeds_of_their_own() -> None:
    """A family is a feed for each board that is named, and none without one."""
    feeds = load_feeds(None, ("greenhouse:acme", "lever:acme", "ashby:a.b-c_d", "lever:acme"))
    boards = {feed.name: feed.url for feed in feeds if ":" in feed.name}
    assert boards == {
        "greenhouse:acme": "https://boards-api.greenhouse.io/v1/boards/acme/jobs?content=true",
        "lever:acme": "https://api.lever.co/v0/postings/acme?mode=json",
        "ashby:a.b-c_d": "https://api.ashbyhq.com/posting-api/job-board/a.b-c_d"
        "?includeCompensation=true",
    }


FEED_MISTAKES = [
    ("", "not JSON"),
    ("{", "not JSON"),
    ("[" * 100_000, "not JSON"),
    (b"\xff\xfe\x00", "not a text file in UTF-8"),
    ([], "the file: "),
    ({}, "feeds: Field required"),
    ({"feeds": {}}, "feeds: "),
    ({"feeds": [FEED, 7]}, "feeds.1: "),
    ({"feeds": [FEED], "more": 1}, "more: Extra inputs are not permitted"),
    ({"feeds": [FEED] * 201}, "feeds: "),
    ({"feeds": [FEED, FEED]}, "two feeds are named 'a'"),
    (one_feed(perod_s=1), "feeds.0.perod_s: Extra inputs are not permitted"),
    (one_feed(name="feeds"), "name 'feeds' is taken"),
    (one_feed(name="file:jobs.json"), "name 'file:jobs.json' is taken"),
    (one_feed(name="A B"), "feeds.0.name: "),
    (one_feed(url="ftp://a.example/api"), "feeds.0.url: "),
    (one_feed(url="https://"), "feeds.0.url: "),
    (one_feed(url="file:///etc/passwd"), "feeds.0.url: "),
    (one_feed(link="javascript:alert({id})"), "feeds.0.link: "),
    (one_feed(period_s=0), "feeds.0.period_s: "),
    (one_feed(period_s="soon"), "feeds.0.period_s: "),
    (one_feed(pause_s=-1), "feeds.0.pause_s: "),
    (one_feed(method="DELETE"), "feeds.0.method: "),
    (one_feed(kinds=["volunteering"]), "feeds.0.kinds.0: "),
    (one_feed(format="hn"), "format hn needs item_url and link with {id}"),
    (one_feed(format="hn", link="https://x.example/{id}", item_url="https://x.example/"), "{id}"),
    (one_feed(fields={"titel": ["t"]}), "unknown field 'titel'"),
    (one_feed(fields={"title": "t"}), "feeds.0.fields.title: "),
    (one_feed(constants={"kynd": "job"}), "unknown field 'kynd'"),
    (one_feed(pages={"parameter": "p", "pages_max": 51}), "feeds.0.pages.pages_max: "),
]


@pytest.mark.parametrize(("content", "words"), FEED_MISTAKES)
def test_a_mistake_in_the_feeds_is_named_with_its_place(
    tmp_path: Path, content: object, words: str
) -> None:
    """The setting, the place in the file, what is wrong there, and what is allowed; one line."""
    with pytest.raises(InvalidValue) as caught:
        load_feeds(file(tmp_path, content))
    message = str(caught.value)
    assert message.startswith("FEEDS_FILE: ")
    assert words in message
    assert "allowed: " in message
    assert len(message.splitlines()) == 1
    assert len(message) < 1_000


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_the_names_of_other_sources_are_taken(tmp_path: Path, name: str) -> None:
    """A feed can't stand in the place of another kind of source."""
    for taken in (name, f"{name}:x"):
        with pytest.raises(InvalidValue, match="is taken"):
            load_feeds(file(tmp_path, one_feed(name=taken)))


@pytest.mark.parametrize("load", [load_feeds, load_actors])
def test_a_file_that_is_not_there(tmp_path: Path, load: Any) -> None:
    """Its name is said; a folder is no file either."""
    with pytest.raises(InvalidValue, match=r"_FILE: No such file or directory \(.*nosuch\.json\)"):
        load(tmp_path / "nosuch.json")
    with pytest.raises(InvalidValue, match=r"_FILE: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    "board",
    [
        "greenhouse",
        "boards:",
        "nosuch:a",
        "boards:a/../b",
        "boards:a b",
        "boards:a?x=1",
        ":",
        "a:b",
    ],
)
def test_a_board_that_can_not_be(tmp_path: Path, board: str) -> None:
    """The setting is named with the families there are; a board is one word of an address."""
    with pytest.raises(InvalidValue, match=r"FEED_BOARDS: unknown board .*; allowed: boards:BOARD"):
        load_feeds(file(tmp_path, {"feeds": [FEED, FAMILY]}), (board,))


def test_a_list_without_families_has_no_boards(tmp_path: Path) -> None:
    """The message says so."""
    with pytest.raises(InvalidValue, match=r"FEED_BOARDS.*none in this list"):
        load_feeds(file(tmp_path, one_feed()), ("greenhouse:acme",))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"feeds_file": "nosuch.json"}, "FEEDS_FILE"),
        ({"apify_actors_file": "nosuch.json"}, "APIFY_ACTORS_FILE"),
        ({"feed_boards": "nosuch:acme"}, "FEED_BOARDS"),
        ({"sources": ("nosuch",)}, "SOURCES"),
        ({"sources": ("apify",)}, "SOURCES: apify needs APIFY_API_TOKEN"),
    ],
)
async def test_a_mistake_stops_the_start(
    tmp_path: Path, settings: dict[str, object], words: str
) -> None:
    """Before anything is asked of anybody."""
    with pytest.raises(InvalidValue, match=words):
        async with build_core(local_settings(tmp_path, **settings)):
            pass


# --- actors -----------------------------------------------------------------------------------

ACTOR_MISTAKES = [
    ("nonsense", "not JSON"),
    ({"actors": 7}, "actors: "),
    ({"feeds": []}, "actors: Field required"),
    ({"actors": [ACTOR] * 51}, "actors: "),
    (one_actor(actor="no-slash"), "actors.0.actor: "),
    (one_actor(actor="a/b/../../users/me"), "actors.0.actor: "),
    (one_actor(colour="red"), "actors.0.colour: Extra inputs are not permitted"),
    (one_actor(kinds=["x"]), "actors.0.kinds.0: "),
    (one_actor(timeout_s=171), "actors.0.timeout_s: "),
    (one_actor(items_max=0), "actors.0.items_max: "),
    (one_actor(charge_max_usd=0), "actors.0.charge_max_usd: "),
    (one_actor(inputs=[]), "actors.0.inputs: "),
    (one_actor(inputs=[{"input": "x"}]), "actors.0.inputs.0.input: "),
    (one_actor(inputs=[INPUT | {"constants": {"kynd": "x"}}]), "unknown field 'kynd'"),
    (one_actor(fields={"titel": ["x"]}), "unknown field 'titel'"),
]


@pytest.mark.parametrize(("content", "words"), ACTOR_MISTAKES)
def test_a_mistake_in_the_actors_is_named_with_its_place(
    tmp_path: Path, content: object, words: str
) -> None:
    """As with the feeds."""
    with pytest.raises(InvalidValue) as caught:
        load_actors(file(tmp_path, content))
    assert str(caught.value).startswith("APIFY_ACTORS_FILE: ")
    assert words in str(caught.value)


def test_the_actors_that_ship_fit_into_one_scout() -> None:
    """Their time fits into the discover step, and each has a limit of cost."""
    actors = load_actors(None)
    assert {actor.actor for actor in actors} == {
        "misceres/indeed-scraper", "harvestapi/linkedin-job-search", "apify/rag-web-browser",
    }  # fmt: skip
    assert all(actor.timeout_s <= 120 and actor.charge_max_usd <= 1 for actor in actors)


def actor(**changes: object) -> Actor:
    """An actor with these fields."""
    return Actor.model_validate(ACTOR | changes)


def filled(run_input: Mapping[str, object], need: Need) -> dict[str, object]:
    """The input for the need."""
    (template,) = actor(inputs=[{"input": run_input}]).inputs
    return fill(template, need, year=2026, items_max=10)


@pytest.mark.parametrize(
    ("run_input", "need", "expected"),
    [
        ({"q": "{words}"}, Need(query="Rust  Developer"), {"q": "rust developer"}),
        ({"q": "{words}"}, Need(skills=("SQL", "Python", "go", "Ada")), {"q": "go python sql"}),
        ({"q": "{words} {year}"}, Need(), {"q": "2026"}),
        ({"n": "{items_max}", "t": "at most {items_max}"}, Need(), {"n": 10, "t": "at most 10"}),
        ({"where": "{place}"}, Need(locations=("Berlin", "Paris")), {"where": "Berlin"}),
        ({"where": ["{place}"]}, Need(remote=True), {"where": ["Remote"]}),
        ({"where": ["{place}"], "w": "{place}"}, Need(), {"where": [], "w": ""}),
        ({"deep": {"list": [{"q": "{words}"}]}}, Need(query="x"), {"deep": {"list": [{"q": "x"}]}}),
        ({"on": True, "x": None, "js": "{ a }"}, Need(), {"on": True, "x": None, "js": "{ a }"}),
        ({"q": "{words}"}, Need(query="{place} {year}"), {"q": "{place} {year}"}),
    ],
)  # fmt: skip
def test_a_template_is_filled(
    run_input: dict[str, object], need: Need, expected: dict[str, object]
) -> None:
    """A number stays a number, what is not known is empty, a person's braces are only words."""
    assert filled(run_input, need) == expected


def test_the_same_need_is_the_same_run() -> None:
    """Whatever the order of the skills and the spelling of the words; another actor is another."""
    template = {"q": "{words}", "w": "{place}"}
    one = filled(template, Need(skills=("Python", "SQL"), locations=("Berlin",)))
    two = filled(template, Need(skills=("sql", "python"), locations=("Berlin",)))
    assert input_key("user/actor", one) == input_key("user/actor", two)
    assert input_key("user/other", one) != input_key("user/actor", one)
    assert len(input_key("user/actor", one)) <= 64
    nyc, york = (filled(template, Need(locations=(name,))) for name in ("NYC", "New York, NY"))
    assert nyc == york


def test_inputs_are_chosen_by_the_kinds_that_are_needed() -> None:
    """A need that names no kind is for all of them."""
    web = next(a for a in load_actors(None) if a.actor == "apify/rag-web-browser")
    assert len(list(web.inputs_for(Need()))) == 2
    (grants,) = web.inputs_for(Need(kinds=(Kind.GRANT, Kind.JOB)))
    assert grants.constants == {"kind": "grant"}
    assert list(web.inputs_for(Need(kinds=(Kind.JOB,)))) == []

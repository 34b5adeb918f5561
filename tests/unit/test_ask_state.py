"""What an ask run's steps hand on, kept as JSON and restored from the store."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest

from agents.ask_state import (
    AskState,
    Failure,
    Talk,
    keep_found,
    keep_ranked,
    keep_talk,
    keep_written,
    restore_found,
    restore_ranked,
    restore_talk,
    restore_written,
    scout_of,
)
from agents.domain.ask import AskRequest, ToolUse
from agents.domain.draft import Draft, DraftMethod
from agents.domain.kind import Kind
from agents.domain.pay import MinPay, Period
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest
from agents.llm.port import Message, Role, ToolCall
from agents.scout_state import restore_discovery, restore_matching
from agents.store.admission import Quotas
from agents.store.database import Database
from agents.store.outcomes import OutcomeStore
from agents.store.postings import PostingStore
from agents.store.runs import NewRun, RunStore
from tests.fakes.clock import FixedClock
from tests.unit.test_scout_state import CARDS, DISCOVERY, MATCHING

PROFILE = Profile(
    skills=("Rust", "c++", "日本語"),
    locations=("Köln",),
    remote=True,
    kinds=(Kind.GIG, Kind.GRANT),
    min_pay=MinPay(amount=50.5, currency="USD", period=Period.HOUR),
    about="I build 🏗 things\nand more",
)
REQUEST = AskRequest(text="remote rust gigs", profile=PROFILE, remember=True)
SCOUT = ScoutRequest(query="rust", profile=PROFILE, excluded=("crypto",), drafts=0)
CALL = ToolCall(id="call-1", name="scout", arguments='{"query": "rust"}')
TALK = Talk(
    turns=(
        Message(role=Role.USER, text="remote rust gigs <b>&"),
        Message(role=Role.ASSISTANT, text="", calls=(CALL, replace(CALL, id="call-2"))),
        Message(role=Role.TOOL, text='{"found":5}', call_id="call-1"),
    ),
    actions=(ToolUse("scout", True), ToolUse("teleport", False)),
    told=("Of 5 postings found 1 fits.",),
    pending=(replace(CALL, id="call-2", name="draft", arguments='{"ranks":[1]}'),),
    profile=PROFILE,
    changes=(ToolCall(id="call-0", name="change_profile", arguments='{"remote":true}'),),
    saves=("p-1", "p-2"),
    scout=SCOUT,
    scouted=True,
    problems=2,
    routed=True,
    without_ai="no language model answers now",
    reply="One\ntwo\x00 \u202e three",
)
BEGUN = AskState(run_id="run-1", user_id="person-1", request=REQUEST, talk=Talk(profile=PROFILE))
PLANNED = replace(BEGUN, talk=TALK, scout=scout_of(BEGUN, TALK))
DRAFTS = (Draft(opportunity_id="p-2", method=DraftMethod.TEMPLATE, text="Dear p-2"),)

Restore = Callable[[AskState, str], Awaitable[AskState | None]]


@dataclass(frozen=True, slots=True)
class Kept:
    """How each step's part is read, over a database of the test's own."""

    outcomes: OutcomeStore
    found: Restore
    ranked: Restore
    written: Restore


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    """With the run, its postings and its matches."""
    clock = FixedClock()
    async with Database.open(f"sqlite:///{tmp_path}/webscout.db") as database:
        await database.migrate()
        postings, outcomes = PostingStore(database), OutcomeStore(database, clock.now)
        new = NewRun(run_id="run-1", kind="ask", user_id="person-1", config="ask@1", request="{}")
        await RunStore(database, clock.now).create(new, Quotas())
        await postings.keep(CARDS)
        await outcomes.keep_matches("run-1", MATCHING.matches)
        yield Kept(
            outcomes,
            found=partial(restore_found, partial(restore_discovery, postings)),
            ranked=partial(restore_ranked, partial(restore_matching, outcomes)),
            written=partial(restore_written, outcomes),
        )


def with_scout(**fields: object) -> AskState:
    """The planned state, its scout as far as that."""
    assert PLANNED.scout is not None
    return replace(PLANNED, scout=replace(PLANNED.scout, **fields))  # type: ignore[arg-type]


FAILURE = Failure(call_id="call-2", why="it “took” too long\nand was skipped")


def with_list() -> AskState:
    """The planned state, its scout done: the list is what ranks mean."""
    state = with_scout(discovery=DISCOVERY, matching=MATCHING)
    return replace(state, ranked=state.scout)


# --- what comes back ----------------------------------------------------------------------------


async def test_a_conversation_comes_back_as_it_was() -> None:
    """Every turn, call, action and word; and the scout it asks for, before its first step."""
    assert await restore_talk(BEGUN, await keep_talk(PLANNED)) == PLANNED


async def test_a_conversation_that_asks_for_no_scout_has_none() -> None:
    """One that was under way before it goes; a list that there is stays what ranks mean."""
    talk = replace(TALK, scout=None)
    before = replace(PLANNED, ranked=PLANNED.scout)
    restored = await restore_talk(before, await keep_talk(replace(BEGUN, talk=talk)))
    assert restored == replace(BEGUN, talk=talk, ranked=PLANNED.scout)


async def test_a_conversation_leaves_the_scout_that_it_asked_for(kept: Kept) -> None:
    """A later turn of it puts no blank one over what was found and ranked."""
    before = with_list()
    assert await restore_talk(before, await keep_talk(before)) == before


async def test_a_conversation_that_asks_for_another_scout_begins_it() -> None:
    """The list of the one before is what ranks mean until it has come to one."""
    before, other = with_list(), replace(SCOUT, query="zig")
    talk = replace(TALK, scout=other)
    after = await restore_talk(before, await keep_talk(replace(before, talk=talk)))
    assert after == replace(before, talk=talk, scout=scout_of(BEGUN, talk))
    assert after.scout is not None
    assert (after.scout.request, after.scout.discovery) == (other, None)


async def test_a_discovery_comes_back_into_its_scout(kept: Kept) -> None:
    """The same cards and counts, beside the conversation."""
    state = with_scout(discovery=DISCOVERY)
    assert await kept.found(PLANNED, await keep_found(state)) == state


async def test_a_matching_comes_back_into_its_scout(kept: Kept) -> None:
    """The scores from the store, the counts from the body; the discovery stays, and its list is
    what ranks mean now."""
    before, state = with_scout(discovery=DISCOVERY), with_list()
    assert before.ranked is None
    assert await kept.ranked(before, await keep_ranked(state)) == state


async def test_what_is_found_anew_is_no_list_yet(kept: Kept) -> None:
    """While a second scout is under way ranks mean the first one's list."""
    before = replace(PLANNED, ranked=with_list().ranked)
    after = await kept.found(before, await keep_found(with_scout(discovery=DISCOVERY)))
    assert after == replace(with_scout(discovery=DISCOVERY), ranked=before.ranked)


async def test_drafts_come_back(kept: Kept) -> None:
    """The texts from the store, and why they were made without AI."""
    await kept.outcomes.keep_drafts("run-1", DRAFTS)
    state = replace(PLANNED, drafts=DRAFTS, drafted_without_ai="it is out")
    assert await kept.written(PLANNED, await keep_written(state)) == state


async def test_why_work_came_to_nothing_comes_back(kept: Kept) -> None:
    """Each step that was skipped says so again, with its words and whose call it was; what there
    was before it stays."""
    for before in (PLANNED, with_list()):
        state = replace(before, failed=FAILURE)
        for keep, restore in (
            (keep_found, kept.found),
            (keep_ranked, kept.ranked),
            (keep_written, kept.written),
        ):
            assert await restore(before, await keep(state)) == state


async def test_work_that_came_to_something_has_not_failed(kept: Kept) -> None:
    """What is restored of a step that failed before it is told of nobody else's work."""
    failed = replace(PLANNED, failed=FAILURE)
    found = with_scout(discovery=DISCOVERY)
    assert await kept.found(failed, await keep_found(found)) == found
    assert await kept.ranked(replace(found, failed=FAILURE), await keep_ranked(with_list())) == (
        with_list()
    )


async def test_parts_hold_no_postings_and_nobodys_id(kept: Kept) -> None:
    """Postings, drafts and people are in the store, where /forget finds them."""
    state = with_scout(discovery=DISCOVERY, matching=MATCHING)
    state = replace(state, drafts=DRAFTS)
    for keep in (keep_found, keep_ranked, keep_written, keep_talk):
        body = await keep(state)
        assert "Larkfield" not in body
        assert "Dear p-2" not in body
        assert "person-1" not in body


# --- what does not ------------------------------------------------------------------------------


FOREIGN = ["null", "[]", "{}", "7", '"words"', "true", "[1]"]
"""JSON of something else: no conversation, and all but the empty object no part of a step."""
BROKEN = ["", "{", "\x00", '{"profile":', "rubbish", "\ufeff{}"]


@pytest.mark.parametrize(
    "body", [*FOREIGN, *BROKEN, '{"profile": 7}', '{"profile": {}, "turns": 1}']
)
async def test_a_conversation_of_another_kind_is_planned_again(body: str) -> None:
    """Whatever stands there: None, and nothing raised."""
    assert await restore_talk(BEGUN, body) is None


@pytest.mark.parametrize(
    "change",
    [
        {"turns": [{"role": "wizard", "text": "hi"}]},
        {"actions": [["scout"]]},
        {"pending": [{"id": "1"}]},
        {"profile": None},
        {"profile": {"skills": [" "]}},
        {"profile": {"kinds": ["wizard"]}},
        {"scout": {"limit": 0}},
        {"scout": {"excluded": [""] * 30}},
        {"problems": "many"},
        {"reply": None},
    ],
)
async def test_a_conversation_with_a_wrong_part_is_planned_again(
    change: dict[str, object],
) -> None:
    """One value that another version may have written is enough."""
    body = json.loads(await keep_talk(PLANNED)) | change
    assert await restore_talk(BEGUN, json.dumps(body)) is None


@pytest.mark.parametrize(
    "body",
    [
        *FOREIGN,
        *BROKEN,
        '{"version": 2}',
        '{"failed": "it took too long"}',
        '{"failed": {"call_id": "1"}}',
        '{"body": 7}',
        '{"body": "rubbish"}',
        '{"without_ai": []}',
    ],
)
async def test_a_part_of_another_kind_is_made_again(kept: Kept, body: str) -> None:
    """Whatever stands there: None, and nothing raised."""
    state = with_scout(discovery=DISCOVERY)
    assert await kept.found(state, body) is None
    assert await kept.ranked(state, body) is None
    if body not in {"{}", '{"body": "rubbish"}'}:  # drafts have no body, they are in the store
        assert await kept.written(state, body) is None


async def test_one_steps_part_is_not_anothers(kept: Kept) -> None:
    """A body that another step left is not read as one's own."""
    state = with_scout(discovery=DISCOVERY, matching=MATCHING)
    talk, found, ranked = await keep_talk(state), await keep_found(state), await keep_ranked(state)
    for body in (found, ranked, await keep_written(state)):
        assert await restore_talk(BEGUN, body) is None
    for body in (talk, ranked):
        assert await kept.found(PLANNED, body) is None
    for body in (talk, found):
        assert await kept.ranked(PLANNED, body) is None


async def test_a_part_of_a_scout_that_nobody_asks_for_is_none(kept: Kept) -> None:
    """Without the request there is nothing for it to belong to."""
    state = with_scout(discovery=DISCOVERY, matching=MATCHING)
    assert await kept.found(BEGUN, await keep_found(state)) is None
    assert await kept.ranked(BEGUN, await keep_ranked(state)) is None


async def test_a_matching_that_was_undone_is_done_again(kept: Kept) -> None:
    """Its scores are no more."""
    body = await keep_ranked(with_scout(discovery=DISCOVERY, matching=MATCHING))
    await kept.outcomes.unscore("run-1")
    assert await kept.ranked(with_scout(discovery=DISCOVERY), body) is None

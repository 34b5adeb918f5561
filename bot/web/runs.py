"""The run API: start a run, read it, cancel it. Its events are in `run_events.py`."""

import math
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from agents.configs import ask_configs, scout_configs
from agents.domain.ask import AskRequest
from agents.domain.errors import InvalidValue
from agents.domain.run import ScoutRequest
from agents.run_details import RunDetails, RunReader
from agents.runner import Runner
from agents.store.admission import (
    IdempotencyKey,
    KeyTaken,
    NotAdmitted,
    QueueFull,
    TeamOver,
)
from agents.store.errors import StoreUnavailable
from agents.store.people import PeopleStore
from agents.store.runs import Place
from bot.web.models import RUN_IN, Accepted, AskIn, Cancelling, Links, QueuePlace, RunIn
from bot.web.server import BODY_BYTES_MAX, Handler, problem
from bot.web.teams import Teams
from resilience.saga import RunStatus

DETAILS: TypeAdapter[RunDetails] = TypeAdapter(RunDetails)
CHANNEL = "api"
PAGE_DEFAULT, PAGE_MAX = 20, 100
CURSOR = re.compile(r"^[0-9]{1,16}-[0-9a-f]{1,64}$")
"""When the last run that was given began, in microseconds since 1970, and its id."""
_BEGINNING, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
KEY_LENGTH_MAX = 255
_STORE_BACK_S = 5

TeamHandler = Callable[[web.Request, str], Awaitable[web.StreamResponse]]


def for_teams(teams: Teams) -> Callable[[TeamHandler], Handler]:
    """Makes a handler that is given the request's team; without a key that is known it is not
    called."""

    def wrap(handler: TeamHandler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            team = teams.team_of(request)
            if team is None:
                refused = problem(
                    401, "unauthorized", "Authorization: Bearer KEY is missing or wrong"
                )
                refused.headers["WWW-Authenticate"] = "Bearer"
                return refused
            try:
                return await handler(request, team)
            except StoreUnavailable:
                words = (
                    "the database does not answer; try again, with an Idempotency-Key to be sure "
                    "that it is one run"
                )
                return later(503, "store-unavailable", words, _STORE_BACK_S)

        return handle

    return wrap


def not_found() -> web.StreamResponse:
    """There is no such run, for this team at least."""
    return problem(404, "run-not-found", "there is no such run")


def later(status: int, kind: str, detail: str, after_s: float) -> web.StreamResponse:
    """A refusal that says when to come again."""
    refused = problem(status, kind, detail)
    refused.headers["Retry-After"] = str(max(1, math.ceil(after_s)))
    return refused


class RunRoutes:
    """The handlers of the run API. `sources` are asked where a run names none, `known_sources` are
    those that it may name."""

    def __init__(
        self,
        runner: Runner,
        reader: RunReader,
        people: PeopleStore,
        sources: tuple[str, ...],
        known_sources: Sequence[str],
    ) -> None:
        self._runner = runner
        self._reader = reader
        self._people = people
        self._sources = sources
        self._known_sources = known_sources
        self._user_ids: dict[str, str] = {}

    async def create(self, request: web.Request, team: str) -> web.StreamResponse:
        """`POST /v1/runs`."""
        body = await request.read()
        if len(body) > BODY_BYTES_MAX:
            return problem(413, "body-too-large", f"the body is over {BODY_BYTES_MAX:,} bytes")
        parsed = self._parsed(body)
        if isinstance(parsed, web.StreamResponse):
            return parsed
        asked, wanted = parsed
        try:
            key = _key(request, team, asked)
        except InvalidValue as invalid:
            return _invalid([_place(invalid, "Idempotency-Key")], status=400)
        return await self._start(team, wanted, key)

    def _parsed(self, body: bytes) -> tuple[RunIn, ScoutRequest | AskRequest] | web.StreamResponse:
        """What the body asks for, or why it can't be."""
        try:
            asked = RUN_IN.validate_json(body)
        except ValidationError as error:
            return _refused_body(error)
        configs = ask_configs() if isinstance(asked, AskIn) else scout_configs()
        if asked.config not in configs:
            words = f"unknown configuration {asked.config[:40]!r} for {asked.kind}; there are "
            words += ", ".join(configs)
            return problem(400, "config-not-found", words)
        if wrong := list(self._wrong_sources(asked.sources)):
            return _invalid(wrong)
        try:
            return asked, asked.request(self._sources)
        except InvalidValue as invalid:
            return _invalid([_place(invalid, invalid.field)])

    def _wrong_sources(self, specs: Sequence[str]) -> Iterator[dict[str, str]]:
        allowed = ", ".join(self._known_sources)
        for number, spec in enumerate(specs):
            if spec.startswith("file:"):
                words = "files are read for the command line only"
            else:
                try:
                    self._runner.check(ScoutRequest(sources=(spec,)))
                except InvalidValue as invalid:
                    words = invalid.problem
                else:
                    continue
            yield {"place": f"sources.{number}", "problem": f"{words}; allowed: {allowed}"}

    async def _start(
        self, team: str, request: ScoutRequest | AskRequest, key: IdempotencyKey | None
    ) -> web.StreamResponse:
        user_id = await self._user_of(team)
        try:
            run_id = await self._runner.create(user_id, request, team=team, team_key=key)
        except KeyTaken as taken:
            return await self._replayed(team, taken)
        except NotAdmitted as refused:
            return _not_admitted(refused)
        self._runner.launch_new(run_id, user_id, request)
        queue = None
        if position := self._runner.position(run_id):
            with suppress(StoreUnavailable):  # it is journaled: how long it waits is a courtesy
                queue = QueuePlace(position=position, wait_s=await self._runner.wait_s(position))
        return _accepted(
            202,
            Accepted(run_id=run_id, status=RunStatus.QUEUED, links=Links.of(run_id), queue=queue),
        )

    async def _replayed(self, team: str, taken: KeyTaken) -> web.StreamResponse:
        if not taken.same:
            words = "this key was used for another request; allowed: a key of its own for each"
            return problem(422, "idempotency-key-reused", words)
        row = await self._reader.row(team, taken.run_id)
        status = RunStatus.QUEUED if row is None else row.status
        first = Accepted(run_id=taken.run_id, status=status, links=Links.of(taken.run_id))
        response = _accepted(200, first)
        response.headers["Idempotency-Replayed"] = "true"
        return response

    async def _user_of(self, team: str) -> str:
        """The team as the store knows people; looked up once."""
        if (known := self._user_ids.get(team)) is None:
            known = (await self._people.person(CHANNEL, team)).id
            self._user_ids[team] = known
        return known

    async def list(self, request: web.Request, team: str) -> web.StreamResponse:
        """`GET /v1/runs`."""
        try:
            status, limit, before = _page_of(request.query)
        except InvalidValue as invalid:
            return _invalid([_place(invalid, invalid.field)])
        runs, last = await self._reader.page(team, status=status, before=before, limit=limit)
        return web.json_response(
            {
                "runs": [DETAILS.dump_python(run, mode="json") for run in runs],
                "next_cursor": None if last is None else cursor_of(last),
            }
        )

    async def get(self, request: web.Request, team: str) -> web.StreamResponse:
        """`GET /v1/runs/{id}`."""
        found = await self._reader.get(team, request.match_info["id"])
        if found is None:
            return not_found()
        return web.Response(body=DETAILS.dump_json(found), content_type="application/json")

    async def cancel(self, request: web.Request, team: str) -> web.StreamResponse:
        """`POST /v1/runs/{id}/cancel`."""
        run_id = request.match_info["id"]
        row = await self._reader.row(team, run_id)
        if row is None:
            return not_found()
        if row.status is not RunStatus.CANCELLED and not await self._runner.cancel(run_id):
            row = await self._reader.row(team, run_id)
            if row is None or row.status is not RunStatus.CANCELLED:
                ended = "ended" if row is None else row.status
                return problem(409, "run-ended", f"the run has ended: it is {ended}")
        answer = Cancelling(run_id=run_id, status=row.status)
        return web.json_response(answer.model_dump(), status=202)


def _accepted(status: int, accepted: Accepted) -> web.Response:
    body = accepted.model_dump_json(by_alias=True, exclude_none=True)
    headers = {"Location": accepted.links.self_}
    return web.Response(text=body, status=status, headers=headers, content_type="application/json")


def _key(request: web.Request, team: str, asked: RunIn) -> IdempotencyKey | None:
    several = request.headers.getall("Idempotency-Key", [])
    if not several:
        return None
    given = several[0]
    if len(several) > 1:
        raise InvalidValue("Idempotency-Key", f"{len(several)} of them", "one")
    if not 1 <= len(given) <= KEY_LENGTH_MAX or not given.isprintable() or not given.isascii():
        allowed = f"1 to {KEY_LENGTH_MAX} printable ASCII characters"
        raise InvalidValue("Idempotency-Key", "empty, too long or odd characters in it", allowed)
    # Without defaults, so that a later version's new fields leave today's hashes as they are.
    body = asked.model_dump_json(exclude_defaults=True)
    return IdempotencyKey(
        team=team, key=sha256(given.encode()).hexdigest(), body=sha256(body.encode()).hexdigest()
    )


def _refused_body(error: ValidationError) -> web.StreamResponse:
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    if errors[0]["type"] == "json_invalid":
        return problem(400, "invalid-json", f"the body is no JSON: {errors[0]['msg']}")
    return _invalid(
        [{"place": _body_place(e["type"], e["loc"]), "problem": str(e["msg"])} for e in errors[:50]]
    )


def _body_place(kind: str, loc: tuple[int | str, ...]) -> str:
    """Where in the body it is wrong; the first part of `loc` is the kind of run, unless that is
    what is wrong."""
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return "kind"
    return ".".join(map(str, loc[1:]))[:200] or "body"


def _place(invalid: InvalidValue, place: str) -> dict[str, str]:
    return {"place": place, "problem": f"{invalid.problem}; allowed: {invalid.allowed}"}


def _invalid(errors: Sequence[Mapping[str, str]], status: int = 422) -> web.StreamResponse:
    """The request can't be: each place that is wrong, and why."""
    words = "; ".join(f"{error['place']}: {error['problem']}" for error in errors[:3])
    if len(errors) > 3:
        words += f"; and {len(errors) - 3} more, see errors"
    body = {
        "type": "invalid-request",
        "title": "invalid request",
        "status": status,
        "detail": words[:1_000],
        "errors": list(errors),
    }
    return web.json_response(body, status=status, content_type="application/problem+json")


def _not_admitted(refused: NotAdmitted) -> web.StreamResponse:
    match refused:
        case TeamOver():
            return later(429, refused.type, str(refused), refused.retry_after_s)
        case QueueFull():
            words = f"{refused}; try again in about {refused.wait_s:.0f} s"
            return later(503, "queue-full", words, refused.wait_s)
        case _:
            raise refused


def _page_of(query: Mapping[str, str]) -> tuple[RunStatus | None, int, Place | None]:
    for name in query:
        if name not in {"status", "limit", "cursor"}:
            raise InvalidValue(name[:40], "unknown", "status, limit, cursor")
    status = query.get("status")
    if status is not None and status not in set(RunStatus):
        raise InvalidValue("status", f"unknown status {status[:40]!r}", ", ".join(RunStatus))
    limit = query.get("limit", str(PAGE_DEFAULT))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= PAGE_MAX):
        raise InvalidValue("limit", f"{limit[:40]!r}", f"1 to {PAGE_MAX}")
    cursor = query.get("cursor")
    return (
        None if status is None else RunStatus(status),
        int(limit),
        None if cursor is None else place_of(cursor),
    )


def cursor_of(place: Place) -> str:
    """Where a list of runs goes on, as text."""
    return f"{(place.created_at - _BEGINNING) // _MICROSECOND}-{place.run_id}"


def place_of(cursor: str) -> Place:
    """The place that the text means; raises InvalidValue."""
    if not CURSOR.fullmatch(cursor):
        raise InvalidValue("cursor", "not one of ours", "a next_cursor that was given")
    microseconds, _, run_id = cursor.partition("-")
    return Place(_BEGINNING + int(microseconds) * _MICROSECOND, run_id)

"""`webscout doctor`: do the settings work, and what mends what doesn't."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agents.configs import all_configs
from agents.discovery.port import SourceFailed, Sources
from agents.domain.errors import InvalidValue
from agents.store.errors import StoreError
from bot.bootstrap import build_database, build_sources
from bot.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was found of one thing; `mend` says what to do when it isn't ok."""

    name: str
    ok: bool
    required: bool
    detail: str
    mend: str = ""
    ms: int = 0


class Wrong(Exception):  # noqa: N818 - names the finding
    """A check's finding: what is wrong, and how to mend it."""

    def __init__(self, detail: str, mend: str) -> None:
        super().__init__(detail)
        self.mend = mend


async def doctor(settings: Settings, *, as_json: bool) -> int:
    """Check everything, print it; 1 when something that is required fails."""
    sources = build_sources()
    checks = [
        await _timed("settings", _settings, required=True),
        await _timed("database", lambda: _database(settings), required=True),
        await _timed("port", lambda: _port(settings), required=False),
    ]
    for spec in settings.sources:
        check = partial(_source, sources, spec)
        checks.append(await _timed(f"source {spec}", check, required=True))
    if not settings.sources:
        checks.append(await _timed("sources", _no_source, required=False))
    _print(checks, as_json=as_json)
    return 0 if all(check.ok or not check.required for check in checks) else 1


async def _settings() -> str:
    return f"read; configurations {', '.join(all_configs())}"


async def _database(settings: Settings) -> str:
    try:
        async with build_database(settings) as database:
            changed = await database.migrate() if settings.sqlite else False
            await database.check()
    except StoreError as error:
        raise Wrong(str(error), "check DATABASE_URL, or run `webscout migrate`") from error
    return "schema brought up to date" if changed else "answers, schema up to date"


async def _port(settings: Settings) -> str:
    try:
        server = await asyncio.start_server(lambda _r, w: w.close(), settings.host, settings.port)
    except OSError as error:
        detail = f"{settings.host}:{settings.port}: {error.strerror or error}"
        raise Wrong(detail, "another program (or Webscout itself) has it; set PORT") from error
    server.close()
    await server.wait_closed()
    return f"{settings.host}:{settings.port} is free"


async def _source(sources: Sources, spec: str) -> str:
    try:
        reading = await sources.resolve(spec).read()
    except InvalidValue as invalid:
        raise Wrong(invalid.problem, f"SOURCES: allowed are {invalid.allowed}") from invalid
    except SourceFailed as failure:
        raise Wrong(str(failure), "check SOURCES") from failure
    unreadable = sum(reading.unreadable.values())
    return f"{len(reading.opportunities):,} postings, {unreadable:,} unreadable"


async def _no_source() -> str:
    return "none configured (SOURCES): the chat shows sample postings"


async def _timed(name: str, check: Callable[[], Awaitable[str]], *, required: bool) -> Check:
    start = time.perf_counter()
    try:
        ok, detail, mend = True, await check(), ""
    except Wrong as wrong:
        ok, detail, mend = False, str(wrong), wrong.mend
    ms = round((time.perf_counter() - start) * 1000)
    return Check(name=name, ok=ok, required=required, detail=detail, mend=mend, ms=ms)


def _print(checks: list[Check], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("Check", "", "Finding"):
        table.add_column(column, overflow="fold")
    table.add_column("ms", justify="right")
    for check in checks:
        mark = "[green]ok[/green]" if check.ok else "[red]wrong[/red]"
        finding = check.detail if check.ok else f"{check.detail} → {check.mend}"
        table.add_row(escape(check.name), mark, escape(finding), str(check.ms))
    Console(highlight=False).print(table)

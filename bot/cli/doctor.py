"""`webscout doctor`: do the settings work, and what mends what doesn't."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from telegram.error import InvalidToken, TelegramError

from agents.configs import ask_configs, scout_configs
from agents.discovery.port import Need, Source, SourceFailed
from agents.domain.errors import InvalidValue
from agents.llm.chat_api import ChatApi
from agents.llm.port import LlmFailed
from agents.store.errors import StoreError
from bot.bootstrap import (
    Catalogue,
    ask_supabase,
    build_catalogue_alone,
    build_database,
    build_replica,
    telegram_username,
    vendors_of,
)
from bot.settings import LOOPBACK, Settings
from cache.port import TierFailed


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
    checks = [
        await _timed("settings", _settings, required=True),
        await _timed("database", lambda: _database(settings), required=True),
    ]
    if settings.database_replica_url is not None:
        checks.append(await _timed("replica", lambda: _replica(settings), required=False))
    checks.append(await _timed("port", lambda: _port(settings), required=False))
    checks.append(await _timed("dashboard", lambda: _dashboard(settings), required=False))
    if settings.telegram_bot_token is not None:
        checks.append(await _timed("telegram", lambda: _telegram(settings), required=True))
    if settings.supabase_url is not None:
        checks.append(await _timed("supabase", lambda: _supabase(settings), required=False))
    checks += [
        await _timed(vendor.name, partial(_vendor, vendor), required=False)
        for vendor in vendors_of(settings)
    ]
    if checks[1].ok:  # what sources gave is kept there
        checks += await _sources(settings)
    _print(checks, as_json=as_json)
    return 0 if all(check.ok or not check.required for check in checks) else 1


async def _settings() -> str:
    return f"read; configurations {', '.join((*scout_configs(), *ask_configs()))}"


async def _database(settings: Settings) -> str:
    try:
        async with build_database(settings) as database:
            changed = await database.migrate() if settings.sqlite else False
            await database.check()
    except StoreError as error:
        raise Wrong(str(error), "check DATABASE_URL, or run `webscout migrate`") from error
    return "schema brought up to date" if changed else "answers, schema up to date"


async def _replica(settings: Settings) -> str:
    try:
        async with build_replica(settings) as replica:
            await replica.check()
    except StoreError as error:
        raise Wrong(
            str(error), "check DATABASE_REPLICA_URL; lists are read from the database"
        ) from error
    return "answers, schema up to date"


async def _port(settings: Settings) -> str:
    try:
        server = await asyncio.start_server(lambda _r, w: w.close(), settings.host, settings.port)
    except OSError as error:
        detail = f"{settings.host}:{settings.port}: {error.strerror or error}"
        raise Wrong(detail, "another program (or Webscout itself) has it; set PORT") from error
    server.close()
    await server.wait_closed()
    return f"{settings.host}:{settings.port} is free"


async def _dashboard(settings: Settings) -> str:
    if settings.ops_token is not None:
        return "opens with OPS_TOKEN"
    if settings.host in LOOPBACK and not settings.reached_by_proxy:
        return "open to this machine alone"
    raise Wrong("closed to everybody: there is no token", "set OPS_TOKEN (openssl rand -hex 16)")


async def _telegram(settings: Settings) -> str:
    try:
        return f"answers as @{await telegram_username(settings)}"
    except InvalidToken as error:
        raise Wrong("the token is not known", "TELEGRAM_BOT_TOKEN: ask BotFather") from error
    except TelegramError as error:
        raise Wrong(str(error), "check the network and TELEGRAM_API_BASE_URL") from error


async def _supabase(settings: Settings) -> str:
    try:
        await ask_supabase(settings)
    except TierFailed as failure:
        mend = "check SUPABASE_URL, its key, and that what `webscout migrate --sql` prints was run"
        raise Wrong(str(failure), mend) from failure
    return "answers, the cache's table is there"


async def _vendor(vendor: ChatApi) -> str:
    try:
        missing = await vendor.missing_models()
    except LlmFailed as failure:
        mend = f"check {vendor.name.upper()}_API_KEY, its base URL and the network"
        raise Wrong(str(failure), mend) from failure
    finally:
        await vendor.close()
    if missing:
        name = vendor.name.upper()
        mend = f"set {name}_MODEL and {name}_FAST_MODEL to models that it has"
        raise Wrong(f"the account has no {', '.join(missing)}", mend)
    return "answers, its models are there"


async def _sources(settings: Settings) -> list[Check]:
    try:
        async with build_catalogue_alone(settings) as catalogue:
            return await _source_checks(settings, catalogue)
    except InvalidValue as invalid:
        problem, mend = f"{invalid.field}: {invalid.problem}", f"allowed: {invalid.allowed}"
        return [Check(name="sources", ok=False, required=True, detail=problem, mend=mend)]


async def _source_checks(settings: Settings, catalogue: Catalogue) -> list[Check]:
    """Each source that is named, read at once; feeds are many, and one of them may be down."""
    checks: list[Awaitable[Check]] = []
    if settings.apify_api_token is not None:
        checks.append(_timed("apify account", lambda: _apify(catalogue), required=True))
    for spec in settings.sources:
        try:
            sources = catalogue.resolve(spec, Need())
        except InvalidValue as invalid:
            wrong = Wrong(invalid.problem, f"SOURCES: allowed are {invalid.allowed}")
            checks.append(_timed(f"source {spec}", partial(_raise, wrong), required=True))
            continue
        if spec == "apify":
            continue  # running actors costs money
        for source in sources:
            check = partial(_source, source, catalogue)
            checks.append(_timed(f"source {source.label}", check, required=spec != "feeds"))
    if not checks:
        checks.append(_timed("sources", _no_source, required=False))
    found = await asyncio.gather(*checks)
    feeds = [check for check in found if check.name.startswith("source ")]
    if feeds and not any(check.ok for check in feeds):  # one may be down, but not all
        found = [replace(check, required=True) if check in feeds else check for check in found]
    return found


async def _raise(wrong: Wrong) -> str:
    raise wrong


async def _source(source: Source, catalogue: Catalogue) -> str:
    try:
        reading = await source.read()
    except SourceFailed as failure:
        raise Wrong(str(failure), "check SOURCES, FEEDS_FILE and the network") from failure
    except StoreError as error:
        raise Wrong(str(error), "check DATABASE_URL") from error
    if reading.notice is not None and reading.from_cache:
        raise Wrong(reading.notice, "the stored postings are shown meanwhile; check the network")
    unreadable = ", ".join(f"{n:,} {reason}" for reason, n in reading.unreadable.items())
    more = f"; not read: {unreadable}" if unreadable else ""
    fields = await catalogue.unread(source.label)
    if fields:
        more += "; fields not read: " + ", ".join(f"{n:,} {name}" for name, n in fields.items())
    return f"{len(reading.opportunities):,} postings{more}"


async def _apify(catalogue: Catalogue) -> str:
    try:
        credit = await catalogue.apify_credit()
    except SourceFailed as failure:
        raise Wrong(str(failure), "check APIFY_API_TOKEN") from failure
    return f"{credit.used_usd:.2f} of {credit.limit_usd:.2f} USD used this month"


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

"""`webscout scout`: one scout from the terminal. Progress on stderr, the result on stdout."""

import argparse
import asyncio
import json
import logging
import signal
import sys
from contextlib import suppress

from pydantic import TypeAdapter
from rich.console import Console

from agents.discovery.pay_text import parse_min_pay
from agents.discovery.port import Need
from agents.domain.errors import InvalidValue
from agents.domain.kind import parse_kinds
from agents.domain.profile import Profile
from agents.domain.run import ScoutRequest, ScoutResult
from agents.domain.skill import split_skills
from bot.bootstrap import Core, build_core
from bot.cli.table import print_result
from bot.settings import Settings
from resilience.saga import Event, EventType, RunStatus

_RESULT = TypeAdapter(ScoutResult)
_NO_SOURCE = (
    "no source is configured: name one with --source file:PATH, feeds or sample, or set SOURCES"
)


async def scout(arguments: argparse.Namespace, settings: Settings) -> int:
    """Scout once; returns the exit code."""
    request = _request(arguments, settings)
    if settings.log_level != "DEBUG":  # the terminal shows the result and one line of what failed
        logging.getLogger().setLevel(logging.CRITICAL)
    async with build_core(settings) as core:
        # Looked up for no need in particular: which sources there are, not which can serve it.
        if not any(core.catalogue.resolve(spec, Need()) for spec in request.sources):
            raise InvalidValue("source", _NO_SOURCE, "file:PATH, sample, feeds, apify")
        result, interrupted = await _run(core, request)
    if arguments.json:
        print(json.dumps(_RESULT.dump_python(result, mode="json"), ensure_ascii=False, indent=2))
    else:
        print_result(result, core.clock.now())
    if result.error is not None:
        print(f"webscout: {result.error.message}", file=sys.stderr)
    return 130 if interrupted else _exit_code(result)


def _request(arguments: argparse.Namespace, settings: Settings) -> ScoutRequest:
    min_pay = parse_min_pay(arguments.min_pay) if arguments.min_pay else None
    return ScoutRequest(
        query=" ".join(arguments.query),
        profile=Profile(
            skills=split_skills(arguments.skills),
            locations=tuple(p for p in (place.strip() for place in arguments.location) if p),
            remote=arguments.remote,
            kinds=parse_kinds(arguments.kind),
            min_pay=min_pay,
            about=arguments.about,
        ),
        sources=tuple(arguments.source) or settings.sources,
        limit=arguments.limit,
        drafts=arguments.drafts,
        config=arguments.config or settings.scout_config,
    )


async def _run(core: Core, request: ScoutRequest) -> tuple[ScoutResult, bool]:
    """The result, and whether Ctrl-C cancelled the run."""
    person = await core.people.person("cli", "cli")
    run_id = await core.runner.create(person.id, request)
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    cancelling = asyncio.create_task(_cancel_when(interrupted, core, run_id))
    console = Console(stderr=True)
    try:
        with console.status("Starting …") as status:
            core.orchestrator.subscribe(lambda event: status.update(_progress(event)))
            await core.runner.launch(run_id)
            result = await core.runner.wait(run_id)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        cancelling.cancel()
        with suppress(asyncio.CancelledError):
            await cancelling
    return result, interrupted.is_set() and result.status == RunStatus.CANCELLED


async def _cancel_when(interrupted: asyncio.Event, core: Core, run_id: str) -> None:
    await interrupted.wait()
    await core.runner.cancel(run_id)


def _progress(event: Event) -> str:
    match event.type:
        case EventType.STEP_PROGRESS if "source" in event.data:
            return f"{event.data['found']:,} postings from {event.data['source']} …"
        case EventType.STEP_STARTED:
            return {"discover": "Gathering postings …", "match": "Ranking …", "act": "Drafting …"}[
                str(event.data["step"])
            ]
        case EventType.RUN_CANCELLING:
            return "Cancelling …"
        case EventType.RUN_COMPENSATING:
            return "Undoing …"
        case _:
            return "Working …"


def _exit_code(result: ScoutResult) -> int:
    if result.status != RunStatus.COMPLETED:
        return 1
    return 0 if result.matches else 3

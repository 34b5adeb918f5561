"""Reads the command line and calls the command.

Exit codes: 0 done, 1 failed (the reason on stderr), 2 wrong usage or a refused setting, 3 nothing
found, 130 stopped with Ctrl-C.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Coroutine, Sequence
from importlib.metadata import version
from typing import Any

from agents.domain.errors import InvalidValue
from agents.domain.kind import Kind
from agents.domain.run import DRAFTS_MAX, LIMIT_MAX
from agents.store.errors import StoreError
from bot import logs
from bot.settings import Settings, SettingsRefused, load_settings

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str]) -> int:
    """Run the command in `argv`; returns the exit code."""
    arguments = _parse(argv)
    try:
        settings = load_settings()
    except SettingsRefused as refused:
        return _complain(str(refused), USAGE)
    logs.configure(settings.log_level)
    try:
        return asyncio.run(_command(arguments, settings))
    except InvalidValue as invalid:
        return _complain(str(invalid), USAGE)
    except StoreError as error:
        return _complain(str(error), FAILED)
    except KeyboardInterrupt:
        return _complain("stopped", INTERRUPTED)
    except Exception as bug:
        # The command's boundary: a bug of ours is one line too; LOG_LEVEL=DEBUG shows where.
        logging.getLogger(__name__).debug("internal error", exc_info=True)
        return _complain(f"internal error ({type(bug).__name__}: {bug})", FAILED)


def _command(arguments: argparse.Namespace, settings: Settings) -> Coroutine[Any, Any, int]:
    # Imported here: each command needs only its own part, and the start stays short.
    match arguments.command:
        case "scout":
            from bot.cli.scout import scout  # noqa: PLC0415

            return scout(arguments, settings)
        case "migrate":
            from bot.cli.migrate import migrate  # noqa: PLC0415

            return migrate(settings, sql=arguments.sql)
        case "doctor":
            from bot.cli.doctor import doctor  # noqa: PLC0415

            return doctor(settings, as_json=arguments.json)
        case _:
            from bot.cli.run import run  # noqa: PLC0415

            return run(settings)


def _complain(message: str, code: int) -> int:
    for line in message.splitlines():
        print(f"webscout: {line}", file=sys.stderr)
    return code


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser, commands = _parsers()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:  # told with the usage of the command that does not know them
        commands.get(arguments.command, parser).error(f"unknown: {' '.join(unknown)}")
    return arguments


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = argparse.ArgumentParser(
        prog="webscout",
        description="Scouts jobs, internships, gigs, bounties, grants and hackathons. "
        "Without a command: runs the bot.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('webscout')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_scout(
        commands.add_parser("scout", help="scout once, from the terminal", allow_abbrev=False)
    )
    migrate = commands.add_parser("migrate", help="bring the database schema up to date")
    migrate.add_argument("--sql", action="store_true", help="print the SQL (PostgreSQL) instead")
    doctor = commands.add_parser("doctor", help="check the settings and what they point to")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    return parser, commands.choices


def _add_scout(scout: argparse.ArgumentParser) -> None:
    add = scout.add_argument
    add("query", nargs="*", metavar="QUERY", help="words that the posting should say")
    add("--skills", default="", metavar="A,B", help="your skills")
    add("--location", action="append", default=[], metavar="PLACE", help="repeat for several")
    add(
        "--remote", action="store_true", help="remote postings too, or only them without --location"
    )
    add("--kind", default="", metavar="KINDS", help=", ".join(Kind))
    add("--min-pay", default="", metavar="PAY", help="such as '60000 EUR/year'")
    add("--about", default="", metavar="TEXT", help="about you, for the draft")
    add("--limit", type=int, default=10, metavar="N", help=f"matches shown, 1 to {LIMIT_MAX} (10)")
    add("--drafts", type=int, default=1, metavar="N", help=f"drafts, 0 to {DRAFTS_MAX} (1)")
    add(
        "--source",
        action="append",
        default=[],
        metavar="SPEC",
        help="file:PATH, feeds, a feed's name, apify or sample; repeatable",
    )
    add("--config", default=None, metavar="NAME", help="such as scout@1 or scout-strict@1")
    add("--json", action="store_true", help="print one JSON object")

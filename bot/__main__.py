"""The command line: `webscout`, the same as `python -m bot`."""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command and leave with its exit code."""
    try:
        from bot.cli.main import main as run  # noqa: PLC0415 - it takes a moment: a Ctrl-C there, too

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()

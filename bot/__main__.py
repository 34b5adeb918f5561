"""The command line: `webscout`, the same as `python -m bot`."""

import sys

from bot.cli.main import main as run


def main() -> None:
    """Run the command and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

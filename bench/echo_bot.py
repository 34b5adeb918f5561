"""The peer of the load measurement: the plainest bot that python-telegram-bot makes.

It is what its documentation shows: one handler, PTB's own httpx, polling. By default one update at
a time, as PTB has it; `--concurrent` is PTB's `concurrent_updates`.
"""

import argparse

from telegram import Update
from telegram.ext import ApplicationBuilder, CommandHandler, ContextTypes

HELP = "\n".join(
    [
        "What I can do:",
        "/profile says who you are and what you look for",
        "/scout finds what fits: jobs, internships, gigs, bounties, grants, hackathons",
        "/draft N writes an application for match N of the last list",
        "/saved shows what you saved",
        "/cancel stops the scout under way",
        "/privacy says what is kept, /export gives you all of it, /forget deletes all of it",
        "",
        "Words after /scout count besides your profile, as in: /scout remote python data. "
        "Under a list, tap a number to see a match, then Save, Draft or Not for me.",
    ]
)


def main() -> None:
    """Poll until stopped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-url", required=True, help="of the Bot API, without /bot<token>")
    parser.add_argument("--token", default="7:webscout-test-token")
    parser.add_argument("--concurrent", type=int, default=0, help="updates handled at once")
    arguments = parser.parse_args()
    application = (
        ApplicationBuilder()
        .token(arguments.token)
        .base_url(f"{arguments.base_url}/bot")
        .concurrent_updates(arguments.concurrent or False)
        .build()
    )
    application.add_handler(CommandHandler("help", _help))
    application.run_polling()


async def _help(update: Update, _context: ContextTypes.DEFAULT_TYPE) -> None:
    assert update.message is not None
    await update.message.reply_text(HELP)


if __name__ == "__main__":
    main()

"""The operators' commands, in the admin chats only: checked here each time, whatever a menu shows.

Elsewhere these commands get the answer that any unknown command gets, and are logged.
"""

import logging
from collections.abc import Callable, Collection, Coroutine
from html import escape
from typing import Any

from telegram import Message, Update
from telegram.ext import ContextTypes

from agents.run_details import RunReader
from agents.store.errors import StoreError
from agents.store.people import PeopleStore
from agents.store.runs import RunStore
from bot.ops.operations import Action, Operations, Unknown
from bot.ops.watch import Watch
from bot.telegram import ops_views
from bot.telegram.progress import BotApi, tell
from bot.telegram.sender import Sender
from bot.telegram.views import View

RUNS_SHOWN = 15
_MODES = {"open": Action.OPEN, "close": Action.CLOSE, "auto": Action.AUTO}

log = logging.getLogger(__name__)

Context = ContextTypes.DEFAULT_TYPE
Handler = Callable[[Update, Any], Coroutine[Any, Any, None]]


class Operators:
    """The handlers. `channel` is where the operators' people are known."""

    def __init__(
        self,
        *,
        bot: BotApi,
        chats: Collection[int],
        channel: str,
        sender: Sender,
        people: PeopleStore,
        runs: RunStore,
        reader: RunReader,
        watch: Watch,
        operations: Operations,
    ) -> None:
        self._bot = bot
        self._chats = tuple(chats)
        self._channel = channel
        self._sender = sender
        self._people = people
        self._runs = runs
        self._reader = reader
        self._watch = watch
        self._operations = operations

    @property
    def commands(self) -> dict[str, Handler]:
        """The handlers by their command."""
        return {
            "health": self.health,
            "breakers": self.breakers,
            "breaker": self.breaker,
            "runs": self.list_runs,
            "run": self.show_run,
            "retry": self.retry,
            "pause": self.pause,
            "resume": self.resume,
        }

    def are_in(self, chat_id: int) -> bool:
        """Whether the chat is an operators'."""
        return chat_id in {self._sender.present(chat) for chat in self._chats}

    async def note_foreign(self, update: Update, _context: Context) -> None:
        """Log an operators' command from another chat; who sent it gets the usual answer."""
        message = update.message
        if message is None or not message.text or self.are_in(message.chat_id):
            return
        command = message.text.split(maxsplit=1)[0].partition("@")[0].lower()
        if command.removeprefix("/") in self.commands and command.startswith("/"):
            log.warning("%s was refused: it came from another chat", command)

    # --- what is so --------------------------------------------------------------------------

    async def health(self, update: Update, _context: Context) -> None:
        """`/health`."""
        await self._show(update, ops_views.health(await self._watch.health()))

    async def breakers(self, update: Update, _context: Context) -> None:
        """`/breakers`."""
        await self._show(update, ops_views.breakers(await self._watch.health()))

    async def list_runs(self, update: Update, _context: Context) -> None:
        """`/runs`: the newest ones."""
        await self._show(update, ops_views.runs(await self._runs.newest(RUNS_SHOWN)))

    async def show_run(self, update: Update, _context: Context) -> None:
        """`/run ID`: where a run stands."""
        run_id = _word(update, 1)
        row = await self._runs.get(run_id) if run_id.isascii() else None
        if row is None:
            await self._say(update, _unknown_run("run", run_id))
        else:
            await self._show(update, ops_views.run(await self._reader.details(row)))

    # --- what is done ------------------------------------------------------------------------

    async def breaker(self, update: Update, _context: Context) -> None:
        """`/breaker NAME open|close|auto`; a name may have blanks."""
        words = _words(update)
        action = _MODES.get(words[-1].lower()) if len(words) > 2 else None
        if action is None:
            usage = "Say <code>/breaker NAME open</code>, <code>close</code> or <code>auto</code>."
            await self._say(update, f"{usage} /breakers lists the names.")
            return
        await self._act(update, action, " ".join(words[1:-1]))

    async def pause(self, update: Update, _context: Context) -> None:
        """`/pause AGENT`."""
        await self._act(update, Action.PAUSE, _word(update, 1).lower())

    async def resume(self, update: Update, _context: Context) -> None:
        """`/resume AGENT`."""
        await self._act(update, Action.RESUME, _word(update, 1).lower())

    async def retry(self, update: Update, _context: Context) -> None:
        """`/retry ID`: try a parked run's undo again."""
        run_id = _word(update, 1)
        if not run_id or not run_id.isascii():
            await self._say(update, _unknown_run("retry", run_id))
            return
        await self._act(update, Action.RETRY, run_id)

    async def _act(self, update: Update, action: Action, name: str) -> None:
        if not name:
            await self._say(update, f"Say which: <code>/{action} AGENT</code>. /health lists them.")
            return
        user = update.effective_user
        assert user is not None  # noqa: S101 - the filters let only people's messages through
        try:
            who = (await self._people.person(self._channel, str(user.id))).id
            done = await self._operations.act(action, name, who)
        except Unknown as unknown:
            await self._say(update, escape(str(unknown), quote=False))
        except StoreError as error:
            log.warning("an operator's action was not done: %s", error)
            words = "Not done: the database does not answer, and what is done has to be journaled."
            await self._say(update, words)
        else:
            await self._say(update, escape(done.words, quote=False))

    async def _say(self, update: Update, html: str) -> None:
        await self._show(update, View(text=html))

    async def _show(self, update: Update, view: View) -> None:
        assert update.effective_chat is not None  # noqa: S101 - every message has a chat
        await tell(self._bot, update.effective_chat.id, view)


def _words(update: Update) -> list[str]:
    message: Message | None = update.message
    return (message.text or "").split() if message is not None else []


def _word(update: Update, place: int) -> str:
    words = _words(update)
    return words[place] if len(words) > place else ""


def _unknown_run(command: str, run_id: str) -> str:
    if not run_id:
        return f"Say which: <code>/{command} ID</code>. /runs lists the newest."
    return f"There is no run <code>{escape(run_id[:64])}</code>. /runs lists the newest."

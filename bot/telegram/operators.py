"""What operators see and do in the admin chats: runs, a parked run's undo, and the alert of one.

Elsewhere these commands get the answer that any unknown command gets.
"""

import asyncio
import logging
from collections.abc import Collection
from html import escape

from telegram import Update
from telegram.error import BadRequest, Forbidden, TelegramError
from telegram.ext import ContextTypes

from agents.run_details import RunDetails, RunReader
from agents.runner import NotParked, Runner
from agents.store.errors import StoreError
from agents.store.runs import RunRow, RunStore
from bot.telegram.progress import BotApi, ScoutMessages, tell
from bot.telegram.sender import Sender
from bot.telegram.views import View
from resilience.clock import Clock
from resilience.saga import Event, EventType, Orchestrator

RUNS_SHOWN = 15
AGAIN_AFTER_S = 120.0

log = logging.getLogger(__name__)

Context = ContextTypes.DEFAULT_TYPE


class Operators:
    """The operators' commands, and what they are told unasked."""

    def __init__(
        self,
        *,
        bot: BotApi,
        chats: Collection[int],
        sender: Sender,
        runs: RunStore,
        reader: RunReader,
        runner: Runner,
        messages: ScoutMessages,
        orchestrator: Orchestrator,
        clock: Clock,
    ) -> None:
        self._bot = bot
        self._chats = tuple(chats)
        self._sender = sender
        self._runs = runs
        self._reader = reader
        self._runner = runner
        self._messages = messages
        self._clock = clock
        self._parked = asyncio.Event()
        self._telling = asyncio.Lock()
        self._told: dict[tuple[str, int], set[int]] = {}
        """The chats that know of a parking of which others could not be told yet."""
        orchestrator.subscribe(self._note)

    def are_in(self, chat_id: int) -> bool:
        """Whether the chat is an operators'."""
        return chat_id in {self._sender.present(chat) for chat in self._chats}

    # --- commands ----------------------------------------------------------------------------

    async def list_runs(self, update: Update, _context: Context) -> None:
        """`/runs`: the newest ones."""
        rows = await self._runs.newest(RUNS_SHOWN)
        lines = [_line(row) for row in rows] or ["There are no runs yet."]
        await self._say(update, "\n".join(lines))

    async def show_run(self, update: Update, _context: Context) -> None:
        """`/run ID`: where a run stands."""
        run_id = _argument(update)
        row = await self._runs.get(run_id)
        if row is None:
            await self._say(update, _unknown("run", run_id))
            return
        await self._say(update, _details(await self._reader.details(row)))

    async def retry(self, update: Update, _context: Context) -> None:
        """`/retry ID`: try a parked run's undo again."""
        run_id = _argument(update)
        try:
            await self._runner.retry(run_id)
        except LookupError:
            await self._say(update, _unknown("retry", run_id))
            return
        except NotParked as other:
            words = f"Run <code>{escape(run_id)}</code> is {other}. Only a parked run is retried."
            await self._say(update, words)
            return
        self._messages.follow(run_id)
        ident = escape(run_id)
        words = f"Undoing run <code>{ident}</code> again. /run {ident} shows how it went."
        await self._say(update, words)

    async def _say(self, update: Update, html: str) -> None:
        assert update.effective_chat is not None  # noqa: S101 - every message has a chat
        await tell(self._bot, update.effective_chat.id, View(text=html))

    # --- alerts ------------------------------------------------------------------------------

    async def keep_telling(self) -> None:
        """Tell of each run that is parked, once, until cancelled; what could not be told, again
        after two minutes."""
        while True:
            self._parked.clear()
            if await self.tell_of_parked():
                await self._parked.wait()
            else:
                await self._clock.sleep(AGAIN_AFTER_S)

    async def tell_of_parked(self) -> bool:
        """Tell of the parked runs that the operators were not told of; whether all are told."""
        if not self._chats:
            return True
        all_told = True
        async with self._telling:
            try:
                for row in await self._runs.parked_untold():
                    if await self._tell(row):
                        await self._runs.told_parked(row.id, row.last_seq)
                    else:
                        all_told = False
            except StoreError as error:
                log.warning("the operators are not told of a parked run yet: %s", error)
                return False
        return all_told

    async def _tell(self, row: RunRow) -> bool:
        """Tell each chat once; whether all have it by now, but those that can't be written to."""
        text = (
            f"⚠ Run <code>{row.id}</code> is parked: something of it could not be undone.\n"
            f"/run {row.id} shows it, /retry {row.id} tries again."
        )
        told, failed = self._told.setdefault((row.id, row.last_seq), set()), False
        for chat_id in self._chats:
            if chat_id in told:
                continue
            try:
                await tell(self._bot, chat_id, View(text=text))
                told.add(chat_id)
            except TelegramError as error:
                log.warning("operators' chat %d: no alert of run %s: %s", chat_id, row.id, error)
                # Telegram calls it a bad request where there is no such chat.
                failed = failed or not isinstance(error, Forbidden | BadRequest)
        if failed or not told:
            return False
        del self._told[row.id, row.last_seq]
        return True

    def _note(self, event: Event) -> None:
        if event.type is EventType.RUN_PARKED:
            self._parked.set()


def _argument(update: Update) -> str:
    words = (update.message.text or "").split() if update.message is not None else []
    return words[1] if len(words) > 1 else ""


def _unknown(command: str, run_id: str) -> str:
    if not run_id:
        return f"Say which: <code>/{command} ID</code>. /runs lists the newest."
    return f"There is no run <code>{escape(run_id[:64])}</code>. /runs lists the newest."


def _line(row: RunRow) -> str:
    why = f" ({escape(row.error_type)})" if row.error_type else ""
    return f"<code>{row.id}</code> {row.created_at:%d %b %H:%M} {row.kind} {row.status}{why}"


def _details(run: RunDetails) -> str:
    usage = run.usage
    lines = [
        f"Run <code>{run.run_id}</code>: {run.kind}, {run.config}",
        f"Status: {run.status}" + (f", {escape(run.error.type)}" if run.error else ""),
        f"Begun {run.created_at:%d %b %Y %H:%M:%S} UTC"
        + (f", ended {run.ended_at:%H:%M:%S}" if run.ended_at else ""),
        f"Used: {usage.steps} steps, {usage.tokens:,} tokens, {usage.handoffs} handoffs, "
        f"${usage.apify_usd:.2f}",
        *(f"Degraded: {escape(words)}" for words in run.degraded),
        *(
            f"{step.seq}. {escape(step.name)}: {step.status}"
            + (f", {step.attempts} attempts" if step.attempts > 1 else "")
            + (f" ({escape(step.error.type)})" if step.error else "")
            for step in run.steps
        ),
    ]
    return "\n".join(lines)

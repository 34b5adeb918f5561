"""The one message of a run: a placeholder, edited while it moves on, then the shortlist or answer.

The message's id is journaled, so that a restart finds it: what a run came to is written into the
message that promised it, once.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeAlias

from telegram import LinkPreviewOptions
from telegram.constants import ParseMode
from telegram.error import BadRequest, Forbidden, TelegramError
from telegram.ext import ExtBot

from agents.domain.ask import AskResult
from agents.domain.run import ScoutResult
from agents.runner import Runner
from agents.store.errors import StoreError
from agents.store.runs import RunStore
from bot.telegram import views
from bot.telegram.sender import NOTHING_MORE
from bot.telegram.views import View
from bot.words import wait_words
from resilience.clock import Clock
from resilience.saga import CLOSING, OPEN, Event, EventType, Orchestrator, RunStatus

EDIT_EVERY_S = 1.5
PLACEHOLDER_WITHIN_S = 1.0
ANSWER_AGAIN_S = (5.0, 30.0, 120.0, 600.0)
"""The pauses before an answer that Telegram did not take is tried again; then the next start."""
_LINES_MAX = 8

log = logging.getLogger(__name__)

BotApi: TypeAlias = ExtBot[Any]
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


async def show(bot: BotApi, chat_id: int, message_id: int, view: View) -> None:
    """Edit a message to show the view; that it shows it already is as good."""
    try:
        await bot.edit_message_text(
            view.text,
            chat_id=chat_id,
            message_id=message_id,
            parse_mode=ParseMode.HTML,
            reply_markup=view.keyboard,
            link_preview_options=NO_PREVIEW,
        )
    except BadRequest as refused:
        if "not modified" not in str(refused):
            raise


async def tell(bot: BotApi, chat_id: int, view: View) -> None:
    """Send a message that shows the view and is left as it is."""
    await bot.send_message(
        chat_id,
        view.text,
        parse_mode=ParseMode.HTML,
        reply_markup=view.keyboard,
        link_preview_options=None if view.keyboard is None else NO_PREVIEW,
        rate_limit_args=NOTHING_MORE,
    )


async def send(bot: BotApi, chat_id: int, view: View) -> int:
    """Send a message that shows the view; returns its id."""
    message = await bot.send_message(
        chat_id,
        view.text,
        parse_mode=ParseMode.HTML,
        reply_markup=view.keyboard,
        link_preview_options=NO_PREVIEW,
    )
    return message.message_id


def result_view(result: ScoutResult) -> View:
    """What stands in a run's message once it ended."""
    if result.status != RunStatus.COMPLETED:
        return views.ended(result)
    return views.answer(result) if isinstance(result, AskResult) else views.shortlist(result)


class ScoutMessages:
    """Keeps the messages of the scouts under way up to date. An async context manager."""

    def __init__(
        self,
        *,
        bot: BotApi,
        runner: Runner,
        runs: RunStore,
        orchestrator: Orchestrator,
        clock: Clock,
        crashed: Callable[[str, BaseException], None],
    ) -> None:
        self._bot = bot
        self._crashed = crashed
        self._runner = runner
        self._runs = runs
        self._clock = clock
        self._followers: set[asyncio.Task[None]] = set()
        self._changed: dict[str, asyncio.Event] = {}
        self._lines: OrderedDict[str, list[str]] = OrderedDict()
        self._asks: set[str] = set()
        """The runs followed here that answer free text."""
        orchestrator.subscribe(self._note)

    async def __aenter__(self) -> "ScoutMessages":
        return self

    async def __aexit__(self, *_: object) -> None:
        for follower in self._followers:
            follower.cancel()
        await asyncio.gather(*self._followers, return_exceptions=True)

    async def begin(self, run_id: str, message_id: int | None = None) -> None:
        """Start the journaled run, and a message for it or the one given, in the background."""
        if message_id is not None:
            await self._runs.keep_message(run_id, message_id)
        self.follow(run_id)

    async def recover(self, channels: tuple[str, ...]) -> None:
        """After a restart: answer the runs that ended unanswered, take up the others."""
        for run_id in await self._runs.unanswered(channels):
            self._start(f"answer:{run_id}", self._answer_in_time(run_id))
        for run_id in await self._runner.abandoned(channels):
            log.info("taking up run %s after a restart", run_id)
            self.follow(run_id)

    def follow(self, run_id: str) -> None:
        """Start the run, or take it up, and answer it in its message, in the background."""
        if run_id in self._changed:
            return
        self._changed[run_id] = asyncio.Event()
        self._lines[run_id] = []
        self._start(f"follow:{run_id}", self._edit_until_ended(run_id))

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        # A context of its own: it holds none of the slots that its maker's handler holds.
        follower = asyncio.create_task(work, name=name, context=Context())
        self._followers.add(follower)
        follower.add_done_callback(self._left)

    async def _edit_until_ended(self, run_id: str) -> None:
        """The placeholder, progress while it runs, then the answer."""
        await self._note_kind(run_id)
        placeholder = asyncio.ensure_future(self._show_placeholder(run_id))
        try:
            # The message's id is journaled before the work begins, unless Telegram makes us wait.
            await asyncio.wait({placeholder}, timeout=PLACEHOLDER_WITHIN_S)
            await self._runner.launch(run_id)
            await placeholder
            await self._show_progress_of(run_id)
        except StoreError as error:
            # If it has not ended, whoever takes it up follows it; if it has, it is answered below.
            log.warning("run %s is not followed on: %s", run_id, error)
        finally:
            placeholder.cancel()
            self._changed.pop(run_id, None)
            self._lines.pop(run_id, None)
        await self._answer_in_time(run_id)
        self._asks.discard(run_id)

    async def _note_kind(self, run_id: str) -> None:
        with suppress(StoreError):  # then its placeholder is that of a scout
            run = await self._runs.get(run_id)
            if run is not None and run.kind == "ask":
                self._asks.add(run_id)

    def _working(self, run_id: str, lines: Sequence[str] = ()) -> View:
        return views.working(lines, asked=run_id in self._asks)

    async def _answer_in_time(self, run_id: str) -> None:
        for pause_s in ANSWER_AGAIN_S:
            if await self._answer(run_id):
                return
            await self._clock.sleep(pause_s)
        await self._answer(run_id)

    async def _show_progress_of(self, run_id: str) -> None:
        """Until the run ends: progress at most every EDIT_EVERY_S, the newest only."""
        waiting = asyncio.ensure_future(self._runner.wait(run_id))
        try:
            await self._show_position(run_id)
            while not waiting.done():
                changed = asyncio.ensure_future(self._changed[run_id].wait())
                await asyncio.wait({waiting, changed}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                if waiting.done():
                    break
                self._changed[run_id].clear()
                await self._show_progress(run_id)
                pause = asyncio.ensure_future(self._clock.sleep(EDIT_EVERY_S))
                await asyncio.wait({waiting, pause}, return_when=asyncio.FIRST_COMPLETED)
                pause.cancel()
            await waiting
        finally:
            waiting.cancel()

    async def _show_position(self, run_id: str) -> None:
        """Its place in the queue, while it waits there."""
        if not (position := self._runner.position(run_id)):
            return
        if self._runner.held_up(run_id):
            self._lines[run_id].append("Waiting: new work is held up by the operators for now…")
            self._changed[run_id].set()
            return
        try:
            words = wait_words(await self._runner.wait_s(position))
        except StoreError as error:
            log.warning("how long run %s waits is not known: %s", run_id, error)
            return
        self._lines[run_id].append(f"Waiting: {position:,}. in the queue, about {words}…")
        self._changed[run_id].set()

    async def _show_placeholder(self, run_id: str) -> None:
        view = self._working(run_id)
        try:
            message = await self._runs.message(run_id)
            if message is None:
                return  # not answered in a chat, or forgotten
            if message.message_id is None:
                await self._send_placeholder(run_id, message.chat_id)
            else:
                await show(self._bot, message.chat_id, message.message_id, view)
        except (TelegramError, StoreError) as error:
            # The run is journaled, so it runs; its answer is sent when it ends.
            log.warning("the placeholder of run %s was not shown: %s", run_id, error)

    async def _send_placeholder(self, run_id: str, chat_id: int) -> int:
        """Send a message for the run and journal its id. Whether a call that broke sent one nobody
        can tell, so only this one is ever sent again: a shortlist is an edit."""
        sent = await send(self._bot, chat_id, self._working(run_id))
        await self._runs.keep_message(run_id, sent)
        return sent

    async def _show_progress(self, run_id: str) -> None:
        lines = self._lines[run_id]
        try:
            message = await self._runs.message(run_id)
            if message is None or message.message_id is None or not lines:
                return
            view = self._working(run_id, lines[-_LINES_MAX:])
            await show(self._bot, message.chat_id, message.message_id, view)
        except (TelegramError, StoreError) as error:
            log.warning("progress of run %s was not shown: %s", run_id, error)

    async def _answer(self, run_id: str) -> bool:
        """Put what the run came to into its message, and journal that it stands there; False when
        that failed in a way that may pass."""
        try:
            message = await self._runs.message(run_id)
            if message is None:
                return True  # forgotten meanwhile
            result = await self._runner.result(run_id)
            if result.status in OPEN:
                return True  # left unfinished: whoever takes it up answers it
            view = result_view(result)
            message_id = message.message_id or await self._send_placeholder(run_id, message.chat_id)
            await self._replace(run_id, message.chat_id, message_id, view)
            await self._runs.mark_answered(run_id)
        except Forbidden:
            log.info("run %s is not answered: they blocked the bot", run_id)
        except (TelegramError, StoreError) as error:
            log.warning("run %s is not answered yet: %s", run_id, error)
            return False
        return True

    async def _replace(self, run_id: str, chat_id: int, message_id: int, view: View) -> None:
        try:
            await show(self._bot, chat_id, message_id, view)
        except BadRequest as refused:
            if "not found" not in str(refused):
                raise
            if await self._runs.message(run_id) is not None:  # deleted, but not by /forget
                message_id = await self._send_placeholder(run_id, chat_id)
                await show(self._bot, chat_id, message_id, view)

    def _note(self, event: Event) -> None:
        """The orchestrator's listener: remember what to show of a run that is followed here."""
        changed = self._changed.get(event.run_id)
        if changed is None or event.type in CLOSING:
            return
        if line := _line(event):
            self._lines[event.run_id].append(line)
            changed.set()

    def _left(self, follower: asyncio.Task[None]) -> None:
        self._followers.discard(follower)
        if not follower.cancelled() and (failure := follower.exception()) is not None:
            self._crashed(follower.get_name(), failure)


def _line(event: Event) -> str | None:
    data = event.data
    match event.type, data.get("step"):
        case EventType.STEP_PROGRESS, _ if "source" not in data:
            return None
        case EventType.STEP_PROGRESS, _ if data.get("failed"):
            return f"{data['source']}: no answer"
        case EventType.STEP_PROGRESS, _:
            return f"{data['source']}: {data['found']:,} postings"
        case EventType.STEP_COMPLETED, "discover" if "found" in data:
            return f"Found {data['found']:,}, ranking…"
        case EventType.STEP_COMPLETED, "match" if "ranked" in data:
            return f"Ranked {data['ranked']:,}…"
        case EventType.RUN_RESUMED, _:
            return "Going on after a restart…"
        case EventType.RUN_CANCELLING, _:
            return "Cancelling…"
        case EventType.RUN_COMPENSATING, _:
            return "Undoing…"
        case _:
            return None

"""The one message of a scout: a placeholder, edited while the run moves on, then the shortlist.

The message's id is journaled, so that a restart finds it: what a run came to is written into the
message that promised it, once.
"""

import asyncio
import logging
from collections import OrderedDict

from telegram import Bot, LinkPreviewOptions
from telegram.constants import ParseMode
from telegram.error import BadRequest, TelegramError

from agents.domain.run import ScoutResult
from agents.scout import Scout
from agents.store.errors import StoreError
from agents.store.runs import RunStore
from bot.telegram import views
from bot.telegram.views import View
from resilience.clock import Clock
from resilience.saga import CLOSING, Event, EventType, Orchestrator, RunStatus

EDIT_EVERY_S = 1.5
_LINES_MAX = 8

log = logging.getLogger(__name__)

NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


async def show(bot: Bot, chat_id: int, message_id: int, view: View) -> None:
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


async def send(bot: Bot, chat_id: int, view: View) -> int:
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
    """What stands in a scout's message once it ended."""
    return views.shortlist(result) if result.status == RunStatus.COMPLETED else views.ended(result)


class ScoutMessages:
    """Keeps the messages of the scouts under way up to date. An async context manager."""

    def __init__(
        self, *, bot: Bot, scout: Scout, runs: RunStore, orchestrator: Orchestrator, clock: Clock
    ) -> None:
        self._bot = bot
        self._scout = scout
        self._runs = runs
        self._clock = clock
        self._followers: set[asyncio.Task[None]] = set()
        self._changed: dict[str, asyncio.Event] = {}
        self._lines: OrderedDict[str, list[str]] = OrderedDict()
        orchestrator.subscribe(self._note)

    async def __aenter__(self) -> "ScoutMessages":
        return self

    async def __aexit__(self, *_: object) -> None:
        for follower in self._followers:
            follower.cancel()
        await asyncio.gather(*self._followers, return_exceptions=True)

    async def begin(self, run_id: str, chat_id: int, message_id: int | None = None) -> None:
        """Send the placeholder (or take over a message), journal it, start the run."""
        try:
            if message_id is None:
                message_id = await send(self._bot, chat_id, views.scouting(()))
                await self._runs.keep_message(run_id, message_id)
            else:
                await self._runs.keep_message(run_id, message_id)
                await show(self._bot, chat_id, message_id, views.scouting(()))
        except TelegramError as error:
            # The run is journaled, so it runs; its answer is sent when it ends.
            log.warning("the placeholder of run %s was not shown: %s", run_id, error)
        await self._follow(run_id)

    async def recover(self, channels: tuple[str, ...]) -> None:
        """After a restart: answer the runs that ended unanswered, take up the others."""
        for run_id in await self._runs.unanswered(channels):
            await self._answer(run_id)
        for run_id in await self._runs.unfinished(channels):
            log.info("taking up run %s after a restart", run_id)
            try:
                await self._take_up(run_id)
            except Exception:
                # The run's boundary: one that can't be taken up must not stop the start.
                log.exception("run %s can't be taken up", run_id)

    async def _take_up(self, run_id: str) -> None:
        message = await self._runs.message(run_id)
        if message is not None and message.message_id is None:
            sent = await send(self._bot, message.chat_id, views.scouting(()))
            await self._runs.keep_message(run_id, sent)
        await self._follow(run_id)

    async def _follow(self, run_id: str) -> None:
        self._changed[run_id] = asyncio.Event()
        self._lines[run_id] = []
        await self._scout.launch(run_id)
        follower = asyncio.create_task(self._edit_until_ended(run_id), name=f"follow:{run_id}")
        self._followers.add(follower)
        follower.add_done_callback(self._left)

    async def _edit_until_ended(self, run_id: str) -> None:
        """Show progress at most every EDIT_EVERY_S, the newest only, then the answer."""
        waiting = asyncio.ensure_future(self._scout.wait(run_id))
        try:
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
            self._changed.pop(run_id, None)
            self._lines.pop(run_id, None)
        await self._answer(run_id)

    async def _show_progress(self, run_id: str) -> None:
        message = await self._runs.message(run_id)
        lines = self._lines[run_id]
        if message is None or message.message_id is None or not lines:
            return
        try:
            view = views.scouting(lines[-_LINES_MAX:])
            await show(self._bot, message.chat_id, message.message_id, view)
        except (TelegramError, StoreError) as error:
            log.warning("progress of run %s was not shown: %s", run_id, error)

    async def _answer(self, run_id: str) -> None:
        """Put what the run came to into its message, and journal that it stands there."""
        message = await self._runs.message(run_id)
        if message is None:
            return  # forgotten meanwhile
        view = result_view(await self._scout.result(run_id))
        try:
            if message.message_id is None:
                sent = await send(self._bot, message.chat_id, view)
                await self._runs.keep_message(run_id, sent)
            else:
                await self._replace(run_id, message.chat_id, message.message_id, view)
            await self._runs.mark_answered(run_id)
        except (TelegramError, StoreError) as error:
            log.warning("run %s is not answered yet, the next start does it: %s", run_id, error)

    async def _replace(self, run_id: str, chat_id: int, message_id: int, view: View) -> None:
        try:
            await show(self._bot, chat_id, message_id, view)
        except BadRequest as refused:
            if "not found" not in str(refused):
                raise
            if await self._runs.message(run_id) is not None:  # deleted, but not by /forget
                await send(self._bot, chat_id, view)

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
            log.error("%s stopped", follower.get_name(), exc_info=failure)


def _line(event: Event) -> str | None:
    data = event.data
    match event.type, data.get("step"):
        case EventType.STEP_PROGRESS, _ if data.get("failed"):
            return f"{data['source']}: no answer"
        case EventType.STEP_PROGRESS, _:
            return f"{data['source']}: {data['found']:,} postings"
        case EventType.STEP_COMPLETED, "discover":
            return f"Found {data['found']:,}, ranking…"
        case EventType.STEP_COMPLETED, "match":
            return f"Ranked {data['ranked']:,}, drafting…"
        case EventType.RUN_RESUMED, _:
            return "Going on after a restart…"
        case EventType.RUN_CANCELLING, _:
            return "Cancelling…"
        case EventType.RUN_COMPENSATING, _:
            return "Undoing…"
        case _:
            return None

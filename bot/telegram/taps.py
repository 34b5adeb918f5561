"""Taps on buttons. Every one is answered at once, before its turn in the chat; what it did shows
in the message, or in a new one."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from telegram import Message, Update
from telegram.error import TelegramError

from agents.domain.ask import AskRequest
from agents.domain.kind import Kind
from agents.domain.match import Match
from agents.domain.run import ScoutResult
from agents.draft import NoSuchMatch, NotWritten
from agents.store.people import Person
from bot.telegram import views
from bot.telegram.buttons import SCOUTING, Action, Field, OldButton, Tap, decode, field_of, kind_of
from bot.telegram.handlers import NOT_WRITTEN, SETUP, SETUP_FIELDS, Context, Desk
from bot.telegram.limits import Limits
from bot.telegram.progress import show, tell
from resilience.saga import RunStatus

log = logging.getLogger(__name__)

OLD = "That button is from an older message. /scout makes a fresh list."

_WORDS = {
    Action.SAVE: "Saving…",
    Action.DRAFT: "Drafting…",
    Action.DISMISS: "Never again.",
    Action.UNSAVE: "Removing…",
}
"""What a tap is answered with at once, where waiting for the screen would leave one in doubt."""


class Taps:
    """One method an action; `tapped` finds it."""

    def __init__(self, desk: Desk, limits: Limits) -> None:
        self._desk = desk
        self._limits = limits
        self._actions: dict[Action, Callable[[_Tapped], Awaitable[None]]] = {
            Action.PICK: self._pick,
            Action.PAGE: self._page,
            Action.SAVE: self._save,
            Action.DRAFT: self._draft,
            Action.DISMISS: self._dismiss,
            Action.FUNNEL: self._funnel,
            Action.REFRESH: self._refresh,
            Action.SCOUT: self._scout,
            Action.UNSAVE: self._unsave,
            Action.EDIT: self._edit,
            Action.KIND: self._kind,
            Action.REMOTE: self._remote,
            Action.SKIP: self._skip,
            Action.DONE: self._done,
        }

    async def acknowledge(self, update: Update) -> None:
        """Answer the tap the moment it arrives; the work has its turn later."""
        query = update.callback_query
        assert query is not None  # noqa: S101 - called only for taps
        try:
            word = _WORDS.get(decode(query.data or "").action)
        except OldButton:
            word = OLD
        try:
            await query.answer(word)
        except TelegramError as error:  # too late for Telegram; the work is done all the same
            log.info("a tap was not answered: %s", error)

    async def tapped(self, update: Update, context: Context) -> None:
        """Find what the button means and do it."""
        query = update.callback_query
        assert query is not None  # noqa: S101 - the handler takes only taps
        message = query.message
        try:
            tap = decode(query.data or "")
        except OldButton:
            return  # its answer said so
        if not await self._admitted(update, tap):
            return
        try:
            if not isinstance(message, Message):
                raise OldButton("too old for Telegram to say more")
            person = await self._desk.person(update)
            tapped = _Tapped(
                tap=tap,
                update_id=update.update_id,
                person=person,
                chat_id=message.chat.id,
                message_id=message.message_id,
            )
            await self._actions[tap.action](tapped)
        except OldButton:
            assert update.effective_user is not None  # noqa: S101 - somebody tapped
            await self._desk.say(update.effective_user.id, OLD)

    async def _admitted(self, update: Update, tap: Tap) -> bool:
        limits = self._limits
        return await (limits.scouts if tap.action in SCOUTING else limits.commands)(update)

    # --- the shortlist ------------------------------------------------------------------------

    async def _pick(self, tapped: "_Tapped") -> None:
        result = await self._shortlist(tapped)
        await self._redraw(tapped, result)

    async def _page(self, tapped: "_Tapped") -> None:
        await self._redraw(tapped, await self._shortlist(tapped))

    async def _save(self, tapped: "_Tapped") -> None:
        result = await self._shortlist(tapped)
        opportunity = tapped.match_in(result).opportunity
        await self._desk.people.save(tapped.person.id, opportunity.id)
        await self._redraw(tapped, result)

    async def _draft(self, tapped: "_Tapped") -> None:
        await self._shortlist(tapped)
        try:
            drafted = await self._desk.drafting.draft(
                tapped.person.id, tapped.tap.subject, tapped.tap.rank
            )
        except NoSuchMatch:
            raise OldButton("no such match") from None
        except NotWritten:
            await self._desk.say(tapped.chat_id, NOT_WRITTEN)
            return
        view = views.draft(drafted.match, drafted.draft)
        await tell(self._desk.bot, tapped.chat_id, view)

    async def _dismiss(self, tapped: "_Tapped") -> None:
        result = await self._shortlist(tapped)
        opportunity = tapped.match_in(result).opportunity
        await self._desk.people.dismiss(tapped.person.id, opportunity.id)
        await self._redraw(tapped, await self._shortlist(tapped))

    async def _funnel(self, tapped: "_Tapped") -> None:
        result = await self._shortlist(tapped)
        await self._desk.say(tapped.chat_id, views.why_not_more(result))

    async def _refresh(self, tapped: "_Tapped") -> None:
        run = await self._desk.runs.get(tapped.tap.subject)
        if run is None or run.user_id != tapped.person.id:
            raise OldButton("no such run")
        request = await self._desk.runner.request(run)
        if request is None:
            raise OldButton("no such run")
        asked = isinstance(request, AskRequest)
        start = self._desk.start_ask if asked else self._desk.start_scout
        words = request.text if isinstance(request, AskRequest) else request.query
        await start(
            tapped.person,
            tapped.chat_id,
            words,
            update_id=tapped.update_id,
            message_id=tapped.message_id,
        )

    async def _scout(self, tapped: "_Tapped") -> None:
        await self._desk.people.expect(tapped.person.id, None)
        await self._desk.start_scout(
            tapped.person, tapped.chat_id, tapped.person.asked, update_id=tapped.update_id
        )
        if tapped.person.asked:
            await self._desk.people.remember_asked(tapped.person.id, "")

    async def _shortlist(self, tapped: "_Tapped") -> ScoutResult:
        """The person's own completed run, without what they never want to see again."""
        run = await self._desk.runs.get(tapped.tap.subject)
        if run is None or run.user_id != tapped.person.id or run.status != RunStatus.COMPLETED:
            raise OldButton("no such run")
        result = await self._desk.runner.result(run.id)
        never = await self._desk.people.dismissed(tapped.person.id)
        return replace(
            result, matches=tuple(m for m in result.matches if m.opportunity.id not in never)
        )

    async def _redraw(self, tapped: "_Tapped", result: ScoutResult) -> None:
        items = await self._desk.people.saved(tapped.person.id)
        view = views.shortlist(
            result,
            page=tapped.tap.page,
            picked=tapped.tap.rank,
            saved=frozenset(item.opportunity_id for item in items),
        )
        await show(self._desk.bot, tapped.chat_id, tapped.message_id, view)

    # --- saved postings -----------------------------------------------------------------------

    async def _unsave(self, tapped: "_Tapped") -> None:
        await self._desk.people.unsave(tapped.person.id, tapped.tap.subject)
        items = await self._desk.people.saved(tapped.person.id)
        await show(self._desk.bot, tapped.chat_id, tapped.message_id, views.saved_list(items))

    # --- the profile --------------------------------------------------------------------------

    async def _edit(self, tapped: "_Tapped") -> None:
        setup = tapped.tap.subject == "setup"
        field = SETUP_FIELDS[0] if setup else field_of(tapped.tap)
        await self._desk.ask(
            tapped.person, tapped.chat_id, field, setup=setup, update_id=tapped.update_id
        )

    async def _remote(self, tapped: "_Tapped") -> None:
        profile = await self._desk.people.profile(tapped.person.id)
        profile = replace(profile, remote=bool(tapped.tap.rank))
        await self._desk.people.keep_profile(tapped.person.id, profile)
        await show(self._desk.bot, tapped.chat_id, tapped.message_id, views.profile(profile))

    async def _kind(self, tapped: "_Tapped") -> None:
        kind = kind_of(tapped.tap)
        profile = await self._desk.people.profile(tapped.person.id)
        chosen = set(profile.kinds) | {kind} if tapped.tap.rank else set(profile.kinds) - {kind}
        profile = replace(profile, kinds=tuple(k for k in Kind if k in chosen))
        await self._desk.people.keep_profile(tapped.person.id, profile)
        await show(self._desk.bot, tapped.chat_id, tapped.message_id, views.kinds(profile.kinds))

    async def _skip(self, tapped: "_Tapped") -> None:
        field = field_of(tapped.tap)
        if tapped.person.expecting != f"{SETUP}{field}":
            return
        await self._desk.ask_next(tapped.person, tapped.chat_id, field, update_id=tapped.update_id)

    async def _done(self, tapped: "_Tapped") -> None:
        expecting = tapped.person.expecting or ""
        if expecting == f"{SETUP}{Field.KINDS}":
            await self._desk.ask_next(
                tapped.person, tapped.chat_id, Field.KINDS, update_id=tapped.update_id
            )
        elif expecting == Field.KINDS:
            await self._desk.people.expect(tapped.person.id, None)
            profile = await self._desk.people.profile(tapped.person.id)
            await tell(self._desk.bot, tapped.chat_id, views.profile(profile, "Saved."))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tapped:
    """A tap with who made it and where."""

    tap: Tap
    update_id: int
    person: Person
    chat_id: int
    message_id: int

    def match_in(self, result: ScoutResult) -> Match:
        """The match that the tap is about; raises OldButton when it is gone."""
        for match in result.matches:
            if match.rank == self.tap.rank:
                return match
        raise OldButton("no such match")

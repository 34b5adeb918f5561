"""Taps on buttons. Every one is answered, with a word where the screen does not tell."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from telegram import CallbackQuery, Message, Update

from agents.domain.kind import Kind
from agents.domain.match import Match
from agents.domain.run import ScoutResult
from agents.draft import NoSuchMatch
from agents.store.people import Person
from bot.telegram import views
from bot.telegram.buttons import Action, Field, OldButton, Tap, decode, field_of, kind_of
from bot.telegram.handlers import SETUP, SETUP_FIELDS, Context, Desk
from bot.telegram.progress import send, show
from resilience.saga import RunStatus

OLD = "That button is from an older message. /scout makes a fresh list."


class Taps:
    """One method an action; `tapped` finds it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._actions: dict[Action, Callable[[_Tapped], Awaitable[str | None]]] = {
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

    async def tapped(self, update: Update, context: Context) -> None:
        """Find what the button means, do it, and answer the tap."""
        query = update.callback_query
        assert query is not None  # noqa: S101 - the handler takes only taps
        message = query.message
        word: str | None = None
        try:
            tap = decode(query.data or "")
            if not isinstance(message, Message):
                raise OldButton("too old for Telegram to say more")
            person = await self._desk.person(update)
            tapped = _Tapped(query, tap, person, message.chat.id, message.message_id)
            word = await self._actions[tap.action](tapped)
        except OldButton:
            word = OLD
        finally:
            await query.answer(word)

    # --- the shortlist ------------------------------------------------------------------------

    async def _pick(self, tapped: "_Tapped") -> str | None:
        result = await self._shortlist(tapped)
        await self._redraw(tapped, result)
        return None

    async def _page(self, tapped: "_Tapped") -> str | None:
        await self._redraw(tapped, await self._shortlist(tapped))
        return None

    async def _save(self, tapped: "_Tapped") -> str | None:
        result = await self._shortlist(tapped)
        opportunity = tapped.match_in(result).opportunity
        new = await self._desk.people.save(tapped.person.id, opportunity.id)
        await self._redraw(tapped, result)
        title = opportunity.title[:120]
        return f"Saved: {title}" if new else f"Saved already: {title}"

    async def _draft(self, tapped: "_Tapped") -> str | None:
        await self._shortlist(tapped)
        try:
            drafted = await self._desk.drafting.draft(
                tapped.person.id, tapped.tap.subject, tapped.tap.rank
            )
        except NoSuchMatch:
            raise OldButton("no such match") from None
        view = views.draft(drafted.match, drafted.draft)
        await send(self._desk.bot, tapped.chat_id, view)
        return f"Draft for {tapped.tap.rank} is below."

    async def _dismiss(self, tapped: "_Tapped") -> str | None:
        result = await self._shortlist(tapped)
        opportunity = tapped.match_in(result).opportunity
        await self._desk.people.dismiss(tapped.person.id, opportunity.id)
        await self._redraw(tapped, await self._shortlist(tapped))
        return f"Never again: {opportunity.title[:120]}"

    async def _funnel(self, tapped: "_Tapped") -> str | None:
        result = await self._shortlist(tapped)
        await self._desk.say(tapped.chat_id, views.why_not_more(result))
        return None

    async def _refresh(self, tapped: "_Tapped") -> str | None:
        run = await self._desk.runs.get(tapped.tap.subject)
        request = await self._desk.runs.request(tapped.tap.subject)
        if run is None or run.user_id != tapped.person.id or request is None:
            raise OldButton("no such run")
        await self._desk.start_scout(
            tapped.person, tapped.chat_id, request.query, tapped.message_id
        )
        return None

    async def _scout(self, tapped: "_Tapped") -> str | None:
        await self._desk.people.expect(tapped.person.id, None)
        await self._desk.start_scout(tapped.person, tapped.chat_id, tapped.person.asked)
        if tapped.person.asked:
            await self._desk.people.remember_asked(tapped.person.id, "")
        return None

    async def _shortlist(self, tapped: "_Tapped") -> ScoutResult:
        """The person's own completed run, without what they never want to see again."""
        run = await self._desk.runs.get(tapped.tap.subject)
        if run is None or run.user_id != tapped.person.id or run.status != RunStatus.COMPLETED:
            raise OldButton("no such run")
        result = await self._desk.scout.result(run.id)
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

    async def _unsave(self, tapped: "_Tapped") -> str | None:
        gone = await self._desk.people.unsave(tapped.person.id, tapped.tap.subject)
        items = await self._desk.people.saved(tapped.person.id)
        await show(self._desk.bot, tapped.chat_id, tapped.message_id, views.saved_list(items))
        return "Removed." if gone else "It was removed already."

    # --- the profile --------------------------------------------------------------------------

    async def _edit(self, tapped: "_Tapped") -> str | None:
        setup = tapped.tap.subject == "setup"
        field = SETUP_FIELDS[0] if setup else field_of(tapped.tap)
        await self._desk.ask(tapped.person, tapped.chat_id, field, setup=setup)
        return None

    async def _remote(self, tapped: "_Tapped") -> str | None:
        profile = await self._desk.people.profile(tapped.person.id)
        profile = replace(profile, remote=not profile.remote)
        await self._desk.people.keep_profile(tapped.person.id, profile)
        await show(self._desk.bot, tapped.chat_id, tapped.message_id, views.profile(profile))
        return f"Remote: {'yes' if profile.remote else 'no'}"

    async def _kind(self, tapped: "_Tapped") -> str | None:
        kind = kind_of(tapped.tap)
        profile = await self._desk.people.profile(tapped.person.id)
        chosen = set(profile.kinds) ^ {kind}
        profile = replace(profile, kinds=tuple(k for k in Kind if k in chosen))
        await self._desk.people.keep_profile(tapped.person.id, profile)
        await show(self._desk.bot, tapped.chat_id, tapped.message_id, views.kinds(profile.kinds))
        return None

    async def _skip(self, tapped: "_Tapped") -> str | None:
        field = field_of(tapped.tap)
        if tapped.person.expecting != f"{SETUP}{field}":
            return "That question is answered."
        await self._desk.ask_next(tapped.person, tapped.chat_id, field)
        return None

    async def _done(self, tapped: "_Tapped") -> str | None:
        expecting = tapped.person.expecting or ""
        if expecting == f"{SETUP}{Field.KINDS}":
            await self._desk.ask_next(tapped.person, tapped.chat_id, Field.KINDS)
            return None
        if expecting == Field.KINDS:
            await self._desk.people.expect(tapped.person.id, None)
            profile = await self._desk.people.profile(tapped.person.id)
            await send(self._desk.bot, tapped.chat_id, views.profile(profile, "Saved."))
            return None
        return "Saved."


class _Tapped:
    """A tap with who made it and where."""

    def __init__(
        self, query: CallbackQuery, tap: Tap, person: Person, chat_id: int, message_id: int
    ) -> None:
        self.query = query
        self.tap = tap
        self.person = person
        self.chat_id = chat_id
        self.message_id = message_id

    def match_in(self, result: ScoutResult) -> Match:
        """The match that the tap is about; raises OldButton when it is gone."""
        for match in result.matches:
            if match.rank == self.tap.rank:
                return match
        raise OldButton("no such match")

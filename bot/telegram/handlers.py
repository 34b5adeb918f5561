"""Handlers: read what came, call one use case, show a view. One method a command.

Buttons are in `taps.py`; both share `Desk`, what a handler works with.
"""

import io
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from telegram import InputFile, Message, Update
from telegram.ext import ContextTypes

from agents.domain.ask import AskRequest
from agents.domain.errors import InvalidValue
from agents.domain.run import QUERY_MAX, ScoutRequest
from agents.draft import Drafting, NoSuchMatch, NotWritten
from agents.forget import Forgetting, NotOverwrittenYet
from agents.runner import Runner
from agents.store.admission import AlreadyOpen, KeyTaken, QueueFull
from agents.store.people import PeopleStore, Person
from agents.store.runs import RunStore
from bot.telegram import views
from bot.telegram.buttons import Field
from bot.telegram.chats import Links
from bot.telegram.limits import Limits
from bot.telegram.profile_text import read_answer, read_line
from bot.telegram.progress import BotApi, ScoutMessages, tell
from bot.telegram.views import View
from bot.words import wait_words

log = logging.getLogger(__name__)

Context = ContextTypes.DEFAULT_TYPE

SHORTLIST_MAX = 30
SETUP = "setup:"
"""What a person is expected to answer: a field, in the set-up with this before it."""
REPEATS_MAX = 1_000
"""How many updates a restart may bring again; another bot's numbers are further away."""
SETUP_FIELDS = (Field.SKILLS, Field.LOCATIONS, Field.KINDS)
_NOT_CHANGED = "Nothing was changed."
NOT_WRITTEN = "No language model could write the draft. Nothing was kept; please try again later."
PLAIN_TEXT = (
    "Write what you look for, such as: remote rust gigs over $50/h, not crypto. /help lists the "
    "commands."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What the handlers work with."""

    bot: BotApi
    channel: str
    people: PeopleStore
    runs: RunStore
    runner: Runner
    drafting: Drafting
    forgetting: Forgetting
    messages: ScoutMessages
    sources: tuple[str, ...]
    config: str
    sample_fallback: bool
    clear_chat: Callable[[], Awaitable[None]] | None
    """Deletes the chat's messages where we keep them ourselves (local mode)."""
    give_back: Callable[[int], None]
    """Gives a person the scout back that their bucket was charged for, and that was not started."""

    async def person(self, update: Update) -> Person:
        """Who sent the update."""
        user = update.effective_user
        assert user is not None  # noqa: S101 - the filters let only users' updates through
        return await self.people.person(self.channel, str(user.id))

    async def start_scout(
        self,
        person: Person,
        chat_id: int,
        query: str,
        *,
        update_id: int,
        message_id: int | None = None,
    ) -> None:
        """Journal and start a scout with the person's profile; says so when one is under way.

        The same update starts it once, also when a restart handles the update again.
        """
        profile = await self.people.profile(person.id)

        def request() -> ScoutRequest:
            return ScoutRequest(
                query=query,
                profile=profile,
                sources=self.sources,
                limit=SHORTLIST_MAX,
                config=self.config,
                sample_fallback=self.sample_fallback,
            )

        await self._start(person, chat_id, request, update_id, message_id)

    async def start_ask(
        self,
        person: Person,
        chat_id: int,
        text: str,
        *,
        update_id: int,
        message_id: int | None = None,
    ) -> None:
        """Journal and start what the person wrote in their own words; the rest is as above."""
        profile = await self.people.profile(person.id)

        def request() -> AskRequest:
            return AskRequest(
                text=text,
                profile=profile,
                sources=self.sources,
                limit=SHORTLIST_MAX,
                remember=True,
                sample_fallback=self.sample_fallback,
            )

        await self._start(person, chat_id, request, update_id, message_id)

    async def _start(
        self,
        person: Person,
        chat_id: int,
        make: Callable[[], ScoutRequest | AskRequest],
        update_id: int,
        message_id: int | None,
    ) -> None:
        key = f"{self.channel}:{self.bot.id}:{update_id}"
        try:
            run_id = await self.runner.create(person.id, make(), chat_id, key=key)
        except KeyTaken:
            return
        except (InvalidValue, AlreadyOpen, QueueFull) as refused:
            self.give_back(chat_id)
            await self.say(chat_id, _why_not(refused))
            return
        await self.messages.begin(run_id, message_id)

    async def say(self, chat_id: int, html: str) -> None:
        """Send a plain answer."""
        await tell(self.bot, chat_id, View(text=html))

    async def ask(
        self, person: Person, chat_id: int, field: Field, *, setup: bool, update_id: int
    ) -> None:
        """Ask for one part of the profile and remember that the next text answers it: not the
        update that made us ask, which a restart may bring again."""
        await self.people.expect(person.id, f"{SETUP if setup else ''}{field}", update_id)
        if field is Field.KINDS:
            profile = await self.people.profile(person.id)
            await tell(self.bot, chat_id, views.kinds(profile.kinds))
        else:
            await tell(self.bot, chat_id, views.question(field, setup=setup))

    async def ask_next(
        self, person: Person, chat_id: int, answered: Field, *, update_id: int
    ) -> None:
        """Go on with the set-up after one of its questions."""
        at = SETUP_FIELDS.index(answered) + 1
        if at < len(SETUP_FIELDS):
            field = SETUP_FIELDS[at]
            await self.ask(person, chat_id, field, setup=True, update_id=update_id)
            return
        await self.people.expect(person.id, None)
        profile = await self.people.profile(person.id)
        await self.people.keep_profile(person.id, profile)  # also an empty one: it was asked for
        await tell(self.bot, chat_id, views.setup_done(profile))


def _why_not(refused: InvalidValue | AlreadyOpen | QueueFull) -> str:
    match refused:
        case InvalidValue():
            return refusal(refused, "Nothing was started.")
        case AlreadyOpen():
            return "Something of yours is under way. /cancel stops it."
        case QueueFull():
            words = wait_words(refused.wait_s)
            return f"{refused.position:,} runs are waiting; try again in {words}."


class Commands:
    """The commands of a person."""

    def __init__(self, desk: Desk, links: Links, limits: Limits) -> None:
        self._desk = desk
        self._links = links
        self._limits = limits

    async def start(self, update: Update, context: Context) -> None:
        """/start: what this is, and the way to the set-up for who is new. With a token: the words
        that it stands for are scouted."""
        token = _words_after_command(update)
        words = await self._links.linked(token) if token else None
        if words is not None:
            if await self._limits.scouts(update):
                await self._scout(update, words)
            return
        person = await self._desk.person(update)
        profile = await self._desk.people.profile(person.id)
        await tell(self._desk.bot, _chat_id(update), views.welcome(new=profile.empty))

    async def help(self, update: Update, context: Context) -> None:
        """/help: the commands."""
        await self._desk.say(_chat_id(update), views.HELP)

    async def privacy(self, update: Update, context: Context) -> None:
        """/privacy: what is kept."""
        await self._desk.say(_chat_id(update), views.PRIVACY)

    async def profile(self, update: Update, context: Context) -> None:
        """/profile: the menu, or a line that sets parts of it."""
        person = await self._desk.person(update)
        profile = await self._desk.people.profile(person.id)
        line = _words_after_command(update)
        note = ""
        if line:
            try:
                profile = read_line(line, profile)
            except InvalidValue as invalid:
                await self._desk.say(_chat_id(update), refusal(invalid, _NOT_CHANGED))
                return
            await self._desk.people.keep_profile(person.id, profile)
            note = "Saved."
        await self._desk.people.expect(person.id, None)
        await tell(self._desk.bot, _chat_id(update), views.profile(profile, note))

    async def scout(self, update: Update, context: Context) -> None:
        """/scout [words]: start a scout; an empty profile is asked for first."""
        await self._scout(update, " ".join(_words_after_command(update).split()))

    async def _scout(self, update: Update, query: str) -> None:
        person, chat_id = await self._desk.person(update), _chat_id(update)
        if not await self._desk.people.has_profile(person.id):
            self._desk.give_back(chat_id)
            await self._desk.people.remember_asked(person.id, query[:QUERY_MAX])
            await self._desk.say(chat_id, "First, who are you? Three short questions.")
            await self._desk.ask(
                person, chat_id, Field.SKILLS, setup=True, update_id=update.update_id
            )
            return
        await self._desk.people.expect(person.id, None)
        await self._desk.start_scout(person, chat_id, query, update_id=update.update_id)

    async def draft(self, update: Update, context: Context) -> None:
        """/draft N: an application for match N of the newest shortlist."""
        person, chat_id = await self._desk.person(update), _chat_id(update)
        words = _words_after_command(update).strip()
        run_id = await self._desk.runs.last_answered_run_of(person.id)
        if run_id is None:
            await self._desk.say(
                chat_id, "There is no shortlist to draft from yet: /scout makes one."
            )
            return
        if not (words.isascii() and words.isdigit() and len(words) < 4):
            await self._desk.say(chat_id, "Which one? <code>/draft 2</code> is for match 2.")
            return
        try:
            drafted = await self._desk.drafting.draft(person.id, run_id, int(words))
        except NoSuchMatch as missing:
            ranks = f"it has 1 to {max(missing.ranks)}" if missing.ranks else "it is empty"
            await self._desk.say(chat_id, f"The last shortlist has no match {words}: {ranks}.")
            return
        except NotWritten:
            await self._desk.say(chat_id, NOT_WRITTEN)
            return
        await tell(self._desk.bot, chat_id, views.draft(drafted.match, drafted.draft))

    async def saved(self, update: Update, context: Context) -> None:
        """/saved: what the person saved."""
        person = await self._desk.person(update)
        items = await self._desk.people.saved(person.id)
        await tell(self._desk.bot, _chat_id(update), views.saved_list(items))

    async def cancel(self, update: Update, context: Context) -> None:
        """/cancel: stop what is under way, or leave a question."""
        person, chat_id = await self._desk.person(update), _chat_id(update)
        run_id = await self._desk.runner.cancel_open_run_of(person.id)
        if run_id is not None:
            result = await self._desk.runner.wait(run_id)
            await self._desk.say(chat_id, views.ended(result).text)
            return
        if person.expecting is not None:
            await self._desk.people.expect(person.id, None)
            await self._desk.say(chat_id, "All right, nothing was changed.")
            return
        await self._desk.say(chat_id, "Nothing is under way.")

    async def export(self, update: Update, context: Context) -> None:
        """/export: everything kept about the person, as a JSON file."""
        person = await self._desk.person(update)
        content = json.dumps(
            await self._desk.people.export(person.id), ensure_ascii=False, indent=2
        )
        document = InputFile(io.BytesIO(content.encode()), filename="webscout-export.json")
        await self._desk.bot.send_document(
            _chat_id(update), document, caption="Everything kept about you."
        )

    async def forget(self, update: Update, context: Context) -> None:
        """/forget: delete everything about the person, at once."""
        person, chat_id = await self._desk.person(update), _chat_id(update)
        run_id = await self._desk.runner.cancel_open_run_of(person.id)
        if run_id is not None:
            await self._desk.runner.wait(run_id)
        if self._desk.clear_chat is not None:
            await self._desk.clear_chat()
        try:
            await self._desk.forgetting.forget(person.id)
        except NotOverwrittenYet as later:
            log.warning("what was deleted is not overwritten everywhere yet: %s", later)
            await self._desk.say(chat_id, views.forgotten_but(in_cache=later.in_cache))
            return
        await self._desk.say(chat_id, views.FORGOTTEN)

    async def unknown(self, update: Update, context: Context) -> None:
        """A command that there isn't."""
        command = _message(update).text or ""
        word = views.cut(command.split(maxsplit=1)[0], 40)
        await self._desk.say(_chat_id(update), f"I don't know {word}.\n\n{views.HELP}")

    async def text(self, update: Update, context: Context) -> None:
        """Free text: the answer to a question, if one was asked, else what they want in their own
        words."""
        person, chat_id = await self._desk.person(update), _chat_id(update)
        if person.expecting is None:
            if await self._limits.scouts(update):  # it may scout
                text = (_message(update).text or "").strip()
                await self._desk.start_ask(person, chat_id, text, update_id=update.update_id)
            return
        setup = person.expecting.startswith(SETUP)
        field = Field(person.expecting.removeprefix(SETUP))
        if 0 <= person.expecting_since - update.update_id < REPEATS_MAX:
            # Handled before, and brought again by a restart: only the next question may be lost.
            since = person.expecting_since
            await self._desk.ask(person, chat_id, field, setup=setup, update_id=since)
            return
        profile = await self._desk.people.profile(person.id)
        try:
            profile = read_answer(field, _message(update).text or "", profile)
        except InvalidValue as invalid:
            await self._desk.say(
                chat_id, refusal(invalid, _NOT_CHANGED) + "\n\nPlease send it again, or /cancel."
            )
            return
        await self._desk.people.keep_profile(person.id, profile)
        if setup:
            await self._desk.ask_next(person, chat_id, field, update_id=update.update_id)
            return
        await self._desk.people.expect(person.id, None)
        await tell(self._desk.bot, chat_id, views.profile(profile, "Saved."))

    async def other(self, update: Update, context: Context) -> None:
        """Anything that is no text."""
        await self._desk.say(_chat_id(update), f"I can only read text. {PLAIN_TEXT}")


def refusal(invalid: InvalidValue, consequence: str) -> str:
    """What was wrong, what is allowed, and what did not happen."""
    problem, allowed = views.cut(invalid.problem, 300), views.cut(invalid.allowed, 200)
    field = views.cut(invalid.field, 60)
    return f"<b>{field}</b>: {problem}.\nAllowed: {allowed}.\n{consequence}"


def _message(update: Update) -> Message:
    assert update.message is not None  # noqa: S101 - the filters let only messages through
    return update.message


def _chat_id(update: Update) -> int:
    assert update.effective_chat is not None  # noqa: S101 - every message has a chat
    return update.effective_chat.id


def _words_after_command(update: Update) -> str:
    """What follows the command's word, on its line or the next."""
    words = (_message(update).text or "").split(maxsplit=1)
    return words[1] if len(words) == 2 else ""

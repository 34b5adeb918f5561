"""In groups the bot answers only when it is spoken to, and shows nothing of anybody: what is
personal goes on in private, by a link that carries the words in an opaque token."""

from telegram import (
    Bot,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
    MessageEntity,
    Update,
)
from telegram.ext import filters

from agents.domain.run import QUERY_MAX
from bot.telegram import views
from bot.telegram.chats import Links
from bot.telegram.handlers import Context, Desk
from bot.telegram.progress import tell
from bot.telegram.views import View

ABOUT = (
    "I find jobs, internships, gigs, bounties, grants and hackathons. What I find is for one "
    "person, so I do that in private."
)
IN_PRIVATE = "That is personal, so I do it in private."


class Groups:
    """The handlers of group chats."""

    def __init__(self, desk: Desk, links: Links) -> None:
        self._desk = desk
        self._links = links
        self.spoken_to = _SpokenTo(desk.bot)

    async def about(self, update: Update, context: Context) -> None:
        """/start, /help: what this is, and the way to it."""
        await self._answer(update, ABOUT, "")

    async def privacy(self, update: Update, context: Context) -> None:
        """/privacy: what is kept."""
        await self._answer(update, views.PRIVACY, "")

    async def scout(self, update: Update, context: Context) -> None:
        """/scout [words]: the way to it in private, with the words."""
        text = (update.message.text or "") if update.message else ""
        words = " ".join(text.split()[1:])[:QUERY_MAX]
        await self._answer(update, IN_PRIVATE, await self._token(update, words))

    async def personal(self, update: Update, context: Context) -> None:
        """Any other command of ours."""
        await self._answer(update, IN_PRIVATE, "")

    async def _token(self, update: Update, words: str) -> str:
        """A start token for the person's words; anonymous admins have none, they are nobody."""
        user, message = update.effective_user, update.message
        anonymous = message is not None and message.sender_chat is not None
        if user is None or user.is_bot or anonymous or not words:
            return ""
        person = await self._desk.person(update)
        return await self._links.link(person.id, words)

    async def _answer(self, update: Update, text: str, token: str) -> None:
        if update.effective_chat is None:
            return
        address = f"https://t.me/{self._desk.bot.username}" + (f"?start={token}" if token else "")
        button = InlineKeyboardButton("Go on in private", url=address)
        view = View(text=text, keyboard=InlineKeyboardMarkup([[button]]))
        await tell(self._desk.bot, update.effective_chat.id, view)


class _SpokenTo(filters.MessageFilter):
    """Texts that name the bot or reply to it."""

    def __init__(self, bot: Bot) -> None:
        super().__init__()
        self._bot = bot

    def filter(self, message: Message) -> bool:
        """Whether the text is for the bot."""
        return addressed(message, self._bot)


def addressed(message: Message, bot: Bot) -> bool:
    """Whether the message names the bot or replies to one of its messages."""
    replied = message.reply_to_message
    if replied is not None and replied.from_user is not None and replied.from_user.id == bot.id:
        return True
    mentions = message.parse_entities([MessageEntity.MENTION]).values()
    return f"@{bot.username}".lower() in {mention.lower() for mention in mentions}

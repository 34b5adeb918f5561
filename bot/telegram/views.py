"""What the bot says, as pure functions of facts. Every text is Telegram HTML, escaped here, and
within Telegram's 4096 characters by construction: each part has its own bound."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from telegram import InlineKeyboardButton, InlineKeyboardMarkup

from agents.domain.ask import AskResult
from agents.domain.draft import Draft, DraftMethod
from agents.domain.kind import Kind
from agents.domain.match import Match, MatchMethod
from agents.domain.opportunity import Listing
from agents.domain.profile import Profile
from agents.domain.run import Receipt, SavedItem, ScoutResult
from bot.telegram.buttons import Action, Field, Tap
from bot.words import (
    age_words,
    counted,
    date_words,
    deadline_words,
    funnel_lines,
    pay_words,
    place_words,
    shorten,
)

PAGE = 5
_NOTICES_SHOWN = 4
_ALSO_SHOWN = 2
_LINK_MAX = 300
_SAVED_SHOWN = 12
_PARTIAL_SHOWN = 5
_DRAFT_SHOWN = 3_600
_REPLY_SHOWN = 900
_REPLY_OVER_LIST = 120
"""With the line that says what is drafted."""
_READY_SHOWN = 3
_DRAFTS_SHOWN = 2_200

COMMANDS: tuple[tuple[str, str], ...] = (
    ("scout", "find opportunities for you"),
    ("profile", "say who you are and what you want"),
    ("draft", "an application for match N of the last list"),
    ("saved", "what you saved"),
    ("cancel", "stop what is under way"),
    ("help", "what I can do"),
    ("privacy", "what is kept about you"),
    ("export", "everything kept about you, as a file"),
    ("forget", "delete everything about you"),
    ("start", "begin"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A message: its HTML and its buttons."""

    text: str
    keyboard: InlineKeyboardMarkup | None = None


def _button(label: str, tap: Tap) -> InlineKeyboardButton:
    return InlineKeyboardButton(label, callback_data=tap.encode())


def _rows(*rows: Sequence[InlineKeyboardButton]) -> InlineKeyboardMarkup | None:
    filled = [row for row in rows if row]
    return InlineKeyboardMarkup(filled) if filled else None


def cut(text: str, longest: int) -> str:
    """Shortened, then escaped for HTML."""
    return escape(shorten(" ".join(text.split()), longest), quote=False)


# --- the shortlist ----------------------------------------------------------------------------


def _linked(words: str, url: str | None) -> str:
    """Words that are escaped already, as a link where there is one."""
    return f'<a href="{escape(url)}">{words}</a>' if url else words


def working(lines: Sequence[str], *, asked: bool = False) -> View:
    """A run under way, a scout or what somebody `asked` in their own words: what is done so far,
    and that it can be stopped."""
    done = "".join(f"\n• {cut(line, 120)}" for line in lines)
    return View(text=f"<b>{'On it…' if asked else 'Scouting…'}</b>{done}\n\n/cancel stops it.")


def answer(result: AskResult) -> View:
    """The answer to what somebody wrote: words, and what was scouted or drafted."""
    if result.matches:
        return shortlist(result)
    if result.drafts:
        parts = (_said(result, _REPLY_SHOWN), _drafts(result), _notices(result))
        return View(text="\n\n".join(filter(None, parts)))
    scouted = result.funnel.found > 0
    lines = "\n".join(f"• {cut(line, 120)}" for line in funnel_lines(result.funnel))
    parts = (_said(result, _REPLY_SHOWN), lines if scouted else "", _notices(result))
    return View(text="\n\n".join(filter(None, parts)))


def _ready(result: AskResult) -> str:
    """Which matches of the list have a draft already."""
    drafted = {draft.opportunity_id for draft in result.drafts}
    ranks = [m.rank for m in result.matches if m.opportunity.id in drafted]
    shown = ", ".join(f"/draft {rank}" for rank in ranks[:_READY_SHOWN])
    rest = f" +{len(ranks) - _READY_SHOWN}" if len(ranks) > _READY_SHOWN else ""
    return f"\nDrafted: {shown}{rest}" if ranks else ""


def _said(result: AskResult, longest: int) -> str:
    """The answer's words, line by line."""
    lines = [" ".join(line.split()) for line in result.reply.splitlines()]
    whole = shorten("\n".join(filter(None, lines)), longest)
    return escape(whole, quote=False) or "Done."


def _drafts(result: AskResult) -> str:
    """Drafts in full, as far as there is room for them in one message."""
    room = _DRAFTS_SHOWN // len(result.drafts)
    by = {DraftMethod.LLM: "by a language model", DraftMethod.TEMPLATE: "from a template"}
    shown = []
    for title, draft in zip(result.drafted_for, result.drafts, strict=True):
        text = shorten(draft.text, room)
        rest = "\n<i>The rest is in /export.</i>" if text != draft.text else ""
        head = f"<b>Draft for {cut(title, 80)}</b>, {by[draft.method]}"
        shown.append(f"{head}\n{escape(text, quote=False)}{rest}")
    return "\n\n".join(shown)


def shortlist(
    result: ScoutResult, *, page: int = 0, picked: int = 0, saved: frozenset[str] = frozenset()
) -> View:
    """One page of a completed scout's matches; `picked` is the rank that the buttons act on."""
    matches = result.matches
    if not matches:
        return nothing_found(result)
    page = max(0, min(page, (len(matches) - 1) // PAGE))
    shown = matches[page * PAGE : (page + 1) * PAGE]
    chosen = picked if any(m.rank == picked for m in shown) else shown[0].rank
    items = [_item(m, chosen=m.rank == chosen, saved=m.opportunity.id in saved) for m in shown]
    found = f"from {result.funnel.found:,} found"
    if all(match.method is MatchMethod.HEURISTIC for match in matches):
        found += " · ranked without AI"
    head = f"<b>{len(matches)} best {'match' if len(matches) == 1 else 'matches'}</b> {found}"
    if len(matches) > PAGE:
        head += f" · {shown[0].rank} to {shown[-1].rank}"
    if isinstance(result, AskResult):
        ready = _ready(result)
        head = f"{_said(result, _REPLY_OVER_LIST - len(ready))}{ready}\n\n{head}"
    return View(
        text="\n\n".join((head, *items, _notices(result))).rstrip(),
        keyboard=_shortlist_buttons(result, shown, page, chosen),
    )


def nothing_found(result: ScoutResult) -> View:
    """A completed scout without a match: why, and what would help."""
    lines = "\n".join(f"• {cut(line, 120)}" for line in funnel_lines(result.funnel))
    text = f"<b>Nothing found that fits.</b>\n\n{lines}\n\n{_notices(result)}\n\n"
    again = _button("Refresh", Tap(action=Action.REFRESH, subject=result.run_id))
    text += "A wider /profile may help: more kinds, another place, a lower minimum."
    return View(text=text, keyboard=_rows([again]))


def _item(match: Match, *, chosen: bool, saved: bool) -> str:
    o = match.opportunity
    title = cut(o.title, 100)
    linked = _linked(title, o.url)
    mark = "▸ " if chosen else ""
    star = " ★" if saved else ""
    organisation = f" · {cut(o.organisation, 40)}" if o.organisation else ""
    facts = " · ".join((o.kind, place_words(o), pay_words(o.pay), deadline_words(o)))
    score = "not ranked" if match.score is None else f"{match.score:.0f}/100"
    reasons = "; ".join(shorten(reason, 100) for reason in match.reasons[:2])
    lines = [
        f"{mark}<b>{match.rank}. {linked}</b>{organisation}{star}",
        cut(facts, 140),
        f"<b>{score}</b> · {cut(reasons, 150)}",
    ]
    if match.cautions:
        lines.append(f"⚠ {cut('; '.join(match.cautions), 110)}")
    source = f"{match.provenance.source}, {age_words(match.provenance.age_s)}"
    posted = f"posted {date_words(o.posted_at)}" if o.posted_at else "no date"
    lines.append(f"<i>{posted} · {cut(source, 40)}</i>{_also_at(o.also_at)}")
    return "\n".join(lines)


def _also_at(listings: Sequence[Listing]) -> str:
    """Where else the posting stands: the first few as links, the others as a number."""
    if not listings:
        return ""
    shown = [_also(listing) for listing in listings[:_ALSO_SHOWN]]
    rest = f" +{len(listings) - len(shown)}" if len(listings) > len(shown) else ""
    return f" · also at {', '.join(shown)}{rest}"


def _also(listing: Listing) -> str:
    name = cut(listing.source, 24)
    return _linked(name, listing.url if len(listing.url or "") <= _LINK_MAX else None)


def _notices(result: ScoutResult) -> str:
    shown = [f"<i>{cut(n, 110)}</i>" for n in result.notices[:_NOTICES_SHOWN]]
    rest = len(result.notices) - _NOTICES_SHOWN
    more = f"<i>and {counted(rest, 'more notice')}</i>"
    return "\n".join([*shown, more] if rest > 0 else shown)


def _shortlist_buttons(
    result: ScoutResult, shown: Sequence[Match], page: int, chosen: int
) -> InlineKeyboardMarkup | None:
    run = result.run_id
    numbers = [
        _button(
            f"· {m.rank} ·" if m.rank == chosen else str(m.rank),
            Tap(action=Action.PICK, subject=run, page=page, rank=m.rank),
        )
        for m in shown
    ]
    acts = [
        _button(label, Tap(action=action, subject=run, page=page, rank=chosen))
        for label, action in (
            ("Save", Action.SAVE),
            ("Draft", Action.DRAFT),
            ("Not for me", Action.DISMISS),
        )
    ]
    pages = (len(result.matches) - 1) // PAGE + 1
    more = [_button("More", Tap(action=Action.PAGE, subject=run, page=(page + 1) % pages))]
    why = _button("Why not more", Tap(action=Action.FUNNEL, subject=run, page=page, rank=chosen))
    again = _button("Refresh", Tap(action=Action.REFRESH, subject=run))
    return _rows(numbers, acts, [*(more if pages > 1 else []), why, again])


def why_not_more(result: ScoutResult) -> str:
    """The funnel, as a message of its own."""
    lines = "\n".join(f"• {cut(line, 120)}" for line in funnel_lines(result.funnel))
    notices = _notices(result)
    return f"<b>Why not more</b>\n{lines}" + (f"\n\n{notices}" if notices else "")


def ended(result: ScoutResult) -> View:
    """A scout that did not complete: what failed or was stopped, spent and undone."""
    message = result.error.message if result.error else "It ended without a result."
    lines = [cut(message, 600)]
    if result.receipt is not None:
        lines.append(_receipt(result.receipt, stopped=result.status == "cancelled"))
    if result.partial and result.matches:
        shown = "\n".join(f"• {_unranked_line(match)}" for match in result.matches[:_PARTIAL_SHOWN])
        lines.append(f"Found before it was stopped, not ranked:\n{shown}")
    again = _button("Refresh", Tap(action=Action.REFRESH, subject=result.run_id))
    return View(text="\n\n".join(lines), keyboard=_rows([again]))


def _unranked_line(match: Match) -> str:
    o = match.opportunity
    title = _linked(cut(o.title, 90), o.url)
    return f"{title} · {cut(o.organisation, 40)}" if o.organisation else title


def _receipt(receipt: Receipt, *, stopped: bool) -> str:
    what = ", ".join(receipt.stopped) or "nothing was under way"
    undone = ", ".join(receipt.undone) or "nothing to undo"
    usage = receipt.spent
    spent = f"{counted(usage.steps, 'step')}, {usage.tokens} tokens, ${usage.apify_usd:.2f}"
    lines = [f"Stopped: {cut(what, 200)}", f"Spent: {cut(spent, 100)}"] if stopped else []
    return "\n".join([*lines, f"Undone: {cut(undone, 200)}"])


# --- drafts and saved postings ----------------------------------------------------------------


def draft(match: Match, written: Draft) -> View:
    """An application draft, ready to be copied."""
    o = match.opportunity
    linked = _linked(cut(o.title, 110), o.url)
    how = "from a template" if written.method == "template" else "by a language model"
    text = shorten(written.text, _DRAFT_SHOWN)
    note = "" if text == written.text else " The rest is in /export."
    return View(
        text=f"<b>Draft for {match.rank}. {linked}</b>\n\n"
        f"<pre>{escape(text, quote=False)}</pre>\n\n"
        f"<i>Written {how}, with your profile's facts only. Fill in what stands in [ ].{note}</i>"
    )


def saved_list(items: Sequence[SavedItem]) -> View:
    """What a person saved, with a button to remove each."""
    if not items:
        return View(text="Nothing saved yet. Save keeps a match of a /scout here.")
    lines = []
    for number, item in enumerate(items[:_SAVED_SHOWN], 1):
        linked = _linked(cut(item.title, 100), item.url)
        by = f" · {cut(item.organisation, 50)}" if item.organisation else ""
        until = f" · until {date_words(item.deadline)}" if item.deadline else ""
        lines.append(f"{number}. {linked}{by}{until} <i>({cut(item.source, 40)})</i>")
    more = len(items) - _SAVED_SHOWN
    tail = f"\n\nand {more} more, all of them in /export" if more > 0 else ""
    removes = [
        _button(f"Remove {n}", Tap(action=Action.UNSAVE, subject=item.opportunity_id))
        for n, item in enumerate(items[:_SAVED_SHOWN], 1)
    ]
    rows = [removes[at : at + 4] for at in range(0, len(removes), 4)]
    listed = "\n".join(lines)
    return View(text=f"<b>Saved</b>\n\n{listed}{tail}", keyboard=_rows(*rows))


# --- the profile ------------------------------------------------------------------------------


def profile(profile: Profile, note: str = "") -> View:
    """The profile with a button for each part of it."""
    pay = str(profile.min_pay) if profile.min_pay else ""
    parts = (
        ("Skills", ", ".join(profile.skills)),
        ("Places", ", ".join(profile.locations)),
        ("Remote", "yes" if profile.remote else "no"),
        ("Kinds", ", ".join(profile.kinds) or "all"),
        ("Minimum pay", pay),
        ("About", profile.about),
    )
    lines = "\n".join(f"<b>{name}:</b> {cut(text, 400) or 'not set'}" for name, text in parts)
    text = f"{note}\n\n" if note else ""
    text += (
        f"<b>Your profile</b>\n{lines}\n\nIn one line, too: <code>/profile skills: python, sql; "
        "location: Lagos; remote: yes; kinds: grant, job; min: 1000 USD/month; about: …</code>"
    )
    remote = "Remote: no" if profile.remote else "Remote: yes"
    return View(
        text=text,
        keyboard=_rows(
            [
                _edit("Skills", Field.SKILLS),
                _edit("Places", Field.LOCATIONS),
                _edit("Kinds", Field.KINDS),
            ],
            [
                _button(f"Set {remote}", Tap(action=Action.REMOTE, rank=int(not profile.remote))),
                _edit("Minimum pay", Field.MIN_PAY),
                _edit("About", Field.ABOUT),
            ],
            [_button("Scout now", Tap(action=Action.SCOUT))],
        ),
    )


def _edit(label: str, field: Field) -> InlineKeyboardButton:
    return _button(label, Tap(action=Action.EDIT, subject=field))


QUESTIONS = {
    Field.SKILLS: "What can you do? Send your skills, separated by commas, such as: "
    "<code>python, sql, docker</code>",
    Field.LOCATIONS: "Where do you want to work? Send places, separated by commas, and “remote” if "
    "that suits you, such as: <code>Lagos, New York, NY, remote</code>",
    Field.MIN_PAY: "What is the least you would work for? An amount, a currency and a period, such "
    "as: <code>1000 USD/month</code>",
    Field.ABOUT: "Tell me about you in a few sentences. They go into your drafts as they are.",
}


def question(field: Field, *, setup: bool) -> View:
    """Ask for one part of the profile; in the set-up it can be skipped."""
    hint = (
        "Skip it if you like." if setup else "Send <code>-</code> to clear it, /cancel to leave it."
    )
    skip = [_button("Skip", Tap(action=Action.SKIP, subject=field))] if setup else []
    return View(text=f"{QUESTIONS[field]}\n\n{hint}", keyboard=_rows(skip))


def kinds(chosen: Sequence[Kind]) -> View:
    """The kinds, each on or off."""
    buttons = [
        _button(
            f"{'✓ ' if kind in chosen else ''}{kind}",
            Tap(action=Action.KIND, subject=kind, rank=int(kind not in chosen)),
        )
        for kind in Kind
    ]
    done = _button("Done", Tap(action=Action.DONE))
    text = "What are you looking for? Tap what you want; none chosen means all of them."
    return View(text=text, keyboard=_rows(buttons[:3], buttons[3:], [done]))


def welcome(*, new: bool) -> View:
    """The answer to /start."""
    text = (
        "<b>Webscout</b> finds jobs, internships, gigs, bounties, grants and hackathons that fit "
        "you, says why, and drafts the application.\n\n"
    )
    if not new:
        return View(
            text=text + "Your profile is here. /scout goes and looks, /help lists the rest."
        )
    return View(
        text=text + "First tell me who you are: three short questions.",
        keyboard=_rows([_button("Begin", Tap(action=Action.EDIT, subject="setup"))]),
    )


def setup_done(profile: Profile) -> View:
    """The end of the guided set-up."""
    known = (
        "Thank you, that is all I need."
        if not profile.empty
        else "Nothing set: I show what is new."
    )
    scout = _button("Scout now", Tap(action=Action.SCOUT))
    return View(text=f"{known} /profile changes it at any time.", keyboard=_rows([scout]))


HELP = "\n".join(
    (
        "<b>What I can do</b>",
        *(f"/{name} — {what}" for name, what in COMMANDS if name != "start"),
        "",
        "<code>/scout backend</code> looks for that word besides what your profile says. "
        "<code>/draft 2</code> drafts an application for match 2.",
        "",
        "Or write it in your own words: <i>remote rust gigs over $50/h, not crypto</i>, <i>draft 2 "
        "and 3</i>, <i>why is 4 on the list?</i>",
    )
)

PRIVACY = "\n".join(
    (
        "<b>What is kept about you</b>",
        "• your profile, and what you saved or marked “Not for me”",
        "• what your scouts asked for and found, and the drafts; what you wrote in your own words "
        "and the answers",
        "• a count of what each run did, without your name or words",
        "• for a moment what you write, until it is answered; for a week words you asked for in a "
        "group; whether you blocked the bot",
        "• on the chat page of local mode, the messages of this chat",
        "",
        "It stays in this program's database and is shown to nobody else. It is used to find and "
        "rank opportunities for you and to draft your applications, for nothing else. Where Apify "
        "is a source, a search there is given your words, or up to three skills, and one place. "
        "Where Supabase is the shared cache, it holds copies of your drafts and scores for a week. "
        "Where a language model is configured (OpenAI or Groq), it is given your profile without "
        "your name, what you write, and the postings, to rank, draft and answer.",
        "",
        "/export sends you all of it. /forget deletes all of it at once, on disk too.",
    )
)

FORGOTTEN = (
    "Done. Everything about you is deleted: profile, saved postings, scouts and drafts. "
    "/start begins anew."
)


def forgotten_but(*, in_cache: bool) -> str:
    """Everything is deleted, but something is left for a while."""
    left = "the database's log was in use: what was deleted is overwritten on disk a little later."
    if in_cache:
        left = (
            "the shared cache does not answer: copies of your drafts there are deleted as soon as "
            "it does."
        )
    return f"Everything about you is deleted here, but {left} /start begins anew."

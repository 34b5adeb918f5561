"""The tables. Instants are UTC; JSON columns hold what is read and written whole.

A user is known here by a random id; only `users` says whose it is. Forgetting a user deletes that
row and every text; the runs and their events stay, as ids and counts.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant in UTC, also on SQLite, which keeps no zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse an instant without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant without a zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give SQLite's instants their zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _table(name: str, *columns: Any) -> sa.Table:
    return sa.Table(name, metadata, *columns)


def _key(name: str, *constraints: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.String(64), *constraints, primary_key=True)


def _owner() -> sa.ForeignKey:
    return sa.ForeignKey("users.id", ondelete="CASCADE")


# --- people -----------------------------------------------------------------------------------

users = _table(
    "users",
    _key("id"),
    sa.Column("channel", sa.String(16), nullable=False),  # telegram, local, cli
    sa.Column("external_id", sa.String(64), nullable=False),
    sa.Column("expecting", sa.String(64)),  # the question that the user's next text answers
    sa.Column("expecting_since", sa.BigInteger),  # the update that brought up the question
    sa.Column("asked", sa.Text),  # the words of the /scout that began the set-up
    sa.Column("blocked_at", UtcDateTime),  # they blocked the bot, and have not come back
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("channel", "external_id"),
)
profiles = _table(
    "profiles",
    _key("user_id", _owner()),
    sa.Column("body", sa.JSON, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
)
saved = _table(
    "saved",
    _key("user_id", _owner()),
    _key("opportunity_id"),
    sa.Column("saved_at", UtcDateTime, nullable=False),
)
dismissed = _table(
    "dismissed",
    _key("user_id", _owner()),
    _key("opportunity_id"),
    sa.Column("dismissed_at", UtcDateTime, nullable=False),
)

# --- postings ---------------------------------------------------------------------------------

opportunities = _table(
    "opportunities",
    _key("id"),
    sa.Column("source", sa.String(128), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("deadline", UtcDateTime),
    sa.Column("active", sa.Boolean),
    sa.Column("fetched_at", UtcDateTime, nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # JSON, written and read whole
)

shelves = _table(  # what was last read of a source, and how that went
    "shelves",
    _key("key"),  # the source's, and for an actor its input's
    sa.Column("source", sa.String(128), nullable=False),
    sa.Column("attempted_at", UtcDateTime, nullable=False),
    sa.Column("fetched_at", UtcDateTime),  # None until a reading succeeded
    sa.Column("found", sa.Integer, nullable=False),
    sa.Column("unreadable", sa.JSON, nullable=False),  # records, by reason
    sa.Column("unread", sa.JSON, nullable=False),  # fields of the others, by field
    sa.Column("failures", sa.Integer, nullable=False),  # since the last success
    sa.Column("error", sa.Text),
    sa.Column("not_before", UtcDateTime),  # until then the source asked not to be asked
    sa.Column("etag", sa.Text),
    sa.Column("last_modified", sa.Text),
)
shelf_items = _table(
    "shelf_items",
    _key("key", sa.ForeignKey("shelves.key", ondelete="CASCADE")),
    _key("opportunity_id", sa.ForeignKey("opportunities.id")),
    sa.Column("position", sa.Integer, nullable=False),
)

# --- runs: the ledger (ids, counts) and the texts that can be forgotten -------------------------

runs = _table(
    "runs",
    _key("id"),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False, index=True),  # outlives the user's row
    sa.Column("config", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("stopping", sa.Boolean, nullable=False),  # no forward step may start any more
    sa.Column("last_seq", sa.Integer, nullable=False),
    sa.Column("error_type", sa.String(64)),
    sa.Column("team", sa.String(64)),  # whose key asked for it, None for people's own
    # The lease: who executes it, until when, and how often it changed hands.
    sa.Column("owner", sa.String(128)),
    sa.Column("lease_until", UtcDateTime),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("alerted_seq", sa.Integer, nullable=False),  # of the parking that operators know of
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    sa.Column("ended_at", UtcDateTime),
    sa.Index("ix_runs_team_status", "team", "status"),
    sa.Index("ix_runs_team_created_at_id", "team", "created_at", "id"),
)
run_events = _table(
    "run_events",
    _key("run_id", sa.ForeignKey("runs.id")),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
)
run_parts = _table(  # what each completed step made, for taking the run up; gone at its end
    "run_parts",
    _key("run_id", sa.ForeignKey("runs.id")),
    _key("step"),
    sa.Column("body", sa.Text, nullable=False),  # JSON with its version
)
idempotency_keys = _table(
    "idempotency_keys",
    _key("team"),
    _key("key"),  # hashed
    sa.Column("body", sa.String(64), nullable=False),  # hashed
    sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
)
team_tokens = _table(  # what a team's runs used, by minute; an empty team is people's own
    "team_tokens",
    _key("team"),
    sa.Column("minute", sa.BigInteger, primary_key=True),  # since 1970
    sa.Column("tokens", sa.BigInteger, nullable=False),
)
actor_starts = _table(  # an Apify run is journaled before it is started: found again after a crash
    "actor_starts",
    _key("key"),  # of the source with its input
    sa.Column("mark", sa.String(32), nullable=False),  # stands in the run's input
    sa.Column("actor", sa.String(128), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("apify_run_id", sa.String(64)),  # None until Apify answered
    sa.Column("settled_at", UtcDateTime),  # None until the outcome is known
)
run_texts = _table(
    "run_texts",
    _key("run_id", sa.ForeignKey("runs.id")),
    _key("name"),  # request, report
    sa.Column("body", sa.Text, nullable=False),
)
run_messages = _table(
    "run_messages",
    _key("run_id", sa.ForeignKey("runs.id")),
    sa.Column("chat_id", sa.BigInteger, nullable=False),
    sa.Column("message_id", sa.BigInteger),  # None until the placeholder was sent
    sa.Column("answered_at", UtcDateTime),  # None until the run's end stands in the message
)
matches = _table(
    "matches",
    _key("run_id", sa.ForeignKey("runs.id")),
    _key("opportunity_id", sa.ForeignKey("opportunities.id")),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("score", sa.Float),
    sa.Column("method", sa.String(16), nullable=False),
    sa.Column("reasons", sa.JSON(none_as_null=True)),
    sa.Column("cautions", sa.JSON(none_as_null=True)),
    sa.Column("provenance", sa.JSON, nullable=False),
    sa.Column("also_at", sa.JSON(none_as_null=True)),  # the duplicates that this run collapsed
)
drafts = _table(
    "drafts",
    _key("run_id", sa.ForeignKey("runs.id")),
    _key("opportunity_id", sa.ForeignKey("opportunities.id")),
    sa.Column("position", sa.Integer, nullable=False),  # in the order they were written
    sa.Column("method", sa.String(16), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

# --- operators --------------------------------------------------------------------------------

operator_actions = _table(  # who did what and when; the newest of a subject is how it stands
    "operator_actions",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("who", sa.String(64), nullable=False),  # a user's random id, or dashboard
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("subject", sa.String(160), nullable=False, index=True),
    sa.Column("outcome", sa.String(255)),  # None until it is known
)
told_alerts = _table(  # what operators were told of and not of its end; gone with that
    "told_alerts",
    _key("rule"),
    sa.Column("subject", sa.String(160), primary_key=True),
    sa.Column("severity", sa.String(16), nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.Column("fired_at", UtcDateTime, nullable=False),
    sa.Column("told_at", UtcDateTime),  # None until somebody has it
    sa.Column("owner", sa.String(128), nullable=False),  # the process that tells of it
    sa.Column("seen_at", UtcDateTime, nullable=False),  # when that process last said so
)
probes = _table(  # written to find out whether the database takes a write
    "probes",
    _key("name"),
    sa.Column("at", UtcDateTime, nullable=False),
)

# --- Telegram -----------------------------------------------------------------------------------

telegram_updates = _table(  # an update is handled once: here before it is, without a body after
    "telegram_updates",
    sa.Column("bot_id", sa.BigInteger, primary_key=True),
    sa.Column("update_id", sa.BigInteger, primary_key=True),
    sa.Column("sender_id", sa.String(64), index=True),
    sa.Column("body", sa.Text),  # JSON, None once it was handled
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False, index=True),
)
chat_moves = _table(  # groups that became supergroups have another id
    "chat_moves",
    sa.Column("old_chat_id", sa.BigInteger, primary_key=True),
    sa.Column("new_chat_id", sa.BigInteger, nullable=False),
)
untold_forgets = _table("untold_forgets", _key("user_id"))  # whom the cache has yet to forget
start_links = _table(  # what t.me/BOT?start=TOKEN goes on with
    "start_links",
    _key("token"),
    sa.Column("user_id", sa.String(64), _owner(), nullable=False, index=True),
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

# --- local mode: the messages of the chat page --------------------------------------------------

chat_counters = _table(
    "chat_counters",
    _key("name"),  # message, revision, update; they never go back
    sa.Column("value", sa.BigInteger, nullable=False),
)
chat_messages = _table(
    "chat_messages",
    sa.Column("chat_id", sa.BigInteger, primary_key=True),
    sa.Column("message_id", sa.BigInteger, primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False, index=True),
    sa.Column("body", sa.Text, nullable=False),
)
chat_updates = _table(
    "chat_updates",
    sa.Column("update_id", sa.BigInteger, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)
chat_files = _table(
    "chat_files",
    _key("id"),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False),
)

"""Whom the cache has yet to forget; and the table of its second tier, where the database is a
PostgreSQL that Supabase serves.

Supabase publishes what stands in `public` and gives its anonymous key rights on it: row level
security without a policy keeps everybody out but the owner and the service role. On the cache's
table those rights are taken back, so that a process with the wrong key is told so: row level
security alone would answer it that nothing is there, and that what it deletes is gone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_OURS = (
    "alembic_version",
    "chat_counters",
    "chat_files",
    "chat_messages",
    "chat_moves",
    "chat_updates",
    "dismissed",
    "drafts",
    "matches",
    "opportunities",
    "profiles",
    "run_events",
    "run_messages",
    "run_texts",
    "runs",
    "saved",
    "shelf_items",
    "shelves",
    "start_links",
    "telegram_updates",
    "untold_forgets",
    "users",
)

# A write that was under way for long must not replace a newer one.
_NEWEST_WINS = (
    "CREATE FUNCTION cache_entries_newest_wins() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF NEW.stored_at < OLD.stored_at THEN RETURN NULL; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER cache_entries_newest_wins BEFORE UPDATE ON cache_entries "
    "FOR EACH ROW EXECUTE FUNCTION cache_entries_newest_wins()",
)
# Where there is no Supabase these roles are not there, and other roles may well use our tables.
_WITH_SUPABASE = (
    "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN {} END IF; END $$"
)
_NOT_FOR_ALL = (
    "DO $$ DECLARE everybody text; BEGIN "
    "FOR everybody IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') "
    "LOOP EXECUTE 'REVOKE ALL ON cache_entries FROM ' || everybody; END LOOP; END $$"
)
_WITH_SERVICE_ROLE = (
    "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN "
    "GRANT SELECT, INSERT, UPDATE, DELETE ON cache_entries TO service_role; END IF; END $$"
)


def upgrade() -> None:
    """Add the tables, and close all of them to Supabase's public roles."""
    op.create_table(
        "untold_forgets",
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_untold_forgets")),
    )
    if op.get_context().dialect.name != "postgresql":
        return  # the cache has a file of its own
    op.create_table(
        "cache_entries",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),  # base64
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fresh_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tag", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("key", name="pk_cache_entries"),
    )
    op.create_index("ix_cache_entries_kept_until", "cache_entries", ["kept_until"])
    op.create_index("ix_cache_entries_tag", "cache_entries", ["tag"])
    for statement in _NEWEST_WINS:
        op.execute(statement)
    op.execute("ALTER TABLE cache_entries ENABLE ROW LEVEL SECURITY")
    closed = "".join(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY; " for name in _OURS)
    op.execute(_WITH_SUPABASE.format(closed))
    op.execute(_NOT_FOR_ALL)
    op.execute(_WITH_SERVICE_ROLE)

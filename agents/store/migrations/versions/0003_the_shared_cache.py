"""Whom the cache has yet to forget; and the tables of its second tier, where the database is a
PostgreSQL that Supabase serves.

Supabase publishes what stands in `public` and gives its anonymous key rights on it: row level
security without a policy keeps everybody out but the owner and the service role. On the cache's
tables those rights are taken back, so that a process with the wrong key is told so: row level
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

# A write that was under way for long must not replace a newer one; and one whose clock was ahead
# must not stand for ever.
_NEWEST_WINS = (
    """CREATE FUNCTION cache_entries_newest_wins() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.stored_at < OLD.stored_at AND OLD.stored_at <= now() + interval '5 minutes' THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$""",
    """CREATE TRIGGER cache_entries_newest_wins BEFORE UPDATE ON cache_entries
FOR EACH ROW EXECUTE FUNCTION cache_entries_newest_wins()""",
    # Each sweep takes these, too; by the clock here, since a sweeper's own may be behind.
    """CREATE FUNCTION cache_entries_of_the_future() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM cache_entries WHERE stored_at > now() + interval '5 minutes';
    RETURN NULL;
END $$""",
    """CREATE TRIGGER cache_entries_of_the_future AFTER DELETE ON cache_entries
FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)
EXECUTE FUNCTION cache_entries_of_the_future()""",
)
# What is forgotten stays forgotten, also when a write that was under way comes after it.
_FORGOTTEN = (
    """CREATE FUNCTION cache_entries_forgotten() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (
        SELECT FROM cache_forgotten WHERE tag = NEW.tag AND forgotten_at >= NEW.stored_at
    ) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$""",
    """CREATE TRIGGER cache_entries_forgotten BEFORE INSERT OR UPDATE ON cache_entries
FOR EACH ROW EXECUTE FUNCTION cache_entries_forgotten()""",
    """CREATE FUNCTION cache_forgotten_latest() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    NEW.forgotten_at := greatest(OLD.forgotten_at, NEW.forgotten_at);
    RETURN NEW;
END $$""",
    """CREATE TRIGGER cache_forgotten_latest BEFORE UPDATE ON cache_forgotten
FOR EACH ROW EXECUTE FUNCTION cache_forgotten_latest()""",
    """CREATE FUNCTION cache_forgotten_forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM cache_entries WHERE tag = NEW.tag;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER cache_forgotten_forget AFTER INSERT OR UPDATE ON cache_forgotten
FOR EACH ROW EXECUTE FUNCTION cache_forgotten_forget()""",
)
# Neither sees what the other has not committed: they take turns. Before any row is locked, so that
# nobody waits crosswise; the number is any, but the migrations' own.
_IN_TURN = (
    """CREATE FUNCTION cache_in_turn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_TABLE_NAME = 'cache_forgotten' THEN
        PERFORM pg_advisory_xact_lock(7305211);
    ELSE
        PERFORM pg_advisory_xact_lock_shared(7305211);
    END IF;
    RETURN NULL;
END $$""",
    """CREATE TRIGGER cache_in_turn BEFORE INSERT OR UPDATE ON cache_entries
FOR EACH STATEMENT EXECUTE FUNCTION cache_in_turn()""",
    """CREATE TRIGGER cache_in_turn BEFORE INSERT OR UPDATE ON cache_forgotten
FOR EACH STATEMENT EXECUTE FUNCTION cache_in_turn()""",
)
# Where there is no Supabase these roles are not there, and other roles may well use our tables.
_WITH_SUPABASE = """DO $$ DECLARE name text; BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN
        RETURN;
    END IF;
    FOREACH name IN ARRAY ARRAY[
        {}
    ] LOOP
        EXECUTE 'ALTER TABLE ' || name || ' ENABLE ROW LEVEL SECURITY';
    END LOOP;
END $$"""
_NOT_FOR_ALL = """DO $$ DECLARE everybody text; BEGIN
    FOR everybody IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE 'REVOKE ALL ON cache_entries, cache_forgotten FROM ' || everybody;
    END LOOP;
END $$"""
_WITH_SERVICE_ROLE = """DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'service_role') THEN
        GRANT SELECT, INSERT, UPDATE, DELETE ON cache_entries, cache_forgotten TO service_role;
    END IF;
END $$"""


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
    op.create_table(
        "cache_forgotten",
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column(
            "forgotten_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("now()"),
        ),
        sa.PrimaryKeyConstraint("tag", name="pk_cache_forgotten"),
    )
    for statement in (*_NEWEST_WINS, *_FORGOTTEN, *_IN_TURN):
        op.execute(statement)
    op.execute("ALTER TABLE cache_entries ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE cache_forgotten ENABLE ROW LEVEL SECURITY")
    op.execute(_WITH_SUPABASE.format(",\n        ".join(f"'{name}'" for name in _OURS)))
    op.execute(_NOT_FOR_ALL)
    op.execute(_WITH_SERVICE_ROLE)

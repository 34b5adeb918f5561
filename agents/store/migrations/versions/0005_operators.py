"""Operators: what they did, which alerts they know of, and a row to try a write with."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_NEW = ("operator_actions", "told_alerts", "probes")
# As in 0003: Supabase publishes what stands in `public`.
_WITH_SUPABASE = """DO $$ DECLARE name text; BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN
        RETURN;
    END IF;
    FOREACH name IN ARRAY ARRAY[{}] LOOP
        EXECUTE 'ALTER TABLE ' || name || ' ENABLE ROW LEVEL SECURITY';
    END LOOP;
END $$"""


def upgrade() -> None:
    """Add the tables."""
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "operator_actions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.Column("who", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=160), nullable=False),
        sa.Column("outcome", sa.String(length=255), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator_actions")),
    )
    op.create_index(op.f("ix_operator_actions_subject"), "operator_actions", ["subject"])
    op.create_table(
        "told_alerts",
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=160), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("since", instant, nullable=False),
        sa.Column("fired_at", instant, nullable=False),
        sa.Column("told_at", instant, nullable=True),
        sa.Column("owner", sa.String(length=128), nullable=False),
        sa.Column("seen_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("rule", "subject", name=op.f("pk_told_alerts")),
    )
    op.create_table(
        "probes",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_probes")),
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute(_WITH_SUPABASE.format(", ".join(f"'{name}'" for name in _NEW)))


def downgrade() -> None:
    """Drop them."""
    for name in _NEW:
        op.drop_table(name)

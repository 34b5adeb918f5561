"""Durable runs: who executes a run, what its steps made, whose key asked for it, and which runs of
actors were started."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_NEW = ("actor_starts", "idempotency_keys", "run_parts", "team_tokens")
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
    """Add the tables and columns."""
    no, zero = sa.false(), sa.text("0")
    for column in (
        sa.Column("stopping", sa.Boolean(), nullable=False, server_default=no),
        sa.Column("team", sa.String(length=64), nullable=True),
        sa.Column("owner", sa.String(length=128), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False, server_default=zero),
        sa.Column("alerted_seq", sa.Integer(), nullable=False, server_default=zero),
    ):
        op.add_column("runs", column)
    # What was compensating or being cancelled goes no step forward any more.
    op.execute(
        "UPDATE runs SET stopping = true WHERE status = 'compensating' OR id IN (SELECT run_id"
        " FROM run_events WHERE type IN ('run.cancelling', 'run.compensating', 'step.failed'))"
    )
    op.create_index("ix_runs_team_status", "runs", ["team", "status"])
    op.create_index("ix_runs_team_created_at_id", "runs", ["team", "created_at", "id"])
    op.create_table(
        "run_parts",
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_parts_run_id")),
        sa.PrimaryKeyConstraint("run_id", "step", name=op.f("pk_run_parts")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("team", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("body", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_idempotency_keys_run_id")),
        sa.PrimaryKeyConstraint("team", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])
    op.create_table(
        "team_tokens",
        sa.Column("team", sa.String(length=64), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("team", "minute", name=op.f("pk_team_tokens")),
    )
    op.create_table(
        "actor_starts",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("mark", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("apify_run_id", sa.String(length=64), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_actor_starts")),
    )
    if op.get_context().dialect.name == "postgresql":
        op.execute(_WITH_SUPABASE.format(", ".join(f"'{name}'" for name in _NEW)))


def downgrade() -> None:
    """Drop them."""
    for name in _NEW:
        op.drop_table(name)
    op.drop_index("ix_runs_team_created_at_id", table_name="runs")
    op.drop_index("ix_runs_team_status", table_name="runs")
    for column in ("alerted_seq", "fence", "lease_until", "owner", "team", "stopping"):
        op.drop_column("runs", column)

"""Alembic's entry: over the connection it is given, or as PostgreSQL's SQL text."""

from alembic import context

from agents.store.schema import metadata

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=metadata, literal_binds=True)
else:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        render_as_batch=True,
    )
with context.begin_transaction():
    context.run_migrations()

"""`webscout migrate`: the database schema."""

from bot.bootstrap import build_database, schema_sql
from bot.settings import Settings


async def migrate(settings: Settings, *, sql: bool) -> int:
    """Bring the schema up to date, or print it as SQL."""
    if sql:
        print(schema_sql())
        return 0
    async with build_database(settings) as database:
        changed = await database.migrate()
    print("The database schema was brought up to date." if changed else "The schema is up to date.")
    return 0

"""The composition root: which adapter stands behind which port. Nothing else picks adapters."""

from agents.discovery.sources.catalogue import Catalogue
from agents.store.database import schema_sql
from bot.bootstrap.bot import Running, build_bot, telegram_username
from bot.bootstrap.core import (
    Core,
    Fakes,
    ask_supabase,
    build_catalogue_alone,
    build_core,
    build_database,
    build_replica,
)
from bot.bootstrap.llm import vendors_of

__all__ = [
    "Catalogue",
    "Core",
    "Fakes",
    "Running",
    "ask_supabase",
    "build_bot",
    "build_catalogue_alone",
    "build_core",
    "build_database",
    "build_replica",
    "schema_sql",
    "telegram_username",
    "vendors_of",
]

"""The servers that several folders' tests share."""

from tests.fakes.supabase import supabase, supabase_servers

__all__ = ["supabase", "supabase_servers"]  # fixtures for this folder's tests

"""The servers that these tests share with others."""

from tests.fakes.llmock_server import server
from tests.fakes.supabase import supabase, supabase_servers

__all__ = ["server", "supabase", "supabase_servers"]  # fixtures for this folder's tests

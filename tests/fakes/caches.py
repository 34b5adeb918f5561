"""Caches without a second tier."""

from agents.action.agent import DRAFTS, DraftCodec
from agents.discovery.codec import FetchedCodec
from agents.discovery.stored import READINGS, Fetched
from agents.domain.draft import Draft
from cache.port import Clock
from cache.tiered import Cache, TieredCache


def memory_readings(clock: Clock) -> TieredCache[Fetched]:
    """What sources gave, in memory."""
    return Cache(clock, None).of(READINGS, FetchedCodec(), lambda got: not got.opportunities)


def memory_drafts(clock: Clock) -> TieredCache[Draft]:
    """Drafts, in memory."""
    return Cache(clock, None).of(DRAFTS, DraftCodec())

"""The language models of the settings, in their order, each behind its guard."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from agents.llm.chat_api import ChatApi
from agents.llm.groq import Groq
from agents.llm.metered import InOrder
from agents.llm.openai import OpenAi
from agents.llm.port import LanguageModel
from bot.guards import GuardedVendor, Guards, llm_fault, log_trouble
from bot.policies import llm_policy
from bot.settings import Settings

log = logging.getLogger(__name__)


@asynccontextmanager
async def build_llm(settings: Settings, guards: Guards) -> AsyncIterator[LanguageModel | None]:
    """Who answers prompts; None when no vendor has a key. Their SDKs load in the background, so
    that the chat answers before they are there."""
    vendors = vendors_of(settings)
    async with AsyncExitStack() as stack:
        for vendor in vendors:
            stack.push_async_callback(vendor.close)
            loading = asyncio.create_task(vendor.prepare(), name=f"load:{vendor.name}")
            loading.add_done_callback(_complain)
        guarded = []
        for vendor in vendors:
            guard = guards.make(vendor.name, llm_policy(settings), llm_fault)
            log_trouble(guard)
            guarded.append(GuardedVendor(vendor, guard))
        yield InOrder(guarded) if guarded else None


def vendors_of(settings: Settings) -> list[ChatApi]:
    """The vendors that have a key, in the order in which they are asked."""
    keys = {"openai": settings.openai_api_key, "groq": settings.groq_api_key}
    return [_vendor(name, settings) for name in settings.llm_order if keys[name] is not None]


def _vendor(name: str, settings: Settings) -> ChatApi:
    timeout_s = settings.llm_timeout_s
    if name == "openai":
        assert settings.openai_api_key is not None  # noqa: S101 - it has one
        return ChatApi(
            OpenAi(settings.openai_api_key.get_secret_value(), settings.openai_base_url),
            model=settings.openai_model,
            fast_model=settings.openai_fast_model,
            timeout_s=timeout_s,
        )
    assert settings.groq_api_key is not None  # noqa: S101 - it has one
    return ChatApi(
        Groq(settings.groq_api_key.get_secret_value(), settings.groq_base_url),
        model=settings.groq_model,
        fast_model=settings.groq_fast_model,
        timeout_s=timeout_s,
    )


def _complain(loading: asyncio.Task[None]) -> None:
    if not loading.cancelled() and (failure := loading.exception()) is not None:
        log.error("%s failed", loading.get_name(), exc_info=failure)

"""How each dependency is treated: a frozen policy for its guard, from the settings."""

from agents.discovery.sources.feed_list import Feed
from bot.settings import Settings
from resilience.breaker import BreakerPolicy
from resilience.bucket import BucketPolicy
from resilience.bulkhead import BulkheadPolicy
from resilience.guard import GuardPolicy
from resilience.retry import RetryPolicy

APIFY, APIFY_QUESTIONS = "apify", "apify questions"
SUPABASE, CACHE_FILE = "supabase", "cache file"
HEARTBEAT = "heartbeat"
_SLACK_S = 2.0
"""The adapters have time limits of their own, whose words say more: a guard's lie beyond them."""
_SHORT_PAUSE_S = 10.0
_APIFY_RUN_S = 180.0
_APIFY_WAIT_S = 20.0
_APIFY_QUESTION_S = 95.0
_TIER_WRITE_S = 15.0
_LLM_CALL_ATTEMPTS = 1.2
"""How many whole attempts a call may take: what fails at once is tried again, what is slow is left
to the next vendor, while the caller still has time for it."""
_PROBE_SLACK_S = 10.0
"""A probe keeps its place for as long as it may take, and a little longer."""


def feed_policy(feed: Feed, settings: Settings) -> GuardPolicy:
    """A feed is asked as its terms say: a fetch has its pages, then there is a pause. Where that is
    a long one nothing is asked twice."""
    retries, bucket = settings.tool_retries, None
    if feed.pause_s > _SHORT_PAUSE_S:
        retries = 0
    if feed.pause_s:
        requests = max(feed.pages.pages_max, 2 if feed.format == "hn" else 1) + retries
        bucket = BucketPolicy(burst=requests, refill_s=feed.pause_s, wait_max_s=_SLACK_S)
    timeout_s = settings.source_timeout_s + _SLACK_S
    return GuardPolicy(
        deadline_s=timeout_s,
        attempt_timeout_s=timeout_s,
        retry=RetryPolicy(retries_max=retries, base_s=settings.retry_base_s),
        breaker=_breaker(settings, timeout_s),
        bucket=bucket,
        bulkhead=BulkheadPolicy(limit=4, queue_max=100),
    )


def apify_policy(settings: Settings) -> GuardPolicy:
    """Runs take minutes and cost money: few at once, so many started in a minute. Only a start
    that was refused is made again."""
    starts = settings.apify_starts_per_min
    return GuardPolicy(
        deadline_s=_APIFY_RUN_S,
        attempt_timeout_s=_APIFY_RUN_S,
        retry=_retries(settings),
        breaker=_breaker(settings, _APIFY_RUN_S),
        bucket=BucketPolicy(burst=starts, refill_s=60.0 / starts, wait_max_s=_APIFY_WAIT_S),
        bulkhead=BulkheadPolicy(limit=8, queue_max=100),
    )


def questions_policy(settings: Settings) -> GuardPolicy:
    """Questions to Apify (how a run goes, what it found, the account) cost nothing, and are asked
    also when no run is started; one may wait a minute for a run's end."""
    return GuardPolicy(
        deadline_s=_APIFY_RUN_S,
        attempt_timeout_s=_APIFY_QUESTION_S,
        retry=_retries(settings),
        breaker=_breaker(settings, _APIFY_QUESTION_S),
        bulkhead=BulkheadPolicy(limit=32, queue_max=100),
    )


def tier_policy(settings: Settings) -> GuardPolicy:
    """The second tier is not waited for: a read has a moment, what is written waits by itself."""
    return GuardPolicy(
        deadline_s=30.0,
        attempt_timeout_s=_TIER_WRITE_S,
        retry=RetryPolicy(retries_max=0),
        breaker=_breaker(settings, _TIER_WRITE_S),
        bulkhead=BulkheadPolicy(limit=8, queue_max=1_000),
    )


def llm_policy(settings: Settings) -> GuardPolicy:
    """A vendor of language models: its calls cost money and take seconds."""
    calls, timeout_s = settings.llm_calls_per_min, settings.llm_timeout_s
    return GuardPolicy(
        deadline_s=timeout_s * _LLM_CALL_ATTEMPTS,
        attempt_timeout_s=timeout_s,
        retry=RetryPolicy(retries_max=settings.llm_retries, base_s=settings.retry_base_s),
        breaker=_breaker(settings, timeout_s),
        bucket=BucketPolicy(burst=calls, refill_s=60.0 / calls, wait_max_s=_SLACK_S),
        bulkhead=BulkheadPolicy(limit=16, queue_max=100),
    )


def heartbeat_policy(settings: Settings) -> GuardPolicy:
    """A ping a minute that says nothing but that we are there: what is late is left to the next."""
    return GuardPolicy(
        deadline_s=20.0,
        attempt_timeout_s=10.0,
        retry=RetryPolicy(retries_max=1, base_s=settings.retry_base_s),
        breaker=_breaker(settings, 10.0),
        bulkhead=BulkheadPolicy(limit=1, queue_max=1),
    )


def _retries(settings: Settings) -> RetryPolicy:
    return RetryPolicy(retries_max=settings.tool_retries, base_s=settings.retry_base_s)


def _breaker(settings: Settings, attempt_s: float) -> BreakerPolicy:
    return BreakerPolicy(
        failures_max=settings.breaker_failures,
        failure_rate=settings.breaker_failure_rate,
        calls_min=settings.breaker_calls_min,
        window_s=settings.breaker_window_s,
        open_s=settings.breaker_open_s,
        probe_timeout_s=attempt_s + _PROBE_SLACK_S,
    )

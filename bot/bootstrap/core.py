"""The product without a way to reach it: stores, sources, agents, and the guards between."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from agents.action.agent import DRAFTS, ActionAgent, DraftCodec
from agents.action.writer import LlmWriter
from agents.ask import AskSteps
from agents.ask_workflow import AskWorkflow
from agents.configs import Overrides
from agents.discovery.agent import DiscoveryAgent
from agents.discovery.codec import FetchedCodec
from agents.discovery.port import Sources
from agents.discovery.sources.actor_list import load_actors
from agents.discovery.sources.apify_refused import question_fault
from agents.discovery.sources.apify_runs import ApifyRuns
from agents.discovery.sources.catalogue import Apify, Catalogue
from agents.discovery.sources.feed_list import load_feeds
from agents.discovery.sources.http import HttpReader
from agents.discovery.stored import READINGS, Refreshed
from agents.domain.errors import InvalidValue
from agents.draft import Drafting
from agents.forget import Forgetting
from agents.matching.agent import MatchingAgent
from agents.matching.judge import SCORES, Judge, JudgementCodec
from agents.runner import Runner
from agents.scout import ScoutSteps, ScoutWorkflow
from agents.store.admission import Quotas
from agents.store.chat_log import ChatLog
from agents.store.database import Database
from agents.store.ledger import Ledger
from agents.store.outcomes import OutcomeStore
from agents.store.owner import Owner
from agents.store.people import PeopleStore
from agents.store.postings import PostingStore
from agents.store.runs import RunStore
from agents.store.shelf import ShelfStore
from agents.store.starts import StartStore
from agents.triage.agent import TriageAgent
from bot.bootstrap.llm import build_llm
from bot.guards import (
    GuardedAccount,
    GuardedReader,
    GuardedTier,
    Guards,
    asking,
    credit_watched,
    source_fault,
    tier_fault,
)
from bot.policies import (
    APIFY,
    APIFY_QUESTIONS,
    CACHE_FILE,
    SUPABASE,
    apify_policy,
    feed_policy,
    questions_policy,
    tier_policy,
)
from bot.settings import Settings
from cache.port import Tier
from cache.single_flight import SingleFlight
from cache.sqlite import SqliteTier
from cache.supabase import SupabaseTier
from cache.tiered import Cache
from resilience.clock import Clock, SystemClock
from resilience.saga import Gate, Orchestrator


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The product without a way to reach it: what the chat and the command line stand on."""

    settings: Settings
    clock: Clock
    database: Database
    owner: Owner
    guards: Guards
    cache: Cache
    catalogue: Catalogue
    shelf: ShelfStore
    people: PeopleStore
    postings: PostingStore
    runs: RunStore
    ledger: Ledger
    outcomes: OutcomeStore
    chat_log: ChatLog
    discovery: DiscoveryAgent
    matching: MatchingAgent
    action: ActionAgent
    gate: Gate
    orchestrator: Orchestrator
    runner: Runner
    drafting: Drafting
    forgetting: Forgetting


@dataclass(frozen=True, slots=True, kw_only=True)
class Fakes:
    """What a test puts in the place of the real thing."""

    clock: Clock | None = None
    sources: Callable[[Sources], Sources] | None = None  # given the real ones
    action: ActionAgent | None = None


def build_database(settings: Settings) -> Database:
    """The database of the settings; nothing is connected yet."""
    replica = settings.database_replica_url
    return Database.open(
        settings.database_url.get_secret_value(),
        None if replica is None else replica.get_secret_value(),
    )


def build_replica(settings: Settings) -> Database:
    """The replica of the settings, which is configured, as a database of its own."""
    replica = settings.database_replica_url
    assert replica is not None  # noqa: S101 - asked only when it is configured
    return Database.open(replica.get_secret_value())


def _overrides(settings: Settings) -> Overrides:
    return Overrides(
        steps=settings.run_steps,
        tokens=settings.run_tokens,
        handoffs=settings.run_handoffs,
        timeout_s=settings.run_timeout_s,
        apify_usd=settings.apify_run_usd,
        discover_deadline_s=settings.discover_deadline_s,
        match_deadline_s=settings.match_deadline_s,
        act_deadline_s=settings.act_deadline_s,
        undo_deadline_s=settings.undo_deadline_s,
    )


def _quotas(settings: Settings) -> Quotas:
    return Quotas(
        team_runs=settings.team_runs,
        team_tokens_per_min=settings.team_tokens_per_min,
        team_tokens_per_day=settings.team_tokens_per_day,
        queued=settings.runs_queued,
    )


def _check_sources(settings: Settings, sources: Sources) -> None:
    for spec in settings.sources:
        try:
            sources.check(spec)
        except InvalidValue as invalid:
            raise InvalidValue("SOURCES", invalid.problem, invalid.allowed) from invalid


@asynccontextmanager
async def build_cache(settings: Settings, guards: Guards) -> AsyncIterator[Cache]:
    """The cache: memory, and behind it Supabase when it is configured, else a file."""
    clock, policy = guards.clock, tier_policy(settings)
    async with AsyncExitStack() as stack:
        second: Tier | None = None
        if (shared := _supabase(settings, clock)) is not None:
            await stack.enter_async_context(shared)
            guard = guards.make(SUPABASE, policy, tier_fault)
            second = GuardedTier(shared, guard, clock.monotonic, shared.prepare)
        elif (file := settings.cache_file) is not None:
            own = await stack.enter_async_context(
                SqliteTier(file, now=lambda: clock.now().timestamp())
            )
            guard = guards.make(CACHE_FILE, policy, tier_fault)
            second = GuardedTier(own, guard, clock.monotonic)
        yield await stack.enter_async_context(Cache(clock, second))


def _supabase(settings: Settings, clock: Clock) -> SupabaseTier | None:
    key = settings.supabase_service_role_key
    if settings.supabase_url is None or key is None:
        return None
    return SupabaseTier(settings.supabase_url, key.get_secret_value(), now=clock.now)


async def ask_supabase(settings: Settings) -> None:
    """Read from the cache's table in Supabase, which is configured; raises TierFailed."""
    tier = _supabase(settings, SystemClock())
    assert tier is not None  # noqa: S101 - asked only when it is configured
    async with tier:
        await tier.get("")


@asynccontextmanager
async def build_catalogue(
    settings: Settings, shelf: ShelfStore, starts: StartStore, guards: Guards, cache: Cache
) -> AsyncIterator[Catalogue]:
    """The sources that postings come from; what they fetch ends when it is left.

    Raises InvalidValue for a list of feeds or actors that can't be used.
    """
    feeds = load_feeds(settings.feeds_file, settings.feed_boards)
    actors = load_actors(settings.apify_actors_file)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(HttpReader(settings.source_timeout_s))
        for feed in feeds:
            guards.make(feed.name, feed_policy(feed, settings), source_fault)
        apify = None
        if settings.apify_api_token is not None:
            token = settings.apify_api_token.get_secret_value()
            questions = guards.make(APIFY_QUESTIONS, questions_policy(settings), question_fault)
            runs = ApifyRuns(token, settings.apify_api_base_url, ask=asking(questions))
            stack.push_async_callback(runs.close)
            guard = guards.make(APIFY, apify_policy(settings), source_fault)
            account = GuardedAccount(runs, guard)
            await stack.enter_async_context(credit_watched(account, guard.breaker, guards.clock))
            apify = Apify(
                actors=actors,
                account=account,
                starts=starts,
                clock=guards.clock,
                run_usd=settings.apify_run_usd,
            )
        work = await stack.enter_async_context(SingleFlight[Refreshed]())
        yield Catalogue(
            clock=guards.clock,
            shelf=shelf,
            work=work,
            readings=cache.of(READINGS, FetchedCodec(), lambda got: not got.opportunities),
            feeds=feeds,
            http=GuardedReader(http, guards.by_name),
            apify=apify,
        )


@asynccontextmanager
async def build_catalogue_alone(settings: Settings) -> AsyncIterator[Catalogue]:
    """The sources over a database that is up to date, without the rest of the product."""
    async with build_database(settings) as database:
        clock = SystemClock()
        shelf, guards = ShelfStore(database, PostingStore(database)), Guards(clock)
        starts = StartStore(database, clock.now)
        async with (
            build_cache(settings, guards) as cache,
            build_catalogue(settings, shelf, starts, guards, cache) as catalogue,
        ):
            yield catalogue


@asynccontextmanager
async def build_core(settings: Settings, fakes: Fakes | None = None) -> AsyncIterator[Core]:
    """The product over a migrated database; runs under way stop, unfinished, when it is left."""
    # In one thread: where processors are busy, OpenBLAS's threads wait for each other several times
    # longer than the work takes. It reads this once, when the first ranking loads it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    fakes = fakes or Fakes()
    clock = fakes.clock or SystemClock()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(build_database(settings))
        # SQLite is this process's own file; a shared database is migrated by its operator.
        await (database.migrate() if settings.sqlite else database.check())
        people = PeopleStore(database, clock.now)
        postings = PostingStore(database)
        runs = RunStore(database, clock.now)
        outcomes = OutcomeStore(database, clock.now)
        shelf = ShelfStore(database, postings)
        guards = Guards(clock)
        cache = await stack.enter_async_context(build_cache(settings, guards))
        starts = StartStore(database, clock.now)
        catalogue = await stack.enter_async_context(
            build_catalogue(settings, shelf, starts, guards, cache)
        )
        sources = fakes.sources(catalogue) if fakes.sources is not None else catalogue
        _check_sources(settings, sources)
        llm = await stack.enter_async_context(build_llm(settings, guards))
        judge = Judge(llm, cache.of(SCORES, JudgementCodec()), runs, clock.monotonic)
        action = fakes.action or ActionAgent(
            outcomes,
            cache.of(DRAFTS, DraftCodec()),
            runs,
            clock.monotonic,
            None if llm is None else LlmWriter(llm),
        )
        owner, gate = Owner(), Gate(clock.now)
        ledger = Ledger(database, clock.now, owner)
        orchestrator = await stack.enter_async_context(
            Orchestrator(ledger, clock, runs_max=settings.runs_at_once, gate=gate)
        )
        deadline_s = settings.source_timeout_s
        discovery = DiscoveryAgent(sources, postings, clock, source_deadline_s=deadline_s)
        matching = MatchingAgent(outcomes, clock, judge)
        scout = ScoutSteps(
            discovery=discovery,
            matching=matching,
            action=action,
            people=people,
            postings=postings,
            outcomes=outcomes,
        )
        ask = AskSteps(
            scout=scout,
            triage=TriageAgent(llm, clock.monotonic),
            people=people,
            postings=postings,
            outcomes=outcomes,
            runs=runs,
        )
        yield Core(
            settings=settings,
            clock=clock,
            database=database,
            owner=owner,
            guards=guards,
            cache=cache,
            catalogue=catalogue,
            shelf=shelf,
            people=people,
            postings=postings,
            runs=runs,
            ledger=ledger,
            outcomes=outcomes,
            chat_log=ChatLog(database),
            discovery=discovery,
            matching=matching,
            action=action,
            gate=gate,
            orchestrator=orchestrator,
            runner=Runner(
                (
                    ScoutWorkflow(scout, sources, runs, outcomes),
                    AskWorkflow(ask, sources, runs, outcomes, postings),
                ),
                runs=runs,
                ledger=ledger,
                orchestrator=orchestrator,
                quotas=_quotas(settings),
                overrides=_overrides(settings),
                monotonic=clock.monotonic,
            ),
            drafting=Drafting(action, outcomes, people, runs),
            forgetting=Forgetting(people, cache, clock),
        )

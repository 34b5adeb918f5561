"""The survey: what is read how often, and what is known while something does not answer."""

import asyncio
from dataclasses import dataclass, field

import pytest

from agents.discovery.port import ShelfState, SourceFailed
from agents.store.errors import StoreError
from agents.store.overview import Overview
from bot.ops.health import Credit, FeedState
from bot.ops.lag import LoopLag
from bot.ops.observed import Observed
from bot.ops.readiness import Life, Readiness
from bot.ops.survey import CREDIT_EVERY_S, FEEDS_EVERY_S, KNOWN_FOR_S, Places, Survey
from bot.telegram.connection import Connection
from cache.tiered import Cache
from resilience.background import Background
from resilience.saga import Gate, Orchestrator
from tests.fakes.clock import NOON, FixedClock
from tests.fakes.journal import MemoryJournal
from tests.fakes.ops import overview
from tests.fakes.saga_clock import HeldClock, settle


@dataclass
class Product:
    """What there is to be read; parts of it may be out."""

    clock: HeldClock = field(default_factory=HeldClock)
    looks: int = 0
    asks: int = 0
    store_out: bool = False
    probe_out: bool = False
    credit_out: bool = False
    label: str = "remotive"
    period_s: float = 3_600.0

    def survey(self, *, apify: bool = True) -> Survey:
        """A survey of it."""
        places = Places(
            observed=Observed(FixedClock()),
            guards={},
            overview=self.overview,
            orchestrator=Orchestrator(MemoryJournal(self.clock.now), self.clock),
            gate=Gate(self.clock.now),
            readiness=Readiness(self.probe, Life(telegram=Connection(connected=True)), self.clock),
            cache=Cache(FixedClock(), None),
            feeds=(self,),
            credit=self.credit if apify else None,
            background=Background(self.clock),
            lag=LoopLag(),
            queued_max=10,
        )
        return Survey(places, self.clock)

    async def overview(self) -> Overview:
        """The runs."""
        self.looks += 1
        if self.store_out:
            raise StoreError("it is out")
        return overview(queued=self.looks)

    async def probe(self) -> None:
        """Write."""
        if self.probe_out:
            raise StoreError("it is locked")

    async def state(self) -> ShelfState | None:
        """The feed's."""
        if self.store_out:
            raise StoreError("it is out")
        return ShelfState(source="remotive", attempted_at=NOON, fetched_at=NOON, failures=2)

    async def credit(self) -> Credit:
        """The account's."""
        self.asks += 1
        if self.credit_out:
            raise SourceFailed("apify: it is down")
        return Credit(used_usd=1.0 * self.asks, limit_usd=5.0)


async def test_however_many_look_it_is_read_twice_a_second() -> None:
    """Unless somebody acted."""
    product = Product()
    survey = product.survey()
    await asyncio.gather(*(survey.look() for _ in range(50)))
    assert product.looks == 1
    survey.changed()
    await survey.look()
    product.clock.advance(KNOWN_FOR_S)
    await survey.look()
    assert product.looks == 3


async def test_without_the_database_nothing_is_known_of_runs() -> None:
    """Whether it takes no write, or is gone in the moment after."""
    product = Product(probe_out=True)
    standing = await product.survey().look()
    assert (standing.overview, standing.problems) == (None, {"database": "it is locked"})
    assert product.looks == 0
    product = Product(store_out=True)
    standing = await product.survey().look()
    assert (standing.overview, standing.problems) == (None, {})


async def test_feeds_and_credit_are_read_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """The credit each five minutes; what can't be read is known as it was, and said once."""
    product = Product()
    survey = product.survey()
    assert (await survey.look()).apify == Credit()
    reading = asyncio.create_task(survey.keep_reading())
    await settle()
    survey.changed()
    standing = await survey.look()
    assert standing.apify == Credit(used_usd=1.0, limit_usd=5.0)
    assert standing.feeds == (
        FeedState(name="remotive", period_s=3_600.0, read_at=NOON, failures=2, error=None),
    )
    product.store_out = product.credit_out = True
    for _ in range(3 * round(CREDIT_EVERY_S / FEEDS_EVERY_S)):
        product.clock.advance(FEEDS_EVERY_S)
        await settle()
    survey.changed()
    standing = await survey.look()
    assert (product.asks, standing.apify) == (4, Credit(used_usd=1.0, limit_usd=5.0))
    assert len(standing.feeds) == 1
    assert caplog.text.count("Apify's credit can't be seen") == 1
    reading.cancel()
    await asyncio.wait({reading})


async def test_what_breaks_ends_no_reading(caplog: pytest.LogCaptureFixture) -> None:
    """The next round reads again."""
    product = Product()

    async def broken() -> ShelfState | None:
        raise ZeroDivisionError

    state, product.state = product.state, broken  # type: ignore[method-assign]
    survey = product.survey()
    reading = asyncio.create_task(survey.keep_reading())
    await settle()
    assert "reading feeds and credit broke" in caplog.text
    product.state = state  # type: ignore[method-assign]
    product.clock.advance(FEEDS_EVERY_S)
    await settle()
    assert len((await survey.look()).feeds) == 1
    reading.cancel()
    await asyncio.wait({reading})


async def test_without_an_account_there_is_no_credit() -> None:
    """And nobody is asked."""
    product = Product()
    survey = product.survey(apify=False)
    reading = asyncio.create_task(survey.keep_reading())
    await settle()
    assert (await survey.look()).apify is None
    assert product.asks == 0
    assert (await survey.look()).started_at == NOON
    reading.cancel()
    await asyncio.wait({reading})

"""A product to be watched: its clock, what is observed of it and how it stands are the test's."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from agents.store.overview import Overview, Parked
from bot.ops.health import Health, Standing, snapshot
from bot.ops.observed import Observed
from bot.ops.rules import rules
from resilience.alerts import Alert, Alerts, Digest
from resilience.breaker import CLOSED, OPEN, BreakerView, Mode
from resilience.fault import FaultKind
from resilience.guard import CallEnded
from resilience.saga import Event, EventType, JsonValue, RunStatus
from tests.fakes.clock import FixedClock

DEPENDENCIES = ("remotive", "jobicy", "apify", "openai", "groq", "cache file")


def overview(
    queued: int = 0,
    running: int = 0,
    parked: tuple[Parked, ...] = (),
    waiting_since: Mapping[str, datetime] | None = None,
    tokens_today: int = 0,
) -> Overview:
    """Scouts that wait and work, and parked runs."""
    counts = {
        ("scout", RunStatus.QUEUED): queued,
        ("scout", RunStatus.RUNNING): running,
        ("scout", RunStatus.PARKED): len(parked),
    }
    return Overview(
        counts=counts,
        waiting_since=waiting_since or {},
        parked=parked,
        tokens_today=tokens_today,
    )


def closed(name: str, since: datetime) -> BreakerView:
    """A breaker as it is at first."""
    return BreakerView(
        name=name,
        state=CLOSED,
        mode=Mode.AUTO,
        since=since,
        reason="made",
        probes_in_s=None,
        failure_rate=None,
    )


@dataclass
class World:
    """What happens is noted by the methods; `standing` is changed with `stand`."""

    clock: FixedClock = field(default_factory=FixedClock)
    told: list[tuple[datetime, Digest]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.observed = Observed(self.clock)
        self.observed.expect(DEPENDENCIES)
        self.standing = Standing(
            started_at=self.clock.now(),
            overview=overview(),
            breakers=tuple(closed(name, self.clock.now()) for name in DEPENDENCIES),
        )
        self.alerts: Alerts[Health] = Alerts(rules(30))
        self._seq = 0

    def stand(self, **changes: object) -> None:
        """Let it stand otherwise from now on."""
        self.standing = replace(self.standing, **changes)  # type: ignore[arg-type]

    def breaker(self, name: str, *, is_open: bool, mode: Mode = Mode.AUTO) -> None:
        """Let a breaker change."""
        now = self.clock.now()
        moved = replace(closed(name, now), mode=mode)
        if is_open:
            moved = replace(moved, state=OPEN, reason="5 failures in a row", probes_in_s=15.0)
        others = tuple(b for b in self.standing.breakers if b.name != name)
        self.stand(breakers=(*others, moved))

    def event(self, kind: EventType, run_id: str = "run-1", **data: JsonValue) -> None:
        """Let something happen to a run."""
        self._seq += 1
        event = Event(run_id=run_id, seq=self._seq, type=kind, at=self.clock.now(), data=data)
        self.observed.note_event(event)

    def step(
        self, agent: str, took_s: float = 1.0, *, fails: bool = False, run_id: str = "run-1"
    ) -> None:
        """Let an agent do a step."""
        self.event(EventType.STEP_STARTED, run_id, step=agent, agent=agent)
        self.clock.advance(took_s)
        end = EventType.STEP_FAILED if fails else EventType.STEP_COMPLETED
        self.event(end, run_id, step=agent, agent=agent, error="x")

    def call(self, name: str, fault: FaultKind | None = None, took_s: float = 0.1) -> None:
        """Let a dependency be called."""
        error = None if fault is None else ValueError()
        self.observed.note_call(
            CallEnded(name, took_s=took_s, waited_s=0.0, attempts=1, error=error, fault=fault)
        )

    def health(self, alerts: tuple[Alert, ...] = ()) -> Health:
        """How it is now."""
        return snapshot(self.observed, self.standing, self.clock.now(), alerts)

    def look(self) -> None:
        """See what is wrong, and tell it."""
        now = self.clock.now()
        self.alerts.evaluate(self.health(), now)
        if digest := self.alerts.due(now):
            self.told.append((now, digest))
            self.alerts.told(digest, now)

    def live(self, seconds: float, every_s: float = 5.0) -> None:
        """Let time pass, looking again and again."""
        for _ in range(round(seconds / every_s)):
            self.clock.advance(every_s)
            self.look()

    @property
    def firing(self) -> set[str]:
        """The rules that fire."""
        return {alert.id.rule for alert in self.alerts.firing}

    def since(self, begun: datetime) -> list[tuple[float, str, list[str]]]:
        """Each message: after how many seconds, whether it is new or over, of which rules."""
        told = []
        for at, digest in self.told:
            for kind, alerts in (("new", digest.new), ("over", digest.over)):
                if alerts:
                    after = (at - begun) / timedelta(seconds=1)
                    told.append((after, kind, [alert.id.rule for alert in alerts]))
        return told

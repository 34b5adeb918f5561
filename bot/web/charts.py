"""Charts of the last hour as SVG, drawn here by leather. Their colours are the page's own: names of
its CSS variables, so that they turn dark with it."""

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise

import leather

from bot.ops.history import Sample

WIDTH, HEIGHT = 560, 220
COLOURS = ("var(--series-1)", "var(--series-2)", "var(--series-3)", "var(--series-4)")
_MINUTES, _STEPS = 60, 4
"""The longest that is drawn, and the steps that the scale has."""
_AGENTS = ("discovery", "matching", "action", "triage")

Points = list[tuple[float, float]]


def runs_ended(samples: Sequence[Sample], now: datetime) -> str:
    """Runs that ended, a minute: completed, and in any other way."""
    return _svg(
        {
            "completed": _rate(samples, now, lambda sample: sample.completed),
            "otherwise": _rate(samples, now, lambda sample: sample.failed),
        }
    )


def runs_open(samples: Sequence[Sample], now: datetime) -> str:
    """Runs that waited for their turn and that worked."""
    return _svg(
        {
            "waiting": [(_ago(s, now), s.waiting) for s in _drawn(samples, now)],
            "under way": [(_ago(s, now), s.working) for s in _drawn(samples, now)],
        }
    )


def step_seconds(samples: Sequence[Sample], now: datetime) -> str:
    """How long nineteen of twenty steps took at most, by agent, in seconds."""
    return _svg(
        {
            name: [(_ago(s, now), s.p95_s[name]) for s in _drawn(samples, now) if name in s.p95_s]
            for name in _AGENTS
        }
    )


CHARTS: dict[str, Callable[[Sequence[Sample], datetime], str]] = {
    "runs-ended": runs_ended,
    "runs-open": runs_open,
    "step-seconds": step_seconds,
}


def _drawn(samples: Sequence[Sample], now: datetime) -> Iterator[Sample]:
    """The samples that lie within the chart."""
    return (sample for sample in samples if _ago(sample, now) >= -_MINUTES)


def _ago(sample: Sample, now: datetime) -> float:
    return -(now - sample.at).total_seconds() / 60


def _rate(samples: Sequence[Sample], now: datetime, count: Callable[[Sample], int]) -> Points:
    """By minute: what was counted in it."""
    by_minute: dict[int, int] = {}
    for before, sample in pairwise(_drawn(samples, now)):
        minute = max(int(_ago(sample, now)) - 1, -_MINUTES)
        by_minute[minute] = by_minute.get(minute, 0) + count(sample) - count(before)
    return sorted((float(minute), float(n)) for minute, n in by_minute.items())


def _svg(series: dict[str, Points]) -> str:
    """Empty while there is nothing to draw a line through."""
    drawn = {name: points for name, points in series.items() if len(points) > 1}
    if not drawn:
        return ""
    chart = leather.Chart()
    highest = max(y for points in drawn.values() for _, y in points)
    first = min(x for points in drawn.values() for x, _ in points)
    minutes = min(_MINUTES, _STEPS * max(1, math.ceil(-first / _STEPS)))
    chart.add_x_scale(-minutes, 0)
    chart.add_y_scale(0, max(1.0, highest * 1.1))
    chart.add_x_axis(ticks=[-minutes * step // _STEPS for step in range(_STEPS, -1, -1)])
    for number, (name, points) in enumerate(series.items()):
        if name in drawn:
            chart.add_line(points, name=name, stroke_color=COLOURS[number], width=2)
    svg = str(chart.to_svg(width=WIDTH, height=HEIGHT))
    # As wide as its place in the page.
    return svg.replace(f'width="{WIDTH}" height="{HEIGHT}"', f'viewBox="0 0 {WIDTH} {HEIGHT}"', 1)

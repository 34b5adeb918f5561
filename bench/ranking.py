"""How well and how fast postings are ranked, beside BM25 and TF-IDF, in one interleaved run.

Needs WEBSCOUT_TEST_DATA, and the packages of the extra `bench`. Quality is nDCG@10 against the
graded judgments, as `rank_eval.py` has it; the peers rank by title and description what passes the
same filters of kind and place. Speed is on the real postings, repeated with other ids and one word
of their own; a peer's time for a profile has no filters and no reasons in it. `--plot FILE` writes
the quality as a picture.
"""

import asyncio
import gc
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import ClassVar

# As the program has it; the peers below would load OpenBLAS before the ranker does.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import bm25s
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from agents.configs import find_config
from agents.discovery.sources.file import FileSource
from agents.domain.kind import Kind
from agents.domain.opportunity import Opportunity
from agents.domain.profile import Profile
from agents.lanes import RANKING
from agents.matching.filters import PlaceWish, sift
from agents.matching.ranker import Ranker
from agents.matching.wish import Wish
from bot.cli.run import GC_THRESHOLDS

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SIZES = (5_000, 50_000)
ROUNDS = 3
PROFILES = 12
WEIGHTS = find_config("scout@1").values.ranking
PROBE_S = 0.001


@dataclass(frozen=True, slots=True)
class Judged:
    """One graded wish."""

    track: str
    profile: Profile
    grades: dict[str, int]


class Ours:
    """Webscout's ranker, filters and reasons included."""

    name = "webscout"

    def __init__(self, postings: Sequence[Opportunity]) -> None:
        self._postings, self._ranker = postings, Ranker()
        self.first(Profile(skills=("Python",)))

    def first(self, profile: Profile) -> list[str]:
        """The ids of the best ten."""
        place = PlaceWish.of(profile)
        kept = sift(self._postings, profile, place, frozenset(), NOW).kept
        wish = Wish.of(profile, "", place)
        ranked = self._ranker.rank(kept, wish, NOW, WEIGHTS, limit=10)
        return [one.opportunity.source_id or "" for one in ranked]


class Bm25:
    """bm25s with its English stop words."""

    name = "bm25s"

    def __init__(self, postings: Sequence[Opportunity]) -> None:
        self._postings = postings
        self._index = bm25s.BM25()
        tokens = bm25s.tokenize([_text(o) for o in postings], stopwords="en", show_progress=False)
        self._index.index(tokens, show_progress=False)

    def scores(self, profile: Profile) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """One score a posting."""
        words = " ".join(profile.skills).lower().split()
        return np.asarray(self._index.get_scores(words), np.float32)


class Tfidf:
    """scikit-learn's TF-IDF, cosine."""

    name = "TF-IDF"

    def __init__(self, postings: Sequence[Opportunity]) -> None:
        self._postings = postings
        self._vectors = TfidfVectorizer(stop_words="english", sublinear_tf=True)
        self._matrix = self._vectors.fit_transform([_text(o) for o in postings])

    def scores(self, profile: Profile) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """One score a posting."""
        asked = self._vectors.transform([" ".join(profile.skills)])
        return np.asarray((self._matrix @ asked.T).todense(), np.float32).ravel()


def main() -> None:
    """Print the figures."""
    folder = os.environ.get("WEBSCOUT_TEST_DATA")
    if not folder:
        raise SystemExit("WEBSCOUT_TEST_DATA names no folder")
    judged = list(_judgments(Path(folder)))
    quality = _quality(Path(folder), judged)
    print(f"{'nDCG@10':12}" + "".join(f"{track:>8}" for track in ("T1", "T2", "T3", "mean")))
    for name, tracks in quality.items():
        figures = [*tracks.values(), statistics.mean(tracks.values())]
        print(f"{name:12}" + "".join(f"{figure:8.3f}" for figure in figures))
    real = _read(Path(folder) / "opportunities_public.jsonl")
    profiles = [one.profile for one in judged[:PROFILES]]
    gc.collect()  # as the program does once it runs
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    for size in SIZES:
        _print_speed(size, _repeated(real, size), profiles)
    if "--plot" in sys.argv:
        _plot(quality, Path(sys.argv[sys.argv.index("--plot") + 1]))


# --- quality ----------------------------------------------------------------------------------


def _quality(folder: Path, judged: Sequence[Judged]) -> dict[str, dict[str, float]]:
    gains: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for track, postings in _tracks(folder).items():
        ours, peers = Ours(postings), (Bm25(postings), Tfidf(postings))
        for one in judged:
            if one.track != track:
                continue
            gains[ours.name][track].append(_ndcg(ours.first(one.profile), one.grades))
            for peer in peers:
                bare, gated = _peer_order(peer.scores(one.profile), postings, one.profile)
                gains[peer.name][track].append(_ndcg(bare, one.grades))
                gains[f"{peer.name} +place"][track].append(_ndcg(gated, one.grades))
    return {
        name: {track: statistics.mean(values) for track, values in sorted(tracks.items())}
        for name, tracks in gains.items()
    }


def _peer_order(
    scores: np.ndarray[tuple[int], np.dtype[np.float32]],
    postings: Sequence[Opportunity],
    profile: Profile,
) -> tuple[list[str], list[str]]:
    """The best ten of the kind, and those of the place too."""
    place = PlaceWish.of(profile)
    kept = {o.id for o, _ in sift(postings, profile, place, frozenset(), NOW).kept}
    order = [postings[at] for at in np.argsort(-scores, kind="stable")]
    bare = [o.source_id or "" for o in order if o.kind in profile.kinds]
    return bare[:10], [o.source_id or "" for o in order if o.id in kept][:10]


def _ndcg(found: Sequence[str], grades: dict[str, int]) -> float:
    ideal = _gain(sorted(grades.values(), reverse=True)[:10])
    return _gain([grades.get(name, 0) for name in found]) / ideal if ideal else 0.0


def _gain(grades: Sequence[int]) -> float:
    return sum((2**grade - 1) / math.log2(place + 2) for place, grade in enumerate(grades))


def _tracks(folder: Path) -> dict[str, tuple[Opportunity, ...]]:
    lines: dict[str, list[str]] = defaultdict(list)
    for line in (folder / "ranking_corpus_public.jsonl").read_text("utf-8").splitlines():
        lines[json.loads(line)["track"]].append(line)
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for track, records in sorted(lines.items()):
            file = Path(scratch) / f"{track}.jsonl"
            file.write_text("\n".join(records), "utf-8")
            found[track] = _read(file)
    return found


def _judgments(folder: Path) -> Iterator[Judged]:
    for line in (folder / "judgments_public.jsonl").read_text("utf-8").splitlines():
        judgment = json.loads(line)
        stated, placed = judgment["profile"], judgment["track"] == "T3"
        profile = Profile(
            skills=tuple(stated["skills"]),
            kinds=tuple(Kind(kind) for kind in stated["kinds"]),
            locations=(stated["location"],) if placed and stated["location"] != "Remote" else (),
            remote=placed and stated["remote_ok"],
        )
        yield Judged(judgment["track"], profile, judgment["relevance"])


# --- speed ------------------------------------------------------------------------------------


def _print_speed(size: int, postings: Sequence[Opportunity], profiles: Sequence[Profile]) -> None:
    index_s: dict[str, list[float]] = defaultdict(list)
    profile_ms: dict[str, list[float]] = defaultdict(list)
    lags_ms: list[float] = []
    for _ in range(ROUNDS):
        gc.callbacks.append(Collections.note)
        ours, seconds, lags = asyncio.run(_probed(lambda: Ours(postings)))
        index_s["webscout"].append(seconds)
        lags_ms += lags
        for profile in profiles:
            _, seconds, lags = asyncio.run(_probed(partial(ours.first, profile)))
            profile_ms["webscout"].append(1000 * seconds)
            lags_ms += lags
        gc.callbacks.remove(Collections.note)
        for kind in (Bm25, Tfidf):
            start = time.perf_counter()
            peer = kind(postings)
            index_s[kind.name].append(time.perf_counter() - start)
            for profile in profiles:
                start = time.perf_counter()
                peer.scores(profile)
                profile_ms[kind.name].append(1000 * (time.perf_counter() - start))
    print(f"\n{size:,} postings, medians of {ROUNDS} rounds")
    print(f"{'':12}{'index, s':>12}{'ratio':>8}{'profile, ms':>14}{'ratio':>8}")
    for name, seconds_of in index_s.items():
        index, profile_time = statistics.median(seconds_of), statistics.median(profile_ms[name])
        index_ratio = statistics.median(index_s["webscout"]) / index
        ratio = statistics.median(profile_ms["webscout"]) / profile_time
        print(f"{name:12}{index:12.2f}{index_ratio:8.1f}{profile_time:14.2f}{ratio:8.1f}")
    lags_ms.sort()
    print(f"event loop lag, ms: p99 {lags_ms[int(0.99 * len(lags_ms))]:.1f}, max {lags_ms[-1]:.1f}")
    pauses = [1000 * seconds for seconds in Collections.pauses_s]
    Collections.pauses_s.clear()
    longest = max(pauses, default=0.0)
    print(f"full garbage collections among it: {len(pauses)}, longest {longest:.1f} ms")


class Collections:
    """How long Python's full garbage collections stopped everything, while it is subscribed."""

    pauses_s: ClassVar[list[float]] = []
    _began = 0.0

    @classmethod
    def note(cls, phase: str, info: dict[str, int]) -> None:
        """A callback of the collector."""
        if phase == "start":
            cls._began = time.perf_counter()
        elif info["generation"] == 2:
            cls.pauses_s.append(time.perf_counter() - cls._began)


async def _probed(work: Callable[[], Ours | list[str]]) -> tuple[Ours, float, list[float]]:
    """The result of `work` in the ranking lane, its seconds, and how late the loop was meanwhile,
    in milliseconds, each millisecond."""
    lags: list[float] = []
    start = time.perf_counter()
    task = asyncio.create_task(RANKING.run(work))
    while not task.done():
        before = time.perf_counter()
        await asyncio.sleep(PROBE_S)
        lags.append(1000 * (time.perf_counter() - before - PROBE_S))
    return task.result(), time.perf_counter() - start, lags  # type: ignore[return-value]


def _repeated(real: Sequence[Opportunity], size: int) -> list[Opportunity]:
    """Live postings with ids of their own; each copy has a word that no other copy has."""
    return [
        replace(
            real[n % len(real)],
            id=f"{n}",
            deadline=None,
            active=None,
            description=f"{real[n % len(real)].description or ''} Team {n // len(real)}x.",
        )
        for n in range(size)
    ]


def _read(file: Path) -> tuple[Opportunity, ...]:
    return asyncio.run(FileSource(file, lambda: NOW).read()).opportunities


def _text(o: Opportunity) -> str:
    return f"{o.title} {o.description or ''}"


# --- the picture ------------------------------------------------------------------------------


def _plot(quality: dict[str, dict[str, float]], file: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415  (loaded for a plot only)

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7, 3.2), dpi=100)
    width = 0.8 / len(quality)
    for number, (name, tracks) in enumerate(quality.items()):
        values = [*tracks.values(), statistics.mean(tracks.values())]
        places = [at + number * width for at in range(len(values))]
        axes.bar(places, values, width, label=name)
    axes.set_xticks([at + 0.4 - width / 2 for at in range(4)])
    axes.set_xticklabels(["T1 title and text", "T2 titles", "T3 titles, places", "mean"])
    axes.set_ylabel("nDCG@10")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


if __name__ == "__main__":
    main()

"""What the postings seen so far say, in arrays, so that a wish is compared with all at once.

The weight of a term in a posting follows BM25F (Robertson & Zaragoza 2009): its counts in the
fields, each weighted and set against the field's length, are added up and then saturate. Lengths
are compared with fixed ones instead of the average, and rarity is left to who asks, so that what
is stored of a posting never depends on the others.

Imports numpy: load it in the RANKING lane only.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.domain.opportunity import Opportunity
from agents.domain.skill import skills_in
from agents.domain.untrusted import without_instructions
from agents.matching.roles import families, posting_roles
from agents.matching.text import READ_MAX, SKILL, stem, stems, words

# BM25F: how much a term counts by field, how far a long field lessens it, how soon it saturates.
_TITLE, _SKILLS, _DESCRIPTION, _ELSE = 2.5, 3.0, 0.6, 0.3
_LENGTH_SHARE = 0.3
_TITLE_WORDS, _DESCRIPTION_WORDS = 5.0, 80.0
_SATURATION = 1.0
FULL = _SKILLS / (_SKILLS + _SATURATION)
"""The weight of a skill that a posting lists: as clear as it gets."""

_READ = 1_000  # postings whose terms are stored in one call
_SCAN = 500_000  # terms compared in one call, which may hold the interpreter's lock

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Index:
    """Postings by id, at most `postings_max` with `terms_max` terms in all; those not asked for
    longest leave first. Not safe for threads at once."""

    def __init__(self, postings_max: int = 100_000, terms_max: int = 10_000_000) -> None:
        self._postings_max, self._terms_max = postings_max, terms_max
        self._ids: dict[str, int] = {}
        self._seen = 0
        self.generation = 0
        """Grows when rows and terms get other numbers."""
        self._clear()

    @property
    def terms(self) -> int:
        """How many different terms there are; their numbers are below."""
        return len(self._numbers)

    @property
    def size(self) -> int:
        """How many rows there are, with those of postings whose text has changed since."""
        return len(self._starts) - 1

    def _clear(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._stems: dict[str, int] = {}
        self._starts = _Grown(np.int64, [0])
        self._terms = _Grown(np.int32)
        self._weights = _Grown(np.float32)
        self._prints = _Grown(np.int64)
        self._used = _Grown(np.int64)
        self._posted = _Grown(np.float64)
        self._roles = _Grown(np.float32, width=len(families()))

    def rows(self, postings: Sequence[Opportunity]) -> Ints:
        """The row of each posting, in order; those new or changed are read first."""
        prints = np.fromiter(map(_fingerprint, postings), np.int64, len(postings))
        found = self._find(postings, prints)
        missing = sorted(np.flatnonzero(found < 0).tolist(), key=lambda at: postings[at].id)
        if missing:  # by id: in which order they come changes nothing
            self._make_room(len(missing), found[found >= 0])
            for first in range(0, len(missing), _READ):
                some = missing[first : first + _READ]
                self._add([postings[at] for at in some], prints[some])
            found = self._find(postings, prints)
        self._seen += 1
        self._used.array[found] = self._seen
        return found

    def number(self, term: str) -> int | None:
        """The number of a term, None if no posting says it."""
        return self._numbers.get(term)

    def roles(self, rows: Ints) -> Floats:
        """How much each posting is of each role family."""
        return self._roles.array[rows]

    def posted(self, rows: Ints) -> NDArray[np.float64]:
        """When each was posted, in seconds since 1970; nan where that is unknown."""
        return self._posted.array[rows]

    def names(self) -> list[str]:
        """All terms, by their numbers."""
        if len(self._names) < len(self._numbers):
            self._names = list(self._numbers)
        return self._names

    def terms_of(self, row: int) -> frozenset[int]:
        """The numbers of the terms that a posting says."""
        start, end = self._starts.array[row : row + 2]
        return frozenset(self._terms.array[start:end].tolist())

    def entries(self, first: int, last: int) -> tuple[Ints, NDArray[np.int32], Floats]:
        """Starts, terms and weights of the rows from `first` to before `last` (CSR)."""
        starts = self._starts.array[first : last + 1]
        low, high = starts[0], starts[-1]
        return starts - low, self._terms.array[low:high], self._weights.array[low:high]

    def find(self, terms: Sequence[int], rows: Ints) -> list[tuple[Ints, Floats]]:
        """For each of these different terms: which of `rows` say it (by position), and the
        weights."""
        slot = np.full(self.terms, -1, np.int32)
        slot[list(terms)] = np.arange(len(terms), dtype=np.int32)
        hits = self._scan(slot)
        position = np.full(self.size, -1, np.int64)
        position[rows] = np.arange(len(rows))
        where = position[np.searchsorted(self._starts.array, hits, side="right") - 1]
        hits, where = hits[where >= 0], where[where >= 0]
        slots = slot[self._terms.array[hits]]
        order = np.argsort(slots, kind="stable")
        cuts = np.searchsorted(slots[order], np.arange(1, len(terms)))
        weights = self._weights.array[hits[order]]
        return list(zip(np.split(where[order], cuts), np.split(weights, cuts), strict=True))

    def _scan(self, slot: NDArray[np.int32]) -> Ints:
        total = len(self._terms.array)
        parts = [
            at + np.flatnonzero(slot[self._terms.array[at : at + _SCAN]] >= 0)
            for at in range(0, total, _SCAN)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def _find(self, postings: Sequence[Opportunity], prints: Ints) -> Ints:
        row_of = self._ids.get
        found = np.fromiter((row_of(o.id, -1) for o in postings), np.int64, len(postings))
        stored = self._prints.array[found] if self.size else np.zeros(len(found), np.int64)
        return np.where((found >= 0) & (stored == prints), found, -1)

    # --- reading ------------------------------------------------------------------------------

    def _add(self, postings: Sequence[Opportunity], prints: Ints) -> None:
        starts, posted = [], []
        terms: list[int] = []
        counts: list[float] = []
        roles = np.zeros((len(postings), len(families())), np.float32)
        end = int(self._starts.array[-1])
        for at, o in enumerate(postings):
            self._ids[o.id] = self.size + at
            weights, families_of = self._read(o)
            terms += weights.keys()
            counts += weights.values()
            end += len(weights)
            starts.append(end)
            posted.append(o.posted_at.timestamp() if o.posted_at else np.nan)
            for family, share in families_of.items():
                roles[at, family] = share
        saturating = np.array(counts, np.float32)
        self._starts.extend(starts)
        self._terms.extend(terms)
        self._weights.extend(saturating / (saturating + _SATURATION))
        self._prints.extend(prints)
        self._used.extend([self._seen] * len(postings))
        self._posted.extend(posted)
        self._roles.extend(roles)

    def _read(self, o: Opportunity) -> tuple[dict[int, float], dict[int, float]]:
        """The terms of a posting with their weighted counts, and its roles."""
        # A posting that talks to programs is ranked as the same posting without that.
        written = without_instructions(o.title).text
        described = without_instructions((o.description or "")[: 2 * READ_MAX]).text
        title, titled = stems(written), skills_in(written)
        weights: dict[int, float] = {}
        self._count(weights, title, _TITLE / _stretch(len(title), _TITLE_WORDS))
        self._count(weights, (SKILL + s for s in o.skills), _SKILLS)
        self._count(weights, (SKILL + s for s in titled), _TITLE)
        said = [self._stem_number(word) for word in words(described[:READ_MAX])]
        share = _DESCRIPTION / _stretch(len(said), _DESCRIPTION_WORDS)
        for number in said:
            weights[number] = weights.get(number, 0.0) + share
        rest = stems(o.organisation or "")
        self._count(weights, (*rest, str(o.kind), *(("remot",) if o.remote else ())), _ELSE)
        return weights, posting_roles(title, titled, o.skills)

    def _count(self, weights: dict[int, float], terms: Iterable[str], share: float) -> None:
        for term in terms:
            number = self._numbers.setdefault(term, len(self._numbers))
            weights[number] = weights.get(number, 0.0) + share

    def _stem_number(self, word: str) -> int:
        number = self._stems.get(word)
        if number is None:
            number = self._numbers.setdefault(stem(word), len(self._numbers))
            self._stems[word] = number
        return number

    # --- bounds -------------------------------------------------------------------------------

    def _make_room(self, coming: int, needed: Ints) -> None:
        """Begin anew with what is needed now and the half used last, when it grows too large."""
        full = self.size + coming > self._postings_max
        if not full and len(self._terms) < self._terms_max:
            return
        alive = np.fromiter(self._ids.values(), np.int64, len(self._ids))
        latest = alive[np.argsort(-self._used.array[alive], kind="stable")]
        latest = latest[: self._postings_max // 2]
        lengths = np.diff(self._starts.array)[latest]
        latest = latest[np.cumsum(lengths) <= self._terms_max // 2]
        self._keep(np.union1d(latest, needed))

    def _keep(self, rows: Ints) -> None:
        """Leave out all other rows, and the terms that only they say."""
        lengths = np.diff(self._starts.array)
        kept = np.zeros(self.size, bool)
        kept[rows] = True
        entries = np.repeat(kept, lengths)
        used, terms = np.unique(self._terms.array[entries], return_inverse=True)
        tables = (self._prints, self._used, self._posted, self._roles)
        weights, *columns = self._weights.array[entries], *(t.array[rows] for t in tables)
        names, ids = list(self._numbers), {row: name for name, row in self._ids.items()}
        self._clear()
        self._numbers = {names[number]: place for place, number in enumerate(used.tolist())}
        self._ids = {ids[row]: place for place, row in enumerate(rows.tolist())}
        self._starts.extend(np.cumsum(lengths[rows]))
        self._terms.extend(terms)
        self._weights.extend(weights)
        for name, column in zip(("_prints", "_used", "_posted", "_roles"), columns, strict=True):
            getattr(self, name).extend(column)
        self.generation += 1


def _stretch(length: int, usual: float) -> float:
    return 1 - _LENGTH_SHARE + _LENGTH_SHARE * length / usual


def _fingerprint(o: Opportunity) -> int:
    """Of all that is read of a posting, within this process."""
    return hash((o.title, o.skills, o.organisation, o.description, o.kind, o.remote, o.posted_at))


class _Grown:
    """An array that grows at its end, in amortised constant time an entry."""

    def __init__(self, kind: Any, first: Sequence[Any] = (), width: int | None = None) -> None:
        self._shape = () if width is None else (width,)
        self._buffer = np.zeros((1024, *self._shape), kind)
        self._length = 0
        self.extend(first)

    def __len__(self) -> int:
        return self._length

    @property
    def array(self) -> NDArray[Any]:
        """What is in it, as a view."""
        return self._buffer[: self._length]

    def extend(self, values: Any) -> None:
        """Append values."""
        fresh = np.asarray(values, self._buffer.dtype).reshape(-1, *self._shape)
        needed = self._length + len(fresh)
        if needed > len(self._buffer):
            grown = np.zeros((max(needed, 2 * len(self._buffer)), *self._shape), fresh.dtype)
            grown[: self._length] = self.array
            self._buffer = grown
        self._buffer[self._length : needed] = fresh
        self._length = needed

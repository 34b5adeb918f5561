"""Topics learned from the postings themselves, without labels: latent semantic analysis
(Deerwester et al. 1990), that is TF-IDF and a truncated singular value decomposition.

The decomposition is the randomised one of Halko, Martinsson & Tropp 2011 with a fixed seed, so
that the same index gives the same topics. Only angles are used, which no sign changes.

Imports numpy and scipy: load it in the RANKING lane only.
"""

from zlib import crc32

import numpy as np
from scipy import sparse  # type: ignore[import-untyped]

from agents.matching.index import Floats, Index, Ints

TOPICS = 200
_LEARNED_FROM = 10_000  # postings, evenly spread; the others are folded in
_RELEARNED_AT = 1.5  # times the postings there were
_OVERSAMPLED, _POWER_STEPS = 10, 2
_ODD, _TOP_BIT = np.uint64(1), np.uint64(63)
_ROUNDING = 1e-6  # of squared lengths, in 32 bits
_FOLDED = 1_000  # postings at once
_SHARED, _SHARED_MAX = 0.1, 4  # the least gain of a term that is named, and how many at most


class Latent:
    """The topics of an index's postings. Learned when first asked, and anew when the index has
    grown by half or was renumbered; in between, new postings cost only their own terms."""

    def __init__(self, index: Index, topics: int = TOPICS) -> None:
        self._index, self._most = index, topics
        self._learned = 0  # rows there were
        self._generation = -1
        self._rarity = np.zeros(0, np.float32)
        self._topics = np.zeros((0, topics), np.float32)  # by term
        self._postings = np.zeros((0, topics), np.float32)  # unit vectors, by row
        self._filled = 0

    def closeness(self, wish: dict[int, float], rows: Ints) -> Floats | None:
        """The cosine of each posting with a wish, given as weights of terms, at least 0; None where
        nothing in the wish belongs to a topic."""
        self._update()
        asked = self._direction(wish)
        if not asked.any():
            return None
        cosines = self._postings[: self._filled] @ asked
        return np.asarray(np.maximum(cosines[rows], 0), np.float32)

    def shared(self, wish: dict[int, float], row: int) -> tuple[str, ...]:
        """The terms of a posting that are not wished for themselves and bring it closest to the
        wish, the closest first."""
        asked = self._direction(wish)
        if not asked.any():
            return ()
        _starts, terms, weights = self._index.entries(row, row + 1)
        fresh = (terms < len(self._rarity)) & ~np.isin(terms, list(wish))
        terms, weights = terms[fresh], weights[fresh]
        gains = weights * self._rarity[terms] * (self._topics[terms] @ asked)
        order = np.argsort(-gains, kind="stable")[:_SHARED_MAX]
        names = self._index.names()
        return tuple(names[terms[at]] for at in order if gains[at] > _SHARED)

    def _direction(self, wish: dict[int, float]) -> Floats:
        """The wish among the topics, as a unit vector; all 0 where nothing in it is known."""
        known = {term: weight for term, weight in wish.items() if term < len(self._rarity)}
        terms = np.fromiter(known, np.int64, len(known))
        weights = np.fromiter(known.values(), np.float32, len(known)) * self._rarity[terms]
        asked = weights @ self._topics[terms]
        return np.asarray(asked / max(float(np.linalg.norm(asked)), 1e-6), np.float32)

    def _update(self) -> None:
        size, changed = self._index.size, self._index.generation != self._generation
        if changed or size > _RELEARNED_AT * self._learned:
            self._learn()
        for first in range(self._filled, size, _FOLDED):
            self._fold(first, min(first + _FOLDED, size))

    def _learn(self) -> None:
        size, terms = self._index.size, self._index.terms
        step = max(1, -(-size // _LEARNED_FROM))
        counts = self._matrix(0, size)[::step]
        said = np.bincount(counts.indices, minlength=terms)
        # A term of one posting links it to none.
        rarity = np.where(said > 1, np.log(1 + counts.shape[0] / np.maximum(said, 1)), 0)
        self._rarity = rarity.astype(np.float32)
        weighted = _unit_rows(counts.multiply(self._rarity).tocsr())
        self._topics = _right_vectors(weighted, self._index.names(), self._most)
        self._postings = np.zeros((size, self._topics.shape[1]), np.float32)
        self._learned, self._filled = size, 0
        self._generation = self._index.generation

    def _fold(self, first: int, last: int) -> None:
        if last > len(self._postings):
            grown = np.zeros((2 * last, self._topics.shape[1]), np.float32)
            grown[:first] = self._postings[:first]
            self._postings = grown
        weighted = self._matrix(first, last)[:, : len(self._rarity)].multiply(self._rarity)
        vectors = weighted.tocsr() @ self._topics
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._postings[first:last] = vectors / np.maximum(lengths, 1e-6)
        self._filled = last

    def _matrix(self, first: int, last: int) -> sparse.csr_array:
        starts, terms, weights = self._index.entries(first, last)
        shape = (last - first, self._index.terms)
        return sparse.csr_array((weights, terms, starts), shape=shape)


def _unit_rows(matrix: sparse.csr_array) -> sparse.csr_array:
    lengths = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    scale = (1 / np.maximum(lengths, 1e-6)).astype(np.float32)
    return sparse.csr_array(sparse.diags_array(scale) @ matrix)


def _right_vectors(matrix: sparse.csr_array, names: list[str], most: int) -> Floats:
    """The first right singular vectors, one a column, by weight of the topic."""
    topics = min(most, *matrix.shape)
    width = min(topics + _OVERSAMPLED, *matrix.shape)
    basis = matrix @ _signs(names, width)
    for _ in range(_POWER_STEPS):
        basis = matrix @ (matrix.T @ _orthonormal(basis))
    projected = matrix.T @ _orthonormal(basis)
    return np.asarray(_orthonormal(projected)[:, :topics], np.float32)


def _signs(names: list[str], width: int) -> Floats:
    """Random signs to begin with, made from each term's own name, so that the order in which
    postings were read changes nothing."""
    hashes = np.array([crc32(name.encode()) for name in names], np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, (2, width), np.uint64)
    signs = np.empty((len(names), width), np.float32)
    for column, (factor, offset) in enumerate(factors.T):
        signs[:, column] = (hashes * (factor | _ODD) + offset) >> _TOP_BIT
    return signs * 2 - 1


def _orthonormal(vectors: Floats) -> Floats:
    """An orthonormal basis of what these columns span, by falling length of their principal axes.

    From the small matrix of their products: many times faster than QR where threads are scarce,
    and as exact as is needed, since axes that are mostly rounding are left out."""
    products = (vectors.T @ vectors).astype(np.float64)
    lengths, axes = np.linalg.eigh(products)
    clear = lengths > _ROUNDING * max(lengths, default=0.0)
    scaled = (axes[:, clear] / np.sqrt(lengths[clear]))[:, ::-1]
    return np.asarray(vectors @ scaled, np.float32)

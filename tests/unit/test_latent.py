"""Topics learned from the postings: what stands together is close, without a common word."""

import numpy as np

from agents.matching.index import Index
from agents.matching.latent import Latent
from tests.fakes.opportunities import opportunity

STREAMS = ["kafka streaming", "streaming flink", "kafka flink pipelines", "pipelines streaming"]
GARDENS = ["roses garden", "garden tulips", "roses tulips pruning", "pruning garden"]


def index_of(texts: list[str]) -> tuple[Index, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """An index of postings with these titles."""
    index = Index()
    rows = index.rows([opportunity(id=f"{n}", title=t, skills=()) for n, t in enumerate(texts)])
    return index, rows


def wish(index: Index, *stems: str) -> dict[int, float]:
    """Stems as a wish."""
    return {n: 1.0 for stem in stems if (n := index.number(stem)) is not None}


def test_words_that_stand_together_are_close() -> None:
    """Who asks for Kafka is close to what says Flink, and far from roses."""
    index, rows = index_of(STREAMS * 3 + GARDENS * 3)
    near = Latent(index, topics=2).closeness(wish(index, "kafka"), rows)
    assert near is not None
    assert near[1] > 0.3 > near[12:].max()


def test_the_shared_words_are_named() -> None:
    """What brings a posting close is told, without what was asked for itself."""
    index, rows = index_of(STREAMS * 3 + GARDENS * 3)
    latent, asked = Latent(index, topics=2), wish(index, "kafka")
    latent.closeness(asked, rows)
    shared = latent.shared(asked, 2)
    assert "flink" in shared
    assert "kafka" not in shared


def test_an_unknown_wish_has_no_topic() -> None:
    """Nothing known is not the same as far."""
    index, rows = index_of(STREAMS)
    latent = Latent(index, topics=2)
    assert latent.closeness({}, rows) is None
    assert latent.shared({}, 0) == ()


def test_a_new_posting_is_folded_in() -> None:
    """It has its place among the topics, and the others keep theirs."""
    index, rows = index_of(STREAMS * 5 + GARDENS * 5)
    latent = Latent(index, topics=2)
    before = latent.closeness(wish(index, "kafka"), rows)
    new = index.rows([opportunity(id="new", title="flink pipelines", skills=())])
    after = latent.closeness(wish(index, "kafka"), np.concatenate([rows, new]))
    assert before is not None
    assert after is not None
    assert np.array_equal(before, after[:-1])
    assert after[-1] > 0.3


def test_topics_are_learned_anew_when_much_is_new() -> None:
    """A corpus that has grown by half has new words that count."""
    index, rows = index_of(STREAMS * 3)
    latent = Latent(index, topics=2)
    latent.closeness(wish(index, "kafka"), rows)
    new = [opportunity(id=f"g{n}", title=t, skills=()) for n, t in enumerate(GARDENS * 3)]
    more = index.rows(new)
    near = latent.closeness(wish(index, "rose"), more)
    assert near is not None
    assert near[2] > 0.3

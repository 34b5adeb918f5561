"""Large JSON is read as `json.loads` reads it, in pieces."""

import json
import sys
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.discovery.sources.large_json import loads

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
BROKEN = [
    "", " ", "[", "[1", "[1,", "[1,]", "[1 2]", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,}', "{1:2}",
    '{"a":[}', "[[[[[}]", "nul", '"x', "[1]x", '{"a":1}{', "\ufeff[1]", '["\n"]', '[["\\x"]]',
]  # fmt: skip


@given(VALUES, st.sampled_from([None, 1]))
def test_it_reads_what_the_standard_library_reads(value: Any, indent: int | None) -> None:
    """Any value, as text and as bytes."""
    text = json.dumps(value, indent=indent)
    assert loads(text) == loads(text.encode()) == json.loads(text)


@pytest.mark.parametrize("text", BROKEN)
def test_it_refuses_what_the_standard_library_refuses(text: str) -> None:
    """With the same words, which name the place."""
    with pytest.raises(ValueError) as theirs:  # noqa: PT011 - the words are compared
        json.loads(text)
    with pytest.raises(ValueError) as ours:  # noqa: PT011
        loads(text)
    assert str(ours.value) == str(theirs.value)


def test_repeats_and_depth_are_as_there() -> None:
    """The last of two equal keys counts; what is nested too deep says so."""
    assert loads('{"a": 1, "a": [2, {"b": 1, "b": 2}]}') == {"a": [2, {"b": 2}]}
    with pytest.raises(RecursionError):
        loads("[" * 100_000)


@pytest.mark.parametrize("frame", ["[{}]", '{{"jobs": [{}]}}', '{{"data": {{"jobs": [{}]}}}}'])
def test_other_threads_get_their_turn(frame: str) -> None:
    """While a large one is read another thread goes on: it isn't one call."""
    text = frame.format(",".join(['{"title": "Baker", "tags": ["bread"]}'] * 100_000))
    turns, done, interval = 0, threading.Event(), sys.getswitchinterval()

    def read() -> None:
        loads(text)
        done.set()

    reading = threading.Thread(target=read)
    sys.setswitchinterval(1e-4)  # so often a thread is asked to give way, if it can be
    try:
        reading.start()
        while not done.is_set():
            turns += 1
            time.sleep(0)
    finally:
        sys.setswitchinterval(interval)
    reading.join()
    assert turns > 20  # one call has a few, before it and behind it

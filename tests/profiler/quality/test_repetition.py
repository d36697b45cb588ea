from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.quality.repetition import Distinct, Seen, hashes_of

BATCHES = st.lists(st.lists(st.integers(0, 40).map(lambda n: b"%d" % n), max_size=30), max_size=12)


@given(BATCHES)
def test_what_has_come_before_is_known_whatever_the_batches(batches: list[list[bytes]]) -> None:
    seen, known = Seen(), set[bytes]()

    for batch in batches:
        expected = [value in known or value in batch[:k] for k, value in enumerate(batch)]
        assert seen.add(hashes_of(batch)).tolist() == expected
        known.update(batch)

    assert len(seen) == len(known)
    assert not seen.is_full


def test_beyond_its_bound_it_remembers_no_more_and_says_so() -> None:
    seen = Seen(hashes_max=3)
    first, later = hashes_of([b"a", b"b"]), hashes_of([b"c", b"d", b"e"])

    seen.add(first)
    seen.add(later)

    assert seen.is_full
    assert len(seen) == 3
    assert seen.add(first).all()


@given(BATCHES)
def test_few_different_values_are_counted_exactly(batches: list[list[bytes]]) -> None:
    distinct = Distinct()

    for batch in batches:
        distinct.add(value.decode() for value in batch)

    assert distinct.count == len({value for batch in batches for value in batch})
    assert distinct.is_exact


@pytest.mark.parametrize("n", [1_000, 20_000])
def test_many_different_values_are_estimated_within_four_standard_errors(n: int) -> None:
    hashes_max = 512
    distinct = Distinct(hashes_max)

    for start in range(0, n, 100):
        distinct.add(f"value {k}" for k in range(start, start + 100))
        distinct.add(f"value {k}" for k in range(start))

    assert not distinct.is_exact
    assert distinct.count == pytest.approx(n, rel=4 / np.sqrt(hashes_max - 2))

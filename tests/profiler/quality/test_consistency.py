from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from profiler.quality.consistency import PRICE_RATIO_MIN, Spread, Steady

PAIRS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "", None, 7]), st.sampled_from(["x", "y", "z", ""]))
)


@given(PAIRS, st.integers(0, 20))
def test_keys_with_several_values_are_found_whatever_the_batches(
    pairs: list[tuple[object, str]], cut: int
) -> None:
    steady = Steady()

    for part in (pairs[:cut], pairs[cut:]):
        steady.add([key for key, _ in part], [value for _, value in part])

    values: dict[object, set[str]] = {}
    for key, value in pairs:
        if key and isinstance(key, str) and value:
            values.setdefault(key, set()).add(value)
    assert {key: set(found) for key, found in steady.conflicts.items()} == {
        key: found for key, found in values.items() if len(found) > 1
    }
    assert steady.n_keys == len(values)


def test_beyond_its_bound_known_keys_are_still_compared() -> None:
    steady = Steady(keys_max=1)

    steady.add(["a", "b", "b", "a"], ["x", "x", "y", "y"])

    assert steady.is_full
    assert list(steady.conflicts) == ["a"]


def test_the_worst_keys_come_first() -> None:
    steady = Steady()

    steady.add(["a", "a", "b", "b", "b"], ["1", "2", "1", "2", "3"])

    assert [conflict.key for conflict in steady.worst(1)] == ["b"]


def test_a_price_in_cents_among_prices_in_units_is_found() -> None:
    spread = Spread()

    spread.add(["cup", "hat", "free"], ["EUR"] * 3, np.array([4.5, 20.0, 0.0]))
    spread.add(["cup", "hat", "hat"], ["EUR", "EUR", "JPY"], np.array([450.0, 15.0, 2_000.0]))

    assert spread.conflicts == [(100.0, "cup", 4.5, 450.0)]


def test_a_ratio_just_below_the_bound_is_no_conflict() -> None:
    spread = Spread()

    spread.add(["cup"] * 2, [None] * 2, np.array([1.0, PRICE_RATIO_MIN - 0.01]))

    assert not spread.conflicts

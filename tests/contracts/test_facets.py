"""Every facet passes these by being listed in `profiler.facets.FACETS`."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from profiler.columns import MONTH_MS, Snapshot
from profiler.facets import FACETS
from profiler.facets.contract import Facet
from profiler.spec import DEFAULT_SPEC, ROW_BYTES_MAX
from profiler.state import merge_rows
from tests.folding import Fold
from tests.strategies import START_MS, record

each_facet = pytest.mark.parametrize("facet", FACETS, ids=lambda facet: facet.name)


def rows_of_some_people() -> np.ndarray:
    types = ("click", "browse", "purchase", "refund", "cart")
    records = [
        record(
            {
                "type": types[k % 5],
                "ts": START_MS + k * 7_000_000,
                "user_id": f"u{k % 4}",
                "item_id": f"i{k % 25}",
                "category": f"c{k % 3}",
                "price": 3.0,
            },
            k,
        )
        for k in range(200)
    ]
    return np.concatenate(list(Fold().apply_in_parts(records, [50]).rows().values()))


ROWS = rows_of_some_people()


@each_facet
def test_columns_carry_the_facets_name(facet: Facet) -> None:
    assert all(c.name.startswith(f"{facet.name}.") for c in facet.columns)


@each_facet
def test_only_sums_and_lists_of_weights_decay(facet: Facet) -> None:
    decayed = [c for c in facet.columns if c.half_life_ms is not None]
    assert all(np.dtype(c.dtype).kind == "f" for c in decayed)
    assert all(c.half_life_ms is None or c.half_life_ms <= MONTH_MS for c in facet.columns)


@each_facet
def test_slices_name_their_numbers_and_how_to_age_them(facet: Facet) -> None:
    for s in facet.slices:
        assert s.labels == () or len(s.labels) == s.length
        assert (s.half_life_ms is None) == (s.transform == "none")


@each_facet
def test_vectors_are_finite_for_new_and_for_old_people(facet: Facet) -> None:
    length = sum(s.length for s in facet.slices)
    for rows in (DEFAULT_SPEC.empty(2), ROWS):
        out = np.full((len(rows), length), np.nan, dtype=np.float32)

        facet.project(Snapshot(rows), out)

        assert np.isfinite(out).all()


@each_facet
def test_descriptions_are_plain_json_without_nan(facet: Facet) -> None:
    for rows in (DEFAULT_SPEC.empty(2), ROWS):
        descriptions = facet.describe(Snapshot(rows))

        assert len(descriptions) == len(rows)
        assert b"null" not in msgspec.json.encode(descriptions).replace(
            b'"last_purchase":null', b""
        )


@each_facet
def test_reading_a_row_does_not_change_it(facet: Facet) -> None:
    before = ROWS.tobytes()

    facet.project(Snapshot(ROWS), np.zeros((len(ROWS), 128), dtype=np.float32))
    facet.describe(Snapshot(ROWS))

    assert ROWS.tobytes() == before


@each_facet
def test_an_empty_row_is_the_identity_of_merging(facet: Facet) -> None:
    merged = merge_rows(DEFAULT_SPEC, ROWS, DEFAULT_SPEC.empty(len(ROWS)))

    for column in facet.columns:
        if column.name == "core.recent" or column.name.endswith(("_id", "_weight")):
            assert set(merged[column.name][0].tolist()) == set(ROWS[column.name][0].tolist())
        elif column.kind != "derived":
            np.testing.assert_array_equal(merged[column.name], ROWS[column.name], column.name)


def test_the_default_spec_has_146_dimensions_and_rows_within_their_bound() -> None:
    assert DEFAULT_SPEC.dims == 146
    assert DEFAULT_SPEC.dtype.itemsize <= ROW_BYTES_MAX


def test_no_byte_of_a_row_is_left_uninitialised() -> None:
    names = DEFAULT_SPEC.dtype.names or ()
    covered = sum(DEFAULT_SPEC.dtype[name].itemsize for name in names)

    assert covered == DEFAULT_SPEC.dtype.itemsize

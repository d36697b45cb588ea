"""Runs the pure core over records, batch by batch, with states that pass through their bytes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from profiler.batch import Prepared, Preparer, Screen
from profiler.columns import Rows
from profiler.models.bank import ModelBank
from profiler.pipeline import Processed, process
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Chunk, RawRecord
from profiler.spec import DEFAULT_SPEC, Spec
from profiler.state import decode_states, encode_states, encode_tombstone

KEY = b"a test key, not a secret, 32 bytes and more"


@dataclass
class Fold:
    """Stored states by pid after any number of batches."""

    spec: Spec = DEFAULT_SPEC
    screen: Screen = field(default_factory=Screen)
    states: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pseudonymiser = Pseudonymiser(KEY)
        self.preparer = Preparer(self.pseudonymiser, self.screen)
        self.bank = ModelBank(self.spec)

    def apply(self, records: Sequence[RawRecord]) -> tuple[Prepared, Processed]:
        """One batch."""
        chunks = [
            Chunk(0, p, [r for r in records if r.partition == p]) for p in _partitions(records)
        ]
        prepared = self.preparer.prepare(chunks)
        stored = decode_states([self.states.get(p) for p in prepared.pids], self.spec, {})
        processed = process(self.spec, prepared, stored, self.bank)
        self.bank.learn(processed.labels)
        rev = stored.rev[processed.place] + 1
        values = encode_states(self.spec, processed.rows, rev, processed.fences)
        for place, value in zip(processed.place.tolist(), values, strict=True):
            self.states[prepared.pids[place]] = value
        for place, erased_at_ms in processed.erased.items():
            rev_of_erasure = int(stored.rev[place]) + 1
            self.states[prepared.pids[place]] = encode_tombstone(rev_of_erasure, erased_at_ms)
        return prepared, processed

    def apply_in_parts(self, records: Sequence[RawRecord], cuts: Iterable[int]) -> Fold:
        """Several batches, cut at these places."""
        places = sorted({0, len(records), *(c for c in cuts if c < len(records))})
        for start, end in itertools.pairwise(places):
            self.apply(records[start:end])
        return self

    def rows(self) -> dict[str, Rows]:
        """One row by pid."""
        return {
            pid: decode_states([value], self.spec, {}).rows for pid, value in self.states.items()
        }

    def row(self, kind: str, subject_id: str) -> Rows:
        """The row of one subject."""
        return self.rows()[self.pseudonymiser.pid(kind, subject_id)]


def _partitions(records: Sequence[RawRecord]) -> list[int]:
    return list(dict.fromkeys(r.partition for r in records))


def assert_equal(a: Rows, b: Rows, spec: Spec = DEFAULT_SPEC, *, linear_only: bool = False) -> None:
    """Equality of design §2: integers identical, sums to 1e-9, vectors to 1e-5 of the norm."""
    for column in spec.columns:
        if column.kind == "derived" or (linear_only and column.kind == "sequential"):
            continue
        x, y = a[column.name], b[column.name]
        if column.dtype == "<f4":
            x, y = x.astype(np.float64), y.astype(np.float64)
            scale = max(float(np.linalg.norm(x)), float(np.linalg.norm(y)), 1e-30)
            np.testing.assert_allclose(x, y, rtol=0, atol=1e-5 * scale, err_msg=column.name)
        elif column.dtype == "<f8":
            atol = 1e-9 * float(np.abs(x).max(initial=0.0))
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=atol, err_msg=column.name)
        else:
            np.testing.assert_array_equal(x, y, err_msg=column.name)

"""Runs the pure core over records, batch by batch, with states that pass through their bytes."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from profiler.batch import Prepared, Preparer, Screen
from profiler.columns import Rows
from profiler.identity import NO_LINKS, Look
from profiler.models.bank import ModelBank
from profiler.peers import Peers
from profiler.pipeline import Processed, process
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Chunk, RawRecord
from profiler.spec import DEFAULT_SPEC, Spec
from profiler.state import Stored, decode_states, encode_states, encode_tombstone
from profiler.traits import NO_RULES, TraitRules

KEY = b"a test key, not a secret, 32 bytes and more"


@dataclass
class Fold:
    """Stored states by pid after any number of batches, and what readers see.

    Looks wait in `looks` until `settle`, or until a test delivers some of them itself. Without
    `rules` no traits are kept.
    """

    spec: Spec = DEFAULT_SPEC
    screen: Screen = field(default_factory=Screen)
    states: dict[str, bytes] = field(default_factory=dict)
    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    summaries: dict[str, bytes] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    rules: TraitRules = NO_RULES
    traits: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pseudonymiser = Pseudonymiser(KEY)
        self.preparer = Preparer(self.pseudonymiser, self.screen, rules=self.rules)
        self.bank = ModelBank(self.spec)

    def apply(
        self, records: Sequence[RawRecord], looks: Sequence[Look] = ()
    ) -> tuple[Prepared, Processed]:
        """One batch."""
        chunks = [
            Chunk(0, p, [r for r in records if r.partition == p]) for p in _partitions(records)
        ]
        if looks:
            chunks.append(Chunk(1, 0, [], looks=looks))
        prepared = self.preparer.prepare(chunks)
        stored = self._decode(prepared.pids)
        processed = process(
            self.spec, prepared, stored, self.bank, peers=self._peers(prepared, stored)
        )
        self.bank.learn(processed.labels)
        self._keep(prepared, stored, processed)
        self.looks += processed.relinked.looks
        return prepared, processed

    def settle(self) -> Fold:
        """Deliver looks until there are none."""
        while self.looks:
            looks, self.looks = self.looks, []
            self.apply([], looks)
        return self

    def _keep(self, prepared: Prepared, stored: Stored, processed: Processed) -> None:
        rev = stored.rev[processed.place] + 1
        links = processed.relinked.links
        values = encode_states(self.spec, processed.rows, rev, processed.fences, processed.links())
        for k, (place, value) in enumerate(zip(processed.place.tolist(), values, strict=True)):
            pid = prepared.pids[place]
            self.states[pid] = value
            self.vectors.pop(pid, None)
            self.moved.pop(pid, None)
            # As `ProfileWrite.traits`: who never had any has none to take away.
            if (shown := processed.traits.get(k)) is not None or processed.relinked.owner(place):
                self.traits.pop(pid, None)
            if shown:
                self.traits[pid] = shown
            if owner := processed.relinked.owner(place):
                self.moved[pid] = owner
            else:
                self.vectors[pid] = processed.vectors[k]
                self.summaries[pid] = processed.summaries[k]
        for place, erased_at_ms in processed.erased.items():
            pid = prepared.pids[place]
            self.states[pid] = encode_tombstone(
                int(stored.rev[place]) + 1, erased_at_ms, links.get(place, NO_LINKS)
            )
            self.vectors.pop(pid, None)
            self.moved.pop(pid, None)
            self.traits.pop(pid, None)

    def _decode(self, pids: Sequence[str]) -> Stored:
        return decode_states([self.states.get(p) for p in pids], self.spec, {})

    def _peers(self, prepared: Prepared, stored: Stored) -> Peers:
        peers = Peers.of({}, self.spec, {})
        while missing := peers.missing(stored.links, [look.peer.pid for look in prepared.looks]):
            pids = [*peers.place, *missing]
            peers = Peers.of({pid: self.states.get(pid) for pid in pids}, self.spec, {})
        return peers

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


def assert_equal(
    a: Rows,
    b: Rows,
    spec: Spec = DEFAULT_SPEC,
    *,
    linear_only: bool = False,
    ignored: Collection[str] = (),
) -> None:
    """Equality of design §2: integers identical, sums to 1e-9, vectors to 1e-5 of the norm."""
    for column in spec.columns:
        if column.name in ignored or column.kind == "derived":
            continue
        if linear_only and column.kind == "sequential":
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

"""A computed batch on its way to the store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from profiler.batch import Prepared
from profiler.dedupe import PARTS
from profiler.pipeline import Processed
from profiler.records import Chunk, Record
from profiler.updates import Update
from streams.store import Write


@dataclass(slots=True)
class Work:
    """A computed batch that has not been written yet.

    Parameters
    ----------
    chunks
        The records it was computed from.
    prepared, processed
        What the two halves of the pipeline gave.
    writes
        By pid; what is dropped here is not written.
    names
        Readable names of tokens that this worker met for the first time.
    seconds
        Time by step.
    updates
        By pid, to be sent once all is written.
    """

    chunks: Sequence[Chunk]
    prepared: Prepared
    processed: Processed
    writes: dict[str, Write]
    names: dict[str, dict[int, str]]
    seconds: dict[str, float] = field(default_factory=dict)
    updates: dict[str, Update] = field(default_factory=dict)

    def reached(self) -> dict[int, int]:
        """Offset after the last record, by code of the partition."""
        ends: dict[int, int] = {}
        for chunk in self.chunks:
            if (end := chunk.end()) and chunk.partition < PARTS:
                ends[chunk.code] = max(ends.get(chunk.code, 0), end)
        return ends

    def retract(self, pids: Collection[str]) -> None:
        """Take back what was computed of these people, letters included: it will be once more."""
        for pid in pids:
            self.writes.pop(pid, None)
            self.updates.pop(pid, None)
        looks = self.processed.relinked.looks
        for look in [look for look in looks if look.peer.pid in pids]:
            del looks[look]
        theirs = self._index_of(pids)
        self.processed.rejected = [
            r
            for r in self.processed.rejected
            if r.reason != "update_failed" or r.index not in theirs
        ]

    def _index_of(self, pids: Collection[str]) -> set[int]:
        theirs = np.array([pid in pids for pid in self.prepared.pids], dtype=bool)
        claims = {claim.record for claim in self.prepared.claims if theirs[claim.place]}
        return claims | set(self.prepared.record[theirs[self.prepared.row]].tolist())

    def records_of(self, pids: Collection[str]) -> list[Chunk]:
        """Records about these people, in order, as chunks."""
        chosen = self._index_of(pids)
        chunks, start = [], 0
        for chunk in self.chunks:
            end = start + len(chunk.records)
            kept = [i for i in range(start, end) if i in chosen]
            looks = [look for look in chunk.looks if look.at.pid in pids]
            if kept or looks:
                records = [self.prepared.records[i] for i in kept]
                offsets = chunk.fence_offsets()
                origins = chunk.origin_codes()
                chunks.append(
                    msgspec.structs.replace(
                        chunk,
                        records=records,
                        offsets=[offsets[i - start] for i in kept],
                        origins=[origins[i - start] for i in kept],
                        looks=looks,
                    )
                )
            start = end
        return chunks


def rejected_records(work: Work) -> list[tuple[Record, str]]:
    """Records of a batch that cannot be applied, each with its reason."""
    return [(work.prepared.records[r.index], r.reason) for r in work.processed.rejected]

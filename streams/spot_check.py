"""The quality of live data: once a second some of the records that come are looked at.

It watches the decoder, so that nothing is decoded twice, and counts what
`profiler.quality` finds in single records. What only a whole file or topic shows, such as an item
under two titles, is left to ``profiler quality``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from profiler.decoding import Decoded, Decodes
from profiler.quality.facts import Problem, facts_of, presences
from profiler.quality.problems import problems_of
from profiler.records import Record
from profiler.schemas import Schemas
from streams.metrics import Metrics, QualityFigures

INTERVAL_S: Final = 1.0


class SpotCheck:
    """A decoder that looks at the first records of a batch, at most once a second.

    Parameters
    ----------
    decoder
        Decodes the records.
    metrics
        Told what was found.
    records_per_s
        Records that are looked at in a second, at most.
    clock_s
        The world's, unless a test brings its own.
    """

    def __init__(
        self,
        decoder: Decodes,
        metrics: Metrics,
        records_per_s: int,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decoder = decoder
        self._metrics = metrics
        self._records_max = int(records_per_s * INTERVAL_S)
        self._clock_s = clock_s
        self._due_s = 0.0

    @property
    def schemas(self) -> Schemas | None:
        """Those of the decoder."""
        return self._decoder.schemas

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Events of these records."""
        decoded = self._decoder.decode(records)
        now_s = self._clock_s()
        if records and now_s >= self._due_s:
            self._due_s = now_s + INTERVAL_S
            self._look(records[: self._records_max], decoded)
        return decoded

    def _look(self, records: Sequence[Record], decoded: Decoded) -> None:
        facts = facts_of(records, decoded)
        present = presences(facts)
        problems: Counter[Problem] = Counter()
        for hit in problems_of(facts, present, time.time_ns() // 1_000_000):
            problems[hit.problem] += len(hit.record)
        self._metrics.count_quality(
            QualityFigures(
                n_records=len(records),
                events=Counter(facts.type_of),
                missing={(one.type, one.field): len(one.missing) for one in present},
                problems=problems,
            )
        )

"""Which labels a stream gives: the production code over events, and what it kept and learnt.

Whatever is to be held against the models is trained on these rows: the same features at the same
times, rounded as the state rounds them, and each label when it was known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from profiler.batch import Preparer, Screen
from profiler.events import BEHAVIOUR_TYPES
from profiler.fold import Fold
from profiler.models.bank import ModelBank
from profiler.models.labels import Labels
from profiler.openings import GAP_MS
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Chunk, RawRecord
from profiler.spec import DEFAULT_SPEC

BATCH_RECORDS = 1_000
_KEY = b"nobody is to be hidden in an evaluation: any key will do"


class Recorder:
    """Runs events through the pipeline, the bank learning as it does in a worker.

    Parameters
    ----------
    bank
        Predicts, and learns.
    sources
        Names of sources of old events: the guard holds nobody for them.

    Attributes
    ----------
    n_events
        Events that were predicted for.
    """

    def __init__(self, bank: ModelBank, sources: Iterable[str] = ()) -> None:
        screen = Screen(historical_sources=frozenset(sources))
        self._preparer = Preparer(Pseudonymiser(_KEY), screen)
        self._fold = Fold(DEFAULT_SPEC, self._preparer, bank)
        self._bank = bank
        self._labels: list[Labels] = []
        self._watermark_ms = 0
        self.n_events = 0

    def apply(self, records: Sequence[RawRecord]) -> None:
        """Take in a batch of records of one partition."""
        prepared = self._preparer.prepare([Chunk(0, 0, records)])
        processed = self._fold.apply(prepared)
        self.n_events += processed.outcomes["applied"]
        is_behaviour = prepared.type_code < len(BEHAVIOUR_TYPES)
        latest_ms = int(prepared.ts[is_behaviour].max(initial=0))
        self._watermark_ms = max(self._watermark_ms, latest_ms)
        pids = [prepared.pids[place] for place in processed.place.tolist()]
        self._bank.wait_for(0, pids, processed.rows)
        due = [one.pid for one in self._bank.due(0, self._watermark_ms)]
        self.learn([*processed.labels, self._fold.expire(due, self._watermark_ms)])

    def learn(self, labels: Sequence[Labels]) -> None:
        """Keep labels, with what was answered in the end as their prediction; have them learnt."""
        self._labels += [
            msgspec.structs.replace(part, prediction=self._bank.served(part))
            for part in labels
            if len(part)
        ]
        self._bank.learn(labels)

    def close(self) -> None:
        """Learn what will not be answered any more: the events are over, and sessions with them."""
        pids = list(self._fold.states)
        for start in range(0, len(pids), BATCH_RECORDS):
            labels = self._fold.expire(pids[start : start + BATCH_RECORDS], np.iinfo(np.int64).max)
            # Of longer horizons a no is not known yet: whoever is not back may still come.
            is_over = labels.due_ms <= self._watermark_ms + GAP_MS
            self.learn([labels.only(is_over)])

    def labels(self) -> Labels:
        """All labels that were learnt, in the order in which they were known to the bank.

        Raises
        ------
        ValueError
            If there are none.
        """
        return Labels.joined(self._labels)


def recorded(recorder: Recorder, values: Iterable[bytes], n_batch: int = BATCH_RECORDS) -> Labels:
    """Labels of events in the order of their times.

    Parameters
    ----------
    values
        Native events as JSON, or what cannot be read.
    """
    batch: list[RawRecord] = []
    offset = 0
    for offset, value in enumerate(values):
        batch.append(RawRecord("", 0, offset, None, None, value))
        if len(batch) == n_batch:
            recorder.apply(batch)
            batch = []
    if batch:
        recorder.apply(batch)
    recorder.close()
    return recorder.labels()

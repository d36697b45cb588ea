"""Figures that outlive a worker: model quality and weights, and the crowd, kept in the store."""

from __future__ import annotations

import math
from typing import Final

from profiler.models.bank import ModelBank
from profiler.models.scoring import Probabilities
from streams.crowd import CrowdFigures
from streams.log import get_logger
from streams.metrics import Metrics
from streams.store import Store

WEIGHTS_KEY: Final = "profiler:models:weights"
_log = get_logger(component="figures")


def model_key(task: str) -> str:
    """Key of a task's quality, for readers."""
    return f"profiler:models:{task}"


def worker_key(worker_id: str) -> str:
    """Key of a worker's own figures, for readers."""
    return f"profiler:metrics:{worker_id}"


class Figures:
    """Publishes what the model bank knows of itself, and restores its weights.

    Parameters
    ----------
    store, bank, metrics
        From, and where to.
    worker_id
        Tells this worker's figures from those of others.

    Attributes
    ----------
    crowd
        Figures of the crowd.
    """

    def __init__(self, store: Store, bank: ModelBank, metrics: Metrics, worker_id: str) -> None:
        self._worker_id = worker_id
        self._store = store
        self._bank = bank
        self._metrics = metrics
        self._counted: dict[str, dict[str, int]] = {}
        self.crowd = CrowdFigures(store)

    async def restore(self) -> None:
        """Go on from the weights that a worker published last; start afresh without."""
        found = (await self._store.figures(WEIGHTS_KEY)).get("weights")
        if found is None:
            return
        if reason := self._bank.restore(found):
            _log.warning("weights_unreadable", fault=reason)

    async def publish(self) -> None:
        """Write quality, weights, how the worker fares, and what is new of the crowd."""
        self.observe()
        for name, competition in self._bank.competitions.items():
            served = competition.served
            quality = {n: f"{v:.6g}" for n, v in served.figures().items() if not math.isnan(v)}
            fields = quality | {"labels": str(served.n), "candidate": competition.serving}
            if isinstance(served, Probabilities):
                fields["positives"] = str(served.n_labels[1])
            await self._store.put_figures(model_key(name), fields)
        await self._store.put_figures(WEIGHTS_KEY, {"weights": self._bank.export()})
        await self._store.put_figures(worker_key(self._worker_id), self._of_the_worker())
        await self.crowd.publish()

    def _of_the_worker(self) -> dict[str, str]:
        value = self._metrics.value
        figures = {
            "events_applied": value("profiler_events_total", outcome="applied"),
            "batches": value("profiler_batches_total"),
            "arena_rows": value("profiler_arena_rows"),
            "last_commit_s": value("profiler_last_commit_timestamp_seconds"),
            "event_to_readable_ms_p50": self._metrics.event_to_readable_ms(0.5),
            "event_to_readable_ms_p99": self._metrics.event_to_readable_ms(0.99),
        }
        return {name: f"{v:.15g}" for name, v in figures.items() if not math.isnan(v)}

    def observe(self) -> None:
        """Bring the metrics up to date; nothing is written."""
        for name, competition in self._bank.competitions.items():
            served = competition.served
            self._metrics.set_model(name, served.figures())
            counts = {"all": served.n}
            if isinstance(served, Probabilities):
                counts = {"negative": served.n_labels[0], "positive": served.n_labels[1]}
            before = self._counted.setdefault(name, dict.fromkeys(counts, 0))
            self._metrics.count_labels(name, {k: n - before[k] for k, n in counts.items()})
            self._counted[name] = counts

"""Metrics of a worker, in Prometheus' names and base units, at the cost of one call per batch.

Nothing here is counted per event: a batch brings its counts as plain numbers and its delays as one
array. `Metrics` owns its registry, so that several workers may live in one process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from profiler.guard import UNGUARDED, Guarded
from streams.histogram import BulkHistogram
from streams.metric_groups import ItemMetrics, QualityMetrics, RecommendationMetrics
from streams.metric_groups import QualityFigures as QualityFigures  # as `BatchFigures` is here

READABLE_BUCKETS_S: Final = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15),
    *(0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0),
)
BATCH_EVENTS_BUCKETS: Final = tuple(2.0**k for k in range(15))
BATCH_SECONDS_BUCKETS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
    *(5.0, 10.0),
)
_NO_DELAYS: Final = np.zeros(0)


class BatchFigures(Struct, frozen=True, kw_only=True):
    """What one batch did, in plain numbers.

    Parameters
    ----------
    n_events
        Records of the batch.
    outcomes
        Records by what became of them: ``applied``, ``duplicate``, ``fenced``, ``erased``, …
    dead_letters
        Records by the reason of their dead letter.
    guarded
        Who is held now, or no longer, and how many events were theirs.
    seconds
        Time by step: ``decode``, ``load``, ``update``, ``learn``, ``project``, ``write``, …
    readable_s
        (N,) seconds from each applied record's Kafka timestamp to the commit.
    n_conflicts
        Profiles whose commit was refused and done again.
    n_traits_ignored
        Traits that were said and are not kept.
    arena_rows
        Rows in the arena after the batch.
    committed_at_s
        Time of the commit, seconds since 1970.
    n_unknown_items
        Events that name an item which the catalogue does not know.
    """

    n_events: int
    outcomes: Mapping[str, int]
    dead_letters: Mapping[str, int] = {}
    guarded: Guarded = UNGUARDED
    seconds: Mapping[str, float] = {}
    readable_s: NDArray[np.floating] = _NO_DELAYS
    n_conflicts: int = 0
    n_traits_ignored: int = 0
    arena_rows: int = 0
    committed_at_s: float = 0.0
    n_unknown_items: int = 0


class Metrics:
    """All metrics of one worker around one registry.

    Attributes
    ----------
    of_recommendation
        Those of what recommendations are made from.

    Examples
    --------
    >>> metrics = Metrics()
    >>> delays = np.array([0.010, 0.020, 0.040])
    >>> metrics.observe_batch(BatchFigures(n_events=3, outcomes={"applied": 3}, readable_s=delays))
    >>> round(metrics.event_to_readable_ms(0.5))
    20
    >>> b'profiler_events_total{outcome="applied"} 3.0' in metrics.render()
    True
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        ProcessCollector(registry=registry)
        self._events = Counter(
            "profiler_events", "Records by what became of them.", ["outcome"], registry=registry
        )
        self._dead_letters = Counter(
            "profiler_dead_letters", "Dead letters by reason.", ["reason"], registry=registry
        )
        self._quarantined = Counter(
            "profiler_quarantined",
            "Profiles that were quarantined by reason, or released.",
            ["reason"],
            registry=registry,
        )
        self._quarantined_events = Counter(
            "profiler_quarantined_events",
            "Events applied to quarantined profiles by reason.",
            ["reason"],
            registry=registry,
        )
        self._batches = Counter("profiler_batches", "Batches committed.", registry=registry)
        self._batch_events = Histogram(
            "profiler_batch_events",
            "Records of a batch.",
            buckets=BATCH_EVENTS_BUCKETS,
            registry=registry,
        )
        self._batch_seconds = Histogram(
            "profiler_batch_seconds",
            "Time of a batch by step.",
            ["step"],
            buckets=BATCH_SECONDS_BUCKETS,
            registry=registry,
        )
        self._readable = BulkHistogram(
            "profiler_event_to_readable_seconds",
            "From the record's Kafka timestamp to the commit of its profile.",
            READABLE_BUCKETS_S,
        )
        registry.register(self._readable)
        self._conflicts = Counter(
            "profiler_commit_conflicts", "Profiles whose commit was refused.", registry=registry
        )
        self._traits_ignored = Counter(
            "profiler_traits_ignored", "Traits said and not kept.", registry=registry
        )
        self._init_troubles(registry)
        self._init_gauges(registry)
        self._of_quality = QualityMetrics(registry)
        self._of_items = ItemMetrics(registry)
        self.of_recommendation = RecommendationMetrics(registry)

    def _init_troubles(self, registry: CollectorRegistry) -> None:
        self._pauses = Counter(
            "profiler_pauses", "Times the other side was away.", ["waiting_for"], registry=registry
        )
        self._store_restarts = Counter(
            "profiler_store_restarts",
            "Times the store came back as another, and events were read again.",
            registry=registry,
        )
        self._stalls = Counter(
            "profiler_stalls", "Standstills before records that wait.", registry=registry
        )

    def _init_gauges(self, registry: CollectorRegistry) -> None:
        self._paused = Gauge(
            "profiler_paused",
            "1 while the other side is away, else 0.",
            ["waiting_for"],
            registry=registry,
        )
        self._arena_rows = Gauge(
            "profiler_arena_rows", "Profiles hot in memory.", registry=registry
        )
        self._arena_capacity = Gauge(
            "profiler_arena_capacity_rows", "Profiles that fit in memory.", registry=registry
        )
        self._last_commit = Gauge(
            "profiler_last_commit_timestamp_seconds", "Time of the last commit.", registry=registry
        )
        self._lag = Gauge(
            "profiler_lag_events", "Records not yet applied.", ["partition"], registry=registry
        )
        self._watermark = Gauge(
            "profiler_watermark_timestamp_seconds",
            "Greatest event time applied.",
            ["partition"],
            registry=registry,
        )
        self._quality = {
            name: Gauge(f"profiler_model_{name}", text, ["task"], registry=registry)
            for name, text in (
                ("log_loss", "Prequential log loss of the answering model."),
                ("roc_auc", "Prequential area under the ROC curve of the answering model."),
                ("calibration_error", "Expected calibration error of the answering model."),
                ("mae", "Prequential mean absolute error of the answering model."),
            )
        }
        self._labels = Counter(
            "profiler_model_labels", "Labels learnt.", ["task", "label"], registry=registry
        )

    def observe_batch(self, figures: BatchFigures) -> None:
        """Count one committed batch."""
        self._batches.inc()
        self._batch_events.observe(figures.n_events)
        for outcome, n_events in figures.outcomes.items():
            self._events.labels(outcome).inc(n_events)
        for reason, n_events in figures.dead_letters.items():
            self._dead_letters.labels(reason).inc(n_events)
        for transition in figures.guarded.transitions:
            self._quarantined.labels(transition.reason or "released").inc()
        for reason, n_events in figures.guarded.n_events.items():
            self._quarantined_events.labels(reason).inc(n_events)
        for step, seconds in figures.seconds.items():
            self._batch_seconds.labels(step).observe(seconds)
        self._readable.observe_many(figures.readable_s)
        if figures.n_conflicts:
            self._conflicts.inc(figures.n_conflicts)
        if figures.n_traits_ignored:
            self._traits_ignored.inc(figures.n_traits_ignored)
        self._arena_rows.set(figures.arena_rows)
        if figures.n_unknown_items:
            self._of_items.unknown.inc(figures.n_unknown_items)
        if figures.committed_at_s:
            self._last_commit.set(figures.committed_at_s)

    def count_quality(self, figures: QualityFigures) -> None:
        """Count what a sample of records shows."""
        self._of_quality.count(figures)

    def set_items(
        self, *, n_items: int, n_versions: int, n_evicted: int, read_through_s: float
    ) -> None:
        """Tell what the catalogue holds, and up to what time its topic has been read."""
        self._of_items.set(n_items, n_versions, n_evicted, read_through_s)

    def count_refused_item(self, reason: str) -> None:
        """Count one record of the topic of items that is none."""
        self._of_items.refused.labels(reason).inc()

    def count_pause(self, waiting_for: str) -> None:
        """Count one wait for the ``store``, the ``broker`` or the ``items``."""
        self._pauses.labels(waiting_for).inc()

    def count_store_restart(self) -> None:
        """Count one time at which the store may have lost writes."""
        self._store_restarts.inc()

    def set_paused(self, waiting_for: str, is_paused: bool) -> None:
        """Tell whether the ``store``, the ``broker`` or the ``items`` are being waited for."""
        self._paused.labels(waiting_for).set(is_paused)

    def count_stall(self) -> None:
        """Count one standstill, after which the process ends."""
        self._stalls.inc()

    def set_arena_capacity(self, n_rows: int) -> None:
        """Tell how many profiles fit in memory."""
        self._arena_capacity.set(n_rows)

    def set_partition(
        self, partition: int, *, lag_events: int | None = None, watermark_ms: int | None = None
    ) -> None:
        """Tell how far a partition has come; None leaves a figure as it is."""
        if lag_events is not None:
            self._lag.labels(str(partition)).set(lag_events)
        if watermark_ms is not None:
            self._watermark.labels(str(partition)).set(watermark_ms / 1_000)

    def forget_partition(self, partition: int) -> None:
        """Drop the figures of a partition that another worker has now."""
        for gauge in (self._lag, self._watermark):
            gauge.remove_by_labels({"partition": str(partition)})

    def set_model(self, task: str, quality: Mapping[str, float]) -> None:
        """Tell how well a task is predicted, by those figures that it has."""
        for name, gauge in self._quality.items():
            if name in quality:
                gauge.labels(task).set(quality[name])

    def count_labels(self, task: str, n_by_label: Mapping[str, int]) -> None:
        """Count labels that were learnt."""
        for label, n_labels in n_by_label.items():
            self._labels.labels(task, label).inc(n_labels)

    def event_to_readable_ms(self, quantile: float) -> float:
        """Estimate a quantile of the time from Kafka to readable, ms; NaN before any event."""
        return self._readable.quantile(quantile) * 1_000

    def value(self, name: str, **labels: str) -> float:
        """Read one sample by its exposed name; 0 where it does not exist yet.

        Examples
        --------
        >>> Metrics().value("profiler_events_total", outcome="applied")
        0.0
        """
        found = self.registry.get_sample_value(name, labels)
        return 0.0 if found is None else found

    def render(self) -> bytes:
        """Write the page of ``/metrics`` (text format 0.0.4)."""
        return generate_latest(self.registry)

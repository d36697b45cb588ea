"""Metrics that belong together; part of `streams.metrics`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from prometheus_client import CollectorRegistry, Counter, Gauge

from profiler.quality.facts import Problem


class QualityFigures(Struct, frozen=True, kw_only=True):
    """What a sample of records shows.

    Parameters
    ----------
    n_records
        Records that were looked at.
    events
        Events by type, those that can be read of refused records included.
    missing
        Of these, by type and field, those without the field.
    problems
        By dimension, field and name, see `profiler.quality.facts.Problem`.
    """

    n_records: int
    events: Mapping[str, int]
    missing: Mapping[tuple[str, str], int]
    problems: Mapping[Problem, int]


class QualityMetrics:
    """Of the quality of a sample of records.

    Parameters
    ----------
    registry
        Where they are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._records = Counter(
            "profiler_quality_records",
            "Records whose quality was looked at: a sample.",
            registry=registry,
        )
        self._events = Counter(
            "profiler_quality_events", "Events among them.", ["type"], registry=registry
        )
        self._missing = Counter(
            "profiler_quality_missing",
            "Events among them without a field.",
            ["type", "field"],
            registry=registry,
        )
        self._problems = Counter(
            "profiler_quality_problems",
            "Problems among them.",
            ["dimension", "field", "problem"],
            registry=registry,
        )

    def count(self, figures: QualityFigures) -> None:
        """Count what a sample of records shows."""
        self._records.inc(figures.n_records)
        for kind, n_events in figures.events.items():
            self._events.labels(kind).inc(n_events)
        for (kind, name), n_events in figures.missing.items():
            self._missing.labels(kind, name).inc(n_events)
        for problem, n_problems in figures.problems.items():
            self._problems.labels(*problem).inc(n_problems)


class ItemMetrics:
    """Of the catalogue of items.

    Parameters
    ----------
    registry
        Where they are.

    Attributes
    ----------
    unknown, refused
        Counters of events that name an unknown item, and of records that are no items.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unknown = Counter(
            "profiler_items_unknown",
            "Events that name an item which the catalogue does not know.",
            registry=registry,
        )
        self.refused = Counter(
            "profiler_items_refused",
            "Records of the topic of items that are none, by reason.",
            ["reason"],
            registry=registry,
        )
        self._gauges = {
            name: Gauge(f"profiler_items{name}", text, registry=registry)
            for name, text in (
                ("", "Items in the catalogue."),
                ("_versions", "Versions of items in memory."),
                ("_evicted_versions", "Versions that had to go for others."),
                ("_read_timestamp_seconds", "Time up to which the topic of items has been read."),
            )
        }

    def set(self, *figures: float) -> None:
        """Set items, versions, evicted versions, and the time up to which the topic was read."""
        for gauge, figure in zip(self._gauges.values(), figures, strict=True):
            gauge.set(figure)


class RecommendationMetrics:
    """Of what recommendations are made from.

    Parameters
    ----------
    registry
        Where they are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "profiler_statistics_events",
            "Events of interest: counted in statistics, or left out for lack of room.",
            ["outcome"],
            registry=registry,
        )
        self._given_up = Counter(
            "profiler_statistics_rows_given_up",
            "Rows of statistics whose additions were left, as others kept writing them.",
            registry=registry,
        )
        self._recall = Gauge(
            "profiler_recommendation_recall",
            "Share of the latest ranked events that were among the first 20.",
            ["kind"],
            registry=registry,
        )

    def count(self, n_counted: int, n_left_out: int, n_given_up: int) -> None:
        """Count events by what became of them, and rows."""
        self._events.labels("counted").inc(n_counted)
        self._events.labels("left_out").inc(n_left_out)
        self._given_up.inc(n_given_up)

    def set_recall(self, kind: str, recall: float) -> None:
        """Set how good rankings of items or categories are."""
        self._recall.labels(kind).set(recall)

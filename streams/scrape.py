"""What a worker's ``/metrics`` says, for those who watch it from outside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

READABLE: Final = "profiler_event_to_readable_seconds_bucket"


class Scrape(Struct, frozen=True, kw_only=True):
    """One reading of a worker's metrics.

    Parameters
    ----------
    outcomes
        Records by what became of them.
    dead_letters
        Records by reason.
    readable
        Events that were readable after at most so many seconds, by that limit; cumulative.
    last_commit_s
        Time of the last commit, seconds since 1970; 0 before the first.
    quality
        Of the purchase model, by figure; NaN where it is not known yet.
    """

    outcomes: Mapping[str, int]
    dead_letters: Mapping[str, int]
    readable: Mapping[float, int]
    last_commit_s: float
    quality: Mapping[str, float]

    @property
    def n_records(self) -> int:
        """Records that were worked on and are durable."""
        return sum(self.outcomes.values())

    def readable_ms(self, quantile: float, since: Scrape) -> float:
        """Estimate a quantile of the time from Kafka to readable since an earlier scrape, in ms.

        Linear inside its bucket; NaN if no event came since.
        """
        counts = {limit: n - since.readable.get(limit, 0) for limit, n in self.readable.items()}
        rank = quantile * max(counts.values(), default=0)
        below_s, n_below = 0.0, 0
        for limit_s, n in sorted(counts.items()):
            if n >= rank and n > 0:
                if math.isinf(limit_s):
                    return below_s * 1_000
                share = (rank - n_below) / (n - n_below) if n > n_below else 1.0
                return (below_s + share * (limit_s - below_s)) * 1_000
            below_s, n_below = limit_s, n
        return math.nan


def parse(page: str) -> Scrape:
    """Read a page of ``/metrics``.

    Examples
    --------
    >>> parse('profiler_events_total{outcome="applied"} 3.0').outcomes
    {'applied': 3}
    """
    samples = [s for family in text_string_to_metric_families(page) for s in family.samples]
    commits = _valued(samples, "profiler_last_commit_timestamp_seconds")
    return Scrape(
        outcomes=_counts(samples, "profiler_events_total", "outcome"),
        dead_letters=_counts(samples, "profiler_dead_letters_total", "reason"),
        readable={float(s.labels["le"]): int(s.value) for s in samples if s.name == READABLE},
        last_commit_s=commits[0] if commits else 0.0,
        quality={
            name: values[0]
            for name in ("log_loss", "roc_auc", "calibration_error")
            if (values := _valued(samples, f"profiler_model_{name}"))
        },
    )


def _counts(samples: Iterable[Sample], name: str, label: str) -> dict[str, int]:
    found = {s.labels[label]: int(s.value) for s in samples if s.name == name}
    return {key: n for key, n in found.items() if n}


def _valued(samples: Iterable[Sample], name: str) -> list[float]:
    return [s.value for s in samples if s.name == name]

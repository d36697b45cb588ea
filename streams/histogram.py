"""A Prometheus histogram that takes a whole batch of observations as one array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class BulkHistogram(Collector):
    """A histogram that takes an array at once, and answers quantiles.

    `prometheus_client.Histogram` observes one number at a time, about 1 µs each; this one costs
    about 10 µs for an array of thousands. It counts in a finer grid than it exposes (20 buckets per
    decade), for quantiles within a few per cent.

    Examples
    --------
    >>> histogram = BulkHistogram("wait_seconds", "Waiting.", (1.0, 10.0))
    >>> histogram.observe_many(np.array([0.5, 1.0, 3.0, 99.0]))
    >>> [(s.labels["le"], s.value) for s in next(histogram.collect()).samples if s.labels]
    [('1.0', 2.0), ('10.0', 3.0), ('+Inf', 4.0)]
    """

    def __init__(self, name: str, documentation: str, buckets: tuple[float, ...]) -> None:
        self._name = name
        self._documentation = documentation
        self._buckets = buckets
        least, greatest = buckets[0], buckets[-1]
        n_fine = int(np.ceil(20 * np.log10(greatest / least))) + 1
        self._edges = np.union1d(np.geomspace(least, greatest, n_fine), buckets)
        self._exposed = np.searchsorted(self._edges, buckets)
        self._counts = np.zeros(len(self._edges) + 1, dtype=np.int64)
        self._sum = 0.0

    def observe_many(self, values: NDArray[np.floating]) -> None:
        """Count `values`, (N,); negative ones (clocks that differ) count as 0."""
        if not len(values):
            return
        values = np.maximum(values, 0.0)
        bucket = np.searchsorted(self._edges, values, side="left")
        self._counts += np.bincount(bucket, minlength=len(self._counts))
        self._sum += float(values.sum())

    def quantile(self, quantile: float) -> float:
        """Estimate a quantile, linear inside its bucket; NaN before any value."""
        cumulative = np.cumsum(self._counts)
        if not cumulative[-1]:
            return float("nan")
        rank = quantile * cumulative[-1]
        bucket = int(np.searchsorted(cumulative, rank, side="left"))
        if bucket == len(self._edges):
            return float(self._edges[-1])
        before = cumulative[bucket] - self._counts[bucket]
        lower = self._edges[bucket - 1] if bucket else 0.0
        share = (rank - before) / max(int(self._counts[bucket]), 1)
        return float(lower + share * (self._edges[bucket] - lower))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield what Prometheus reads."""
        cumulative = np.cumsum(self._counts)
        exposed = zip(self._buckets, cumulative[self._exposed], strict=True)
        buckets = [(str(edge), float(n)) for edge, n in exposed]
        buckets.append(("+Inf", float(cumulative[-1])))
        yield HistogramMetricFamily(
            self._name, self._documentation, buckets=buckets, sum_value=self._sum
        )

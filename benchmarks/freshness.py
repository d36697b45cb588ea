"""How soon an event can be read, at a given rate of arrival; in two ways that must agree.

The worker's own histogram covers every event, from the record's timestamp to the answer of the
store. Probes look from outside: events of new people, and when their profile is there.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Final

import numpy as np
from msgspec import Struct

from benchmarks.consumers import Progress, WorkerProcess
from benchmarks.paced_producer import Pace, Paced, run_paced

CATCH_UP_TIMEOUT_S: Final = 30.0
POLL_S: Final = 0.2
_PREFIX: Final = 'profiler_event_to_readable_seconds_bucket{le="'


class Freshness(Struct, frozen=True, kw_only=True):
    """Milliseconds from an event's intended time of sending.

    Parameters
    ----------
    rate
        Events per second that were sent.
    p50_ms, p99_ms
        Until the store answered, of all events (interpolated in the histogram's buckets).
    share_under_100_ms
        Exact: it is an edge of the histogram.
    probe_p50_ms, probe_p99_ms, n_probes
        Until the profile of a new person was there, seen from outside, polled every 2 ms.
    producer_p99_ms
        How late the producer itself was; contained in all the others.
    worker_cpu_share
        Of one core.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    share_under_100_ms: float
    probe_p50_ms: float
    probe_p99_ms: float
    n_probes: int
    producer_p99_ms: float
    worker_cpu_share: float


def measure_freshness(worker: WorkerProcess, pace: Pace, warm_up_s: float) -> Freshness:
    """Send at a pace to a worker that has nothing else left to do."""
    before = _progress(worker)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        sending = processes.submit(run_paced, pace)
        first = before
        while first.n_events - before.n_events < warm_up_s * pace.rate and not sending.done():
            time.sleep(POLL_S)
            first = _progress(worker)
        sent = sending.result()
    last = _caught_up(worker, before.n_events + sent.n_events)
    return _freshness(pace, sent, first, last)


def _progress(worker: WorkerProcess) -> Progress:
    found = worker.progress()
    assert found is not None, "the worker has consumed a backlog before"
    return found


def _caught_up(worker: WorkerProcess, n_events: int) -> Progress:
    deadline_s = time.monotonic() + CATCH_UP_TIMEOUT_S
    while time.monotonic() < deadline_s:
        found = _progress(worker)
        if found.n_events >= n_events:
            return found
        time.sleep(POLL_S)
    raise TimeoutError(f"the worker did not keep up with the load in {CATCH_UP_TIMEOUT_S:.0f} s")


def _freshness(pace: Pace, sent: Paced, first: Progress, last: Progress) -> Freshness:
    n_events = last.n_events - first.n_events
    edges_s, cumulative = _histogram(first, last)
    probes = [took_ms for at_ms, took_ms in sent.probes if at_ms > first.at_s * 1000]
    seconds = last.at_s - first.at_s
    return Freshness(
        rate=n_events / seconds,
        p50_ms=1000 * quantile(edges_s, cumulative, 0.50),
        p99_ms=1000 * quantile(edges_s, cumulative, 0.99),
        share_under_100_ms=cumulative[edges_s.index(0.1)] / cumulative[-1],
        probe_p50_ms=float(np.quantile(probes, 0.50)),
        probe_p99_ms=float(np.quantile(probes, 0.99)),
        n_probes=len(probes),
        producer_p99_ms=float(np.quantile(sent.handed_over_ms, 0.99)),
        worker_cpu_share=(last.cpu_s - first.cpu_s) / seconds,
    )


def _histogram(first: Progress, last: Progress) -> tuple[list[float], list[float]]:
    """Edges in seconds and cumulative counts of what came between two observations."""
    buckets = {
        float(name.removeprefix(_PREFIX).removesuffix('"}')): n - first.metrics.get(name, 0.0)
        for name, n in last.metrics.items()
        if name.startswith(_PREFIX)
    }
    edges_s = sorted(buckets)
    return edges_s, [buckets[edge] for edge in edges_s]


def quantile(edges_s: list[float], cumulative: list[float], quantile: float) -> float:
    """Linear inside a bucket; the last finite edge above it."""
    rank = quantile * cumulative[-1]
    place = int(np.searchsorted(cumulative, rank))
    if place >= len(edges_s) - 1:
        return edges_s[-2]
    lower_edge, lower = (edges_s[place - 1], cumulative[place - 1]) if place else (0.0, 0.0)
    share = (rank - lower) / max(cumulative[place] - lower, 1.0)
    return lower_edge + share * (edges_s[place] - lower_edge)

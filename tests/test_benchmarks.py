"""Small runs of the benchmarks: they work and report what they should. No figure is asserted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from benchmarks import memory
from benchmarks.consumers import KEY, Progress, Servers, WorkerProcess
from benchmarks.end_to_end import Plan, run
from benchmarks.freshness import quantile
from benchmarks.load import Load, preload, times_ms
from benchmarks.memory import Act, Sample, allowed_bytes, many_users, slow_store, stalled_store
from benchmarks.paced_producer import Pace, run_paced
from benchmarks.throughput import measure_until, reached
from streams.commands.bench import report_lines
from streams.embedded import EmbeddedBroker, EmbeddedStore
from streams.settings import Secret, Settings
from streams.topics import create_topics

PLAN = Plan(
    n_events=30_000,
    n_users=1_000,
    exponents=(1.1,),
    runs=1,
    plain_warm_up_events=100,
    plain_window_s=1.0,
    rate=200,
    fresh_seconds=2.0,
    fresh_warm_up_s=0.5,
)
LOAD = Load(n_events=500, n_users=50, exponent=1.1, start_ms=1_700_000_000_000, span_ms=60_000)
FIGURES = (
    *("events_per_s", "plain_events_per_s", "ratio", "fresh_ms_p50", "fresh_ms_p99"),
    *("events_per_s_with_start", "cpu_us_per_event", "plain_cpu_us_per_event"),
)


class Steps:
    """A consumer that is a little further at every look."""

    started_s = 90.0

    def __init__(self, *n_events: int) -> None:
        self._progress = [
            Progress(at_s=100.0 + k, n_events=n, cpu_s=2.0 + k / 2) for k, n in enumerate(n_events)
        ]

    def progress(self) -> Progress | None:
        return self._progress.pop(0)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with EmbeddedStore() as store, EmbeddedBroker() as broker:
        yield Servers(brokers=broker.address, store_url=store.url)


@pytest.fixture(scope="module")
def report() -> Any:
    said: list[str] = []

    found = run(PLAN, said.append)

    assert any("plain agent" in line for line in said)
    return found


def settings_of(servers: Servers, prefix: str) -> Settings:
    return Settings(pseudonym_key=Secret(KEY), brokers=servers.brokers, topic_prefix=prefix)


def test_the_same_seed_gives_the_same_load() -> None:
    events = LOAD.events()

    assert LOAD.events() == events
    assert times_ms(events) == sorted(times_ms(events))


def test_start_up_and_warm_up_are_left_out_of_the_rate() -> None:
    rate = measure_until(Steps(10, 200, 700, 1_000), n_warm_up=200, n_events=1_000)

    assert rate.events_per_s == pytest.approx(800 / 2)
    assert rate.events_per_s_with_start == pytest.approx(1_000 / 13)
    assert rate.cpu_us_per_event == pytest.approx(1e6 * 1.0 / 800)


def test_a_backlog_that_is_over_at_the_first_look_is_refused() -> None:
    consumer = Steps(1_000, 1_000)

    with pytest.raises(RuntimeError, match="too small"):
        measure_until(consumer, n_warm_up=200, n_events=1_000)


def test_a_quantile_is_linear_inside_its_bucket() -> None:
    edges_s = [0.01, 0.02, 0.1, math.inf]

    assert quantile(edges_s, [0.0, 100.0, 100.0, 100.0], 0.5) == pytest.approx(0.015)
    assert quantile(edges_s, [0.0, 0.0, 0.0, 100.0], 0.5) == pytest.approx(0.1)


def test_memory_that_grows_on_under_pressure_shows_in_the_slope() -> None:
    samples = [Sample(float(s), 0, 0, 100e6 + 1e6 * max(s, 40)) for s in range(100)]
    act = Act("users", samples, window=(0.0, 99.0), peak_bytes=199e6, allowed_bytes=150e6)

    assert act.slope_mb_per_min() == pytest.approx(60)
    assert not act.is_bounded
    assert act._replace(allowed_bytes=200e6).is_bounded
    assert not act._replace(allowed_bytes=200e6, allowed_mb_per_min=30.0).is_bounded
    assert len(list(act.lines())) == 23


def test_what_is_allowed_follows_the_settings() -> None:
    settings = Settings(pseudonym_key=Secret(KEY))
    larger = msgspec.structs.replace(settings, arena_rows=200_000, queue_events_max=1_000_000)

    assert allowed_bytes(settings, 0.0) < 1.8e9
    assert allowed_bytes(larger, 0.0) > allowed_bytes(settings, 0.0) + 0.8e9


@pytest.mark.integration
@pytest.mark.parametrize(
    "play",
    [
        lambda: many_users(2_000),
        lambda: stalled_store(rate=500, seconds=2.0),
        lambda: slow_store(rate=500, seconds=2.0),
    ],
    ids=memory.ACTS,
)
def test_memory_is_watched_until_everything_is_done(
    play: Callable[[], Act], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "WARM_UP_S", 1.0)

    act = play()

    assert act.samples[-1].n_done >= 1_000
    assert act.samples[-1].lag == 0
    assert 0 < act.peak_bytes < act.allowed_bytes


@pytest.mark.integration
def test_a_backlog_is_preloaded_with_the_times_of_its_events(servers: Servers) -> None:
    settings = settings_of(servers, "small")
    create_topics(settings)

    preload(servers.brokers, settings.topic("events"), settings.partitions, LOAD)

    with WorkerProcess(servers, "small", "small") as worker:
        end = reached(worker, lambda progress: progress.n_events >= LOAD.n_events)

    assert end.metrics['profiler_events_total{outcome="applied"}'] == LOAD.n_events


@pytest.mark.integration
def test_paced_events_are_sent_and_probes_wait_for_their_profiles(servers: Servers) -> None:
    settings = settings_of(servers, "paced")
    create_topics(settings)
    pace = Pace(
        brokers=servers.brokers,
        topic=settings.topic("events"),
        n_partitions=settings.partitions,
        store_url=servers.store_url,
        rate=100,
        seconds=1.0,
        probes_per_s=10,
        n_users=50,
        exponent=1.1,
    )

    with WorkerProcess(servers, "paced", "paced") as worker:
        sent = run_paced(pace)
        reached(worker, lambda progress: progress.n_events >= sent.n_events)

    assert sent.n_events == 100 + len(sent.probes)
    assert len(sent.handed_over_ms) == sent.n_events
    assert all(took_ms > 0 for _, took_ms in sent.probes)


@pytest.mark.integration
def test_the_report_has_all_figures(report: Any) -> None:
    found = msgspec.json.decode(msgspec.json.encode(report))

    assert all(found[name] > 0 for name in FIGURES)
    assert found["events_per_s_by_exponent"].keys() == {"1.1"}
    assert found["step_us_per_event"]["write"] > 0
    assert found["freshness"]["n_probes"] > 0
    assert found["versions"]["faust-streaming"]


@pytest.mark.integration
def test_the_report_is_told_in_lines(report: Any) -> None:
    text = "\n".join(report_lines(report))

    assert "events/s" in text
    assert "ratio" in text
    assert "event to readable" in text

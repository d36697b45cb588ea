from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from prometheus_client.parser import text_string_to_metric_families

from profiler.quality.facts import Problem
from streams.histogram import BulkHistogram
from streams.metrics import BatchFigures, Metrics, QualityFigures

ROOT = Path(__file__).parents[2]


def full() -> Metrics:
    """Metrics in which every series exists."""
    metrics = Metrics()
    metrics.observe_batch(
        BatchFigures(
            n_events=10,
            outcomes={"applied": 7, "duplicate": 2},
            dead_letters={"malformed": 1},
            seconds={"decode": 0.001, "write": 0.002},
            readable_s=np.array([0.004] * 7),
            n_conflicts=3,
            n_traits_ignored=2,
            arena_rows=5,
            committed_at_s=1_700_000_000.0,
        )
    )
    metrics.count_quality(
        QualityFigures(
            n_records=9,
            events={"click": 8},
            missing={("click", "title"): 3},
            problems={Problem("validity", "price", "not_positive"): 2},
        )
    )
    metrics.count_pause("store")
    metrics.set_arena_capacity(100)
    metrics.set_partition(0, lag_events=12, watermark_ms=1_500)
    metrics.set_model("purchase", {"log_loss": 0.3, "roc_auc": 0.8, "calibration_error": 0.02})
    metrics.count_labels("purchase", {"yes": 4, "no": 9})
    return metrics


def test_a_batch_is_counted_by_outcome_reason_and_step() -> None:
    metrics = full()

    assert metrics.value("profiler_events_total", outcome="applied") == 7
    assert metrics.value("profiler_events_total", outcome="duplicate") == 2
    assert metrics.value("profiler_dead_letters_total", reason="malformed") == 1
    assert metrics.value("profiler_batches_total") == 1
    assert metrics.value("profiler_batch_events_sum") == 10
    assert metrics.value("profiler_batch_seconds_sum", step="write") == 0.002
    assert metrics.value("profiler_event_to_readable_seconds_count") == 7
    assert metrics.value("profiler_commit_conflicts_total") == 3
    assert metrics.value("profiler_traits_ignored_total") == 2
    assert metrics.value("profiler_arena_rows") == 5
    assert metrics.value("profiler_last_commit_timestamp_seconds") == 1_700_000_000.0


def test_times_are_exposed_in_seconds() -> None:
    metrics = full()

    assert metrics.value("profiler_watermark_timestamp_seconds", partition="0") == 1.5


def test_a_partition_that_went_to_another_worker_is_no_longer_reported() -> None:
    metrics = full()

    metrics.forget_partition(0)
    metrics.forget_partition(7)

    assert b'profiler_lag_events{partition="0"}' not in metrics.render()


def test_two_workers_of_one_process_count_apart() -> None:
    one, other = full(), Metrics()

    assert one.value("profiler_batches_total") == 1
    assert other.value("profiler_batches_total") == 0


def test_the_page_is_what_prometheus_parses() -> None:
    page = full().render().decode()

    families = {family.name: family for family in text_string_to_metric_families(page)}

    readable = families["profiler_event_to_readable_seconds"]
    assert readable.type == "histogram"
    buckets = [s.value for s in readable.samples if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 7


def test_names_have_base_units() -> None:
    names = {family.name for family in full().registry.collect()}

    assert not [name for name in names if re.search(r"_(ms|millis|minutes|kb|percent)(_|$)", name)]


@given(
    values=arrays(np.float64, st.integers(1, 200), elements=st.floats(0.0, 100.0)),
    cut=st.integers(0, 200),
)
def test_an_array_is_counted_as_its_numbers_one_by_one(values: np.ndarray, cut: int) -> None:
    buckets = (0.5, 1.0, 7.0, 60.0)
    histogram = BulkHistogram("wait_seconds", "Waiting.", buckets)

    histogram.observe_many(values[:cut])
    histogram.observe_many(values[cut:])

    (family,) = histogram.collect()
    counts = {s.labels["le"]: s.value for s in family.samples if "le" in s.labels}
    assert counts == {str(b): (values <= b).sum() for b in buckets} | {"+Inf": len(values)}


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9, 0.99])
def test_quantiles_are_right_within_a_few_per_cent(quantile: float) -> None:
    delays_s = np.random.default_rng(1).gamma(2.0, 0.02, 20_000)
    metrics = Metrics()

    metrics.observe_batch(BatchFigures(n_events=20_000, outcomes={}, readable_s=delays_s))

    exact_ms = float(np.quantile(delays_s, quantile)) * 1_000
    assert metrics.event_to_readable_ms(quantile) == pytest.approx(exact_ms, rel=0.05)


def test_before_any_event_a_quantile_is_unknown() -> None:
    assert math.isnan(Metrics().event_to_readable_ms(0.5))


def test_clocks_that_differ_count_as_no_delay() -> None:
    metrics = Metrics()

    metrics.observe_batch(
        BatchFigures(n_events=2, outcomes={}, readable_s=np.array([-0.5, -0.001]))
    )

    assert metrics.value("profiler_event_to_readable_seconds_count") == 2
    assert metrics.value("profiler_event_to_readable_seconds_sum") == 0


def test_every_metric_is_in_the_docs_and_nothing_else_is() -> None:
    page = (ROOT / "docs/metrics.md").read_text("utf-8")

    listed = set(re.findall(r"^\| `(profiler_[a-z_]+)", page, re.MULTILINE))

    exposed = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in full().registry.collect()
        if family.name.startswith("profiler_")
    }
    assert listed == exposed

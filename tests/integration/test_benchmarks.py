"""The benchmarks work, at a size that says nothing about speed."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.end_to_end import QUICK, run
from streams.commands.bench import report_lines

pytestmark = pytest.mark.integration


def test_a_tiny_bench_measures_worker_plain_agent_and_freshness() -> None:
    plan = msgspec.structs.replace(
        QUICK,
        n_events=20_000,
        n_users=500,
        plain_warm_up_events=100,
        plain_window_s=2.0,
        rate=300,
        fresh_seconds=3.0,
        fresh_warm_up_s=1.0,
    )

    measured = run(plan, lambda said: None)

    report = msgspec.to_builtins(measured)
    assert any(line.startswith("ratio") for line in report_lines(measured))

    assert report["events_per_s"] > 0
    assert report["plain_events_per_s"] > 0
    assert report["ratio"] == pytest.approx(report["events_per_s"] / report["plain_events_per_s"])
    assert 0 < report["fresh_ms_p50"] <= report["fresh_ms_p99"]
    assert {"decode", "update", "project", "write"} <= report["share_by_step"].keys()

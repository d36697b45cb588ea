"""A worker's metrics page, read back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streams.metrics import BatchFigures, Metrics
from streams.scrape import Scrape, parse


def scrape_after(*batches: BatchFigures) -> Scrape:
    metrics = Metrics()
    for figures in batches:
        metrics.observe_batch(figures)
    metrics.set_model("purchase", {"log_loss": 0.5, "roc_auc": 0.75, "calibration_error": 0.1})
    return parse(metrics.render().decode())


def test_it_reads_what_the_metrics_wrote() -> None:
    figures = BatchFigures(
        n_events=5,
        outcomes={"applied": 3, "rejected": 2},
        dead_letters={"malformed": 2},
        committed_at_s=12.5,
    )

    found = scrape_after(figures, figures)

    assert found.outcomes == {"applied": 6, "rejected": 4}
    assert found.n_records == 10
    assert found.dead_letters == {"malformed": 4}
    assert found.last_commit_s == 12.5
    assert found.quality == {"log_loss": 0.5, "roc_auc": 0.75, "calibration_error": 0.1}


def test_quantiles_are_of_what_came_since() -> None:
    slow = BatchFigures(n_events=1, outcomes={}, readable_s=np.full(1_000, 9.0))
    quick = BatchFigures(n_events=1, outcomes={}, readable_s=np.full(100, 0.015))
    before, after = scrape_after(slow), scrape_after(slow, quick)

    assert after.readable_ms(0.5, before) == pytest.approx(12.5)
    assert after.readable_ms(0.99, before) == pytest.approx(15.0, abs=0.1)


def test_without_events_there_is_no_quantile() -> None:
    nothing = scrape_after()

    assert math.isnan(nothing.readable_ms(0.5, nothing))

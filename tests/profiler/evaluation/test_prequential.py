"""The harness: nothing is ranked by what comes later, and the best settings are taken."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest

from profiler.columns import DAY_MS
from profiler.evaluation.baselines.contract import Family
from profiler.evaluation.log import Log
from profiler.evaluation.prequential import Protocol, choose, moments, rankings


class Notes:
    """Ranks one item always, and keeps a record of what it was told and asked."""

    name = "notes"

    def __init__(self, item: int = 0) -> None:
        self.item = item
        self.heard: list[str] = []

    def rank(self, person: int, k: int, exclude: Collection[int], ts: int) -> list[int]:
        self.heard.append(f"rank {person} without {sorted(exclude)}")
        return [self.item]

    def learn(self, person: int, item: int, ts: int) -> None:
        self.heard.append(f"learn {person} {item}")


class Taught(Notes):
    """The same, retrained."""

    def retrain(self, log: Log) -> None:
        self.heard.append(f"retrain {log.item.tolist()}")


def log_of(items: list[int], ts: list[int] | None = None, persons: int = 1) -> Log:
    n = len(items)
    return Log(np.arange(n) % persons, np.array(items), np.array(ts or list(range(n))))


def test_each_event_is_ranked_before_it_is_learnt() -> None:
    notes = Notes()

    found = rankings(log_of([4, 5, 6, 4]), notes, Protocol(k=2, skip=0.5))

    assert notes.heard == [
        *("learn 0 4", "learn 0 5"),
        *("rank 0 without []", "learn 0 6", "rank 0 without []", "learn 0 4"),
    ]
    assert found.lists.tolist() == [[0, -1], [0, -1]]
    assert found.item.tolist() == [6, 4]


def test_what_a_person_has_seen_is_left_out_where_all_is_new() -> None:
    notes = Notes()

    rankings(log_of([4, 5, 6], persons=2), notes, Protocol(k=1, skip=0.0, once=True))

    asked = [line for line in notes.heard if line.startswith("rank")]
    assert asked == ["rank 0 without []", "rank 1 without []", "rank 0 without [4]"]


def test_retraining_sees_exactly_what_came_before() -> None:
    taught = Taught()

    rankings(log_of([3, 4, 5, 6], [0, DAY_MS, DAY_MS + 1, 20 * DAY_MS]), taught, Protocol(skip=0.0))

    assert taught.heard.index("retrain [3]") == taught.heard.index("learn 0 4") - 2
    assert taught.heard.index("retrain [3, 4, 5]") == taught.heard.index("learn 0 6") - 2
    assert sum(line.startswith("retrain") for line in taught.heard) == 2


def test_trainings_that_nobody_would_see_are_left_out() -> None:
    taught = Taught()

    rankings(log_of(list(range(20))), taught, Protocol(skip=0.5))

    trained = [line.count(",") + 1 for line in taught.heard if line.startswith("retrain")]
    assert trained == [10, 12, 14, 16, 18]


def test_short_logs_are_retrained_by_tenths_and_long_ones_daily() -> None:
    assert moments(np.arange(30)).tolist() == [3, 6, 9, 12, 15, 18, 21, 24, 27]
    assert moments(np.array([0, 10 * DAY_MS])).tolist() == [1]
    assert moments(np.array([0, 1, DAY_MS, 4 * DAY_MS, 11 * DAY_MS])).tolist() == [2, 3, 4]


def test_settings_are_chosen_on_the_head_alone() -> None:
    # Item 1 is right in the head, item 2 ever after.
    log = log_of([1] * 40 + [2] * 60)
    family = Family("constant", (lambda _: Notes(2), lambda _: Notes(1)))

    chosen = choose(log, family, Protocol(skip=0.4), fallback_ms=1.0)

    assert chosen.ndcg == (0.0, 1.0)
    assert rankings(log, chosen.make(), Protocol(skip=0.4)).recall() == 0.0


def test_the_harness_tells_how_far_it_is() -> None:
    told: list[int] = []

    rankings(log_of([0] * 2500), Notes(), Protocol(), told.append)

    assert sum(told) == pytest.approx(2500, abs=999)

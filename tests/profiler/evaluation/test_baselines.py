"""Every baseline: no look into the future, and what its definition gives event by event."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.columns import HOUR_MS
from profiler.errors import UsageError
from profiler.evaluation.baselines import FAMILIES, Baseline, Family, Retrained
from profiler.evaluation.baselines.contract import best
from profiler.evaluation.baselines.covisitation import Covisitation
from profiler.evaluation.baselines.popularity import Popularity
from profiler.evaluation.baselines.repeat_last import RepeatLast
from profiler.evaluation.log import Log
from profiler.evaluation.prequential import Protocol, rankings

NEEDED = {"BPR": "implicit", "ALS": "implicit"}
VARIANTS = [
    pytest.param(
        lambda make=variant: make(HOUR_MS),
        id=f"{family.name}-{number}",
        marks=pytest.mark.skipif(
            family.name in NEEDED and find_spec(NEEDED[family.name]) is None,
            reason="the extra `evaluate` is not installed",
        ),
    )
    for family in FAMILIES
    for number, variant in enumerate(family.variants)
]


def some_log(seed: int, n: int = 80, n_persons: int = 6, n_items: int = 12) -> Log:
    chance = np.random.default_rng(seed)
    ts = np.sort(chance.integers(0, 40, n)) * HOUR_MS
    return Log(chance.integers(0, n_persons, n), chance.integers(0, n_items, n), ts)


def told(baseline: Baseline, log: Log) -> Baseline:
    for person, item, ts in zip(
        log.person.tolist(), log.item.tolist(), log.ts.tolist(), strict=True
    ):
        baseline.learn(person, item, ts)
    if isinstance(baseline, Retrained):
        baseline.retrain(log)
    return baseline


@pytest.mark.parametrize("make", VARIANTS)
def test_another_future_changes_no_ranking_before_it(make: Callable[[], Baseline]) -> None:
    log, cut = some_log(1), 50
    other = some_log(2)
    changed = Log(
        np.append(log.person[:cut], other.person[cut:]),
        np.append(log.item[:cut], other.item[cut:] + 5),
        log.ts,
    )

    one = rankings(log, make(), Protocol(k=5, skip=0.2)).lists
    two = rankings(changed, make(), Protocol(k=5, skip=0.2)).lists

    start = int(len(log) * 0.2)
    # The ranking before the first event that differs is still made without it.
    assert one[: cut + 1 - start].tolist() == two[: cut + 1 - start].tolist()


@pytest.mark.parametrize("make", VARIANTS)
def test_what_nobody_has_touched_is_never_ranked(make: Callable[[], Baseline]) -> None:
    log = some_log(3)
    odd_only = Log(log.person, log.item * 2 + 1, log.ts)
    baseline = told(make(), odd_only)

    ranked = [baseline.rank(person, 50, (), int(log.ts[-1])) for person in range(9)]

    assert all(item in odd_only.item for items in ranked for item in items)
    assert all(set(items) == set(odd_only.item.tolist()) for items in ranked)


@pytest.mark.parametrize("make", VARIANTS)
def test_a_ranking_has_no_more_than_k_none_twice_and_none_excluded(
    make: Callable[[], Baseline],
) -> None:
    baseline = told(make(), some_log(4))

    for person in range(7):
        ranked = list(baseline.rank(person, 4, {1, 2, 3, 99}, 40 * HOUR_MS))
        assert len(ranked) == len(set(ranked)) == 4
        assert not {1, 2, 3} & set(ranked)


@pytest.mark.parametrize("make", VARIANTS)
def test_before_anything_is_learnt_nothing_is_ranked(make: Callable[[], Baseline]) -> None:
    assert list(make().rank(0, 5, (), 0)) == []


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.name in NEEDED], ids=lambda f: f.name)
def test_a_missing_library_is_told_with_what_to_install(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("profiler.extras.import_module", absent)

    with pytest.raises(UsageError, match=r"implicit is not installed: pip install .*\[evaluate\]"):
        family.variants[0](1.0)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 3.0, 1e9, math.inf]))
def test_popularity_is_the_sum_of_what_events_are_still_worth(seed: int, hours: float) -> None:
    log = some_log(seed)
    now = int(log.ts[-1])
    worth: defaultdict[int, float] = defaultdict(float)
    for item, ts in zip(log.item.tolist(), log.ts.tolist(), strict=True):
        worth[item] += 2.0 ** ((ts - now) / (hours * HOUR_MS))

    ranked = told(Popularity(hours * HOUR_MS), log).rank(0, 8, (), now)

    expected = sorted(worth.values(), reverse=True)[:8]
    assert [worth[item] for item in ranked] == pytest.approx(expected, rel=1e-6)


def test_no_half_life_is_too_short_for_a_long_log() -> None:
    popular = Popularity(1.0)
    popular.learn(0, 3, 0)
    popular.learn(0, 4, 10**12)

    assert popular.rank(0, 2, (), 10**12) == [4, 3]


def test_late_events_count_at_their_own_time() -> None:
    popular = Popularity(HOUR_MS)
    for item, hour in ((1, 9), (2, 9), (2, 8), (1, 0)):
        popular.learn(0, item, hour * HOUR_MS)

    assert popular.rank(0, 2, (), 9 * HOUR_MS) == [2, 1]


def test_people_repeat_their_latest_first_then_what_is_popular() -> None:
    repeat = RepeatLast(math.inf)
    for person, item in ((0, 1), (0, 2), (0, 1), (1, 7), (1, 8), (2, 8)):
        repeat.learn(person, item, 0)

    assert repeat.rank(0, 4, (), 0) == [1, 2, 8, 7]
    assert repeat.rank(0, 2, {1}, 0) == [2, 8]
    assert repeat.rank(5, 1, (), 0) in ([8], [1])


def test_what_is_before_them_already_may_come_last() -> None:
    repeat = RepeatLast(math.inf, but_one=True)
    for item in (1, 2, 3):
        repeat.learn(0, item, 0)

    assert repeat.rank(0, 3, (), 0) == [2, 1, 3]


@settings(max_examples=30)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 20]),
    st.booleans(),
    st.sampled_from([1.0, 0.7]),
    st.booleans(),
)
def test_covisitation_counts_what_came_behind_the_last_items(
    seed: int, reach: int, is_cosine: bool, fade: float, both_ways: bool
) -> None:
    log = some_log(seed)
    pairs: Counter[tuple[int, int]] = Counter()
    history: defaultdict[int, list[int]] = defaultdict(list)
    total = Counter(log.item.tolist())

    def last(person: int) -> list[int]:
        return list(dict.fromkeys(reversed(history[person])))[:reach]

    for person, item in zip(log.person.tolist(), log.item.tolist(), strict=True):
        for before in last(person):
            pairs[before, item] += 1
            if both_ways and before != item:
                pairs[item, before] += 1
        history[person].append(item)
    knn = Covisitation(1e6, reach=reach, is_cosine=is_cosine, fade=fade, both_ways=both_ways)
    told(knn, log)

    for person in range(6):
        scores: dict[int, float] = {}
        for item in total:
            score = 0.0
            for age, before in enumerate(last(person)):
                norm = math.sqrt(total[before] * total[item]) if is_cosine else 1.0
                score += fade**age * pairs[before, item] / norm
            if score:
                scores[item] = score
        ranked = knn.rank(person, 5, (), 0)
        expected = sorted(scores.values(), reverse=True)[:5]
        assert [scores[i] for i in ranked[: len(expected)]] == pytest.approx(expected, abs=1e-4)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sets(st.integers(0, 15)))
def test_the_best_are_those_of_a_full_sort(seed: int, k: int, exclude: set[int]) -> None:
    scores = np.random.default_rng(seed).normal(size=10)
    scores[3] = -np.inf
    in_order = sorted(range(10), key=lambda i: -scores[i])

    found = best(scores.copy(), k, exclude)

    assert found == [i for i in in_order if i not in exclude and i != 3][:k]

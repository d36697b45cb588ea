from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.columns import Floats
from profiler.drift.detectors import DETECTORS, Kind
from profiler.drift.levels import Block, Span
from profiler.drift.series import ALPHA, LOOKS, Drift, Series, Watched
from profiler.drift.trials import calm_under_watch, found_by_watch, watched
from profiler.drift.watch import ERROR, DriftWatch
from profiler.drift.worlds import (
    World,
    abrupt,
    feature_names,
    features_only,
    gradual,
    recurring,
    weighted,
)
from profiler.errors import StateError
from tests.profiler.drift.test_detectors import TOO_HIGH, TOO_LOW

SEEDS = range(100, 160)
"""Not those by which parameters were chosen."""


def delivered(watch: DriftWatch, world: World, bounds: Sequence[int]) -> list[Drift]:
    ts = 1_000 * np.arange(len(world.losses), dtype=np.int64)
    return [
        drift
        for a, b in itertools.pairwise(bounds)
        for drift in watch.update(world.losses[a:b], world.x[a:b], ts[a:b], world.weights[a:b])
    ]


def on_errors(losses: Floats, kind: Kind = DETECTORS[0]) -> list[Drift]:
    watch = DriftWatch("churn", (), kind)
    n = len(losses)
    return watch.update(losses, np.zeros((n, 0)), np.arange(n, dtype=np.int64))


def errors(*parts: tuple[int, float], seed: int = 1) -> Floats:
    chance = np.random.default_rng(seed)
    return np.concatenate([(chance.random(n) < rate).astype(np.float64) for n, rate in parts])


def test_a_rise_from_a_tenth_to_three_tenths_is_confirmed_within_500_labels() -> None:
    found = found_by_watch(abrupt, SEEDS)

    print("seeds", SEEDS, found)
    assert found.missed == 0
    assert found.median <= 500
    assert found.unfounded == 0


def test_steady_streams_of_any_kind_raise_at_most_five_alarms_in_100_000() -> None:
    for calm in calm_under_watch(100_000, seeds=(20, 21)):
        print("seeds 20, 21", calm)
        assert calm.per_100_000 <= 5


@pytest.mark.parametrize("make", [gradual, recurring, weighted, features_only])
def test_drifts_of_other_kinds_are_found(make: Any) -> None:
    found = found_by_watch(make, SEEDS[:20])

    print("seeds", SEEDS[:20], found)
    assert found.missed <= 1
    assert found.unfounded == 0


@pytest.mark.parametrize("kind", TOO_HIGH, ids=lambda kind: kind.name)
def test_a_detector_that_sleeps_is_noticed(kind: Kind) -> None:
    assert on_errors(errors((3_000, 0.1), (500, 0.3)))
    assert not on_errors(errors((3_000, 0.1), (500, 0.3)), kind)


@pytest.mark.parametrize("kind", TOO_LOW[:2], ids=lambda kind: kind.name)
def test_what_a_jumpy_detector_suspects_is_not_confirmed(kind: Kind) -> None:
    losses = errors((200_000, 0.1), seed=4)

    suspected = len(kind.detector().update(losses))
    confirmed = len(on_errors(losses, kind))

    print("seed 4", kind.name, suspected, confirmed)
    assert suspected > 10
    assert confirmed <= suspected / 10


@pytest.mark.parametrize("kind", DETECTORS[:3], ids=lambda kind: kind.name)
def test_any_detector_of_blocks_can_warn(kind: Kind) -> None:
    found = on_errors(errors((4_000, 0.1), (3_000, 0.5)), kind)

    assert len(found) == 1
    assert abs(found[0].at - 4_000) <= 64


def test_a_drift_says_since_when_and_from_what_to_what() -> None:
    world = World(errors((4_000, 0.1), (1_000, 0.3)), np.zeros((5_000, 8)), np.ones(5_000))

    drift, *more = delivered(DriftWatch("churn", feature_names()), world, [0, 5_000])

    assert not more
    assert (drift.task, drift.on) == ("churn", ERROR)
    assert abs(drift.at - 4_000) <= 64
    assert drift.at_ms == 1_000 * drift.at
    assert drift.found_ms == 1_000 * (drift.found - 1)
    before = world.losses[: drift.at][-128 * 32 :].mean()
    assert drift.before == pytest.approx(before, abs=0.02)
    assert drift.after == pytest.approx(world.losses[drift.at : drift.found].mean())
    assert drift.p_value <= 0.01 / len(LOOKS)


@given(st.lists(st.integers(0, 5_000), max_size=8))
def test_what_is_found_does_not_depend_on_how_labels_are_batched(cuts: list[int]) -> None:
    n = 5_000
    x = np.random.default_rng(1).normal(size=(n, 8))
    x[2_500:, 3] += 3.0
    world = World(errors((3_000, 0.1), (2_000, 0.4)), x, np.ones(n))
    whole, cut = (DriftWatch("churn", feature_names()) for _ in range(2))

    once = delivered(whole, world, [0, n])
    again = delivered(cut, world, [0, *sorted(cuts), n])

    assert {d.on for d in once} == {ERROR, "x3"}
    assert sorted(again, key=str) == sorted(once, key=str)
    assert cut.states == whole.states


def test_an_error_that_falls_is_no_drift() -> None:
    assert not on_errors(errors((3_000, 0.4), (3_000, 0.1)))


def test_a_rise_after_a_fall_is_one() -> None:
    found = on_errors(errors((3_000, 0.4), (3_000, 0.1), (1_000, 0.4)))

    assert len(found) == 1
    assert abs(found[0].at - 6_000) <= 96
    assert found[0].before == pytest.approx(0.1, abs=0.03)


def test_a_short_burst_is_suspected_but_not_confirmed() -> None:
    watch = DriftWatch("churn", ())
    losses = errors((4_000, 0.05), (64, 1.0), (4_000, 0.05))
    states = []

    for start in range(0, len(losses), 32):
        part = losses[start : start + 32]
        ts = np.arange(len(part), dtype=np.int64)
        assert not watch.update(part, np.zeros((len(part), 0)), ts)
        states.append(watch.states[ERROR])

    assert "warning" in states
    assert states[-1] == "stable"


def test_a_drift_goes_from_stable_over_warning_to_confirmed_and_back() -> None:
    watch = DriftWatch("churn", ())
    states = []

    for part in np.split(errors((3_200, 0.1), (3_200, 0.5)), 200):
        watch.update(part, np.zeros((32, 0)), np.arange(32, dtype=np.int64))
        states.append(watch.states[ERROR])

    assert [state for state, _ in itertools.groupby(states)] == [
        *("stable", "warning", "confirmed", "stable")
    ]


@pytest.mark.parametrize(("effect_min", "n_found"), [(0.1, 1), (0.6, 0)])
def test_a_change_of_little_effect_is_left_alone_however_sure_it_is(
    effect_min: float, n_found: int
) -> None:
    """From a tenth to three tenths is half a standard deviation."""
    series = Series(Watched("churn", ERROR, True, effect_min, ALPHA, DETECTORS[0]))
    rates = np.repeat([0.1, 0.3], 100) + np.tile([0.01, -0.01], 100)
    blocks = [Block(m, m, m, Span(32.0, k, k, k, k)) for k, m in enumerate(rates.tolist())]

    assert len(series.update(blocks)) == n_found


def test_losses_of_any_size_are_watched_alike() -> None:
    losses = errors((3_000, 0.1), (1_000, 0.4)) + 0.01

    small, large = on_errors(losses), on_errors(1e6 * losses)

    assert [d.at for d in small] == [d.at for d in large] != []
    assert large[0].after == pytest.approx(1e6 * small[0].after)


def test_a_few_enormous_losses_do_not_hide_that_all_have_grown() -> None:
    losses = np.random.default_rng(6).lognormal(3.0, 2.5, 8_000)
    losses[6_000:] *= 3.0

    [drift] = on_errors(losses)

    print("seed 6", drift)
    assert abs(drift.at - 6_000) <= 128


def test_a_label_counts_by_its_weight() -> None:
    """Errors among labels of no weight to speak of do not count; among heavy ones they do."""
    n = 6_000
    losses = errors((n, 0.1))
    losses[3_000::2] = errors((1_500, 0.6))
    light, heavy = np.ones(n), np.ones(n)
    light[::2], heavy[::2] = 0.01, 16.0
    names, x = feature_names(), np.zeros((n, 8))

    assert not delivered(DriftWatch("t", names), World(losses, x, light), [0, n])
    [drift] = delivered(DriftWatch("t", names), World(losses, x, heavy), [0, n])
    assert drift.after == pytest.approx((0.6 * 16 + 0.1) / 17, abs=0.08)


def test_labels_without_weight_or_number_are_left_out() -> None:
    world = abrupt(7)
    spoilt = world.losses.copy()
    spoilt[::10] = np.nan
    weights = np.where(np.arange(len(spoilt)) % 10 == 5, 0.0, 1.0)

    found = watched(World(spoilt, world.x, weights, world.changes))

    assert len(found) == 1
    assert abs(found[0].at - world.changes[0]) <= 128
    assert np.isfinite(found[0].before)


def test_a_watch_goes_on_from_its_export() -> None:
    world = abrupt(5)
    n = len(world.losses)
    for stop in (0, 100, 1_999, world.changes[0] + 130):
        first, second = (DriftWatch("churn", feature_names()) for _ in range(2))
        early = delivered(first, world, [0, stop])

        second.restore(msgspec.json.decode(msgspec.json.encode(first.export())))

        assert second.states == first.states
        tail = World(world.losses[stop:], world.x[stop:], world.weights[stop:])
        late = delivered(second, tail, [0, n - stop])
        assert len(early) + len(late) == 1
        assert abs((early + late)[0].at - world.changes[0]) <= 64


def test_a_restored_watch_keeps_what_it_knows_of_features_that_remain() -> None:
    world = features_only(3)
    old, new = DriftWatch("churn", feature_names()), DriftWatch("churn", ("new", "x0"))
    cut = world.changes[0]
    assert not delivered(old, world, [0, cut])
    new.restore(old.export())

    x = np.column_stack([world.x[cut:, 1], world.x[cut:, 0]])
    [drift] = delivered(new, World(world.losses[cut:], x, world.weights[cut:]), [0, len(x)])

    assert drift.on == "x0"
    assert drift.before == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("spoilt", [{}, {"scale": None}, {"error": {"kept": [[1]]}}])
def test_what_is_no_export_is_refused(spoilt: dict[str, Any]) -> None:
    watch = DriftWatch("churn", ())
    kept = {**watch.export(), **spoilt} if spoilt else {}

    with pytest.raises(StateError, match="churn"):
        watch.restore(kept)


def test_memory_is_bounded() -> None:
    world = World(errors((120_000, 0.1)), np.zeros((120_000, 8)), np.ones(120_000))
    watch = DriftWatch("churn", feature_names())

    delivered(watch, world, [0, 60_000])
    kept = watch.export()
    delivered(watch, world, [60_000, 120_000])

    assert len(watch.export()["error"]["kept"]) == len(kept["error"]["kept"]) == 128
    assert all(len(series["kept"]) == 128 for series in watch.export()["features"].values())
    assert len(watch.export()["inputs"]) < 64

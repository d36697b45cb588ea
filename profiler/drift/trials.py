"""How well drift is found and answered, on worlds where the truth is known."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from profiler.drift.detectors import DETECTORS, KSWIN, Kind
from profiler.drift.logistic import Logistic, log_loss
from profiler.drift.reaction import Plan, Reaction, Response
from profiler.drift.series import Drift
from profiler.drift.watch import ERROR, DriftWatch
from profiler.drift.worlds import (
    DRIFTS,
    Flipped,
    World,
    abrupt,
    calm_amounts,
    calm_errors,
    calm_log_losses,
    feature_names,
    flipped,
)

CALM_RATES: Final = (0.02, 0.1, 0.3)
BATCH: Final = 500
"""Labels that the watch is given at once; what it finds does not depend on it."""

LEARNT_AT_ONCE: Final = 50
N_CALM_SEEDS: Final = 5
AS_USUAL: Final = "learns on as usual"
WAYS: Final = {
    AS_USUAL: Plan(faster=1.0, promote_margin=1.0),
    "faster steps": Plan(promote_margin=1.0),
    "fresh candidate": Plan(faster=1.0),
    "both": Plan(),
}
"""Ways to react, by what is done."""


class Found(Struct, frozen=True):
    """How soon drifts of a world are found.

    Parameters
    ----------
    name
        Of the world, or of the detector on `abrupt`.
    n_changes
        Changes, of all seeds.
    missed
        Changes that were not found before the next, or the end.
    median, high
        Median and 90 % quantile of the delays in labels, those missed counted as infinite.
    unfounded
        Alarms on what did not drift, or before it did.
    """

    name: str
    n_changes: int
    missed: int
    median: float
    high: float
    unfounded: int


class Calm(Struct, frozen=True):
    """Alarms where nothing drifts: in labels watched, and per 100,000 of them."""

    name: str
    n_labels: int
    alarms: int

    @property
    def per_100_000(self) -> float:
        """False alarms per 100,000 labels."""
        return 1e5 * self.alarms / self.n_labels


class Gain(Struct, frozen=True):
    """What reacting was worth in the flipped world: means over the seeds whose drift was found.

    Parameters
    ----------
    name
        What was done.
    n_found, n_helped, n_promoted
        Seeds in which the drift was found, the reaction helped, a fresh model was promoted.
    before, at, after
        Losses before the change, until it was found, and afterwards.
    frozen, usual
        Afterwards, the losses of the frozen model and of one that learnt on as usual.
    """

    name: str
    n_found: int
    n_helped: int
    n_promoted: int
    before: float
    at: float
    after: float
    frozen: float
    usual: float


def watched(world: World) -> list[Drift]:
    """What the watch finds in a world."""
    watch = DriftWatch("trial", feature_names())
    ts = np.arange(len(world.losses), dtype=np.int64)
    found: list[Drift] = []
    for start in range(0, len(ts), BATCH):
        part = slice(start, start + BATCH)
        found += watch.update(world.losses[part], world.x[part], ts[part], world.weights[part])
    return found


def found_by_watch(make: Callable[[int], World], seeds: Iterable[int]) -> Found:
    """How soon the watch confirms the drifts of a kind of world."""
    worlds = [make(seed) for seed in seeds]
    alarms = [[(d.on, d.found) for d in watched(world)] for world in worlds]
    return _found(make.__name__, worlds, alarms)


def found_by_detector(kind: Kind, seeds: Iterable[int]) -> Found:
    """How soon a detector alone, without confirmation, finds the drift of `abrupt`."""
    worlds = [abrupt(seed) for seed in seeds]
    alarms = [[(ERROR, k + 1) for k in kind.detector().update(world.losses)] for world in worlds]
    return _found(kind.name, worlds, alarms)


def _found(
    name: str, worlds: Sequence[World], alarms: Sequence[Sequence[tuple[str, int]]]
) -> Found:
    delays: list[float] = []
    unfounded = 0
    for world, told in zip(worlds, alarms, strict=True):
        at = [label for on, label in told if on == world.on]
        ends = (*world.changes[1:], len(world.losses))
        for change, end in zip(world.changes, ends, strict=True):
            delays.append(min((a - change for a in at if change < a <= end), default=np.inf))
        unfounded += sum(a <= world.changes[0] for a in at) + len(told) - len(at)
    return Found(
        name=name,
        n_changes=len(delays),
        missed=int(np.isinf(delays).sum()),
        median=float(np.quantile(delays, 0.5, method="higher")),
        high=float(np.quantile(delays, 0.9, method="higher")),
        unfounded=unfounded,
    )


def calm_under_watch(n: int, seeds: Iterable[int]) -> list[Calm]:
    """False alarms of the watch, of losses and features, in calm worlds of n labels per seed."""
    counts: dict[str, int] = {}
    seeds = list(seeds)
    for seed in seeds:
        worlds = {f"error rate {rate:g}": calm_errors(rate, n, seed) for rate in CALM_RATES}
        worlds["log losses"] = calm_log_losses(n, seed)
        worlds["amounts, weighted"] = calm_amounts(n, seed)
        for name, world in worlds.items():
            counts[name] = counts.get(name, 0) + len(watched(world))
    return [Calm(name, n * len(seeds), alarms) for name, alarms in counts.items()]


def calm_under_detector(kind: Kind, n: int, seed: int) -> Calm:
    """False alarms of a detector alone, over n labels at each of the error rates."""
    worlds = [calm_errors(rate, n, seed) for rate in CALM_RATES]
    alarms = sum(len(kind.detector().update(world.losses)) for world in worlds)
    return Calm(kind.name, n * len(worlds), alarms)


def gains(seeds: Iterable[int], share: float) -> list[Gain]:
    """What each way to react was worth where a share of the coefficients flips."""
    reports: dict[str, list[Reaction]] = {name: [] for name in WAYS}
    for seed in seeds:
        world = flipped(seed, share=share)
        model, drift, start = _until_drift(world)
        if drift is None:
            continue
        for name, plan in WAYS.items():
            reports[name].append(_respond(copy.deepcopy(model), drift, plan, world, start))
    usual = _mean(report.after for report in reports[AS_USUAL])
    return [_gain(name, told, usual) for name, told in reports.items()]


def _until_drift(world: Flipped) -> tuple[Logistic, Drift | None, int]:
    """A model that learnt until its drift was found, and the first label that it did not learn."""
    model, watch = Logistic(), DriftWatch("flipped", ())
    ts = np.arange(len(world.y), dtype=np.int64)
    for start in range(0, len(ts), LEARNT_AT_ONCE):
        part = slice(start, start + LEARNT_AT_ONCE)
        x, y = world.x[part], world.y[part]
        found = watch.update(log_loss(model.predict(x), y), x[:, :0], ts[part])
        if found:
            return model, found[0], start
        model.learn(x, y, np.ones(len(y)))
    return model, None, len(ts)


def _respond(model: Logistic, drift: Drift, plan: Plan, world: Flipped, start: int) -> Reaction:
    response = Response(drift, model, log_loss, plan)
    while True:
        part = slice(start, start + LEARNT_AT_ONCE)
        y = world.y[part]
        report = response.learn(world.x[part], y, np.ones(len(y)))
        if report is not None:
            return report
        start += LEARNT_AT_ONCE


def _gain(name: str, reports: Sequence[Reaction], usual: float) -> Gain:
    return Gain(
        name=name,
        n_found=len(reports),
        n_helped=sum(report.helped for report in reports),
        n_promoted=sum(report.promoted_after is not None for report in reports),
        before=_mean(report.before for report in reports),
        at=_mean(report.at for report in reports),
        after=_mean(report.after for report in reports),
        frozen=_mean(report.frozen for report in reports),
        usual=usual,
    )


def _mean(values: Iterable[float]) -> float:
    told = list(values)
    return sum(told) / len(told) if told else math.nan


class Trial(Struct, frozen=True):
    """All that is measured."""

    seeds: str
    found: list[Found]
    alone: list[Found]
    calm: list[Calm]
    calm_alone: list[Calm]
    gains: dict[str, list[Gain]]


def trial(n_seeds: int = 50, n_calm: int = 400_000, n_gain: int = 8) -> Trial:
    """Everything, by seeds from 0 on.

    Parameters
    ----------
    n_seeds
        Of worlds with a drift.
    n_calm
        Labels of each calm world; of five seeds for the watch, of one for a detector alone.
    n_gain
        Seeds of worlds in which something is done about it.
    """
    seeds = range(n_seeds)
    quick = [kind for kind in DETECTORS if kind is not KSWIN]
    return Trial(
        seeds=f"0 to {n_seeds - 1}, calm 0 to {N_CALM_SEEDS - 1}, reactions 0 to {n_gain - 1}",
        found=[found_by_watch(make, seeds) for make in DRIFTS],
        alone=[
            found_by_detector(kind, seeds[:10] if kind is KSWIN else seeds) for kind in DETECTORS
        ],
        calm=calm_under_watch(n_calm, range(N_CALM_SEEDS)),
        calm_alone=[
            *(calm_under_detector(kind, n_calm, 0) for kind in quick),
            calm_under_detector(KSWIN, n_calm // 16, 0),
        ],
        gains={
            "all coefficients flip": gains(range(n_gain), 1.0),
            "two of five flip": gains(range(n_gain), 0.4),
        },
    )

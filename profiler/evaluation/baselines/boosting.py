"""Gradient-boosted trees, retrained from all labels known so far, by LightGBM.

Ke et al., "LightGBM: a highly efficient gradient boosting decision tree", NeurIPS 2017. For tasks
with labels: the same features, the same labels at the same times, and everything learnt anew at
each moment, which is the best that one can do by retraining, and what it costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import Floats, Ints
from profiler.extras import of_extra

Task = Literal["classification", "regression"]
ROWS_MIN: Final = 20
"""With fewer labels the mean of those known is predicted."""

TRIAL: Final = 0.2
"""Share of the moments, from the first, by which the settings are chosen."""

_SIZES: Final = ((7, 50, 0.1), (15, 100, 0.05), (31, 200, 0.05))
_OBJECTIVES: Final = {"classification": ("binary",), "regression": ("regression", "regression_l1")}
_COMMON: Final = {
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 0,
    "verbosity": -1,
}
_P_MIN: Final = 1e-6


class Labelled(Struct, frozen=True):
    """Predictions that were asked for, and what came of them.

    Parameters
    ----------
    x
        (L, F) features at the time of the prediction.
    y
        (L,) labels: 0 or 1, or amounts.
    predicted_at, known_at
        (L,) when the prediction was asked for, and when its label was known, ms.
    """

    x: NDArray[np.floating]
    y: NDArray[np.floating]
    predicted_at: Ints
    known_at: Ints


class Retraining(Struct, frozen=True):
    """What retraining predicted, and at what price.

    Parameters
    ----------
    predictions
        (L,) probabilities or amounts; NaN of rows that came before the first label was known.
    cpu_s
        Spent on training and predicting with the chosen settings, without choosing them.
    settings
        The chosen ones.
    trained
        Number of trainings.
    """

    predictions: Floats
    cpu_s: float
    settings: str
    trained: int


class Settings(Struct, frozen=True):
    """One way of boosting."""

    objective: str
    leaves: int
    rounds: int
    rate: float

    def __str__(self) -> str:
        return f"{self.objective}, {self.leaves} leaves, {self.rounds} rounds at {self.rate:g}"


def retrained(rows: Labelled, moments: Ints, task: Task, clock: Callable[[], float]) -> Retraining:
    """Train at each moment on what was known before it; predict what was asked from then on.

    Parameters
    ----------
    moments
        (M,) ascending, ms. What is asked before the first one is not predicted.
    clock
        CPU seconds of the process.

    Raises
    ------
    UsageError
        If LightGBM is not installed.

    Notes
    -----
    Of three sizes (and for amounts two objectives, squared and absolute error) the best on the
    first fifth of the moments is taken: by log loss, or by mean absolute error.
    """
    library = of_extra("evaluate", "lightgbm")
    variants = [Settings(o, *size) for o in _OBJECTIVES[task] for size in _SIZES]
    trial = moments[: max(2, round(len(moments) * TRIAL))]
    losses = [
        _loss(rows, _run(library, rows, trial, variant, until=trial[-1])[0], task)
        for variant in variants
    ]
    chosen = variants[int(np.argmin(np.nan_to_num(losses, nan=np.inf)))]
    begun = clock()
    predictions, n_trained = _run(library, rows, moments, chosen)
    return Retraining(predictions, clock() - begun, str(chosen), n_trained)


def _run(
    library: Any, rows: Labelled, moments: Ints, settings: Settings, until: int | None = None
) -> tuple[Floats, int]:
    predictions = np.full(len(rows.y), np.nan)
    ends: Sequence[int | None] = [*moments[1:].tolist(), until]
    n_trained = 0
    for begin, end in zip(moments.tolist(), ends, strict=True):
        is_asked = rows.predicted_at >= begin
        if end is not None:
            is_asked &= rows.predicted_at < end
        known = np.flatnonzero(rows.known_at < begin)
        asked = np.flatnonzero(is_asked)
        if not len(asked) or not len(known):
            continue
        y = rows.y[known]
        if len(known) < ROWS_MIN or np.ptp(y) == 0:
            predictions[asked] = y.mean()
            continue
        predictions[asked] = _fitted(library, rows.x[known], y, settings).predict(rows.x[asked])
        n_trained += 1
    return predictions, n_trained


def _fitted(
    library: Any, x: NDArray[np.floating], y: NDArray[np.floating], settings: Settings
) -> Any:
    parameters = {
        **_COMMON,
        "objective": settings.objective,
        "num_leaves": settings.leaves,
        "learning_rate": settings.rate,
    }
    return library.train(parameters, library.Dataset(x, y), num_boost_round=settings.rounds)


def _loss(rows: Labelled, predictions: Floats, task: Task) -> float:
    there = np.flatnonzero(~np.isnan(predictions))
    if not len(there):
        return float("nan")
    y, predicted = rows.y[there], predictions[there]
    if task == "regression":
        return float(np.abs(y - predicted).mean())
    p = np.clip(predicted, _P_MIN, 1.0 - _P_MIN)
    return float(-np.log(np.where(y > 0, p, 1.0 - p)).mean())

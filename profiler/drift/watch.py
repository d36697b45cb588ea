"""Watches one task: the loss of what was served, and the features that it was served from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats, Ints
from profiler.drift.blocks import Blocking, moments
from profiler.drift.detectors import ADWIN, BLOCK, Kind
from profiler.drift.levels import Block, Span
from profiler.drift.series import ALPHA, Drift, Series, State, Watched
from profiler.errors import StateError

ERROR: Final = "error"
"""`Drift.on` of the loss."""

FEATURE_STRIDE: Final = 4
"""Of so many labels one has its features watched."""

FEATURE_BLOCK: Final = 64
"""Such labels per block: features are many, and their drift alone harms nobody yet."""

ERROR_EFFECT_MIN: Final = 0.1
FEATURE_EFFECT_MIN: Final = 0.25


class DriftWatch:
    """Finds drift of one task's loss and features in bounded memory.

    Parameters
    ----------
    task
        Name of the task.
    feature_names
        Names of the F features.
    kind
        The detector that warns.

    Notes
    -----
    Losses have no bound, and detectors ask for one. Each is watched as ``loss / (loss + scale)``,
    where the scale is the mean positive loss of the first block, of a model that knew nothing.

    Examples
    --------
    >>> watch = DriftWatch("purchase", ())
    >>> losses = np.repeat([0.0, 1.0, 0.0, 1.0], [320, 320, 320, 320]) + np.tile([0.1, 0.3], 640)
    >>> ts = np.arange(1280)
    >>> x = np.zeros((1280, 0))
    >>> [(drift.on, drift.at, drift.found) for drift in watch.update(losses, x, ts)]
    [('error', 320, 512), ('error', 960, 1152)]
    """

    def __init__(self, task: str, feature_names: Sequence[str], kind: Kind = ADWIN) -> None:
        self.task = task
        self.feature_names = tuple(feature_names)
        self._scale = 0.0
        self._n_labels = 0
        self._error = Series(Watched(task, ERROR, True, ERROR_EFFECT_MIN, ALPHA, kind))
        # The level is divided among the features, so that many of them do not alarm more often.
        alpha = ALPHA / max(1, len(self.feature_names))
        self._features = {
            name: Series(Watched(task, name, False, FEATURE_EFFECT_MIN, alpha, kind))
            for name in self.feature_names
        }
        self._losses = Blocking(BLOCK, 1)
        self._inputs = Blocking(FEATURE_BLOCK, len(self.feature_names))

    def update(
        self,
        losses: NDArray[np.floating],
        x: NDArray[np.floating],
        ts: Ints,
        weights: NDArray[np.floating] | None = None,
    ) -> list[Drift]:
        """Drifts that a mini-batch of labels confirms; the same however labels are batched.

        Parameters
        ----------
        losses
            (N,) losses, at least 0, of what was predicted before the labels were known.
        x
            (N, F) features of the predictions.
        ts
            (N,) times in ms.
        weights
            (N,) how many predictions each label stands for; one if not given.

        Notes
        -----
        Labels with a weight of zero, or with anything that is not a number, are left out.
        """
        n = len(losses)
        numbers = np.arange(self._n_labels, self._n_labels + n)
        weights = np.ones(n) if weights is None else np.array(weights, dtype=np.float64)
        ts = np.array(ts, dtype=np.int64)
        sample = slice(-self._n_labels % FEATURE_STRIDE, None, FEATURE_STRIDE)
        self._n_labels += n
        values = np.array(losses, dtype=np.float64)[:, None]
        found = self._update_error(self._losses.add(values, weights, numbers, ts))
        x = np.array(x[sample], dtype=np.float64)
        rest = (weights[sample], numbers[sample], ts[sample])
        return found + self._update_features(self._inputs.add(x, *rest))

    def _update_error(self, full: Floats) -> list[Drift]:
        if not len(full):
            return []
        raw, weights = full[:, :, :1], full[:, :, -3]
        if not self._scale:
            first = raw[0][raw[0] > 0]
            self._scale = float(first.mean()) if len(first) else 1.0
        bounded = raw / (raw + self._scale)
        mean, square = moments(np.concatenate([bounded, raw], axis=2), weights)
        blocks = _blocks(mean[:, :1], square[:, :1], mean[:, 1:], _spans(full))
        return self._error.update(blocks[0])

    def _update_features(self, full: Floats) -> list[Drift]:
        if not len(full):
            return []
        mean, square = moments(full[:, :, :-3], full[:, :, -3])
        blocks = _blocks(mean, square, mean, _spans(full))
        found: list[Drift] = []
        for series, of_series in zip(self._features.values(), blocks, strict=True):
            found += series.update(of_series)
        return found

    @property
    def states(self) -> dict[str, State]:
        """State of the error and of each feature, by name."""
        return {ERROR: self._error.state} | {n: s.state for n, s in self._features.items()}

    def export(self) -> dict[str, Any]:
        """All that is known, as plain data for JSON."""
        return {
            "scale": self._scale,
            "n_labels": self._n_labels,
            "losses": self._losses.export(),
            "inputs": self._inputs.export(),
            "features": {name: series.export() for name, series in self._features.items()},
            "error": self._error.export(),
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """Go on from what was exported.

        River's detectors are built anew from the blocks that were kept. Features that are new start
        from nothing; if any is new or gone, so do the labels that had not filled a block.

        Raises
        ------
        StateError
            If `kept` is not what `export` gives.
        """
        try:
            self._scale = float(kept["scale"])
            self._n_labels = int(kept["n_labels"])
            self._losses.restore(kept["losses"])
            self._error.restore(kept["error"])
            if tuple(kept["features"]) == self.feature_names:
                self._inputs.restore(kept["inputs"])
            for name, series in self._features.items():
                if name in kept["features"]:
                    series.restore(kept["features"][name])
        except (KeyError, TypeError, ValueError, msgspec.ValidationError) as fault:
            raise StateError(f"drift watch of {self.task}: not what it exports: {fault}") from fault


def _spans(full: Floats) -> list[Span]:
    """What is the same of all series: weights, numbers and times of (B, size, C + 3) labels."""
    weight = full[:, :, -3].sum(axis=1).tolist()
    first, first_ms = full[:, 0, -2:].astype(np.int64).T.tolist()
    last, last_ms = full[:, -1, -2:].astype(np.int64).T.tolist()
    return list(map(Span, weight, first, last, first_ms, last_ms))


def _blocks(mean: Floats, square: Floats, told: Floats, spans: list[Span]) -> list[list[Block]]:
    """Blocks of each of C series from (B, C) moments."""
    columns = zip(mean.T.tolist(), square.T.tolist(), told.T.tolist(), strict=True)
    return [list(map(Block, *of_series, spans)) for of_series in columns]

"""Watches one task: the loss of what was served, and the features that it was served from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats, Ints
from profiler.drift.blocks import Blocking, moments
from profiler.drift.detectors import BLOCK
from profiler.drift.levels import Block
from profiler.drift.series import Drift, Series, State, Watched
from profiler.errors import StateError

ERROR: Final = "error"
"""`Drift.on` of the loss."""

FEATURE_BLOCK: Final = 256
"""Labels per block of the features: there are many, and their drift alone harms nobody yet."""

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

    Notes
    -----
    Losses have no bound, and detectors ask for one. Each is watched as ``loss / (loss + scale)``,
    where the scale is the mean positive loss of the first block, of a model that knew nothing.

    Examples
    --------
    >>> watch = DriftWatch("purchase", ())
    >>> losses = np.repeat([0.0, 1.0, 0.0, 1.0], [320, 320, 320, 320]) + np.tile([0.1, 0.3], 640)
    >>> ts = np.arange(1280)
    >>> [(found.on, found.at, found.found) for found in watch.update(losses, ts[:, None][:, :0], ts)]
    [('error', 320, 448), ('error', 960, 1088)]
    """

    def __init__(self, task: str, feature_names: Sequence[str]) -> None:
        self.task = task
        self.feature_names = tuple(feature_names)
        self._scale = 0.0
        self._error = Series(Watched(task, ERROR, BLOCK, True, ERROR_EFFECT_MIN))
        # The level is divided among the features, so that many of them do not alarm more often.
        alpha = 0.001 / max(1, len(self.feature_names))
        self._features = {
            name: Series(Watched(task, name, FEATURE_BLOCK, False, FEATURE_EFFECT_MIN, alpha))
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
        if weights is None:
            weights = np.ones(len(losses))
        usable = np.isfinite(losses) & np.isfinite(x).all(axis=1) & (weights > 0)
        if not usable.all():
            losses, x, ts, weights = losses[usable], x[usable], ts[usable], weights[usable]
        return self._update_error(losses, weights, ts) + self._update_features(x, weights, ts)

    def _update_error(
        self, losses: NDArray[np.floating], weights: NDArray[np.floating], ts: Ints
    ) -> list[Drift]:
        full = self._losses.add(losses[:, None], weights, ts)
        if not len(full):
            return []
        raw = full[:, :, :1]
        if not self._scale:
            first = raw[0][raw[0] > 0]
            self._scale = float(first.mean()) if len(first) else 1.0
        told, _ = moments(raw, full[:, :, -2])
        mean, square = moments(raw / (raw + self._scale), full[:, :, -2])
        return self._error.update(_blocks(full, mean[:, 0], square[:, 0], told[:, 0]))

    def _update_features(
        self, x: NDArray[np.floating], weights: NDArray[np.floating], ts: Ints
    ) -> list[Drift]:
        full = self._inputs.add(x, weights, ts)
        if not len(full):
            return []
        mean, square = moments(full[:, :, :-2], full[:, :, -2])
        found: list[Drift] = []
        for series, m, s in zip(self._features.values(), mean.T, square.T, strict=True):
            found += series.update(_blocks(full, m, s, m))
        return found

    @property
    def states(self) -> dict[str, State]:
        """State of the error and of each feature, by name."""
        return {ERROR: self._error.state} | {n: s.state for n, s in self._features.items()}

    def export(self) -> dict[str, Any]:
        """All that is known, as plain data for JSON."""
        return {
            "scale": self._scale,
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
            self._losses.restore(kept["losses"])
            self._error.restore(kept["error"])
            if tuple(kept["features"]) == self.feature_names:
                self._inputs.restore(kept["inputs"])
            for name, series in self._features.items():
                if name in kept["features"]:
                    series.restore(kept["features"][name])
        except (KeyError, TypeError, ValueError, msgspec.ValidationError) as fault:
            raise StateError(f"drift watch of {self.task}: not what it exports: {fault}") from fault


def _blocks(full: Floats, mean: Floats, square: Floats, told: Floats) -> list[Block]:
    """Blocks of one series from (B,) moments and the labels."""
    weight = full[:, :, -2].sum(axis=1).tolist()
    first_ms = full[:, 0, -1].astype(np.int64).tolist()
    last_ms = full[:, -1, -1].astype(np.int64).tolist()
    columns = (mean.tolist(), square.tolist(), told.tolist(), weight, first_ms, last_ms)
    return list(map(Block, *columns))

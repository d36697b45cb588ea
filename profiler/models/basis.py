"""Features as a linear model can use them: scaled online, and bent.

Each feature is brought to mean 0 and variance 1 by River's scaler, as it stands so far, and gives
four columns: itself, what is above half a deviation, what is below, and whether it is more than
zero. A weighted sum of them is a function with three slopes and a step, which is most of what trees
find in counts and times.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import preprocessing

from profiler.columns import Floats

VARIANCE_MIN: Final = 1e-12
"""Below it a feature has not varied yet, but for rounding."""

KNEE: Final = 0.5
Z_MAX: Final = 5.0
"""Bound on scaled values: what is far out must not say more than this."""

UNIT: Final = 0.3
"""Of the columns, in deviations: weights have a prior of variance 1, so that per deviation a tenth
of that is expected."""

BENT: Final = 4
"""Columns per feature."""


class Scale:
    """Running mean and variance of each feature, held by River's `StandardScaler`."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.scaler = preprocessing.StandardScaler()
        self._refresh()

    def learn(self, x: NDArray[np.floating]) -> None:
        """Take in (M, F) features: the scaler is then as after `learn_one` of each."""
        n_before, n = self.n, self.n + len(x)
        centred = x - self.mean
        shift = centred.sum(axis=0) / n
        squares = n_before * self.variance + np.einsum("ij,ij->j", centred, centred)
        variance = np.maximum(squares / n - shift * shift, 0.0)
        variance[variance < VARIANCE_MIN] = 0.0
        scaler, names = self.scaler, self.names
        # A counter: it adds.
        scaler.counts.update(dict.fromkeys(names, len(x)))
        scaler.means.update(zip(names, (self.mean + shift).tolist(), strict=True))
        scaler.vars.update(zip(names, variance.tolist(), strict=True))
        self._refresh()

    def transform(self, x: NDArray[np.floating]) -> NDArray[np.float32]:
        """(M, F) scaled features; one that has not varied yet is zero, as in River."""
        z = (x - self.mean.astype(np.float32)) * self._factor
        return np.clip(z, -Z_MAX, Z_MAX, out=z)

    def export(self) -> dict[str, dict[str, float]]:
        """What River's scaler has."""
        scaler = self.scaler
        return {
            "counts": {name: float(n) for name, n in scaler.counts.items()},
            "means": dict(scaler.means),
            "variances": dict(scaler.vars),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was exported."""
        counts = state.get("counts", {})
        for name in self.names:
            if name in counts:
                self.scaler.counts[name] = int(counts[name])
                self.scaler.means[name] = float(state["means"][name])
                self.scaler.vars[name] = float(state["variances"][name])
        self._refresh()

    def _refresh(self) -> None:
        scaler, names = self.scaler, self.names
        self.n = max((scaler.counts.get(name, 0) for name in names), default=0)
        self.mean = np.array([scaler.means.get(name, 0.0) for name in names])
        self.variance = np.array([scaler.vars.get(name, 0.0) for name in names])
        varies = self.variance > 0
        factor = np.where(varies, 1.0 / np.sqrt(np.where(varies, self.variance, 1.0)), 0.0)
        self._factor = factor.astype(np.float32)


class Basis:
    """A scale and the columns that are made of scaled features.

    Attributes
    ----------
    columns
        Names of the P columns; the last is constant.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.scale = Scale(names)
        self.columns = (
            *names,
            *(f"{name} above" for name in names),
            *(f"{name} below" for name in names),
            *(f"{name} > 0" for name in names),
            "",
        )

    def expand(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(M, P) columns of (M, F) features."""
        m, n = x.shape
        z = self.scale.transform(x) * np.float32(UNIT)
        knee = np.float32(KNEE * UNIT)
        out = np.empty((m, BENT * n + 1), dtype=np.float32)
        out[:, :n] = z
        np.maximum(z - knee, 0.0, out=out[:, n : 2 * n])
        np.maximum(-z - knee, 0.0, out=out[:, 2 * n : 3 * n])
        np.multiply(x > 0, np.float32(UNIT), out=out[:, 3 * n : 4 * n])
        out[:, -1] = 1.0
        return out

    def by_feature(self, terms: Floats) -> Floats:
        """(M, F) sums over the columns of each feature, of (M, P) terms."""
        return np.asarray(terms[:, :-1].reshape(len(terms), BENT, -1).sum(axis=1))

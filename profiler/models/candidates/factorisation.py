"""Factorisation machine: what `river.facto` computes, for whole batches.

Rendle, "Factorization machines", ICDM 2010: beside its weights, features act in pairs, through K
latent factors each. River learns label by label, feature by feature, in plain Python, half a
millisecond for each; here its gradients are products of matrices, averaged over small mini-batches.
A mini-batch of one is River's own step. It sees a sample of the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import optim

from profiler.columns import Floats
from profiler.models.basis import Scale
from profiler.models.candidates.contract import Question, State, X
from profiler.models.candidates.gradient import LOG_AMOUNT_MAX
from profiler.models.numbers import averaged, by_name, in_order, log_odds, probability

FACTORS: Final = 4
STEP: Final = 0.02
SEED: Final = 1
SPREAD: Final = 0.1
WEIGHT_MAX: Final = 8.0
"""Bound on a label's weight: a step along a product of weights may run away."""

_MINI_BATCH_MAX: Final = 8
_LABELS_PER_GROWTH: Final = 250


class Factorisation:
    """Weights of features, and of their pairs by latent factors."""

    def __init__(self, question: Question) -> None:
        self.names = question.feature_names
        self.scale = Scale(self.names)
        self._is_binary = question.kind == "binary"
        self._loss: Any = optim.losses.Log() if self._is_binary else optim.losses.Quantile(0.5)
        self._intercept = float(log_odds(question.prior)) if self._is_binary else 0.0
        self._weights: Floats = np.zeros(len(self.names))
        draw = optim.initializers.Normal(sigma=SPREAD, seed=SEED)
        self._latents: Floats = np.array([draw(shape=FACTORS) for _ in self.names])

    def predict(self, x: X) -> Floats:
        """See `Candidate.predict`."""
        raw = self._raw(self.scale.transform(x)).astype(np.float64)
        if self._is_binary:
            return probability(raw)
        return np.asarray(np.expm1(np.clip(raw, 0.0, LOG_AMOUNT_MAX)))

    def _raw(self, z: NDArray[np.floating]) -> NDArray[np.floating]:
        latents = self._latents.astype(z.dtype)
        # The squares of single features, which pairs do not have, are one more product.
        single = (z * z) @ (latents * latents).sum(axis=1)
        pairs = ((z @ latents) ** 2).sum(axis=1) - single
        return np.asarray(z @ self._weights.astype(z.dtype) + pairs / 2 + self._intercept)

    def learn(self, x: X, y: Floats, w: Floats) -> None:
        """See `Candidate.learn`."""
        n_before = self.scale.n
        self.scale.learn(x)
        scaled = self.scale.transform(x).astype(np.float64)
        target = y if self._is_binary else np.log1p(y)
        w = np.minimum(w, WEIGHT_MAX)
        start = 0
        while start < len(x):
            size = min(_MINI_BATCH_MAX, 1 + (n_before + start) // _LABELS_PER_GROWTH)
            part = slice(start, start + size)
            self._step(scaled[part], target[part], w[part])
            start += size

    def _step(self, z: Floats, y: Floats, w: Floats) -> None:
        """One step along the mean gradient of (M, F) scaled features."""
        slope = self._loss.gradient(y_true=y, y_pred=self._raw(z)) * w * (STEP / len(z))
        sums = z @ self._latents
        self._intercept -= float(slope.sum())
        self._weights -= slope @ z
        own = ((z * z).T @ slope)[:, None] * self._latents
        self._latents -= (z * slope[:, None]).T @ sums - own

    def export(self) -> State:
        """See `Candidate.export`."""
        return {
            "intercept": self._intercept,
            "weights": by_name(self.names, self._weights),
            "latents": dict(zip(self.names, self._latents.tolist(), strict=True)),
            "scale": self.scale.export(),
        }

    def restore(self, state: State) -> None:
        """See `Candidate.restore`."""
        self._intercept = float(state["intercept"])
        self._weights = in_order(self.names, state["weights"])
        for k, name in enumerate(self.names):
            if name in state["latents"]:
                self._latents[k] = state["latents"][name]
        self.scale.restore(state["scale"])

    @staticmethod
    def merge(states: Sequence[State], shares: Floats) -> State:
        """See `Candidate.merge`. Factors of different workers agree, as they start from a seed."""
        return dict(averaged(states, shares))

"""What is done about a confirmed drift, and whether that helped.

Three models meet the labels that follow. The *frozen* one is a copy of what served and learns no
more: the control. The *serving* one learns faster for a while. A *fresh* one starts from
nothing, in shadow, and is promoted once it is better than the serving one. After a number of labels
what served is compared with the control on the same labels; if it was not better, the control
serves again.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Final, Generic, Protocol, Self, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import stdtrit

from profiler.columns import Floats
from profiler.drift.series import Drift

PAIRED_BLOCK: Final = 32
"""Labels whose paired differences are averaged before the interval is made, as neighbours depend on
each other."""

STEP: Final = 64
"""Labels that are learnt at once: a backlog is not to be scored by models that have learnt none."""

Loss = Callable[[Floats, Floats], Floats]
"""(N,) losses of (N,) predictions, given (N,) outcomes."""


class Learner(Protocol):
    """What a model must be able to do so that something can be done about its drift."""

    def predict(self, x: NDArray[np.floating]) -> Floats:
        """(N,) predictions from (N, F) features."""

    def learn(self, x: NDArray[np.floating], y: Floats, w: Floats) -> None:
        """Learn (N,) outcomes with (N,) weights."""

    def fresh(self) -> Self:
        """A new model of the same kind that has learnt nothing."""

    def hasten(self, factor: float) -> None:
        """Take steps this many times as large as usual from now on; 1 is as usual."""


L = TypeVar("L", bound=Learner)


class Plan(Struct, frozen=True):
    """How a reaction goes.

    Parameters
    ----------
    n_labels
        After so many labels the reaction is judged.
    faster
        Factor of the serving model's steps just after the drift.
    half_life
        Labels after which what the factor has above one is halved.
    promote_min, promote_margin
        The fresh model must have seen so many labels, and its fading loss be lower by such a share.
    fading
        Labels after which a loss counts half in the fading losses.
    """

    n_labels: int = 2_000
    faster: float = 4.0
    half_life: float = 500.0
    promote_min: int = 200
    promote_margin: float = 0.05
    fading: float = 200.0


class Reaction(Struct, frozen=True):
    """What was done about a drift, and what came of it.

    Parameters
    ----------
    drift
        What it was about.
    n_labels
        Labels by which it is judged, all that came after the drift was found.
    before, at
        The loss before the change, and from then until it was found.
    after, frozen
        The mean loss of what served since, and of the frozen model on the same labels.
    gain, gain_low, gain_high
        `frozen` less `after`, with a 95 % interval of the paired differences.
    promoted_after
        Labels after which the fresh model was promoted; None if it was not.
    helped
        Whether the interval is above zero. If not, the frozen model serves again.
    """

    drift: Drift
    n_labels: int
    before: float
    at: float
    after: float
    frozen: float
    gain: float
    gain_low: float
    gain_high: float
    promoted_after: int | None
    helped: bool


class Response(Generic[L]):
    """A reaction under way: it learns the labels in place of the serving model, and judges.

    Parameters
    ----------
    drift
        Of the error: its losses are told beside those to come.
    serving
        What serves. It goes on learning, by this object's `learn` only.
    loss
        How predictions are scored.
    plan
        How the reaction goes.
    """

    def __init__(self, drift: Drift, serving: L, loss: Loss, plan: Plan | None = None) -> None:
        self.serving = serving
        self.frozen = copy.deepcopy(serving)
        self._fresh: L | None = serving.fresh()
        self._drift, self._loss, self._plan = drift, loss, plan or Plan()
        self._n_labels = 0
        self._promoted_after: int | None = None
        self._fading = _Fading(self._plan.fading)
        self._scored: list[Floats] = []

    def learn(self, x: NDArray[np.floating], y: Floats, w: Floats) -> Reaction | None:
        """Score and learn a mini-batch of labels; the report once there were enough.

        Parameters
        ----------
        x, y, w
            (N, F) features, (N,) outcomes and (N,) positive weights.

        Notes
        -----
        All models are scored before they learn, `STEP` labels at a time. With the report the
        reaction is over, and `serving` is what is to serve.
        """
        for start in range(0, len(y), STEP):
            part = slice(start, start + STEP)
            self._step(x[part], y[part], w[part])
        return self._judge() if self._n_labels >= self._plan.n_labels else None

    def _step(self, x: NDArray[np.floating], y: Floats, w: Floats) -> None:
        served = self._loss(self.serving.predict(x), y)
        self._scored.append(np.stack([served, self._loss(self.frozen.predict(x), y), w]))
        if self._fresh is not None:
            fresh = self._loss(self._fresh.predict(x), y)
            self._fading.update(np.stack([served, fresh]), w)
            self.serving.hasten(self._factor())
            self._fresh.learn(x, y, w)
        self.serving.learn(x, y, w)
        self._n_labels += len(y)
        if self._fresh is not None and self._is_fresh_better():
            self.serving.hasten(1.0)
            self.serving, self._fresh = self._fresh, None
            self._promoted_after = self._n_labels

    def _factor(self) -> float:
        """How much larger steps are by now."""
        plan = self._plan
        return 1.0 + (plan.faster - 1.0) * math.exp2(-self._n_labels / plan.half_life)

    def _is_fresh_better(self) -> bool:
        served, fresh = self._fading.means()
        enough = self._n_labels >= self._plan.promote_min
        return enough and fresh < (1.0 - self._plan.promote_margin) * served

    def _judge(self) -> Reaction:
        served, frozen, weight = np.concatenate(self._scored, axis=1)
        gain, margin = paired(frozen - served, weight)
        # Not a number, as of a model that went astray, is not above zero either.
        helped = gain - margin > 0
        self.serving.hasten(1.0)
        if not helped:
            self.serving = self.frozen
        drift = self._drift
        return Reaction(
            drift=drift,
            n_labels=self._n_labels,
            before=drift.before,
            at=drift.after,
            after=float(np.average(served, weights=weight)),
            frozen=float(np.average(frozen, weights=weight)),
            gain=gain,
            gain_low=gain - margin,
            gain_high=gain + margin,
            promoted_after=self._promoted_after,
            helped=helped,
        )


def paired(differences: Floats, weights: Floats) -> tuple[float, float]:
    """Mean of (N,) paired differences, and what to add and subtract for a 95 % interval.

    Differences are averaged in blocks, of which the mean is taken to be normal (batch means). With
    fewer than two blocks the interval has no end.

    Examples
    --------
    >>> paired(np.repeat([1.0, 3.0], 32), np.ones(64))
    (2.0, 12.70620473617...)
    """
    mean = float(np.average(differences, weights=weights))
    n = len(differences) // PAIRED_BLOCK
    if n < 2:
        return mean, math.inf
    shape = (n, PAIRED_BLOCK)
    d = differences[: n * PAIRED_BLOCK].reshape(shape)
    w = weights[: n * PAIRED_BLOCK].reshape(shape)
    total = w.sum(axis=1)
    share = total / total.sum()
    residual = (d * w).sum(axis=1) / total - mean
    variance = float((share * residual) @ (share * residual)) * n / (n - 1)
    return mean, float(stdtrit(n - 1, 0.975)) * math.sqrt(variance)


class _Fading:
    """Fading weighted means of several losses at once."""

    def __init__(self, labels: float) -> None:
        self._decay = 0.5 ** (1.0 / labels)
        self._sums: Floats = np.zeros(2)
        self._weight = 0.0

    def update(self, losses: Floats, w: Floats) -> None:
        """Count (C, N) losses in."""
        n = len(w)
        past = self._decay**n
        weight = w * self._decay ** np.arange(n - 1, -1, -1.0)
        self._sums = past * self._sums + losses @ weight
        self._weight = past * self._weight + float(weight.sum())

    def means(self) -> tuple[float, float]:
        first, second = (self._sums / self._weight).tolist()
        return first, second

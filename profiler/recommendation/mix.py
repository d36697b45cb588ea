"""The mix: how much each clue counts, learnt online from what people choose next.

A softmax over the candidates (conditional logit: McFadden 1974): the probability that candidate j
is next is ``exp(w·x_j) / Σ exp(w·x_i)``. Each event is one step along the gradient of its log loss,
with steps by AdaGrad (Duchi, Hazan, Singer, JMLR 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from profiler.columns import Floats

STEP: Final = 0.2
_EPSILON: Final = 1e-8


class MixState(Struct, frozen=True):
    """All that was learnt, by name of the clue.

    Parameters
    ----------
    weights, squares
        Weights, and sums of squared gradients.
    n
        Events learnt from.
    """

    weights: dict[str, float]
    squares: dict[str, float]
    n: int


class Mix:
    """Weights of named clues.

    Parameters
    ----------
    names
        Of the F clues.
    prior
        Weights to begin with; 0 for all others.

    Examples
    --------
    >>> mix = Mix(("near", "popular"), {"popular": 1.0})
    >>> x = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> for _ in range(50):
    ...     mix.learn(x, 0)
    >>> bool(mix.scores(x)[0] > mix.scores(x)[1])
    True
    """

    def __init__(self, names: Sequence[str], prior: dict[str, float]) -> None:
        self.names = tuple(names)
        self.weights = np.array([prior.get(name, 0.0) for name in names])
        self._squares = np.zeros(len(self.names))
        self.n = 0

    def scores(self, x: Floats) -> Floats:
        """(M,) log-odds of M candidates against one another from their (M, F) clues."""
        return np.asarray(x @ self.weights)

    def learn(self, x: Floats, chosen: int) -> None:
        """Learn that of candidates with these (M, F) clues one was chosen."""
        z = x @ self.weights
        p = np.exp(z - z.max())
        p /= p.sum()
        gradient = p @ x - x[chosen]
        self._squares += gradient * gradient
        self.weights -= STEP * gradient / np.sqrt(self._squares + _EPSILON)
        self.n += 1

    def state(self) -> MixState:
        """All that was learnt."""
        return MixState(
            dict(zip(self.names, self.weights.tolist(), strict=True)),
            dict(zip(self.names, self._squares.tolist(), strict=True)),
            self.n,
        )

    def restore(self, state: MixState) -> None:
        """Go on from what was learnt; clues that are gone are left out, new ones keep theirs."""
        for k, name in enumerate(self.names):
            self.weights[k] = state.weights.get(name, self.weights[k])
            self._squares[k] = state.squares.get(name, 0.0)
        self.n = state.n


def merged(states: Sequence[MixState]) -> MixState:
    """What several workers learnt, as one: the mean of weights by the number of events.

    Federated averaging (McMahan et al., AISTATS 2017). In any order; of equal states the same.

    Examples
    --------
    >>> merged([MixState({"a": 1.0}, {"a": 4.0}, 1), MixState({"a": 4.0}, {"a": 4.0}, 2)])
    MixState(weights={'a': 3.0}, squares={'a': 4.0}, n=2)
    """
    total = sum(state.n for state in states)
    shares = [state.n / total if total else 1 / len(states) for state in states]

    def mean(parts: Sequence[dict[str, float]]) -> dict[str, float]:
        names = sorted(set().union(*parts))
        return {
            name: sum(s * p.get(name, 0.0) for s, p in zip(shares, parts, strict=True))
            for name in names
        }

    return MixState(
        mean([state.weights for state in states]),
        mean([state.squares for state in states]),
        max((state.n for state in states), default=0),
    )

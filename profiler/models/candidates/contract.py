"""What a candidate is: one way of answering a task, that competes with others on the same labels.

Candidates see features and labels only. They predict probabilities or amounts of whole batches,
learn in mini-batches, and give all that they have learnt as plain numbers by name, so that another
version, with other features or another River, can go on from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import Floats
from profiler.models.selection import Verdict
from profiler.models.task import Kind

State = dict[str, Any]
"""What a candidate has learnt: JSON values."""

X = NDArray[np.float32]


class Question(Struct, frozen=True):
    """What a candidate is to answer.

    Parameters
    ----------
    kind
        Whether by probabilities or by amounts.
    feature_names
        F names of the columns of `x`.
    prior
        What is likely before anything is known: a probability, or the share of amounts above zero.
    """

    kind: Kind
    feature_names: tuple[str, ...]
    prior: float


class Candidate(Protocol):
    """One way of answering a task; made of a question, it has learnt nothing."""

    def __init__(self, question: Question) -> None: ...

    def predict(self, x: X) -> Floats:
        """(N,) probabilities or amounts for (N, F) features."""
        ...

    def learn(self, x: X, y: Floats, w: Floats) -> None:
        """Learn (M,) labels, each counted w times."""
        ...

    def export(self) -> State:
        """All that was learnt."""
        ...

    def restore(self, state: State) -> None:
        """Go on from what was exported; features that are gone are left out."""
        ...

    @staticmethod
    def merge(states: Sequence[State], shares: Floats) -> State:
        """One state from several, given shares that sum to one; all are of this candidate."""
        ...


@runtime_checkable
class Linear(Protocol):
    """A candidate whose raw score is a sum over features."""

    def contributions(self, x: X) -> Floats:
        """(N, F) what each feature adds to the raw score."""
        ...

    def intercept(self) -> float:
        """What the raw score is without any of them."""
        ...


@runtime_checkable
class Selecting(Protocol):
    """A candidate that chooses among the features."""

    def report(self) -> list[Verdict]:
        """Give which features it uses and why, the most telling first."""
        ...


class Listed(Struct, frozen=True):
    """An entry of the list of candidates.

    Parameters
    ----------
    name
        By which it is chosen.
    kinds
        Of tasks that it can answer.
    make
        Its class.
    share
        Of the labels by which it is scored and from which it learns: the costly see few.
    is_default
        Whether it takes part unless it is left out.
    """

    name: str
    kinds: tuple[Kind, ...]
    make: type[Candidate]
    share: float = 1.0
    is_default: bool = True

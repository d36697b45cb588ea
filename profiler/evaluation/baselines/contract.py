"""The contract of a baseline, and what the rankers among them share.

Baselines are prequential: for each event `rank` is asked first and `learn` told afterwards. They
take any number of persons and items and are told of neither beforehand. An item that no event has
named is never ranked, whatever its number: numbers are given in the order of first appearance, so
the lowest unseen one would be a look into the future.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import Floats
from profiler.evaluation.log import Log


class Baseline(Protocol):
    """Ranks the items that a person may turn to next."""

    @property
    def name(self) -> str:
        """What tables call it, its parameters included."""
        ...

    def rank(self, person: int, k: int, exclude: Collection[int], ts: int) -> Sequence[int]:
        """Give up to `k` items, the best first.

        Parameters
        ----------
        exclude
            Items that must not be among them.
        ts
            When, in ms.
        """
        ...

    def learn(self, person: int, item: int, ts: int) -> None:
        """Take in what the person turned to."""
        ...


@runtime_checkable
class Retrained(Protocol):
    """A baseline that is made anew from all events so far, at moments that the harness chooses."""

    def retrain(self, log: Log) -> None:
        """Learn from all events so far at once."""
        ...


class Family(Struct, frozen=True):
    """A baseline with several settings, of which the best on the unscored head is taken.

    Parameters
    ----------
    name
        What tables call it.
    variants
        Each makes a fresh baseline, given the half-life in ms of the popularity that it falls back
        on: the best there is, so that none loses by its second choice.
    """

    name: str
    variants: tuple[Callable[[float], Baseline], ...]


def best(scores: Floats, k: int, exclude: Collection[int]) -> list[int]:
    """Give the items with the `k` greatest scores, the best first; −inf is none.

    Parameters
    ----------
    scores
        (I,) by item; those excluded are overwritten.

    Examples
    --------
    >>> best(np.array([0.1, 0.9, 0.5, -np.inf]), 3, {1})
    [2, 0]
    """
    if exclude:
        left_out = np.fromiter(exclude, dtype=np.intp, count=len(exclude))
        scores[left_out[left_out < len(scores)]] = -np.inf
    if len(scores) > k:
        found = np.argpartition(scores, len(scores) - k)[-k:]
        found = found[np.argsort(-scores[found], kind="stable")]
    else:
        found = np.argsort(-scores, kind="stable")
    return [int(item) for item in found if scores[item] > -np.inf]


def filled(
    ranked: Iterable[int], rest: Iterable[int], k: int, exclude: Collection[int]
) -> list[int]:
    """Give the first `k` of both that are not excluded, each once.

    Examples
    --------
    >>> filled([4, 7], [7, 1, 2], 3, {1})
    [4, 7, 2]
    """
    chosen: dict[int, None] = {}
    for source in (ranked, rest):
        for item in source:
            if len(chosen) == k:
                return list(chosen)
            if item not in exclude:
                chosen[item] = None
    return list(chosen)


def grown(array: NDArray[Any], length: int) -> NDArray[Any]:
    """Give an array at least so long, its new places zero; doubled, so that growth costs little.

    Examples
    --------
    >>> grown(np.ones(2), 3)
    array([1., 1., 0., 0.])
    """
    if length <= len(array):
        return array
    longer = np.zeros((max(length, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    longer[: len(array)] = array
    return longer

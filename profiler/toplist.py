"""Top lists: the heaviest tokens of each row, by Space-Saving, for whole batches.

Space-Saving (Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements
in Data Streams", ICDT 2005) over landmark weights, which need no decay between events. The result
is bit for bit that of one event after another in arrival order.

Most rows have few events in a batch and a few rows have very many, so there are two ways. The first
events of all rows go in rounds, the n-th event of every row at once, while a round is wide; what is
left of the long rows goes through a plain loop with a heap.
"""

from __future__ import annotations

from heapq import heapify, heappush, heapreplace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats, Hashes

SIZE: Final = 16
ROUND_LISTS_MIN: Final = 16
"""Lists that a round must have: a narrower one costs more than its events in the loop."""

_GREATEST: Final = np.uint64(2**64 - 1)


def update_top(
    ids: Hashes, weights: Floats, row: NDArray[np.intp], token: Hashes, contribution: Floats
) -> None:
    """Add events to the lists of their rows, in place.

    Parameters
    ----------
    ids, weights
        (R, 16) lists; places are filled from the left, id 0 is a free place.
    row, token, contribution
        (N,) in arrival order within each row; rows ascending, tokens not 0, contributions > 0.

    Examples
    --------
    >>> ids, weights = np.zeros((1, 16), np.uint64), np.zeros((1, 16))
    >>> update_top(ids, weights, np.array([0, 0, 0]), np.array([7, 9, 7], np.uint64), np.ones(3))
    >>> ids[0, :3].tolist(), weights[0, :3].tolist()
    ([7, 9, 0], [2.0, 1.0, 0.0])
    """
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    counts = np.diff(starts, append=len(row))
    # Rows by falling number of events, so that those that take part in a round are a prefix.
    order = np.argsort(-counts, kind="stable")
    starts, counts = starts[order], counts[order]
    at = row[starts]
    # Copies in one piece: fields of structured rows are strided.
    list_ids, list_weights = ids[at], weights[at]
    n_rounds = int(counts[ROUND_LISTS_MIN - 1]) if len(counts) >= ROUND_LISTS_MIN else 0
    for n in range(n_rounds):
        size = int(np.searchsorted(-counts, -n))
        event = starts[:size] + n
        _round(list_ids[:size], list_weights[:size], token[event], contribution[event])
    for k in range(int(np.searchsorted(-counts, -n_rounds))):
        rest = slice(int(starts[k]) + n_rounds, int(starts[k] + counts[k]))
        list_ids[k], list_weights[k] = _loop(
            list_ids[k].tolist(),
            list_weights[k].tolist(),
            token[rest].tolist(),
            contribution[rest].tolist(),
        )
    ids[at], weights[at] = list_ids, list_weights


def merge_top(
    ids_a: Hashes, weights_a: Floats, ids_b: Hashes, weights_b: Floats
) -> tuple[Hashes, Floats]:
    """Merge two lists of one person; commutative.

    A token that one full list lacks may have been evicted from it with at most its least weight,
    which it therefore gets (Agarwal et al., "Mergeable Summaries", PODS 2012; Cafaro et al. 2016).

    Parameters
    ----------
    ids_a, weights_a, ids_b, weights_b
        (16,) lists relative to the same landmark.
    """
    a = {int(i): float(w) for i, w in zip(ids_a, weights_a, strict=True) if i}
    b = {int(i): float(w) for i, w in zip(ids_b, weights_b, strict=True) if i}
    floor_a = min(a.values()) if len(a) == SIZE else 0.0
    floor_b = min(b.values()) if len(b) == SIZE else 0.0
    total = {i: a.get(i, floor_a) + b.get(i, floor_b) for i in a.keys() | b.keys()}
    kept = sorted(total.items(), key=lambda entry: (entry[1], entry[0]), reverse=True)[:SIZE]
    ids, weights = np.zeros(SIZE, dtype=np.uint64), np.zeros(SIZE)
    ids[: len(kept)] = [i for i, _ in kept]
    weights[: len(kept)] = [w for _, w in kept]
    return ids, weights


def _round(ids: Hashes, weights: Floats, token: Hashes, contribution: Floats) -> None:
    """Add one event to each list, in place."""
    match = ids == token[:, None]
    place = match.argmax(axis=1)
    every = np.arange(len(ids))
    new = np.flatnonzero(~match[every, place])
    if len(new):
        # A free place has id 0 and weight 0, so it is the least of all, and the leftmost one first.
        rivals = weights[new]
        is_least = rivals == rivals.min(axis=1, keepdims=True)
        place[new] = np.where(is_least, ids[new], _GREATEST).argmin(axis=1)
        ids[new, place[new]] = token[new]
    weights[every, place] += contribution


def _loop(
    ids: list[int], weights: list[float], tokens: list[int], contributions: list[float]
) -> tuple[list[int], list[float]]:
    """Add many events to one list; entries grow without the heap, which is told at its top."""
    weight_of = {i: w for i, w in zip(ids, weights, strict=True) if i}
    heap = [(w, i, place) for place, (i, w) in enumerate(zip(ids, weights, strict=True)) if i]
    heapify(heap)
    for token, contribution in zip(tokens, contributions, strict=True):
        weight = weight_of.get(token)
        if weight is not None:
            weight_of[token] = weight + contribution
        elif len(heap) < SIZE:
            weight_of[token] = contribution
            heappush(heap, (contribution, token, len(heap)))
        else:
            least, evicted, place = heap[0]
            while (weight := weight_of[evicted]) != least:
                heapreplace(heap, (weight, evicted, place))
                least, evicted, place = heap[0]
            del weight_of[evicted]
            weight_of[token] = least + contribution
            heapreplace(heap, (least + contribution, token, place))
    for _, token, place in heap:
        ids[place], weights[place] = token, weight_of[token]
    return ids, weights

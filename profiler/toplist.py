"""Top lists: the heaviest tokens of each row, by Space-Saving, for whole batches.

Space-Saving (Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements
in Data Streams", ICDT 2005) over landmark weights, which need no decay between events. The result
is bit for bit that of one event after another in arrival order: weights are added in that order,
and only rows that must evict go through a loop.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats, Hashes

SIZE: Final = 16


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
    match = ids[row] == token[:, None]
    place = match.argmax(axis=1)
    is_new = ~match[np.arange(len(row)), place]
    if is_new.any():
        new = np.flatnonzero(is_new)
        evicts = _fill_free_places(ids, row[new], token[new], place, new)
        if len(evicts):
            evicting = np.zeros(len(ids), dtype=bool)
            evicting[evicts] = True
            loops = evicting[row]
            _loop(ids, weights, row[loops], token[loops], contribution[loops])
            row, place, contribution = row[~loops], place[~loops], contribution[~loops]
    # In one dimension `add.at` takes its fast path; fields of structured rows are strided.
    flat = weights.ravel()
    np.add.at(flat, row * SIZE + place, contribution)
    weights[:] = flat.reshape(weights.shape)


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


def _fill_free_places(
    ids: Hashes,
    row: NDArray[np.intp],
    token: Hashes,
    place: NDArray[np.intp],
    new: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Give new tokens free places in the order they arrived; return the rows that lack places.

    `row` and `token` are those of the events at the indices `new`, whose `place` is set.
    """
    order = np.lexsort((token, row))
    sorted_row, sorted_token = row[order], token[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (sorted_row[1:] != sorted_row[:-1]) | (sorted_token[1:] != sorted_token[:-1])
    pair = np.empty(len(order), dtype=np.intp)
    pair[order] = np.cumsum(is_first) - 1
    # lexsort is stable, so the first of each pair is its first arrival.
    first_event = np.sort(order[is_first])
    pair_row = row[first_event]
    is_row_start = np.ones(len(pair_row), dtype=bool)
    is_row_start[1:] = pair_row[1:] != pair_row[:-1]
    starts = np.flatnonzero(is_row_start)
    n_new = np.diff(starts, append=len(pair_row))
    rank = np.arange(len(pair_row)) - np.repeat(starts, n_new)
    used = np.count_nonzero(ids[pair_row[starts]], axis=1)
    pair_place = np.repeat(used, n_new) + rank
    overflows = used + n_new > SIZE
    fits = np.repeat(~overflows, n_new)
    ids[pair_row[fits], pair_place[fits]] = token[first_event[fits]]
    place_of_pair = np.empty(len(first_event), dtype=np.intp)
    place_of_pair[pair[first_event]] = pair_place
    place[new] = np.minimum(place_of_pair[pair], SIZE - 1)
    return np.asarray(pair_row[starts][overflows])


def _loop(
    ids: Hashes, weights: Floats, row: NDArray[np.intp], token: Hashes, contribution: Floats
) -> None:
    """One event after another, for rows that evict: a plain loop beats rounds of array work."""
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    looped = row[starts]
    all_ids, all_weights = ids[looped].tolist(), weights[looped].tolist()
    tokens, contributions = token.tolist(), contribution.tolist()
    edges = [*starts.tolist(), len(tokens)]
    for r, (row_ids, row_weights) in enumerate(zip(all_ids, all_weights, strict=True)):
        place_of = {i: p for p, i in enumerate(row_ids) if i}
        for k in range(edges[r], edges[r + 1]):
            wanted = tokens[k]
            place = place_of.get(wanted)
            if place is None:
                place = len(place_of)
                if place == SIZE:
                    place = _least(row_ids, row_weights)
                    del place_of[row_ids[place]]
                row_ids[place] = wanted
                place_of[wanted] = place
            row_weights[place] += contributions[k]
    ids[looped] = np.array(all_ids, dtype=np.uint64)
    weights[looped] = all_weights


def _least(ids: list[int], weights: list[float]) -> int:
    """Place of the least weight; of the least hash among equals."""
    least = min(weights)
    place = weights.index(least)
    if least in weights[place + 1 :]:
        place = min((p for p, w in enumerate(weights) if w == least), key=ids.__getitem__)
    return place

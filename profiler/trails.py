"""Trails: the distinct tokens that each person touched last, latest first, for whole batches.

A token that is touched again moves to the front. As with top lists (`profiler.toplist`), the n-th
event of every row goes in one round while a round is wide, and what is left of the long rows goes
through a plain loop; the result is bit for bit that of one event after another. On the way each
event is told what the trail was before it: that is what association and next-item models learn
from, and it does not depend on how the stream was cut into batches.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Hashes

ROUND_ROWS_MIN: Final = 16
"""Rows that a round must have: a narrower one costs more than its events in the loop."""


def follow(trails: Hashes, row: NDArray[np.intp], token: Hashes) -> Hashes:
    """Move tokens to the front of their rows' trails, in place; return the trail before each event.

    Parameters
    ----------
    trails
        (R, K) tokens, latest first; 0 is a free place at the end.
    row, token
        (N,) in arrival order within each row; rows ascending. Token 0 changes nothing.

    Returns
    -------
    (N, K) what the trail of each event's row was before the event.

    Examples
    --------
    >>> trails = np.array([[7, 9, 0]], dtype=np.uint64)
    >>> follow(trails, np.array([0, 0]), np.array([9, 8], dtype=np.uint64))
    array([[7, 9, 0],
           [9, 7, 0]], dtype=uint64)
    >>> trails
    array([[8, 9, 7]], dtype=uint64)
    """
    before = np.empty((len(row), trails.shape[1]), dtype=np.uint64)
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    counts = np.diff(starts, append=len(row))
    # Rows by falling number of events, so that those that take part in a round are a prefix.
    order = np.argsort(-counts, kind="stable")
    starts, counts = starts[order], counts[order]
    at = row[starts]
    current = trails[at]
    n_rounds = int(counts[ROUND_ROWS_MIN - 1]) if len(counts) >= ROUND_ROWS_MIN else 0
    for n in range(n_rounds):
        size = int(np.searchsorted(-counts, -n))
        event = starts[:size] + n
        before[event] = current[:size]
        _to_front(current[:size], token[event])
    for k in range(int(np.searchsorted(-counts, -n_rounds))):
        first, end = int(starts[k]) + n_rounds, int(starts[k] + counts[k])
        current[k] = _loop(current[k].tolist(), token[first:end].tolist(), before[first:end])
    trails[at] = current
    return before


def merged(later: Hashes, earlier: Hashes) -> Hashes:
    """(R, K) the tokens of the later trails, then those of the earlier ones, each once.

    Examples
    --------
    >>> merged(np.array([[7, 9, 0]], np.uint64), np.array([[9, 8, 5]], np.uint64))
    array([[7, 9, 8]], dtype=uint64)
    """
    size = later.shape[1]
    out = np.zeros_like(later)
    for r, (first, second) in enumerate(zip(later.tolist(), earlier.tolist(), strict=True)):
        kept = list(dict.fromkeys(token for token in (*first, *second) if token))[:size]
        out[r, : len(kept)] = kept
    return out


def _to_front(trails: Hashes, token: Hashes) -> None:
    """Move one token to the front of each trail, in place; 0 changes nothing."""
    size = trails.shape[1]
    match = trails == token[:, None]
    # What is found makes way where it was; what is new drops the last.
    place = np.where(match.any(axis=1), match.argmax(axis=1), size - 1)
    place = np.where(token == 0, -1, place)
    moves = np.arange(1, size) <= place[:, None]
    trails[:, 1:] = np.where(moves, trails[:, :-1], trails[:, 1:])
    trails[:, 0] = np.where(token == 0, trails[:, 0], token)


def _loop(trail: list[int], tokens: list[int], before: Hashes) -> list[int]:
    """Trail after these tokens; what it was before each is written into `before`."""
    for n, token in enumerate(tokens):
        before[n] = trail
        if token:
            trail.pop(trail.index(token) if token in trail else -1)
            trail.insert(0, token)
    return trail


__all__ = ["follow", "merged"]

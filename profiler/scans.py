"""What decayed sums were worth just before each event of a batch: scans over the rows' events."""

from __future__ import annotations

from typing import Final

import numpy as np

from profiler.columns import EventColumns, Floats, decayed_at

SUMMED_HALF_LIVES_MAX: Final = 8

Ks = list[int]


def prefix_decayed(
    events: EventColumns, stored: Floats, contributions: Floats, half_lives_ms: tuple[int, ...]
) -> Floats:
    """What K decayed sums were worth just before each event, at that event's time.

    Parameters
    ----------
    events
        The batch; `stored` is still relative to the landmarks of `events.as_of_before`.
    stored
        (R, K) sums before the batch.
    contributions
        (N, K) what each event adds.
    half_lives_ms
        K half-lives.

    Returns
    -------
    (N, K) values; late events see what was known when they arrived, at the greatest time so far.
    """
    _, latest = events.last_seen
    base = latest[events.starts]
    at_start = np.empty(stored.shape)
    for k, half_life_ms in enumerate(half_lives_ms):
        at_start[:, k] = decayed_at(stored[:, k], events.as_of_before, half_life_ms, base)
    # Few half-lives are distinct, and powers are dear.
    distinct = list(dict.fromkeys(half_lives_ms))
    column = [distinct.index(half_life_ms) for half_life_ms in half_lives_ms]
    half_lives = np.array(distinct, dtype=np.float64)
    elapsed = latest - base[events.row]
    scan = _by_sums if elapsed.max() <= SUMMED_HALF_LIVES_MAX * min(distinct) else _by_doubling
    return scan(events, at_start, contributions, half_lives, column)


def _by_sums(
    events: EventColumns, at_start: Floats, contributions: Floats, half_lives: Floats, column: Ks
) -> Floats:
    """Prefix sums of weights relative to each row's first time: for batches that span little.

    Weights are below 2^8, so that sharing one running sum costs rows few of a float64's 52 bits.
    """
    _, latest = events.last_seen
    base = latest[events.starts][events.row]
    weight = np.exp2((events.ts - base)[:, None] / half_lives)[:, column] * contributions
    before = np.cumsum(weight, axis=0) - weight
    before += (at_start - before[events.starts])[events.row]
    decay = np.exp2((base - latest)[:, None] / half_lives)[:, column]
    # A sum that ought to be zero may be a rounding error below it.
    return np.asarray(np.maximum(before, 0.0) * decay)


def _by_doubling(
    events: EventColumns, at_start: Floats, contributions: Floats, half_lives: Floats, column: Ks
) -> Floats:
    """Scan for batches of any span: everything is relative to the running greatest time.

    A linear recurrence per row, S_i = a_i S_(i-1) + b_i with factors in [0, 1], solved for all rows
    at once by recursive doubling (Kogge and Stone 1973): log2 of the longest run of one row many
    passes, each over the events that still have a predecessor at that distance.
    """
    previous, latest = events.last_seen
    factor = np.exp2((previous - latest)[:, None] / half_lives)[:, column]
    value = contributions * np.exp2((events.ts - latest)[:, None] / half_lives)[:, column]
    value[events.starts] += at_start
    chain = factor.copy()
    chain[events.starts] = 0.0
    rank = events.rank
    distance, reached = 1, np.flatnonzero(rank >= 1)
    while len(reached):
        value[reached] += chain[reached] * value[reached - distance]
        chain[reached] *= chain[reached - distance]
        distance *= 2
        reached = reached[rank[reached] >= distance]
    before = np.empty_like(value)
    before[1:] = value[:-1] * factor[1:]
    before[events.starts] = at_start
    return before

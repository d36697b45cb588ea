"""What goes with what: for each token the tokens that people touched about the same time.

A decayed co-visitation table in bounded rows. Each event adds weight between its token and those
of its person's trail (`profiler.trails`), both ways: ``0.8^place``, where the latest token has
place 0. That is the item-to-item form of session neighbours: whoever touched one of them is at
hand, the nearest ones most (item-item k-NN: Linden, Smith, York, "Amazon.com recommendations",
IEEE Internet Computing 2003; nearness within sessions as in VMIS-kNN: Kersbergen, Sprangers,
Schelter, "Serenade", SIGMOD 2022). A token that is touched twice in a row goes with itself.

Rows are added to by adding: two workers' tables of the same tokens are merged by bringing both to
the later time and summing, in any order, until a row is full; then the weakest neighbour makes way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.columns import DAY_MS, HOUR_MS, Hashes, Ints
from profiler.tokens import DIMENSIONS

NEIGHBOURS_MAX: Final = 128
NEARNESS: Final = 0.8
"""Weight of a token of the trail, relative to the one that was touched after it."""

HALF_LIFE_MS: Final = 90 * DAY_MS
"""Of associations, and of the counts they are compared with."""

SLOW_HALF_LIFE_MS: Final = 14 * DAY_MS
FAST_HALF_LIFE_MS: Final = 6 * HOUR_MS

HEAD: Final = np.dtype(
    [
        ("id", "<u8"),
        ("as_of", "<i8"),
        ("first", "<i8"),
        ("group", "<u8"),
        ("count", "<f8"),
        ("slow", "<f8"),
        ("fast", "<f8"),
        ("content", "<f2", (DIMENSIONS,)),
    ]
)
"""What is known of a token itself: its hash, the latest and the first event time, its category (of
an item), decayed numbers of events, and the direction of what it is about."""

_DECAYED: Final = (
    ("count", HALF_LIFE_MS),
    ("slow", SLOW_HALF_LIFE_MS),
    ("fast", FAST_HALF_LIFE_MS),
)
_ROWS_AT_FIRST: Final = 1_024


class Touched(NamedTuple):
    """N events that touched a token each, in order of time or nearly so.

    Parameters
    ----------
    ts
        (N,) event times, ms.
    token
        (N,) hashes, none of them 0.
    before
        (N, K) the person's trail before each, latest first, 0 in free places.
    group
        (N,) category of each item, 0 where there is none.
    content
        (N, 32) direction of what each is about.
    """

    ts: Ints
    token: Hashes
    before: Hashes
    group: Hashes
    content: NDArray[np.floating]


class TokenRows(NamedTuple):
    """What is known of N tokens; zeros of those of whom nothing is.

    Parameters
    ----------
    heads
        (N,) of dtype `HEAD`.
    neighbours, weights
        (N, 128) hashes of tokens that go with each, 0 in free places, and how much, as of the
        head's `as_of`.
    """

    heads: NDArray[np.void]
    neighbours: Hashes
    weights: NDArray[np.float32]

    def at(self, index: NDArray[np.intp] | slice) -> TokenRows:
        """Some of these rows."""
        return TokenRows(self.heads[index], self.neighbours[index], self.weights[index])

    @staticmethod
    def empty(n: int) -> TokenRows:
        """N rows of which nothing is known."""
        return TokenRows(
            np.zeros(n, dtype=HEAD),
            np.zeros((n, NEIGHBOURS_MAX), dtype=np.uint64),
            np.zeros((n, NEIGHBOURS_MAX), dtype=np.float32),
        )


class Associations:
    """A table of tokens that are touched together.

    Examples
    --------
    >>> table, cup, tea = Associations(), np.array([7], np.uint64), np.array([[9, 0]], np.uint64)
    >>> table.add(Touched(np.array([5]), cup, tea, group=cup, content=np.ones((1, 32))))
    >>> rows = table.rows([9])
    >>> rows.neighbours[0, :2].tolist(), rows.weights[0, :2].tolist()
    ([7, 0], [1.0, 0.0])
    """

    def __init__(self) -> None:
        self._slot: dict[int, int] = {}
        self._rows = TokenRows.empty(_ROWS_AT_FIRST)

    def __len__(self) -> int:
        return len(self._slot)

    def tokens(self) -> list[int]:
        """All that the table has a row of."""
        return list(self._slot)

    def rows(self, tokens: Sequence[int]) -> TokenRows:
        """Rows of these tokens."""
        slots = np.array([self._slot.get(token, -1) for token in tokens], dtype=np.intp)
        found = self._rows.at(slots)
        if len(slots) and slots.min() < 0:
            for part in found:
                part[slots < 0] = 0
        return found

    def heads(self, tokens: Sequence[int]) -> NDArray[np.void]:
        """(N,) heads of these tokens."""
        slots = np.array([self._slot.get(token, -1) for token in tokens], dtype=np.intp)
        found = self._rows.heads[slots]
        found[slots < 0] = 0
        return found

    def clear(self) -> None:
        """Forget everything."""
        for part in self._rows.at(slice(len(self._slot))):
            part[:] = 0
        self._slot.clear()

    def add(self, touched: Touched) -> None:
        """Count events, and let their tokens go with those of the trails before them."""
        if not len(touched.token):
            return
        n = len(touched.token)
        event, place = np.nonzero(touched.before)
        earlier = touched.before[event, place]
        slots = self._slots(np.concatenate([touched.token, earlier]))
        own, of = slots[:n], slots[n:]
        ts = touched.ts[event]
        self._advance(slots, np.concatenate([touched.ts, ts]))
        self._count(own, touched)
        # Both ways; each pair is as old as its event, in either token's row.
        to = own[event]
        twice = to != of
        a = np.concatenate([of, to[twice]])
        b = np.concatenate([touched.token[event], earlier[twice]])
        age_ms = self._rows.heads["as_of"][a] - np.concatenate([ts, ts[twice]])
        nearness = np.concatenate([NEARNESS**place, NEARNESS ** place[twice]])
        self._join(a, b, nearness * np.exp2(-age_ms / HALF_LIFE_MS))

    def merge(self, other: TokenRows) -> None:
        """Add rows of another table, of different tokens each."""
        if not len(other.heads):
            return
        slots = self._slots(other.heads["id"])
        as_of = np.maximum(self._rows.heads["as_of"][slots], other.heads["as_of"])
        self._decay(slots, as_of)
        other = decayed(other, as_of)
        heads, new = self._rows.heads, other.heads
        first = heads["first"][slots]
        heads["first"][slots] = np.where(
            (first == 0) | (new["first"] == 0),
            first + new["first"],
            np.minimum(first, new["first"]),
        )
        later = (new["group"] != 0) & (new["count"] > 0)
        heads["group"][slots[later]] = new["group"][later]
        heads["content"][slots[later]] = new["content"][later]
        for name, _ in _DECAYED:
            heads[name][slots] += new[name]
        row, place = np.nonzero(other.neighbours)
        self._join(slots[row], other.neighbours[row, place], other.weights[row, place])

    def _slots(self, tokens: Hashes) -> NDArray[np.intp]:
        """Places of these tokens, made where there are none; of token 0 any."""
        known = self._slot
        wanted = tokens.tolist()
        new = [token for token in dict.fromkeys(wanted) if token not in known and token]
        if new:
            first, end = len(known), len(known) + len(new)
            self._grow(end)
            known.update(zip(new, range(first, end), strict=True))
            self._rows.heads["id"][first:end] = new
        return np.array([known.get(token, 0) for token in wanted], dtype=np.intp)

    def _grow(self, n: int) -> None:
        size = len(self._rows.heads)
        if n > size:
            more = TokenRows.empty(max(n, 2 * size) - size)
            self._rows = joined((self._rows, more))

    def _advance(self, slots: NDArray[np.intp], ts: Ints) -> None:
        """Bring rows that are about to be added to, to the time of the latest addition."""
        touched, place = np.unique(slots, return_inverse=True)
        as_of = self._rows.heads["as_of"][touched]
        np.maximum.at(as_of, place, ts)
        self._decay(touched, as_of)

    def _decay(self, slots: NDArray[np.intp], as_of: Ints) -> None:
        heads = self._rows.heads[slots]
        left = _advance_heads(heads, as_of)
        self._rows.heads[slots] = heads
        self._rows.weights[slots] *= left[:, None]

    def _count(self, own: NDArray[np.intp], touched: Touched) -> None:
        heads = self._rows.heads
        first = heads["first"][own]
        heads["first"][own] = np.where(first == 0, touched.ts, first)
        np.minimum.at(heads["first"], own, touched.ts)
        heads["group"][own] = touched.group
        heads["content"][own] = touched.content
        age_ms = heads["as_of"][own] - touched.ts
        for name, half_life_ms in _DECAYED:
            np.add.at(heads[name], own, np.exp2(-age_ms / half_life_ms))

    def _join(self, a: NDArray[np.intp], b: Hashes, weight: NDArray[np.floating]) -> None:
        """Add weight between the row at `a` and the token `b`, for P pairs."""
        if not len(a):
            return
        order = np.lexsort((b, a))
        a, b, weight = a[order], b[order], weight[order]
        is_first = np.ones(len(a), dtype=bool)
        is_first[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
        weight = np.add.reduceat(weight, np.flatnonzero(is_first))
        a, b = a[is_first], b[is_first]
        match = self._rows.neighbours[a] == b[:, None]
        place = match.argmax(axis=1)
        known = match[np.arange(len(a)), place]
        self._rows.weights[a[known], place[known]] += weight[known]
        self._insert(a[~known], b[~known], weight[~known])

    def _insert(self, a: NDArray[np.intp], b: Hashes, weight: NDArray[np.floating]) -> None:
        """Take new neighbours in, one of each row at a time: the weakest one makes way."""
        rank = np.arange(len(a)) - np.searchsorted(a, a)
        neighbours, weights = self._rows.neighbours, self._rows.weights
        for n in range(int(rank.max(initial=-1)) + 1):
            now = rank == n
            row = a[now]
            # A free place has weight 0, and is therefore the weakest.
            place = weights[row].argmin(axis=1)
            neighbours[row, place] = b[now]
            weights[row, place] = weight[now]


def joined(parts: Sequence[TokenRows]) -> TokenRows:
    """Rows of all parts, one after another."""
    return TokenRows(
        np.concatenate([part.heads for part in parts]),
        np.concatenate([part.neighbours for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def decayed(rows: TokenRows, as_of: Ints | int) -> TokenRows:
    """Copies of rows, brought to later times.

    Parameters
    ----------
    as_of
        One time, ms, or one per row, none of them before the row's own.
    """
    heads = rows.heads.copy()
    left = _advance_heads(heads, as_of)
    return TokenRows(heads, rows.neighbours, rows.weights * left[:, None])


def _advance_heads(heads: NDArray[np.void], as_of: Ints | int) -> NDArray[np.float32]:
    """Bring heads to later times, in place; what is left of their rows' weights."""
    elapsed_ms = np.where(heads["as_of"] > 0, as_of - heads["as_of"], 0)
    for name, half_life_ms in _DECAYED:
        heads[name] *= np.exp2(-elapsed_ms / half_life_ms)
    heads["as_of"] = as_of
    return np.asarray(np.exp2(-elapsed_ms / HALF_LIFE_MS), dtype=np.float32)

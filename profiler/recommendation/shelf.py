"""The shelf: what may be recommended to anybody, the most touched tokens and the newest ones."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats, Hashes
from profiler.recommendation.associations import (
    FAST_HALF_LIFE_MS,
    HEAD,
    SLOW_HALF_LIFE_MS,
)

POPULAR_MAX: Final = 1_536
TRENDING_MAX: Final = 256
NEW_MAX: Final = 256


class Shelf:
    """Heads of the most touched (in weeks, and in hours) and of the newest tokens.

    Parameters
    ----------
    heads
        (N,) of dtype `HEAD`, each token once.

    Attributes
    ----------
    popular, trending
        (N,) decayed numbers of events, of weeks and of hours, as of `as_of`.
    """

    def __init__(self, heads: NDArray[np.void] | None = None) -> None:
        heads = np.zeros(0, dtype=HEAD) if heads is None else heads
        self.heads = heads[np.argsort(heads["id"])]
        self.ids: Hashes = np.ascontiguousarray(self.heads["id"])
        self.content = self.heads["content"].astype(np.float32)
        self.as_of = int(self.heads["as_of"].max(initial=0))
        self.popular = touched_at(self.heads, "slow", SLOW_HALF_LIFE_MS, self.as_of)
        self.trending = touched_at(self.heads, "fast", FAST_HALF_LIFE_MS, self.as_of)

    def __len__(self) -> int:
        return len(self.heads)

    def with_heads(self, heads: NDArray[np.void]) -> Shelf:
        """Return the shelf after these tokens have changed; each once."""
        kept = self.heads[~np.isin(self.ids, heads["id"])]
        all_ = np.concatenate([kept, heads])
        if len(all_) <= POPULAR_MAX + TRENDING_MAX + NEW_MAX:
            return Shelf(all_)
        as_of = int(all_["as_of"].max())
        chosen = [
            _greatest(touched_at(all_, "slow", SLOW_HALF_LIFE_MS, as_of), POPULAR_MAX),
            _greatest(touched_at(all_, "fast", FAST_HALF_LIFE_MS, as_of), TRENDING_MAX),
            _greatest(all_["first"], NEW_MAX),
        ]
        return Shelf(all_[np.unique(np.concatenate(chosen))])

    def heads_of(self, tokens: Hashes) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """(M,) heads of tokens, and whether each is on the shelf; zeros where it is not."""
        heads = np.zeros(len(tokens), dtype=HEAD)
        if not len(self):
            return heads, np.zeros(len(tokens), dtype=bool)
        at = np.minimum(np.searchsorted(self.ids, tokens), len(self) - 1)
        found = self.ids[at] == tokens
        heads[found] = self.heads[at[found]]
        return heads, found

    def most(self, n_popular: int, n_trending: int) -> Hashes:
        """Tokens touched the most in weeks, then in hours; some may be in both."""
        return np.concatenate(
            [
                self.ids[_greatest(self.popular, n_popular)],
                self.ids[_greatest(self.trending, n_trending)],
            ]
        )

    def alike(self, content: NDArray[np.floating], n: int) -> Hashes:
        """Tokens whose content is the most like this (32,) direction."""
        return self.ids[_greatest(self.content @ content.astype(np.float32), n)]


def touched_at(heads: NDArray[np.void], name: str, half_life_ms: int, at_ms: int) -> Floats:
    """(N,) decayed numbers of events at a time: `slow` or `fast` of heads."""
    return np.asarray(heads[name] * np.exp2((heads["as_of"] - at_ms) / half_life_ms))


def _greatest(values: NDArray[np.generic], n: int) -> NDArray[np.intp]:
    """Places of the n greatest values, or of all if there are fewer; in no order."""
    if not 0 < n < len(values):
        return np.arange(min(n, len(values)))
    return np.argpartition(values, len(values) - n)[len(values) - n :]

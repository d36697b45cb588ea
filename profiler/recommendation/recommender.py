"""Recommendation: candidates of all sources, ranked by one mix of clues.

Candidates are what the person touched (people repeat themselves), what goes with it, what is
touched most in the categories that the person was in last, what is alike, and what is popular.
It takes two looks at the statistics, wherever they are: rows of the trail, then heads of the
candidates. `Steps` asks for them; in memory and on Redis the same code answers.
"""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import Floats, Hashes
from profiler.recommendation.associations import TokenRows
from profiler.recommendation.clues import (
    CATEGORY_CLUES,
    PRIOR,
    TRAIL_CLUES,
    Joint,
    Known,
    Past,
    category_clues,
    joint,
    trail_clues,
    trail_content,
)
from profiler.recommendation.mix import Mix
from profiler.recommendation.shelf import Shelf

GO_WITH_MAX: Final = 75
MEMBERS_MAX: Final = 25
POPULAR: Final = 40
TRENDING: Final = 20
ALIKE: Final = 30


class Wanted(Struct, frozen=True):
    """What a recommendation must know next.

    Parameters
    ----------
    rows, categories, members
        Tokens whose whole rows are wanted: of items, of categories, and of the items in categories.
    heads
        Items whose heads are enough.
    """

    rows: tuple[int, ...] = ()
    categories: tuple[int, ...] = ()
    members: tuple[int, ...] = ()
    heads: tuple[int, ...] = ()


class Answer(Struct, frozen=True):
    """What was wanted, in its order."""

    rows: TokenRows
    categories: TokenRows
    members: TokenRows
    heads: NDArray[np.void]


class Ranked(Struct, frozen=True):
    """Candidates of one person.

    Parameters
    ----------
    tokens
        (M,) ascending.
    x
        (M, F) their clues.
    """

    tokens: Hashes
    x: Floats

    def place_of(self, token: int) -> int | None:
        """Where a token is among the candidates."""
        at = int(np.searchsorted(self.tokens, np.uint64(token)))
        return at if at < len(self.tokens) and int(self.tokens[at]) == token else None

    def best(self, mix: Mix, k: int) -> list[int]:
        """Places of the k best candidates, best first."""
        scores = mix.scores(self.x)
        return [int(place) for place in np.argsort(-scores, kind="stable")[:k]]


Steps = Generator[Wanted, Answer, Ranked]


def item_mix() -> Mix:
    """A mix of items' clues that has learnt nothing yet."""
    return Mix(TRAIL_CLUES + CATEGORY_CLUES, PRIOR)


def category_mix() -> Mix:
    """A mix of categories' clues that has learnt nothing yet."""
    return Mix(TRAIL_CLUES, PRIOR)


def rank_items(past: Past, shelf: Shelf, now_ms: int, exclude: Collection[int] = ()) -> Steps:
    """Rank what a person may touch next.

    Parameters
    ----------
    exclude
        Items that must not be recommended.
    """
    first = yield Wanted(past.items, past.categories[:1], past.categories)
    known = Known(first.rows, first.categories, first.members)
    found = joint(known.trail, now_ms)
    sources = [
        np.array(past.items, dtype=np.uint64),
        _strongest(found, GO_WITH_MAX),
        *(_heaviest(known.members, k) for k in range(len(past.categories))),
        shelf.most(POPULAR, TRENDING),
    ]
    if past.items and len(shelf):
        sources.append(shelf.alike(trail_content(known.trail), ALIKE))
    candidates = yield from _heads(np.concatenate(sources), shelf, exclude)
    x = trail_clues(past.items, found, candidates, now_ms)
    more = category_clues(past, known, candidates, x[:, 0])
    return Ranked(candidates.heads["id"], np.hstack([x, more]))


def rank_categories(past: Past, shelf: Shelf, now_ms: int, exclude: Collection[int] = ()) -> Steps:
    """Rank in which category a person may be next; see `rank_items`."""
    first = yield Wanted(categories=past.categories)
    found = joint(first.categories, now_ms)
    sources = [
        np.array(past.categories, dtype=np.uint64),
        _strongest(found, GO_WITH_MAX),
        shelf.most(POPULAR, TRENDING),
    ]
    candidates = yield from _heads(np.concatenate(sources), shelf, exclude, of_categories=True)
    x = trail_clues(past.categories, found, candidates, now_ms)
    return Ranked(candidates.heads["id"], x)


def _heads(
    tokens: Hashes, shelf: Shelf, exclude: Collection[int], *, of_categories: bool = False
) -> Generator[Wanted, Answer, TokenRows]:
    """Heads of all candidates, ascending: those that the shelf has not are asked for."""
    tokens = np.unique(tokens[tokens != 0])
    if exclude:
        tokens = tokens[~np.isin(tokens, np.array(list(exclude), dtype=np.uint64))]
    heads, found = shelf.heads_of(tokens)
    wanted = tuple(tokens[~found].tolist())
    answer = yield Wanted(categories=wanted) if of_categories else Wanted(heads=wanted)
    heads[~found] = answer.categories.heads if of_categories else answer.heads
    heads["id"] = tokens
    return TokenRows(heads, *TokenRows.empty(0)[1:])


def _strongest(found: Joint, n: int) -> Hashes:
    """Tokens that go with a trail the most, either way."""
    if len(found.tokens) <= n:
        return found.tokens
    either = [np.argpartition(-strength, n)[:n] for strength in (found.near, found.wide)]
    return found.tokens[np.concatenate(either)]


def _heaviest(rows: TokenRows, k: int) -> Hashes:
    order = np.argsort(-rows.weights[k])[:MEMBERS_MAX]
    return np.asarray(rows.neighbours[k][order])

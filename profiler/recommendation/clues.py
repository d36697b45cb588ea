"""Clues: what speaks for each candidate, as named numbers of about unit size."""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct

from profiler.columns import Floats, Hashes
from profiler.recommendation.associations import (
    FAST_HALF_LIFE_MS,
    SLOW_HALF_LIFE_MS,
    TokenRows,
    decayed,
)
from profiler.recommendation.shelf import touched_at

COUNT_PRIOR: Final = 5.0
"""Added to a candidate's count where associations are compared with it: rare ones prove little."""

TRAIL_CLUES: Final = (
    *("touched", "touched_place", "touched_lately", "touched_just_now", "touched_last"),
    *("goes_with", "goes_with_rare", "goes_with_log", "goes_with_rare_log"),
    *("goes_with_both", "goes_with_touched", "popular", "trending", "popular_log"),
)
CATEGORY_CLUES: Final = (
    *("category_next", "category_next_share", "category_last", "category_last_touched"),
    *("alike_last", "alike_trail"),
)
"""What is known of items only."""

PRIOR: Final = {"touched_place": 1.0, "goes_with": 1.0, "goes_with_log": 1.0, "popular": 1.0}
"""Weights before anything was learnt: what is near, and what is popular."""

_NEAR: Final = 0.6
_WIDE: Final = 0.85
"""How much an item of the trail counts, relative to the one touched after it: two ways, as what is
bought next hangs on the last item, and taste on many."""

_SHARE_MIN: Final = 1e-4
_LOG_SCALE: Final = 0.25
_CONTENT_PLACES: Final = 8
_CONTENT_DECAY: Final = 0.8


class Past(Struct, frozen=True):
    """What a person did so far, as far as it tells what comes next.

    Parameters
    ----------
    items, categories
        Trails: hashes, latest first.
    """

    items: tuple[int, ...]
    categories: tuple[int, ...]


class Known(Struct, frozen=True):
    """Statistics that a person's past asks for.

    Parameters
    ----------
    trail
        Rows of the trail's tokens.
    next_categories
        Row of the last category: which ones go with it.
    members
        Rows of the trail's categories: items that were touched in each.
    """

    trail: TokenRows
    next_categories: TokenRows
    members: TokenRows


class Joint(Struct, frozen=True):
    """Tokens that go with a trail, ascending, and how much, each way."""

    tokens: Hashes
    near: Floats
    wide: Floats


def joint(trail: TokenRows, now_ms: int) -> Joint:
    """What goes with a trail of P tokens, latest first."""
    trail = decayed(trail, np.maximum(trail.heads["as_of"], now_ms))
    place, at = np.nonzero(trail.neighbours)
    tokens, inverse = np.unique(trail.neighbours[place, at], return_inverse=True)
    weight = trail.weights[place, at].astype(np.float64)
    rarity = 1 / np.sqrt(trail.heads["count"] + 1)
    n = len(tokens)
    near = np.bincount(inverse, weight * _NEAR**place, n)
    wide = np.bincount(inverse, weight * _WIDE**place * rarity[place], n)
    return Joint(tokens, np.asarray(near, np.float64), np.asarray(wide, np.float64))


def trail_clues(
    past: tuple[int, ...],
    found: Joint,
    candidates: TokenRows,
    now_ms: int,
) -> Floats:
    """(M, 14) what trail and popularity say of M candidates; see `TRAIL_CLUES`.

    Parameters
    ----------
    candidates
        Their heads; ids ascending.
    """
    heads = candidates.heads
    ids = heads["id"]
    x = np.zeros((len(ids), len(TRAIL_CLUES)))
    if past:
        match = ids[:, None] == np.array(past, dtype=np.uint64)
        touched = match.any(axis=1)
        place = match.argmax(axis=1)
        x[:, 0] = touched
        x[:, 1] = touched / (1 + place)
        x[:, 2] = touched * 0.9**place
        x[:, 3] = touched * 0.5**place
        x[:, 4] = match[:, 0]
        near, wide = _found(found, ids)
        count = heads["count"]
        near /= count + COUNT_PRIOR
        wide /= np.sqrt(count + 1)
        x[:, 5] = near / (near.max(initial=0.0) + 1e-9)
        x[:, 6] = wide / (wide.max(initial=0.0) + 1e-9)
        x[:, 7] = np.log(near + _SHARE_MIN) * _LOG_SCALE
        x[:, 8] = np.log(wide + _SHARE_MIN) * _LOG_SCALE
        x[:, 9] = np.sqrt(near * wide)
        x[:, 10] = x[:, 5] * touched
    popular = touched_at(heads, "slow", SLOW_HALF_LIFE_MS, now_ms)
    trending = touched_at(heads, "fast", FAST_HALF_LIFE_MS, now_ms)
    x[:, 11] = np.sqrt(popular / (popular.sum() + 1e-9))
    x[:, 12] = np.sqrt(trending / (trending.sum() + 1e-9))
    x[:, 13] = np.log(popular + 0.01) * _LOG_SCALE
    return x


def category_clues(past: Past, known: Known, candidates: TokenRows, touched: Floats) -> Floats:
    """(M, 6) what categories and contents say of M items; see `CATEGORY_CLUES`.

    Parameters
    ----------
    touched
        (M,) 1 for what is in the trail.
    """
    heads = candidates.heads
    x = np.zeros((len(heads), len(CATEGORY_CLUES)))
    if past.categories:
        group = heads["group"]
        following = known.next_categories
        share = _share(group, following.neighbours[0], following.weights[0])
        within = np.zeros(len(heads))
        for k in range(len(known.members.heads)):
            members = known.members
            within += _share(heads["id"], members.neighbours[k], members.weights[k])
        x[:, 0] = share
        x[:, 1] = np.log(share * within + _SHARE_MIN) * _LOG_SCALE
        x[:, 2] = group == np.uint64(past.categories[0])
        x[:, 3] = x[:, 2] * touched
    if past.items:
        contents = known.trail.heads["content"].astype(np.float64)
        x[:, 4] = _cosine(heads["content"], contents[0])
        x[:, 5] = _cosine(heads["content"], trail_content(known.trail))
    return x


def trail_content(trail: TokenRows) -> Floats:
    """(32,) what a trail is about: the mean direction of its latest items."""
    contents = trail.heads["content"][:_CONTENT_PLACES].astype(np.float64)
    return np.asarray(_CONTENT_DECAY ** np.arange(len(contents)) @ contents)


def _found(found: Joint, ids: Hashes) -> tuple[Floats, Floats]:
    if not len(found.tokens):
        return np.zeros(len(ids)), np.zeros(len(ids))
    at = np.minimum(np.searchsorted(found.tokens, ids), len(found.tokens) - 1)
    is_there = found.tokens[at] == ids
    return np.where(is_there, found.near[at], 0.0), np.where(is_there, found.wide[at], 0.0)


def _share(ids: Hashes, tokens: Hashes, weights: Floats) -> Floats:
    """(M,) share of each id in a row's weight; 0 of what is not in it."""
    order = np.argsort(tokens)
    at = np.minimum(np.searchsorted(tokens[order], ids), len(tokens) - 1)
    found = order[at]
    share = np.where(tokens[found] == ids, weights[found], 0.0)
    return np.asarray(share / (weights.sum() + 1.0))


def _cosine(contents: Floats, direction: Floats) -> Floats:
    norms = np.linalg.norm(contents.astype(np.float64), axis=1) * np.linalg.norm(direction)
    return np.asarray((contents.astype(np.float64) @ direction) / (norms + 1e-9))

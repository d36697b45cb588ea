"""Skewed load for benchmarks: events of many users, of whom few do most.

P(rank) ∝ rank^−exponent over a finite number of users, by the inverse of the exact distribution
function. (`numpy.random.Generator.zipf` has no greatest rank and needs an exponent above 1.)
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

N_ITEMS: Final = 50_000
N_CATEGORIES: Final = 300
N_BRANDS: Final = 77
ITEM_EXPONENT: Final = 1.0
TYPE_SHARES: Final = {"click": 0.45, "browse": 0.35, "cart": 0.12, "purchase": 0.08}


def zipf_ranks(n: int, ranks: int, exponent: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ranks 0 to `ranks` − 1 with P(k) ∝ (k + 1)^−exponent; exponent 0 is uniform.

    Examples
    --------
    >>> zipf_ranks(5, 3, 1.0, np.random.default_rng(0)).max() <= 2
    np.True_
    """
    weights = np.arange(1, ranks + 1, dtype=np.float64) ** -exponent
    cumulative = np.cumsum(weights)
    # Drawn below the last sum and not below 1: rounding must not point behind the last rank.
    drawn = rng.random(n) * cumulative[-1]
    found: NDArray[np.int64] = np.searchsorted(cumulative, drawn, side="right").astype(np.int64)
    np.minimum(found, ranks - 1, out=found)
    return found


def zipf_events(
    n: int, users: int, exponent: float, seed: int, start_ms: int, span_ms: int
) -> list[tuple[bytes, bytes]]:
    """Make keys and values of `n` events of about 135 bytes, in order of event time.

    Parameters
    ----------
    n
        Number of events.
    users
        Number of users, ``u0`` (the most active) to ``u<users − 1>``.
    exponent
        Skew of the users' activity.
    seed
        The same seed gives the same events.
    start_ms, span_ms
        Event times are uniform over ``[start_ms, start_ms + span_ms)``.

    Notes
    -----
    Clicks, browses, cart and purchase events of 50,000 items (skewed too), 300 categories and 77
    brands. About 1.5 µs an event.

    Examples
    --------
    >>> zipf_events(1, 10, 1.1, 0, 1_000, 1)[0][0]
    b'u0'
    """
    rng = np.random.default_rng(seed)
    user_texts = [f"u{rank}" for rank in range(users)]
    user_keys = [text.encode() for text in user_texts]
    item_texts = _item_texts(rng)
    names = list(TYPE_SHARES)
    chosen = zip(
        zipf_ranks(n, users, exponent, rng).tolist(),
        zipf_ranks(n, N_ITEMS, ITEM_EXPONENT, rng).tolist(),
        rng.choice(len(names), size=n, p=list(TYPE_SHARES.values())).tolist(),
        np.sort(rng.integers(start_ms, start_ms + span_ms, size=n)).tolist(),
        strict=True,
    )
    return [
        (
            user_keys[user],
            f'{{"type":"{names[kind]}","ts":{ts},"event_id":"z{seed}-{number}",'
            f'"user_id":"{user_texts[user]}",{item_texts[item]}'.encode(),
        )
        for number, (user, item, kind, ts) in enumerate(chosen)
    ]


def _item_texts(rng: np.random.Generator) -> list[str]:
    categories = rng.integers(0, N_CATEGORIES, size=N_ITEMS).tolist()
    brands = rng.integers(0, N_BRANDS, size=N_ITEMS).tolist()
    prices = np.round(np.exp(rng.normal(3.0, 1.0, size=N_ITEMS)), 2).tolist()
    return [
        f'"item_id":"i{item}","category":"c{category}","brand":"b{brand}","price":{price}}}'
        for item, (category, brand, price) in enumerate(
            zip(categories, brands, prices, strict=True)
        )
    ]

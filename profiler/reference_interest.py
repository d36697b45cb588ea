"""Interest by its definition: directions of contents, and Space-Saving, one token at a time.

A part of the reference implementation (`profiler.reference`); shares nothing with the core.
"""

from __future__ import annotations

import math
import re
import unicodedata
from functools import lru_cache
from typing import Final

import xxhash

DIMENSIONS: Final = 32
WORDS_MAX: Final = 16
TOP_PLACES: Final = 16
NEAR_TIE: Final = 1e-12
_WORDS: Final = re.compile(r"[^\W_]+")


@lru_cache(maxsize=65_536)
def token_hash(kind: str, value: str) -> int:
    """Hash of a token; never 0, which means none."""
    value = " ".join(unicodedata.normalize("NFKC", value).split())
    return xxhash.xxh3_64_intdigest(f"{kind}\0{value}".encode()) or 1


@lru_cache(maxsize=65_536)
def token_direction(token: int) -> tuple[float, ...]:
    """Direction of a token: one of the 2^32 corners of a cube, of length 1.

    Examples
    --------
    >>> [round(x * math.sqrt(32)) for x in token_direction(0b1011)[:5]]
    [1, 1, -1, 1, -1]
    """
    unit = 1 / math.sqrt(DIMENSIONS)
    return tuple(unit if token >> j & 1 else -unit for j in range(DIMENSIONS))


@lru_cache(maxsize=16_384)
def content_direction(
    item: str | None, category: str | None, brand: str | None, text: str | None
) -> tuple[tuple[float, ...], int]:
    """Direction of an event's content, and the number of unit vectors it is made of.

    Examples
    --------
    >>> _, size = content_direction("i1", None, None, "Blue lamp")
    >>> size
    2
    """
    plain = unicodedata.normalize("NFKC", text).lower() if text else ""
    words = _WORDS.findall(plain)[:WORDS_MAX]
    parts = [
        (1.0, token_hash(kind, value))
        for kind, value in (("item", item), ("category", category), ("brand", brand))
        if value is not None
    ]
    size = len(parts) + bool(words)
    parts += [(1 / len(words), token_hash("word", word)) for word in words]
    total = [0.0] * DIMENSIONS
    for share, token in parts:
        total = [t + share * r for t, r in zip(total, token_direction(token), strict=True)]
    return tuple(total), size


class TopList:
    """Space-Saving (Metwally et al. 2005) over landmark weights.

    Attributes
    ----------
    weights
        Weight of each token in the list.
    mass
        Sum of all contributions, in the same scale.
    contested
        An eviction was decided between weights that only rounding tells apart: other additions,
        equal but for rounding, may rightly decide otherwise.
    """

    __slots__ = ("contested", "mass", "weights")

    def __init__(self) -> None:
        self.weights: dict[int, float] = {}
        self.mass = 0.0
        self.contested = False

    def add(self, token: int, contribution: float) -> None:
        """Count a token."""
        weights = self.weights
        self.mass += contribution
        if token in weights:
            weights[token] += contribution
        elif len(weights) < TOP_PLACES:
            weights[token] = contribution
        else:
            least = min(weights.values())
            near = least * (1 + NEAR_TIE)
            candidates = [t for t, weight in weights.items() if weight <= near]
            if len(candidates) > 1:
                self.contested |= any(weights[t] > least for t in candidates)
                candidates = [t for t in candidates if weights[t] == least]
            del weights[min(candidates)]
            weights[token] = least + contribution

    def rescale(self, exponent: int) -> None:
        """Multiply everything by a power of two."""
        self.mass = math.ldexp(self.mass, exponent)
        for token, weight in self.weights.items():
            self.weights[token] = math.ldexp(weight, exponent)

"""What is counted of the crowd, of which cohorts, and where each count has its place."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from profiler.behaviour.durations import BINS
from profiler.columns import DAY_MS
from profiler.facets.journey import STEPS

WEEK_MS: Final = 7 * DAY_MS
SEASON_MS: Final = 28 * DAY_MS
EPOCH_MS: Final = 64 * WEEK_MS
"""Landmarks lie this far apart: whole half-lives of everything that is counted, so that a sum is
brought to the next landmark by a power of two, which is exact."""

HOURS: Final = 168
SEGMENTS_MAX: Final = 16
BANDS: Final = ("never", "once", "often")
"""How often somebody had bought before."""

COHORTS: Final = (*BANDS, *(f"segment-{k}" for k in range(SEGMENTS_MAX)))
EVERYBODY: Final = "all"
"""Nobody is in two bands, so that everybody is their sum and is not counted again."""


class Part(Struct, frozen=True):
    """Counts of one kind.

    Parameters
    ----------
    name, length
        Its places follow those of the part before.
    half_life_ms
        How fast the counts fade.
    start
        Its first place; `PARTS` sets it.
    """

    name: str
    length: int
    half_life_ms: int
    start: int = 0

    @property
    def places(self) -> slice:
        """Where it lies among a cohort's counts."""
        return slice(self.start, self.start + self.length)


def _placed(*parts: Part) -> dict[str, Part]:
    placed, start = {}, 0
    for part in parts:
        placed[part.name] = Part(part.name, part.length, part.half_life_ms, start)
        start += part.length
    return placed


PARTS: Final = _placed(
    Part("reached", 4, SEASON_MS),
    Part("look_to_cart", BINS, SEASON_MS),
    Part("cart_to_purchase", BINS, SEASON_MS),
    Part("look_to_purchase", BINS, SEASON_MS),
    Part("starts", len(STEPS), WEEK_MS),
    Part("visits", len(STEPS), WEEK_MS),
    Part("moves", len(STEPS) ** 2, WEEK_MS),
    Part("events", HOURS, SEASON_MS),
    Part("purchases", HOURS, SEASON_MS),
)
"""*reached*: sessions, and those that looked, came to the cart, bought. *…_to_…*: passages by how
long they took. *starts*, *visits*, *moves*: sessions by their first step, steps, and pairs of
successive steps of a session. *events*, *purchases*: by hour of the week, from Monday 00:00 UTC."""

WIDTH: Final = sum(part.length for part in PARTS.values())

PASSAGES: Final = (("look_to_cart", 1, 2), ("cart_to_purchase", 2, 3), ("look_to_purchase", 1, 3))
"""Parts of times, and the stages between which they lie; the last one is without a cart."""


def epochs_read(as_of_ms: int) -> tuple[int, ...]:
    """Number of the landmark of a time, and the one before; of older ones nothing is left.

    Examples
    --------
    >>> epochs_read(5 * EPOCH_MS)
    (5, 4)
    """
    epoch = as_of_ms // EPOCH_MS
    return (epoch, epoch - 1) if epoch else (epoch,)

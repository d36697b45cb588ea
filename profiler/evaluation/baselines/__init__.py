"""What the profile's own rankings are held against, one file each, the strongest settings taken."""

from __future__ import annotations

from typing import Final

from profiler.evaluation.baselines import als, bpr, covisitation, isgd, popularity, repeat_last
from profiler.evaluation.baselines.contract import Baseline, Family, Retrained

FAMILIES: Final[tuple[Family, ...]] = (
    popularity.FAMILY,
    repeat_last.FAMILY,
    covisitation.FAMILY,
    isgd.FAMILY,
    bpr.FAMILY,
    als.FAMILY,
)
"""The first is the popularity that all others fall back on."""

__all__ = ["FAMILIES", "Baseline", "Family", "Retrained"]

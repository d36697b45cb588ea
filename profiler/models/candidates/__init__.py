"""Candidates, one per file. A new one is a new file and its line in `CANDIDATES`."""

from __future__ import annotations

from typing import Final

from profiler.models.candidates.bayesian import Bayesian
from profiler.models.candidates.contract import Listed
from profiler.models.candidates.gradient import ByGradient
from profiler.models.candidates.naive_bayes import NaiveBayes
from profiler.models.candidates.prior import Prior
from profiler.models.candidates.two_part import TwoPart

CANDIDATES: Final[tuple[Listed, ...]] = (
    Listed("prior", ("binary", "amount"), Prior),
    Listed("linear", ("binary", "amount"), ByGradient),
    Listed("bayesian", ("binary",), Bayesian),
    Listed("two_part", ("amount",), TwoPart),
    Listed("naive_bayes", ("binary",), NaiveBayes),
)
"""Those that can compete. The first serves while nothing is known."""

"""Candidates, one per file. A new one is a new file and its line in `CANDIDATES`."""

from __future__ import annotations

from typing import Final

from profiler.models.candidates.bayesian import Bayesian
from profiler.models.candidates.contract import Listed
from profiler.models.candidates.factorisation import Factorisation
from profiler.models.candidates.gradient import ByGradient
from profiler.models.candidates.naive_bayes import NaiveBayes
from profiler.models.candidates.prior import Prior
from profiler.models.candidates.trees import Forest, Tree
from profiler.models.candidates.two_part import TwoPart

CANDIDATES: Final[tuple[Listed, ...]] = (
    Listed("bayesian", ("binary",), Bayesian),
    Listed("two_part", ("amount",), TwoPart),
    Listed("prior", ("binary", "amount"), Prior),
    Listed("linear", ("binary", "amount"), ByGradient),
    Listed("naive_bayes", ("binary",), NaiveBayes),
    Listed("factorisation", ("binary", "amount"), Factorisation, share=0.1),
    Listed("tree", ("binary", "amount"), Tree, share=0.02, is_default=False),
    Listed("forest", ("binary", "amount"), Forest, share=0.005, is_default=False),
)
"""Those that can compete. The first serves while nothing is known: one that is sure of little then.
What a row keeps of their predictions goes by their place (`task.RIVALS`), so new ones are added at
the end."""

"""What a treatment (a coupon, a message) changes for whom, learnt from those who had it or not.

A DR-learner (Kennedy, "Towards optimal doubly robust estimation of heterogeneous causal effects",
2020) on a stream. Two River models, of the treated and of the others, predict the outcome; with the
known propensity e their errors give each person's *pseudo-outcome*, whose mean given x is the true
effect however bad the two models are:

    φ = μ₁(x) − μ₀(x) + (t − e) / (e·(1 − e)) · (y − μ_t(x))

River's Bayesian regression learns φ from x. Each φ is formed before the two models learn from its
person, which is what cross-fitting is for in a batch.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any, Final, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray
from river import linear_model, optim

from profiler.columns import DAY_MS, Floats, Ints
from profiler.errors import CorruptState
from profiler.optimisation.evidence import Evidence, EvidenceRecord, Observed, merge
from profiler.optimisation.posterior import posterior
from profiler.optimisation.simulated import Treatments

"""Facets, one per file. A new one is a new file and its place at the end of `_AFTER`.

The order fixes the vector: each facet's slices follow those of the facet before it.
"""

from __future__ import annotations

from typing import Final

from profiler.facets.activity import Activity
from profiler.facets.contract import Facet
from profiler.facets.core import Core
from profiler.facets.intent import Intent
from profiler.facets.interest import Interest
from profiler.facets.journey import Journey
from profiler.facets.quarantine import Quarantine
from profiler.facets.rhythm import Rhythm
from profiler.facets.sessions import Sessions
from profiler.facets.social import Social
from profiler.facets.trail import Trail
from profiler.facets.value import Value

_BEFORE: Final[tuple[Facet, ...]] = (Interest(), Activity(), Value(), Rhythm(), Sessions())
_AFTER: Final[tuple[Facet, ...]] = (Core(), Social(), Quarantine(), Trail(), Journey())

FACETS: Final[tuple[Facet, ...]] = (
    *_BEFORE,
    Intent(n_known=sum(len(facet.feature_names) for facet in (*_BEFORE, *_AFTER))),
    *_AFTER,
)
"""All of them; what models see of a person are the features of all others than *intent*."""

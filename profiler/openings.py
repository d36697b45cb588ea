"""Where sessions open: what both the facet *sessions* and the tasks of the models count by."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import EventColumns

GAP_MS: Final = 30 * 60_000
"""A longer gap between two events ends a session."""


def session_opens(events: EventColumns) -> NDArray[np.bool_]:
    """(N,) whether each event opens a session: the row's first ever, or after a long gap."""
    before, _ = events.last_done
    return np.asarray((before == 0) | (events.ts - before > GAP_MS))

"""What models see of an event: what was known of the person before it, and the event itself."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.columns import EventColumns, Floats
from profiler.events import BEHAVIOUR_TYPES
from profiler.models.task import STORED

OWN_FEATURES: Final = ("is_cart", "is_search", "is_purchase", "price", "amount")

_FLAGS: Final = tuple(BEHAVIOUR_TYPES.index(name) for name in ("cart", "search", "purchase"))


def inputs(known: Floats, events: EventColumns) -> NDArray[np.float32]:
    """(N, F) features of N events, rounded as rows keep them.

    Parameters
    ----------
    known
        (N, K) the features of the spec; those of the event itself follow them.
    """
    n, n_known = known.shape
    x = np.empty((n, n_known + len(OWN_FEATURES)))
    x[:, :n_known] = known
    for k, code in enumerate(_FLAGS, n_known):
        x[:, k] = events.type_code == code
    x[:, -2] = np.log1p(events.price)
    x[:, -1] = np.log1p(events.price * events.quantity)
    return x.astype(STORED).astype(np.float32)

"""The bounds of a worker."""

from __future__ import annotations

from msgspec import Struct

from streams.acknowledgements import DURABLE_AFTER_S


class Limits(Struct, frozen=True, kw_only=True):
    """How much a worker takes on.

    Parameters
    ----------
    batch_events_max
        Records of one batch, give or take a delivery.
    queue_events_max
        Records waiting; beyond it `Worker.submit` waits.
    arena_rows
        Rows kept in memory.
    figures_interval_s
        How often model quality and weights go to the store.
    statistics_interval_s
        How often what people touch is merged into the store's statistics; 0: never.
    durable_after_s
        See `streams.acknowledgements`.
    """

    batch_events_max: int = 16_384
    queue_events_max: int = 65_536
    arena_rows: int = 100_000
    figures_interval_s: float = 10.0
    statistics_interval_s: float = 2.0
    durable_after_s: float = DURABLE_AFTER_S

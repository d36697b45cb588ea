"""Intent: what the models expect this person to do, and the prediction kept to be learnt.

Its columns are *derived*: the model step of the pipeline writes them, audits leave them out.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import EventColumns, Floats, Rows, Snapshot
from profiler.facets.contract import Column, Description, Slice, described

FEATURES = 16
PENDING = ("intent.pending_x", "intent.pending_p", "intent.pending_n", "intent.pending_due")
"""Columns of the prediction that is kept to be learnt."""
_LOG_ODDS_MAX = 10.0


class Intent(Struct, frozen=True):
    """Probability of a purchase in this session, and what was predicted before."""

    name: str = "intent"
    columns: tuple[Column, ...] = (
        Column("intent.pending_x", "<f4", "derived", (FEATURES,)),
        Column("intent.pending_p", "<f4", "derived"),
        Column("intent.pending_n", "<u4", "derived"),
        Column("intent.pending_due", "<i8", "derived"),
        Column("intent.score", "<f4", "derived"),
    )
    slices: tuple[Slice, ...] = (
        Slice("intent", 2, "probability; log-odds", labels=("purchase", "purchase_log_odds")),
    )
    feature_names: tuple[str, ...] = ()

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """No features: a model does not feed on its own output."""
        return np.empty((len(events), 0))

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Nothing: the model step writes these columns."""

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Nothing: derived columns are taken from the later row."""

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """Probability and bounded log-odds."""
        p = now["intent.score"].astype(np.float64)
        out[:, 0] = p
        odds = np.clip(p, 1e-9, 1 - 1e-9)
        out[:, 1] = np.clip(np.log(odds / (1 - odds)), -_LOG_ODDS_MAX, _LOG_ODDS_MAX)

    def describe(self, now: Snapshot) -> list[Description]:
        """The score by task."""
        return described(purchase_in_session=now["intent.score"].astype(float).round(4).tolist())

"""The contract of a tracker: where figures go that people follow in a tool of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol


class Tracker(Protocol):
    """One run in one tool. May be slow: `streams.tracking.background` stands before it."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add a point to each of these curves.

        Parameters
        ----------
        metrics
            By name, such as ``purchase_in_session/roc_auc``. NaN is not known yet, and left out.
        step
            Events so far, or whatever the curves are drawn over; never less than before.
        """
        ...

    def log_params(self, params: Mapping[str, str | float]) -> None:
        """Tell what the run was made with, once. Never a secret."""
        ...

    def log_text(self, name: str, text: str) -> None:
        """Add a page of Markdown."""
        ...

    def close(self) -> None:
        """Write what is left, and end the run."""
        ...


def known(metrics: Mapping[str, float]) -> dict[str, float]:
    """Leave out what is not known.

    Examples
    --------
    >>> known({"roc_auc": float("nan"), "log_loss": 0.25})
    {'log_loss': 0.25}
    """
    return {name: float(value) for name, value in metrics.items() if not math.isnan(value)}

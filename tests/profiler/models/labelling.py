"""Labels for tests, made of columns."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from profiler.models.labels import Labels
from profiler.models.task import RIVALS


def labels_of(x: np.ndarray, label: np.ndarray, **more: Any) -> Labels:
    """Labels with these features and outcomes, all else plain."""
    n = len(label)
    plain = Labels(
        task=np.zeros(n, dtype=np.intp),
        x=x.astype(np.float32),
        prediction=np.full(n, 0.5, dtype=np.float32),
        rivals=np.full((n, RIVALS), 0.5, dtype=np.float32),
        own=np.zeros(n, dtype=np.float32),
        evidence=np.zeros(n, dtype=np.float32),
        weight=np.ones(n),
        label=label.astype(np.float64),
        asked_ms=np.arange(n, dtype=np.int64),
        known_ms=np.arange(n, dtype=np.int64),
        due_ms=np.arange(n, dtype=np.int64),
        row=np.arange(n, dtype=np.intp),
    )
    return msgspec.structs.replace(plain, **more)

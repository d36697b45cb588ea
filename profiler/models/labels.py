"""Predictions that were kept, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import Floats, Ints


class Labels(Struct, frozen=True, kw_only=True):
    """Kept predictions whose outcome is known.

    Parameters
    ----------
    task
        (L,) index into `profiler.models.TASKS`.
    x
        (L, F) features at the time of the prediction, as the row kept them.
    prediction
        (L,) what the serving candidate predicted then: a probability, or an amount.
    rivals
        (L, S) what the first S candidates predicted then, uncalibrated.
    own, evidence
        (L,) the person's own part, before this label moves it; see `profiler.models.personal`.
    weight
        (L,) how many predictions it stands for.
    label
        (L,) the outcome: 0 or 1, or an amount.
    asked_ms, known_ms, due_ms
        (L,) times of the prediction, at which the outcome was known, and by which any outcome is:
        a yes is often known long before a no would be.
    row
        (L,) the row that kept it, of those that were looked through.
    """

    task: NDArray[np.intp]
    x: NDArray[np.float32]
    prediction: NDArray[np.float32]
    rivals: NDArray[np.float32]
    own: NDArray[np.float32]
    evidence: NDArray[np.float32]
    weight: Floats
    label: Floats
    asked_ms: Ints
    known_ms: Ints
    due_ms: Ints
    row: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.label)

    def only(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Labels:
        """Labels at these places."""
        return Labels(**{name: getattr(self, name)[index] for name in self.__struct_fields__})

    def of(self, task: int) -> Labels:
        """Labels of one task."""
        return self.only(np.flatnonzero(self.task == task))

    def numbered(self, task: int) -> Labels:
        """Return the same labels as those of this task."""
        return msgspec.structs.replace(self, task=np.full(len(self), task, dtype=np.intp))

    @staticmethod
    def none(n_features: int, n_rivals: int) -> Labels:
        """No labels at all."""
        no_times, no_sums = np.zeros(0, dtype=np.int64), np.zeros(0)
        no_places, nothing = np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.float32)
        return Labels(
            task=no_places,
            x=np.zeros((0, n_features), dtype=np.float32),
            prediction=nothing,
            rivals=np.zeros((0, n_rivals), dtype=np.float32),
            own=nothing,
            evidence=nothing,
            weight=no_sums,
            label=no_sums,
            asked_ms=no_times,
            known_ms=no_times,
            due_ms=no_times,
            row=no_places,
        )

    @staticmethod
    def joined(parts: Sequence[Labels]) -> Labels:
        """Labels of at least one part, one after another."""
        return Labels(
            **{
                name: np.concatenate([getattr(part, name) for part in parts])
                for name in Labels.__struct_fields__
            }
        )

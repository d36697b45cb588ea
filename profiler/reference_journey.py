"""Journey of `docs/facets.md`, one event at a time; part of `profiler.reference`."""

from __future__ import annotations

import math
import struct
from typing import Final

STEP_CODES: Final = {"click": 1, "browse": 1, "media": 1, "search": 2, "cart": 3, "purchase": 4}
STAGE_CODES: Final = {"click": 1, "browse": 1, "media": 1, "cart": 2, "purchase": 3}
N_STEPS: Final = 4
LOOK, CART, PURCHASE = 1, 2, 3


class ReferenceJourney:
    """Steps and stages of one person.

    Attributes
    ----------
    step, stage, entered
        Of the current session.
    sums
        By column name, in the stored scale, rounded to float32.
    """

    __slots__ = ("entered", "stage", "step", "sums")

    def __init__(self) -> None:
        self.step = self.stage = self.entered = 0
        self.sums = {
            "journey.next": [0.0] * (N_STEPS * (N_STEPS + 1)),
            "journey.reached": [0.0] * PURCHASE,
            "journey.passed": [0.0] * 2,
            "journey.passed_s": [0.0] * 2,
        }

    def end(self, weight: float) -> None:
        """End the session, if there is one, at the time of its last event."""
        if self.step:
            self._add("journey.next", (self.step - 1) * (N_STEPS + 1) + N_STEPS, weight)
        self.step = self.stage = self.entered = 0

    def go_on(self, type_name: str, weight: float) -> None:
        """Count what follows the step before in the same session."""
        step = STEP_CODES.get(type_name)
        if step and self.step:
            self._add("journey.next", (self.step - 1) * (N_STEPS + 1) + step - 1, weight)

    def reach(self, type_name: str, ts: int, weight: float) -> None:
        """Take the step, and enter the stage that it reaches."""
        self.step = STEP_CODES.get(type_name, self.step)
        stage = STAGE_CODES.get(type_name, 0)
        if stage <= self.stage:
            return
        for passed in range(self.stage + 1, stage + 1):
            self._add("journey.reached", passed - 1, weight)
        for k, passage in enumerate(((LOOK, CART), (CART, PURCHASE))):
            if (self.stage, stage) == passage:
                self._add("journey.passed", k, weight)
                self._add("journey.passed_s", k, max(0, ts - self.entered) / 1000 * weight)
        self.stage, self.entered = stage, ts

    def exact(self) -> dict[str, int]:
        """Columns that are integers."""
        return {
            "journey.step": self.step,
            "journey.stage": self.stage,
            "journey.entered": self.entered,
        }

    def rescale(self, exponent: int) -> None:
        """Multiply all sums by a power of two."""
        for name, values in self.sums.items():
            self.sums[name] = [_float32(math.ldexp(value, exponent)) for value in values]

    def _add(self, name: str, place: int, value: float) -> None:
        self.sums[name][place] = _float32(self.sums[name][place] + _float32(value))


def _float32(value: float) -> float:
    """Round to float32."""
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded

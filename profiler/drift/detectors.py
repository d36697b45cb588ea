"""River's drift detectors behind one contract: values in mini-batches, positions of drifts out.

Losses are noisy, and a Python call for each costs more than what it finds: most detectors here see
the *sums* of blocks of values. For ADWIN nothing but the grain is lost: its bound for the mean of m
sums of B values in [0, 1] is B times that for the mean of mB values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np
from msgspec import Struct
from river import drift
from river.drift.binary import DDM as RiverDDM

from profiler.columns import Floats

BLOCK: Final = 32
"""Values that are added up before a detector sees them."""


class River(Protocol):
    """What River's detectors have in common, be it of numbers or of bits."""

    @property
    def drift_detected(self) -> bool:
        """Whether the last value showed a drift."""

    def update(self, x: Any) -> None:
        """See one more value; after a drift, anew."""


class Detector(Protocol):
    """Finds changes in the level of a series."""

    def update(self, values: Floats) -> list[int]:
        """Positions in `values` (N,), ascending, at which a drift was found.

        What is found does not depend on how a series is cut into calls.
        """


class Kind(Struct, frozen=True):
    """A way to notice drift.

    Parameters
    ----------
    name
        As in tables.
    make
        A new detector of River's, with the parameters that were chosen.
    block
        Values that it sees as one, their sum.
    """

    name: str
    make: Callable[[], River]
    block: int = BLOCK

    def detector(self) -> Detector:
        """A detector of single values.

        Examples
        --------
        >>> calm, bad = np.zeros(640), np.ones(320)
        >>> ADWIN.detector().update(np.concatenate([calm, bad]))
        [735]
        """
        return InBlocks(self.make(), self.block)


class InBlocks:
    """One of River's detectors, fed with sums of blocks; it starts anew after each drift.

    Parameters
    ----------
    detector
        The detector, which this object owns.
    block
        Values per block.
    """

    def __init__(self, detector: River, block: int = BLOCK) -> None:
        self._detector = detector
        self._block = block
        self._open: Floats = np.zeros(0)

    def update(self, values: Floats) -> list[int]:
        """Positions in `values` (N,) at which a drift was found: the last value of a block."""
        block, n_open = self._block, len(self._open)
        joined = np.concatenate([self._open, values]) if n_open else values
        n_full = len(joined) // block
        self._open = np.array(joined[n_full * block :], dtype=np.float64)
        if not n_full:
            return []
        found = []
        detector, update = self._detector, self._detector.update
        sums = joined[: n_full * block].reshape(-1, block).sum(axis=1)
        for k, value in enumerate(sums.tolist()):
            update(value)
            if detector.drift_detected:
                found.append((k + 1) * block - 1 - n_open)
        return found


ADWIN: Final = Kind(
    "ADWIN",
    lambda: drift.ADWIN(delta=0.05, clock=1, grace_period=8, min_window_length=2),
)
"""Bifet, Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007.

Every block is looked at. Twenty-five times River's delta shortens the delay by a third; the price
is less than one false alarm in 100,000 values, before any confirmation."""

PAGE_HINKLEY: Final = Kind(
    "Page-Hinkley",
    lambda: drift.PageHinkley(min_instances=8, delta=1.6, threshold=30.0, alpha=1.0, mode="up"),
)
"""Page, "Continuous inspection schemes", Biometrika 1954. Of sums of 32 errors: half of a rise
by a tenth is tolerated; River's own parameters are for values of another size."""

KSWIN: Final = Kind(
    "KSWIN",
    lambda: drift.KSWIN(alpha=3e-4, window_size=60, stat_size=16, seed=7),
)
"""Raab, Heusinger, Schleif, "Reactive soft prototype computing", Neurocomputing 2020.

It sees changes of shape too, but a Kolmogorov-Smirnov test for each block costs a third of a
millisecond."""

DDM: Final = Kind(
    "DDM", lambda: RiverDDM(warm_start=256, warning_threshold=3.0, drift_threshold=4.0), block=1
)
"""Gama, Medas, Castillo, Rodrigues, "Learning with drift detection", SBIA 2004. Errors of 0 and 1
only, one by one, as its bound is the binomial one."""

DETECTORS: Final = (ADWIN, PAGE_HINKLEY, KSWIN, DDM)
"""All kinds that pass the family's suite, the one that the watch uses first."""

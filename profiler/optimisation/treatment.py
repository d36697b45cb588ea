"""People of whom some were treated: what effects are learnt from, and rankings judged by."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import Floats, Ints


class Treatments(Struct, frozen=True):
    """N people, in the order of time, some of whom were treated.

    Parameters
    ----------
    context
        (N, F) what was known of them before.
    treated, propensity
        (N,) whether they were, and with what probability; strictly between 0 and 1.
    outcome
        (N,) what came of it.
    at_ms
        (N,) when it was decided.

    Raises
    ------
    ValueError
        If a propensity leaves no chance for the other choice: nothing can be learnt of it then.
    """

    context: Floats
    treated: NDArray[np.bool_]
    propensity: Floats
    outcome: Floats
    at_ms: Ints

    def __post_init__(self) -> None:
        if not ((self.propensity > 0.0) & (self.propensity < 1.0)).all():
            raise ValueError("a propensity of treatment is not between 0 and 1")

    def __len__(self) -> int:
        return len(self.treated)

    def part(self, rows: slice) -> Treatments:
        """Some of them.

        Examples
        --------
        >>> one = np.ones(3)
        >>> people = Treatments(np.zeros((3, 2)), one > 0, one / 2, one, np.arange(3))
        >>> len(people.part(slice(1, None)))
        2
        """
        return Treatments(*(getattr(self, name)[rows] for name in Treatments.__struct_fields__))

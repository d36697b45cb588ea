"""A funnel: how many sessions come how far, how long they take, and where they leave."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from profiler.behaviour.durations import quantile_s
from profiler.behaviour.layout import PASSAGES
from profiler.columns import Floats
from profiler.facets.journey import STAGES


class Stage(Struct, frozen=True):
    """A stage of the funnel.

    Parameters
    ----------
    name
        Of the stage; *none* is the beginning of a session.
    sessions
        Decayed number of sessions that came so far.
    conversion
        Share of them that came further; 0 of the last stage.
    left
        Share of all sessions that came so far and no further, or have not yet.
    """

    name: str
    sessions: float
    conversion: float
    left: float


class Passage(Struct, frozen=True):
    """What it takes to come from one stage to another.

    Parameters
    ----------
    name
        ``look_to_cart``, ``cart_to_purchase``, or ``look_to_purchase``: without a cart.
    passages
        Decayed number.
    median_s, slow_s
        What half of them, and nine tenths of them, take at most; None if there is none.
    """

    name: str
    passages: float
    median_s: float | None
    slow_s: float | None


class Funnel(Struct, frozen=True):
    """Stages from the beginning of a session to a purchase, and passages between them."""

    stages: tuple[Stage, ...]
    passages: tuple[Passage, ...]


def funnel(counts: Mapping[str, Floats]) -> Funnel:
    """Read a cohort's counts as a funnel.

    Examples
    --------
    >>> import numpy as np
    >>> none = dict.fromkeys(("look_to_cart", "cart_to_purchase", "look_to_purchase"), np.zeros(64))
    >>> found = funnel({"reached": np.array([10.0, 8.0, 4.0, 1.0]), **none})
    >>> [(stage.name, stage.conversion, stage.left) for stage in found.stages]
    [('none', 0.8, 0.2), ('look', 0.5, 0.4), ('cart', 0.25, 0.3), ('purchase', 0.0, 0.1)]
    """
    reached = counts["reached"].tolist()
    further = [*reached[1:], 0.0]
    stages = tuple(
        Stage(name, came, _share(went, came), _share(max(came - went, 0.0), reached[0]))
        for name, came, went in zip(STAGES, reached, further, strict=True)
    )
    passages = tuple(
        Passage(
            name,
            float(counts[name].sum()),
            quantile_s(counts[name], 0.5),
            quantile_s(counts[name], 0.9),
        )
        for name, _, _ in PASSAGES
    )
    return Funnel(stages, passages)


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0

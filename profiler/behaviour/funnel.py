"""A funnel: how many sessions come how far, how long they take, and where they leave."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from profiler.behaviour.durations import quantile_s
from profiler.behaviour.layout import PASSAGES
from profiler.columns import Floats
from profiler.facets.journey import STAGES


class Stage(Struct, frozen=True):
    """A stage of the funnel; shares are of the sessions that were seen there.

    Parameters
    ----------
    name
        *none* is the beginning of a session; *look*, *cart*, *purchase*.
    sessions
        Decayed number of sessions that were seen there. One that began with a purchase was neither
        at *look* nor at *cart*.
    to
        Share that went on from there, by name of the stage that came next.
    left
        Share that came no further, or has not yet.
    """

    name: str
    sessions: float
    to: dict[str, float]
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
    """From the beginning of a session to a purchase.

    Parameters
    ----------
    conversion
        Share of all sessions that bought.
    stages, passages
        Where sessions were, and the ways between.
    """

    conversion: float
    stages: tuple[Stage, ...]
    passages: tuple[Passage, ...]


def funnel(counts: Mapping[str, Floats]) -> Funnel:
    """Read a cohort's counts as a funnel.

    Examples
    --------
    >>> none, one = np.zeros(64), np.full(64, 1 / 64)
    >>> counts = {"reached": np.array([10.0, 6.0, 3.0, 1.0]), "look_to_purchase": one}
    >>> found = funnel(counts | {"look_to_cart": none, "cart_to_purchase": none})
    >>> [(stage.name, stage.sessions, stage.to) for stage in found.stages[1:]]
    [('look', 4.0, {'purchase': 0.25}), ('cart', 2.0, {}), ('purchase', 1.0, {})]
    """
    flow = _flows(counts)
    seen = [float(counts["reached"][0]), *flow.sum(axis=0)[1:].tolist()]
    stages = []
    for k, name in enumerate(STAGES):
        on = [_share(float(n), seen[k]) for n in flow[k]]
        to = {STAGES[k]: share for k, share in enumerate(on) if share > 0}
        left = max(1.0 - sum(on), 0.0) if seen[k] > 0 else 0.0
        stages.append(Stage(name, seen[k], to, left))
    passages = tuple(
        Passage(
            name,
            float(counts[name].sum()),
            quantile_s(counts[name], 0.5),
            quantile_s(counts[name], 0.9),
        )
        for name, _, _ in PASSAGES
    )
    return Funnel(_share(seen[-1], seen[0]), tuple(stages), passages)


def _flows(counts: Mapping[str, Floats]) -> Floats:
    """(4, 4) sessions that went from one stage to another.

    The ways from *none* were not counted, but how many passed each stage: that is enough.
    """
    flow = np.zeros((len(STAGES), len(STAGES)))
    for name, before, after in PASSAGES:
        flow[before, after] = counts[name].sum()
    passed = [*counts["reached"].tolist(), 0.0]
    for stage in range(1, len(STAGES)):
        stayed = passed[stage] - passed[stage + 1]
        seen = stayed + flow[stage].sum()
        flow[0, stage] = max(seen - flow[1:, stage].sum(), 0.0)
    return flow


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0

"""What is known of how a cohort behaves, for readers: plain numbers that encode as JSON."""

from __future__ import annotations

from msgspec import Struct

from profiler.behaviour.crowd import Crowd
from profiler.behaviour.funnel import Funnel, funnel
from profiler.behaviour.layout import EVERYBODY
from profiler.behaviour.nextstep import NextSteps, next_steps
from profiler.behaviour.seasons import Seasons, seasons


class Behaviour(Struct, frozen=True):
    """How a cohort behaves.

    Parameters
    ----------
    cohort
        *all*, *never*, *once*, *often* (bought before), or ``segment-<n>``.
    cohorts
        All cohorts of which something is known.
    as_of_ms
        Greatest time of an event that was counted; numbers are worth what they are then.
    funnel, next_steps, seasons
        How far sessions come, what follows each step, and when people are busy.
    """

    cohort: str
    cohorts: tuple[str, ...]
    as_of_ms: int
    funnel: Funnel
    next_steps: NextSteps
    seasons: Seasons


def behaviour_of(crowd: Crowd, cohort: str = EVERYBODY) -> Behaviour:
    """Read what was counted of a cohort.

    Raises
    ------
    UsageError
        If there is no such cohort.
    """
    counts = crowd.cohort(cohort)
    return Behaviour(
        cohort,
        tuple(crowd.cohorts()),
        crowd.as_of_ms,
        funnel(counts),
        next_steps(counts),
        seasons(counts),
    )

"""What follows a step: a Markov chain over the steps of a session, its end included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from profiler.columns import Floats
from profiler.facets.journey import STEPS

NEXT: Final = (*STEPS, "end")
PRIOR_STEPS: Final = 5.0
"""How many steps of a person the crowd's habit weighs as much as."""


class NextSteps(Struct, frozen=True):
    """How sessions begin, and what follows each step.

    Parameters
    ----------
    starts
        Share of sessions that begin with each of `STEPS`.
    visits
        Decayed number of each of `STEPS`.
    probability
        By step, of each of `NEXT` to follow it; zeros where the step was never taken.
    """

    starts: tuple[float, ...]
    visits: tuple[float, ...]
    probability: tuple[tuple[float, ...], ...]


def next_steps(counts: Mapping[str, Floats]) -> NextSteps:
    """Read a cohort's counts as a Markov chain.

    That a session is over is not seen, only that nothing more has come: a visit that no step
    followed is an end, also of those sessions that are still going on.

    Examples
    --------
    >>> moves = np.zeros(16)
    >>> moves[2] = 1.0  # from the first step, look, to the third, cart
    >>> visits, starts = np.array([4.0, 0, 1, 0]), np.array([4.0, 0, 0, 0])
    >>> next_steps({"starts": starts, "visits": visits, "moves": moves}).probability[0]
    (0.0, 0.0, 0.25, 0.0, 0.75)
    """
    starts, visits = counts["starts"], counts["visits"]
    moves = counts["moves"].reshape(len(STEPS), len(STEPS))
    # A move is a little later than the visit that it ends, and so has decayed a little less.
    ended = np.maximum(visits - moves.sum(axis=1), 0.0)
    following = np.column_stack([moves, ended])
    total = following.sum(axis=1, keepdims=True)
    probability = following / np.where(total > 0, total, 1.0)
    return NextSteps(
        tuple((starts / max(float(starts.sum()), 1e-300)).tolist()),
        tuple(visits.tolist()),
        tuple(map(tuple, probability.tolist())),
    )


def shrunk(counts: Sequence[float], prior: Sequence[float]) -> list[float]:
    """Probabilities from few counts, drawn towards what others do.

    Parameters
    ----------
    counts
        How often each thing followed.
    prior
        Probability of each among others; where it is zero throughout, all are taken as even.

    Examples
    --------
    >>> shrunk([5.0, 0.0], [0.2, 0.8])
    [0.6, 0.4]
    """
    if not sum(prior) > 0:
        prior = [1 / len(counts)] * len(counts)
    total = sum(counts) + PRIOR_STEPS
    return [
        (count + PRIOR_STEPS * share) / total for count, share in zip(counts, prior, strict=True)
    ]

"""A part of a prepared batch: some of its events and links, in another order if need be."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from profiler.batch import Prepared


def excerpt(
    prepared: Prepared,
    events: NDArray[np.intp],
    claims: Sequence[int] = (),
    traits: Sequence[int] = (),
) -> Prepared:
    """Only these events, links and traits, and the people whom they are about.

    Parameters
    ----------
    events
        (M,) places of events, in the order in which they are to be applied.
    claims, traits
        Places of links and of traits.
    """
    said = [prepared.claims[k] for k in claims]
    told = [prepared.traits[k] for k in traits]
    others = np.array([*(one.place for one in said), *(one.place for one in told)], dtype=np.intp)
    left, place = np.unique(np.concatenate([prepared.row[events], others]), return_inverse=True)
    n, places = len(events), iter(place[len(events) :].tolist())
    kept = dataclasses.replace(
        prepared,
        rejected=[],
        forwards=[],
        pids=[prepared.pids[k] for k in left.tolist()],
        n_unused=0,
        home=prepared.home[left],
        claims=[one._replace(place=next(places)) for one in said],
        traits=[one._replace(place=next(places)) for one in told],
        looks=[],
    )
    kept.choose(events)
    kept.row = place[:n]
    return kept


def about(prepared: Prepared, pids: Collection[str]) -> Prepared:
    """Only what is about these people, in its order."""
    theirs = np.array([pid in pids for pid in prepared.pids], dtype=bool)
    claims = [k for k, claim in enumerate(prepared.claims) if theirs[claim.place]]
    traits = [k for k, told in enumerate(prepared.traits) if theirs[told.place]]
    return excerpt(prepared, np.flatnonzero(theirs[prepared.row]), claims, traits)

"""A part of a prepared batch: some of its events and links, in another order if need be."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from profiler.batch import Prepared


def excerpt(prepared: Prepared, events: NDArray[np.intp], claims: Sequence[int] = ()) -> Prepared:
    """Only these events and links, and the people whom they are about.

    Parameters
    ----------
    events
        (M,) places of events, in the order in which they are to be applied.
    claims
        Places of links.
    """
    members = np.array([prepared.claims[k].place for k in claims], dtype=np.intp)
    left, place = np.unique(np.concatenate([prepared.row[events], members]), return_inverse=True)
    n = len(events)
    return dataclasses.replace(
        prepared,
        rejected=[],
        forwards=[],
        pids=[prepared.pids[k] for k in left.tolist()],
        n_unused=0,
        home=prepared.home[left],
        claims=[
            prepared.claims[k]._replace(place=int(p))
            for k, p in zip(claims, place[n:].tolist(), strict=True)
        ],
        looks=[],
        **{**prepared.columns_at(events), "row": place[:n]},
    )


def about(prepared: Prepared, pids: Collection[str]) -> Prepared:
    """Only what is about these people, in its order."""
    theirs = np.array([pid in pids for pid in prepared.pids], dtype=bool)
    claims = [k for k, claim in enumerate(prepared.claims) if theirs[claim.place]]
    return excerpt(prepared, np.flatnonzero(theirs[prepared.row]), claims)

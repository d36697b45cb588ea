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
    looks: Sequence[int] = (),
) -> Prepared:
    """Only these events, links, traits and looks, and the people whom they are about.

    Parameters
    ----------
    events
        (M,) places of events, in the order in which they are to be applied.
    claims, traits, looks
        Places of links, of traits, and of looks.
    """
    said = [prepared.claims[k] for k in claims]
    told = [prepared.traits[k] for k in traits]
    asked = [prepared.looks[k] for k in looks]
    others = np.array([one.place for some in (said, told, asked) for one in some], dtype=np.intp)
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
        looks=[one._replace(place=next(places)) for one in asked],
    )
    kept.choose(events)
    kept.row = place[:n]
    return kept


def about(prepared: Prepared, pids: Collection[str]) -> Prepared:
    """Only what is about these people, in its order."""
    theirs = np.array([pid in pids for pid in prepared.pids], dtype=bool)
    claims = [k for k, claim in enumerate(prepared.claims) if theirs[claim.place]]
    traits = [k for k, told in enumerate(prepared.traits) if theirs[told.place]]
    looks = [k for k, look in enumerate(prepared.looks) if theirs[look.place]]
    return excerpt(prepared, np.flatnonzero(theirs[prepared.row]), claims, traits, looks)

"""What several workers have learnt, together: federated averaging of their exports.

McMahan, Moore, Ramage, Hampson, Agüera y Arcas, "Communication-efficient learning of deep networks
from decentralized data", AISTATS 2017: each state counts by the labels behind it. What a state is
made of says how it is averaged: weights as they are, posteriors and classes by their sums, and of
trees, which cannot be averaged, those that know most are taken (`Candidate.merge`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from profiler.columns import Floats
from profiler.models.candidates import CANDIDATES
from profiler.models.numbers import averaged

VERSION: Final = 2
"""Of exports; one that is newer is not read."""

State = dict[str, Any]


def merged(exports: Sequence[bytes]) -> bytes:
    """One export from at least one; those of another version are left out.

    Equal exports give the same again, and the order in which they come does not matter.

    Raises
    ------
    msgspec.DecodeError
        If one is no JSON object.
    """
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    states = [state for state in map(decode, sorted(exports)) if state.get("version") == VERSION]
    names = sorted({name for state in states for name in state["tasks"]})
    tasks = {
        name: _of_task([s["tasks"][name] for s in states if name in s["tasks"]]) for name in names
    }
    return msgspec.json.encode({"version": VERSION, "tasks": tasks})


def _of_task(states: Sequence[State]) -> State:
    names = [c.name for c in CANDIDATES if any(c.name in s["candidates"] for s in states)]
    candidates = {
        name: _of_candidate(name, [c[name] for s in states if name in (c := s["candidates"])])
        for name in names
    }
    n = [max((c["n"] for c in s["candidates"].values()), default=0.0) for s in states]
    votes: dict[str, list[float]] = {}
    for state, labels in zip(states, n, strict=True):
        votes.setdefault(state["serving"], []).append(labels)
    serving = max(sorted(votes), key=lambda name: (math.fsum(votes[name]), len(votes[name])))
    personal = averaged([s["personal"] for s in states], shares(n))
    return {"serving": serving, "personal": personal, "candidates": candidates}


def _of_candidate(name: str, states: Sequence[State]) -> State:
    (listed,) = [c for c in CANDIDATES if c.name == name]
    part = shares([s["n"] for s in states])
    state = {
        "n": float(averaged([s["n"] for s in states], part)),
        "learnt": listed.make.merge([s["learnt"] for s in states], part),
    }
    if all("calibration" in s for s in states):
        state["calibration"] = averaged([s["calibration"] for s in states], part)
    return state


def shares(n: Sequence[float]) -> Floats:
    """Share of each in all labels; equal ones where there are none.

    Examples
    --------
    >>> shares([3, 1]), shares([0, 0])
    (array([0.75, 0.25]), array([0.5, 0.5]))
    """
    total = math.fsum(n)
    if not total:
        return np.full(len(n), 1.0 / len(n))
    return np.array(n, dtype=np.float64) / total

"""Test, then learn: every ranking is made before the event that it is judged by is learnt.

Gama, Sebastião, Rodrigues, "On evaluating stream learning algorithms", Machine Learning 2013;
for rankings: Vinagre, Jorge, Gama, "Evaluation of recommender systems in streaming environments",
2014.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
from msgspec import Struct

from profiler.columns import DAY_MS, Ints
from profiler.evaluation.baselines.contract import Baseline, Family, Retrained
from profiler.evaluation.log import Log
from profiler.evaluation.ranking import Rankings

DAILY_FROM_DAYS: Final = 10
"""Logs that span more days are retrained on daily, others at each further tenth of the events."""

N_PARTS: Final = 10


class Protocol(Struct, frozen=True, kw_only=True):
    """How rankings are asked for.

    Parameters
    ----------
    k
        Length of the rankings.
    skip
        Share of the events at the start that are learnt only.
    once
        Whether a person turns to an item only once, so that those seen are left out.
    """

    k: int = 20
    skip: float = 0.1
    once: bool = False


def moments(ts: Ints) -> Ints:
    """Give the numbers of the events before which baselines are retrained.

    Parameters
    ----------
    ts
        (N,) ascending, ms.

    Examples
    --------
    >>> moments(np.arange(20))
    array([ 2,  4,  6,  8, 10, 12, 14, 16, 18])
    >>> moments(np.array([0, 5, 15]) * DAY_MS)
    array([1, 2])
    """
    if len(ts) and ts[-1] - ts[0] > DAILY_FROM_DAYS * DAY_MS:
        return np.asarray(np.flatnonzero(np.diff(ts // DAY_MS)) + 1)
    tenths = np.unique(np.arange(1, N_PARTS) * len(ts) // N_PARTS)
    return np.asarray(tenths[tenths > 0])


def rankings(
    log: Log,
    baseline: Baseline,
    protocol: Protocol,
    tick: Callable[[int], object] = lambda n: None,
) -> Rankings:
    """Run a baseline through a log and keep what it ranked before each event that counts.

    Parameters
    ----------
    tick
        Told a number of events whenever so many more are done.
    """
    start = int(len(log) * protocol.skip)
    lists = np.full((len(log) - start, protocol.k), -1, dtype=np.int32)
    seen: defaultdict[int, set[int]] = defaultdict(set)
    due = _due(log, start) if isinstance(baseline, Retrained) else frozenset()
    rows = zip(log.person.tolist(), log.item.tolist(), log.ts.tolist(), strict=True)
    for n, (person, item, ts) in enumerate(rows):
        if n in due:
            assert isinstance(baseline, Retrained)
            baseline.retrain(log.head(n))
        if n >= start:
            ranked = baseline.rank(person, protocol.k, seen[person], ts)
            lists[n - start, : len(ranked)] = ranked
        baseline.learn(person, item, ts)
        if protocol.once:
            seen[person].add(item)
        if n % 1000 == 999:
            tick(1000)
    return Rankings(lists, log.item[start:], log.person[start:])


def _due(log: Log, start: int) -> frozenset[int]:
    """Moments of retraining, without those that nobody would see before the next."""
    all_of_them = moments(log.ts)
    unseen = int(np.searchsorted(all_of_them, start, side="right")) - 1
    return frozenset(all_of_them[max(unseen, 0) :].tolist())


class Chosen(Struct, frozen=True):
    """The best variant of a family.

    Parameters
    ----------
    family
        Its name.
    make
        Makes it afresh.
    ndcg
        Of each variant on the head, in their order.
    """

    family: str
    make: Callable[[], Baseline]
    ndcg: tuple[float, ...]


def choose(log: Log, family: Family, protocol: Protocol, fallback_ms: float) -> Chosen:
    """Choose the best variant on the events that are not scored.

    By NDCG, which rewards both a hit, as recall does, and its place, as MRR does. The head is a log
    of its own: its first tenth is learnt only, and retraining falls on its own tenths or days.
    """
    variants = [partial(variant, fallback_ms) for variant in family.variants]
    if len(variants) == 1:
        return Chosen(family.name, variants[0], ())
    head = log.head(int(len(log) * protocol.skip))
    within = Protocol(k=protocol.k, once=protocol.once)
    ndcg = [rankings(head, variant(), within).ndcg() for variant in variants]
    return Chosen(family.name, variants[int(np.argmax(ndcg))], tuple(ndcg))

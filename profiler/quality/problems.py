"""Problems that a batch of records shows by itself, whatever came before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.batch import Screen
from profiler.columns import DAY_MS, Floats
from profiler.events import REASONS
from profiler.quality.facts import Facts, Presence, Problem

YEAR_1990_MS: Final = 631_152_000_000
AHEAD_MAX_MS: Final = DAY_MS
"""How far behind now an event may lie before it counts as one in the future: clocks differ."""

EXPECTED: Final = frozenset(
    {
        *(("purchase", name) for name in ("item_id", "price")),
        *(("refund", name) for name in ("item_id", "price")),
        *(("cart", "item_id"), ("feedback", "item_id")),
    }
)
"""Fields that may be missing by the contract, and without which an event says little."""

NOT_POSITIVE: Final = tuple(
    Problem("validity", name, "not_positive") for name in ("price", "quantity", "amount")
)
IN_FUTURE: Final = Problem("validity", "ts", "in_future")
BEFORE_1990: Final = Problem("validity", "ts", "before_1990")


class Hit(NamedTuple):
    """Where a problem shows.

    Parameters
    ----------
    problem
        Which one.
    record
        Places of the records, one for each fact that has it.
    badness
        How bad each is; None where all are alike.
    """

    problem: Problem
    record: NDArray[np.intp]
    badness: Floats | None = None


def problems_of(facts: Facts, present: list[Presence], now_ms: int) -> list[Hit]:
    """Find all problems that these facts show by themselves.

    Parameters
    ----------
    present
        Those of the facts, see `profiler.quality.facts.presences`.
    """
    return [*_refused(facts), *_missing(facts, present), *_implausible(facts, now_ms)]


def screened(facts: Facts, screen: Screen) -> list[Hit]:
    """Find records that the worker would refuse for the time of an event."""
    stamped, times = facts.stamped_ms(), facts.times_ms()
    known = stamped > 0
    known[facts.n_events :] = False
    ahead = known & (times > stamped + screen.clock_skew_max_ms)
    behind = known & (times < stamped - screen.event_age_max_ms)
    found = []
    for name, is_out in (("clock_skew", ahead), ("too_old", behind)):
        at = [k for k in np.flatnonzero(is_out).tolist() if not _is_excused(facts, k, name, screen)]
        if at:
            found.append(Hit(Problem("validity", "ts", name), np.unique(facts.record[at])))
    return found


def refused_records(hits: Iterable[Hit]) -> NDArray[np.intp]:
    """Places of the records that would become dead letters, each once."""
    places = [hit.record for hit in hits if hit.problem.name in _REASONS]
    return np.unique(np.concatenate(places)) if places else np.zeros(0, dtype=np.intp)


def field_of(reason: str) -> str:
    """Field that the reason of a dead letter names.

    Examples
    --------
    >>> field_of("invalid:price"), field_of("malformed")
    ('price', 'record')
    """
    return reason.removeprefix("invalid:") if reason.startswith("invalid:") else "record"


_REASONS: Final = frozenset(REASONS)


def _is_excused(facts: Facts, k: int, reason: str, screen: Screen) -> bool:
    """Who asks to be forgotten is heard at any time; historical data may be old."""
    if facts.type_of[k] == "erase":
        return True
    return reason == "too_old" and facts.things[k].source in screen.historical_sources


def _refused(facts: Facts) -> list[Hit]:
    by_reason: dict[str, list[int]] = {}
    for refused in facts.rejected:
        by_reason.setdefault(refused.reason, []).append(refused.index)
    return [
        Hit(Problem("validity", field_of(reason), reason), np.array(places, dtype=np.intp))
        for reason, places in by_reason.items()
    ]


def _missing(facts: Facts, present: list[Presence]) -> list[Hit]:
    return [
        Hit(
            Problem("completeness", f"{one.type}.{one.field}", "missing"), facts.record[one.missing]
        )
        for one in present
        if len(one.missing) and (one.type, one.field) in EXPECTED
    ]


def _implausible(facts: Facts, now_ms: int) -> list[Hit]:
    found = []
    for problem in NOT_POSITIVE:
        numbers = facts.numbers(problem.field)
        at = np.flatnonzero(numbers <= 0)
        found.append(Hit(problem, facts.record[at], -numbers[at]))
    times = facts.times_ms()
    ahead, behind = times - (now_ms + AHEAD_MAX_MS), YEAR_1990_MS - times
    for problem, badness in ((IN_FUTURE, ahead), (BEFORE_1990, behind)):
        at = np.flatnonzero(badness > 0)
        found.append(Hit(problem, facts.record[at], badness[at]))
    return [hit for hit in found if len(hit.record)]

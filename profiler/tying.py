"""Ties in a batch: what `follow` and `consent` events say, and how it reaches both people.

A `follow` event is about two people, so it has two entries in the columns of a batch: one in the
row of who stated the tie, one, *received*, in the row of its target. Each is applied at its own
home and held up by the fence and the ids of its own row, as if it were an event of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Ints, TieColumns
from profiler.events import TYPE_CODES, AnyEvent, Consent, Follow
from profiler.identity import NO_LINKS, Links
from profiler.linking import Subject
from profiler.ties import Stated

FOLLOW: Final = TYPE_CODES[Follow]
CONSENT: Final = TYPE_CODES[Consent]
PURPOSE: Final = "ties"
"""Of a consent event: whether this person may be mixed into what others are interested in."""
NOTHING: Final = -1


class Agreement(NamedTuple):
    """What a `consent` event says of `PURPOSE`."""

    is_granted: bool


class TieSaid(NamedTuple):
    """What a `follow` event says, for one of the two people.

    Parameters
    ----------
    pid
        Profile id of whom the tie leads to.
    relation, weight
        Of the tie; without a weight it is removed.
    is_received
        Whether it is said to the target, and not to who stated it.
    """

    pid: str
    relation: str
    weight: float | None
    is_received: bool


SaidOfTie = TieSaid | Agreement


class Received(NamedTuple):
    """Entries of a part of a batch, those that are received included.

    Parameters
    ----------
    entry
        (N,) place of each entry's event in the part.
    at, row
        (K,) places of the received entries, and their subjects.
    said
        (N,) place in the batch's list of what is said of ties, `NOTHING` for all other events.
    """

    entry: NDArray[np.intp]
    at: NDArray[np.intp]
    row: NDArray[np.intp]
    said: NDArray[np.intp]


def said_of_ties(
    events: Sequence[AnyEvent],
    type_code: NDArray[np.intp],
    place: dict[Subject, int],
    said: list[SaidOfTie],
    pid_of: Callable[[Subject], str],
) -> Received | None:
    """Gather what events say of ties; None if that is nothing.

    Parameters
    ----------
    place
        Places of the batch's subjects: targets are added.
    said
        All that the batch says: more is added.
    pid_of
        Gives profile ids.
    """
    speaking = np.flatnonzero((type_code == FOLLOW) | (type_code == CONSENT))
    if not len(speaking):
        return None
    index = np.full(len(events), NOTHING, dtype=np.intp)
    followed, rows = [], []
    for i in speaking.tolist():
        event = events[i]
        if isinstance(event, Follow):
            target = _target(event)
            weight = event.weight if event.action == "add" else None
            index[i] = len(said)
            pid = pid_of(target)
            said += [
                TieSaid(pid, event.relation, weight, is_received) for is_received in (False, True)
            ]
            followed.append(i)
            rows.append(place.setdefault(target, len(place)))
        elif isinstance(event, Consent) and PURPOSE in event.purposes:
            index[i] = len(said)
            said.append(Agreement(event.purposes[PURPOSE]))
    entry = np.sort(np.array([*range(len(events)), *followed], dtype=np.intp), kind="stable")
    index = index[entry]
    at = np.flatnonzero(entry[1:] == entry[:-1]) + 1
    index[at] += 1
    return Received(entry, at, np.array(rows, dtype=np.intp), index)


def tie_columns(said: Sequence[SaidOfTie], index: NDArray[np.intp]) -> TieColumns | None:
    """Columns of what N events say of ties; None if that is nothing.

    Parameters
    ----------
    index
        (N,) places in `said`.
    """
    speaking = np.flatnonzero(index != NOTHING)
    if not len(speaking):
        return None
    n = len(index)
    columns = TieColumns(np.zeros(n, dtype=bool), np.zeros(n), np.zeros(n, dtype=bool))
    for i in speaking.tolist():
        one = said[index[i]]
        if isinstance(one, TieSaid):
            columns.is_received[i] = one.is_received
            columns.weight[i] = one.weight or 0.0
            columns.is_end[i] = one.weight is None
    return columns


def tie(
    links: Mapping[int, Links],
    said: Sequence[SaidOfTie],
    index: NDArray[np.intp],
    row: NDArray[np.intp],
    ts: Ints,
) -> dict[int, Links]:
    """Give the links of people whom these N events change, with their new ties.

    Parameters
    ----------
    links
        By place, as they are.
    index, row, ts
        (N,) places in `said`, places of people, and event times.
    """
    stated: defaultdict[int, list[Stated]] = defaultdict(list)
    changed: dict[int, Links] = {}
    for i in np.flatnonzero(index != NOTHING).tolist():
        one, place, ms = said[index[i]], int(row[i]), int(ts[i])
        if isinstance(one, Agreement):
            known = changed.get(place) or links.get(place, NO_LINKS)
            changed[place] = known.with_ties(known.ties.consenting(one.is_granted, ms))
        elif not one.is_received:
            stated[place].append(Stated(one.pid, one.relation, one.weight, ms))
    for place, several in stated.items():
        known = changed.get(place) or links.get(place, NO_LINKS)
        changed[place] = known.with_ties(known.ties.stating(several))
    return changed


def _target(event: Follow) -> Subject:
    is_user = event.target_kind == "user"
    return event.target_id if is_user else (event.target_kind, event.target_id)

"""The guard's step in the way of a batch: whose events count, verdicts, and who is held now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from profiler.columns import Ints, Rows
from profiler.events import TYPE_CODES, AnyEvent, Verdict
from profiler.facets.intent import keep_nothing
from profiler.facets.quarantine import REASONS, Codes, held, rule, since_ms, verdict_of
from profiler.records import Record

VERDICT: Final = TYPE_CODES[Verdict]

BATCH_HEADER: Final = "profiler-batch"
"""Header of a record that was read from a file: what it holds did not happen just now."""
BATCH_HEADERS: Final = ((BATCH_HEADER, b"1"),)
"""What such a record bears."""


class Transition(Struct, frozen=True):
    """A profile that is held from now on, or is held no longer.

    Parameters
    ----------
    place
        Its place among the batch's pids.
    reason
        One of `REASONS`; empty if it is held no longer.
    since_ms
        Since when it is held; 0 if it is not.
    """

    place: int
    reason: str
    since_ms: int


class Guarded(Struct, frozen=True):
    """What the guard made of a batch.

    Parameters
    ----------
    transitions
        Profiles that are held for another reason than before the batch.
    n_events
        Events that were applied to profiles that are held, by reason.
    """

    transitions: list[Transition]
    n_events: Counter[str]


UNGUARDED: Final = Guarded([], Counter())
"""Nothing."""


class Alert(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the topic of alerts tells: a profile is held from now on, or no longer."""

    pid: Annotated[str, Meta(description="profile id; the record's key too")]
    held: Annotated[bool, Meta(description="whether it is held now")]
    reason: Annotated[
        Literal["rate", "rhythm", "operator"] | None,
        Meta(description="why: too many events at once, never a rest, somebody said so"),
    ] = None
    since: Annotated[int, Meta(ge=1, description="event time, ms UTC")] | None = None


def alerts_of(pids: Sequence[str], guarded: Guarded) -> list[Alert]:
    """Alerts of a batch's transitions."""
    return [
        msgspec.convert(
            {
                "pid": pids[one.place],
                "held": bool(one.reason),
                "reason": one.reason or None,
                "since": one.since_ms or None,
            },
            Alert,
        )
        for one in guarded.transitions
    ]


_SOURCE: Final = attrgetter("source")
_HEADERS: Final = attrgetter("headers")


def guarded(
    events: Sequence[AnyEvent], records: Sequence[Record], exempt: frozenset[str]
) -> NDArray[np.bool_]:
    """(N,) whether each event counts: not if its source is exempt, or its record from a file.

    Parameters
    ----------
    events, records
        N, and the record of each.
    exempt
        Sources.
    """
    counts = np.ones(len(events), dtype=bool)
    if not exempt.isdisjoint(map(_SOURCE, events)):
        counts &= [e.source not in exempt for e in events]
    if any(map(_HEADERS, records)):
        counts &= [not is_batch(record) for record in records]
    return counts


def is_batch(record: Record) -> bool:
    """Whether a record was read from a file."""
    return any(name == BATCH_HEADER for name, _ in record.headers)


def verdicts(events: Sequence[AnyEvent], type_code: NDArray[np.intp], ts: Ints) -> Ints:
    """(N,) what events say that are verdicts; 0 for all others."""
    found = np.zeros(len(events), dtype=np.int64)
    for i in np.flatnonzero(type_code == VERDICT).tolist():
        event = events[i]
        assert isinstance(event, Verdict)
        found[i] = verdict_of(int(ts[i]), automated=event.automated)
    return found


class Guarding:
    """Follows who is held through one batch, and applies its verdicts.

    Parameters
    ----------
    rows
        (R0,) rows of all its people, before anything else of it is applied; changed in place.
    place, verdict
        (N,) rows of its events, and what they say.
    gone
        (R0,) whose rows are erased: nothing is said of them any more.

    Attributes
    ----------
    ruled
        Places of the rows that were ruled on, one for each verdict.
    """

    def __init__(
        self, rows: Rows, place: NDArray[np.intp], verdict: Ints, gone: NDArray[np.bool_]
    ) -> None:
        self._before: Codes = held(rows)
        said = np.flatnonzero(verdict)
        said = said[~gone[place[said]]]
        self.ruled = place[said]
        if len(said):
            rule(rows, place[said], verdict[said])
            # What was kept to be learnt of somebody who is held now must not be.
            keep_nothing(rows, held(rows) > 0)

    def done(self, rows: Rows, applied: NDArray[np.intp]) -> Guarded:
        """What became of it all.

        Parameters
        ----------
        rows
            (R0,) the rows after the batch.
        applied
            Places of the events that were applied, one for each.
        """
        after = held(rows)
        changed = np.flatnonzero(after != self._before).tolist()
        transitions = [
            Transition(
                place,
                REASONS[after[place]],
                int(since_ms(rows[place : place + 1])[0]) if after[place] else 0,
            )
            for place in changed
        ]
        n_events: Counter[str] = Counter()
        if after.any():
            by_code = np.bincount(after[applied], minlength=len(REASONS)).tolist()
            n_events.update({r: n for r, n in zip(REASONS, by_code, strict=True) if r and n})
        return Guarded(transitions, n_events)

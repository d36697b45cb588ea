"""The way of one batch: the only place that knows the order of the steps.

Two pure halves. `Preparer.prepare` (decode, screen, pseudonymise) says whom to load; `process`
(deduplicate, guard, update, predict, project) does the rest. The worker puts one read between them
and one write after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from profiler.applying import Run
from profiler.batch import Prepared as Prepared  # whoever runs batches needs these, too
from profiler.batch import Preparer as Preparer
from profiler.behaviour.crowd import Crowd
from profiler.columns import Ints, Rows, Snapshot
from profiler.dedupe import Fences, is_duplicate
from profiler.events import BEHAVIOUR_TYPES, TYPE_NAMES, Rejected
from profiler.guard import VERDICT, Guarded, Guarding
from profiler.identity import Links
from profiler.linking import Linker, Relinked
from profiler.models.bank import ModelBank
from profiler.models.labels import Labels
from profiler.peers import Peers
from profiler.recommendation.seen import Seen
from profiler.records import RawRecord as RawRecord
from profiler.records import Record as Record
from profiler.spec import Spec
from profiler.state import Stored
from profiler.ties import NOBODYS, Ties, with_ties
from profiler.tying import CONSENT, tie

ERASE: Final = TYPE_NAMES.index("erase")
OUTCOMES: Final = (
    *("applied", "duplicate", "fenced", "accepted_unused", "erased", "rejected"),
    *("forwarded", "repeated", "outside"),
)
"""What became of a record. Forwarded: sent to its home; repeated: a forward that had come before,
which the reader of the home drops; outside: of a time that is loaded from elsewhere."""

DESCRIBED_AT_ONCE: Final = 512
"""Rows whose descriptions are made, and turned into text, while they are in the processor's cache:
of ten thousand at once each costs twice as much."""

Lap = Callable[[str], None]
"""Called at the end of each step with its name: the caller owns the clock."""


@dataclass(slots=True)
class Processed:
    """What a batch did, as columns over the R people it changed.

    Parameters
    ----------
    place
        (R,) their places among the batch's pids.
    rows, fences
        Their new rows, and what has now been applied.
    vectors, summaries, as_of
        (R, dims), (R,) and (R,) what readers see, and the greatest event times in it.
    erased
        Places of people to be erased, and when they asked for it.
    rejected
        Events that could not be applied, with all that `prepare` had refused.
    outcomes
        Number of records by outcome, see `OUTCOMES`.
    labels
        Kept predictions whose outcome is now known, to be learnt.
    crowds
        What its events add to the figures of the crowd.
    relinked
        Links, owners and looks, see `profiler.linking.Relinked`; places are among the batch's pids.
    traits
        Traits as readers shall see them, by place in `place`: of all who have, or may have had
        some, and whose row no other profile shows. Empty where there are none any more.
    guarded
        Who is held now and was not, or the reverse; places are among the batch's pids.
    seen
        Events of interest, for the statistics of all people together; none of machines.
    """

    place: NDArray[np.intp]
    rows: Rows
    fences: Fences
    vectors: NDArray[np.float32]
    summaries: list[bytes]
    as_of: Ints
    erased: dict[int, int]
    rejected: list[Rejected]
    outcomes: Counter[str]
    labels: list[Labels]
    crowds: list[Crowd]
    relinked: Relinked
    traits: dict[int, bytes]
    guarded: Guarded
    seen: Seen

    def links(self) -> dict[int, Links]:
        """Links of the people that the batch changed, by their place in `place`."""
        known = self.relinked.links
        if not known:
            return {}
        return {k: known[p] for k, p in enumerate(self.place.tolist()) if p in known}


def process(
    spec: Spec,
    prepared: Prepared,
    stored: Stored,
    bank: ModelBank | None,
    lap: Lap = lambda step: None,
    peers: Peers | None = None,
) -> Processed:
    """Apply a prepared batch to the states of its people.

    Parameters
    ----------
    stored
        States of `prepared.pids`; changed in place.
    bank
        Scores the events. Learning is left to the caller, once the batch is accepted. None: history
        is loaded, and nothing is predicted of it.
    peers
        States of all who are linked with the people, or changed; none where there are none.
    """
    outcomes = _outcomes(prepared)
    linker, erased = _linked(prepared, stored, peers or Peers.of({}, spec, {}))
    gone = _gone(stored, erased)
    applicable, duplicates = _new_events(prepared, stored, gone, outcomes)
    lap("deduplicate")
    guarding = Guarding(stored.rows, prepared.row, prepared.verdict, gone)
    run = Run(spec, prepared, stored, bank)
    failed = run.apply(applicable)
    _tie(prepared, linker.result, gone, (applicable, failed))
    lap("update")
    outcomes["applied"] = len(applicable) - len(failed) + len(guarding.ruled)
    outcomes["rejected"] += len(failed)
    # A duplicate's fence moves too: its id leaves the ring before its offset may be committed.
    run.raise_fences(duplicates)
    told = [*(linker.result.touched - erased.keys()), *guarding.ruled.tolist()]
    place = _changed(prepared.row[np.concatenate([applicable, duplicates])], stored, told)
    _tell_owners(linker, prepared, place)
    rows = stored.rows if len(place) == len(stored.rows) else stored.rows[place]
    shown, ties = linker.shown(spec, place, rows)
    vectors, summaries = visible(spec, shown, ties)
    lap("project")
    return Processed(
        place=place,
        rows=rows,
        fences=stored.fences.only(place),
        vectors=vectors,
        summaries=summaries,
        as_of=shown["core.as_of"],
        erased=erased,
        rejected=prepared.rejected
        + [Rejected(int(prepared.record[i]), "update_failed") for i in failed],
        outcomes=outcomes,
        labels=run.labels,
        crowds=run.crowds,
        relinked=linker.result,
        traits=linker.traits(place),
        guarded=guarding.done(stored.rows, prepared.row[applicable]),
        seen=Seen.joined(run.seen),
    )


def _linked(prepared: Prepared, stored: Stored, peers: Peers) -> tuple[Linker, dict[int, int]]:
    """Take over what is said of traits, links and erasures; who is erased, and when they asked."""
    linker = Linker(prepared.pids, prepared.home, stored, peers, prepared.rules)
    linker.tell(prepared.traits)
    return linker, linker.relink(prepared.claims, prepared.looks, _erasures(prepared))


def _outcomes(prepared: Prepared) -> Counter[str]:
    n_rejected, n_forwarded = len(prepared.rejected), len(prepared.forwards)
    return Counter(rejected=n_rejected, forwarded=n_forwarded, outside=prepared.n_outside)


def _gone(stored: Stored, erased: dict[int, int]) -> NDArray[np.bool_]:
    """(R0,) who is erased, or is so by this batch."""
    gone = stored.erased.copy()
    gone[list(erased)] = True
    return gone


def _tell_owners(linker: Linker, prepared: Prepared, place: NDArray[np.intp]) -> None:
    if linker.result.links:
        # Of all whom a record is about: whoever applied it before may not have come to tell.
        about = (*prepared.row.tolist(), *prepared.left_out, *(k.place for k in prepared.looks))
        linker.tell_owners([*place.tolist(), *about])


def visible(
    spec: Spec, rows: Rows, ties: Mapping[int, Ties] = NOBODYS
) -> tuple[NDArray[np.float32], list[bytes]]:
    """(R, dims) vectors and R summaries: what readers see of (R,) rows.

    Parameters
    ----------
    ties
        By row, where there are any.
    """
    now = Snapshot(rows)
    encode = msgspec.json.Encoder().encode
    summaries: list[bytes] = []
    for start in range(0, len(rows), DESCRIBED_AT_ONCE):
        some = Snapshot(rows[start : start + DESCRIBED_AT_ONCE])
        summaries += [encode(description) for description in spec.describe(some)]
    for k, of_one in ties.items():
        summaries[k] = with_ties(summaries[k], of_one, int(now.as_of[k]))
    return spec.project(now), summaries


def _tie(
    prepared: Prepared,
    relinked: Relinked,
    gone: NDArray[np.bool_],
    tried: tuple[NDArray[np.intp], Sequence[int]],
) -> None:
    """Take over what a batch says of ties: of behaviour what was applied, of consent all.

    Parameters
    ----------
    gone
        (R0,) who is erased.
    tried
        Events that were to be applied, and which of them could not be.
    """
    if not prepared.said_of_ties:
        return
    consents = np.flatnonzero((prepared.type_code == CONSENT) & ~gone[prepared.row])
    index = np.sort(np.concatenate([np.setdiff1d(*tried), consents]))
    changed = tie(
        relinked.links,
        prepared.said_of_ties,
        prepared.tie[index],
        prepared.row[index],
        prepared.ts[index],
    )
    relinked.links.update(changed)
    relinked.touched.update(changed)


def _changed(
    with_events: NDArray[np.intp], stored: Stored, linked: Collection[int]
) -> NDArray[np.intp]:
    """(R,) places to be written: of people with events of this batch, and with changed links."""
    found = np.zeros(len(stored.rows), dtype=bool)
    found[with_events] = True
    # Of somebody whose only events cannot be applied nothing is known.
    found &= stored.rows["core.n_accepted"] > 0
    found[list(linked)] = True
    return np.flatnonzero(found)


def _erasures(prepared: Prepared) -> dict[int, int]:
    """People who ask to be forgotten in this batch, with the latest time they give."""
    found: dict[int, int] = {}
    for i in np.flatnonzero(prepared.type_code == ERASE).tolist():
        place = int(prepared.row[i])
        found[place] = max(int(prepared.ts[i]), found.get(place, 0))
    return found


def _new_events(
    prepared: Prepared, stored: Stored, gone: NDArray[np.bool_], outcomes: Counter[str]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Behaviour that has not been applied yet, in arrival order; duplicates."""
    is_gone = gone[prepared.row]
    is_behaviour = prepared.type_code < len(BEHAVIOUR_TYPES)
    unused = ~is_gone & ~is_behaviour & (prepared.type_code != VERDICT)
    left = np.flatnonzero(~is_gone & is_behaviour)
    outcomes["erased"] = int(is_gone.sum())
    outcomes["accepted_unused"] = int(unused.sum()) + prepared.n_unused

    row = prepared.row[left]
    fenced = stored.fences.fenced(row, prepared.partition[left], prepared.offset[left])
    outcomes["fenced"] = int(fenced.sum())
    left = left[~fenced]

    left = left[np.argsort(prepared.row[left], kind="stable")]
    rows = stored.rows
    duplicate = is_duplicate(
        rows["core.recent"], rows["core.n_accepted"], prepared.row[left], prepared.id_hash[left]
    )
    outcomes["duplicate"] = int(duplicate.sum())
    return np.sort(left[~duplicate]), left[duplicate]

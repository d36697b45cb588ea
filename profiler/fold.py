"""Profiles computed in memory, by the same two halves of the pipeline that a worker runs.

A worker keeps profiles in a store and asks others to look by records; here both are a dict and a
list, so that links have settled after every batch. Nothing is learnt: a model that had seen what
came later would tell of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from profiler.batch import Prepared, Preparer
from profiler.columns import Rows
from profiler.dedupe import FORWARDED, topic_code
from profiler.identity import NO_LINKS, Links
from profiler.models.bank import ModelBank
from profiler.models.labels import Labels
from profiler.peers import Peers
from profiler.pipeline import Processed, process
from profiler.records import Chunk
from profiler.spec import Spec
from profiler.state import Stored, decode_states, encode_states, encode_tombstone
from profiler.ties import Ties
from profiler.traits import Traits

LINKS_LONG: Final = 2
"""From anonymous to device to user."""


class Shown(NamedTuple):
    """What readers see of R people.

    Parameters
    ----------
    by
        Whose profile it is that shows each.
    rows
        (R,) rows that it shows.
    ties, traits
        By row, where there may be any.
    """

    by: list[str]
    rows: Rows
    ties: dict[int, Ties]
    traits: dict[int, Traits]


class Fold:
    """States of people after some batches.

    Parameters
    ----------
    spec, preparer
        The pure core.
    bank
        Scores events; does not learn.

    Attributes
    ----------
    states
        Encoded state by pid.
    """

    def __init__(self, spec: Spec, preparer: Preparer, bank: ModelBank | None = None) -> None:
        self.states: dict[str, bytes] = {}
        self._spec = spec
        self._preparer = preparer
        self._bank = bank or ModelBank(spec)

    def apply(self, prepared: Prepared) -> Processed:
        """Apply a batch, and let everybody look who is to; return what the batch did."""
        processed = self._apply(prepared)
        looks = processed.relinked.looks
        while looks:
            chunk = Chunk(topic_code(FORWARDED), 0, [], looks=list(looks))
            looks = self._apply(self._preparer.prepare([chunk])).relinked.looks
        return processed

    def expire(self, pids: Sequence[str], now_ms: int) -> Labels:
        """Labels of these people that were due before a time; cleared in their rows."""
        stored = self.stored(pids)
        labels = self._bank.expire(stored.rows, now_ms)
        self._bank.wait_for(0, pids, stored.rows)
        values = encode_states(self._spec, stored.rows, stored.rev, stored.fences, stored.links)
        for pid, value, is_erased in zip(pids, values, stored.erased.tolist(), strict=True):
            if not is_erased:
                self.states[pid] = value
        return labels

    def shown(self, pids: Sequence[str]) -> Shown:
        """What readers see of these people."""
        shown_by = list(pids)
        stored = self.stored(shown_by)
        for _ in range(LINKS_LONG):
            moved = {k: links.owner for k, links in stored.links.items() if links.owner}
            if not moved:
                break
            for k, claim in moved.items():
                shown_by[k] = claim.owner
            stored = self.stored(shown_by)
        ties, traits = dict[int, Ties](), dict[int, Traits]()
        for k, links in stored.links.items():
            if stored.erased[k]:
                continue
            peers = self._peers({0: links}, [])
            if links.members:
                row = stored.rows[k : k + 1]
                stored.rows[k : k + 1] = peers.merged(self._spec, shown_by[k], links, row)
            ties[k] = peers.merged_ties(shown_by[k], links)
            traits[k] = peers.traits(self._preparer.rules, shown_by[k], links)
        return Shown(shown_by, stored.rows, ties, traits)

    def stored(self, pids: Sequence[str]) -> Stored:
        """States of these people."""
        return decode_states([self.states.get(pid) for pid in pids], self._spec, {})

    def links(self, pid: str) -> Links:
        """Who belongs to whom, as far as it concerns somebody."""
        return self.stored([pid]).links.get(0, NO_LINKS)

    def relink(self, pid: str, links: Links) -> None:
        """Put other links beside somebody's row."""
        stored = self.stored([pid])
        if stored.erased[0]:
            state = encode_tombstone(int(stored.rev[0]), stored.erased_ms[0], links)
        else:
            fences = stored.fences
            (state,) = encode_states(self._spec, stored.rows, stored.rev, fences, {0: links})
        self.states[pid] = state

    def _apply(self, prepared: Prepared) -> Processed:
        stored = self.stored(prepared.pids)
        peers = self._peers(stored.links, [look.peer.pid for look in prepared.looks])
        processed = process(self._spec, prepared, stored, self._bank, peers=peers)
        self._keep(prepared, stored, processed)
        return processed

    def _keep(self, prepared: Prepared, stored: Stored, processed: Processed) -> None:
        rev = stored.rev[processed.place] + 1
        values = encode_states(self._spec, processed.rows, rev, processed.fences, processed.links())
        for place, value in zip(processed.place.tolist(), values, strict=True):
            self.states[prepared.pids[place]] = value
        for place, erased_ms in processed.erased.items():
            links = processed.relinked.links.get(place, NO_LINKS)
            self.states[prepared.pids[place]] = encode_tombstone(
                int(stored.rev[place]) + 1, erased_ms, links
            )

    def _peers(self, links: Mapping[int, Links], asked: Sequence[str]) -> Peers:
        values: dict[str, bytes | None] = {}
        peers = Peers.of(values, self._spec, {})
        while missing := peers.missing(links, asked):
            values.update((pid, self.states.get(pid)) for pid in missing)
            peers = Peers.of(values, self._spec, {})
        return peers

"""Those who are linked with the people of a batch, as the store has them.

Their rows may be written by other workers, so they are never taken from memory: they are loaded
anew whenever somebody to whom they may belong is projected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from profiler.columns import Rows
from profiler.identity import NO_LINKS, Links
from profiler.spec import Spec
from profiler.state import Layout, Stored, decode_states, merge_rows
from profiler.ties import Ties
from profiler.traits import NO_TRAITS, TraitRules, Traits


@dataclass(frozen=True, slots=True)
class Peers:
    """States of some people.

    Parameters
    ----------
    place
        By pid, where they stand in `stored`.
    """

    place: Mapping[str, int]
    stored: Stored

    @classmethod
    def of(
        cls, values: Mapping[str, bytes | None], spec: Spec, layouts: Mapping[str, Layout]
    ) -> Peers:
        """Decode states by pid; None of whom there is none."""
        place = {pid: k for k, pid in enumerate(values)}
        return cls(place, decode_states(list(values.values()), spec, layouts))

    def missing(self, links: Mapping[int, Links], asked: Sequence[str] = ()) -> list[str]:
        """Who must be loaded besides.

        Parameters
        ----------
        links
            Of the people in question, by place.
        asked
            Others.
        """
        everybody = (*links.values(), *self.stored.links.values())
        members = {member.pid for known in everybody for member in known.members}
        return sorted((members | set(asked)) - self.place.keys())

    def links(self, pid: str) -> Links:
        """Links of somebody; none of whom nothing is known."""
        return self.stored.links.get(self.place.get(pid, -1), NO_LINKS)

    def is_erased(self, pid: str) -> bool:
        """Whether a tombstone stands for somebody."""
        return pid in self.place and bool(self.stored.erased[self.place[pid]])

    def erased_ms(self, pid: str) -> int:
        """When somebody asked to be erased."""
        return self.stored.erased_ms.get(self.place[pid], 0)

    def belongs(self, pid: str, owner: str) -> bool:
        """Whether somebody belongs to a profile, by their own account."""
        claim = self.links(pid).owner
        return claim is not None and claim.owner == owner and not self.is_erased(pid)

    def family(self, pid: str, links: Links) -> Iterator[str]:
        """All whose rows a profile shows besides its own, in an order that is always the same."""
        for member in links.members:
            if self.belongs(member.pid, pid):
                yield member.pid
                yield from self.family(member.pid, self.links(member.pid))

    def merged(self, spec: Spec, pid: str, links: Links, row: Rows) -> Rows:
        """(1,) row as readers shall see it: merged with those that belong to it."""
        for other in self.family(pid, links):
            at = self.place[other]
            row = merge_rows(spec, row, self.stored.rows[at : at + 1])
        return row

    def merged_ties(self, pid: str, links: Links) -> Ties:
        """Ties of all whose rows a profile shows, but for those among themselves."""
        if not links.members:
            return links.ties
        ties, family = links.ties, list(self.family(pid, links))
        for other in family:
            ties = ties.merged(self.links(other).ties)
        return ties.without({pid, *family})

    def traits(self, rules: TraitRules, pid: str, links: Links) -> Traits:
        """Traits of a person: those of a subject, merged with those of all that belong to it."""
        if not links.members:
            return links.traits
        family = [self.links(other).traits for other in self.family(pid, links)]
        told = [traits for traits in (links.traits, *family) if traits != NO_TRAITS]
        return rules.joined(*told) if len(told) > 1 else next(iter(told), NO_TRAITS)

"""Links in a batch: what records say of them, who is asked to look again, whose rows are shown.

`profiler.identity` says what links are. Here is how they travel. A record that names several ids of
one person is applied at the home of each: its event at that of the subject, and at that of every
other id the claim that it belongs to the subject. Whoever owns a row that changed, or might own one
whose claims changed, is asked to *look* at it again, after the change is written: its worker loads
that row, sees whether it still belongs there, and projects anew. A look says only who has changed,
so it may come late, twice, or for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from profiler.columns import Rows
from profiler.events import AnyEvent, Identify
from profiler.identity import NO_LINKS, Claim, Links, Look, Peer
from profiler.peers import Peers
from profiler.privacy.pseudonym import subject_of
from profiler.records import Chunk
from profiler.spec import Spec
from profiler.state import Stored
from profiler.ties import Ties
from profiler.traits import Traited, TraitRules

Subject = str | tuple[str, str]
"""An id, or its kind and it. A plain text is a user id, by far the most frequent kind."""


class Said(NamedTuple):
    """What a record says of the link between two subjects.

    Parameters
    ----------
    record
        Place of the record in its batch.
    member, owner
        Who belongs to whom: places among the batch's subjects.
    is_user
        Whether the owner is a user.
    ts, id_hash
        Of the event.
    is_cut
        Whether the link is taken back.
    """

    record: int
    member: int
    owner: int
    is_user: bool
    ts: int
    id_hash: int
    is_cut: bool

    def claim(self, owner: str, home: int) -> Claim:
        """Put it as a claim to the profile `owner`."""
        if self.is_cut:
            return Claim(owner, home, self.is_user, cut_ms=self.ts)
        return Claim(owner, home, self.is_user, self.ts, self.id_hash, self.ts)


class Claimed(NamedTuple):
    """A claim that reached the home of who it is about: place of the row, and of the record."""

    place: int
    record: int
    claim: Claim


class Looked(NamedTuple):
    """A look that reached its home: place of who is asked, and who has changed."""

    place: int
    peer: Peer


def said_of(
    event: AnyEvent, record: int, ts: int, id_hash: int, place: dict[Subject, int]
) -> list[Said]:
    """Links that an event states; adds their subjects to `place`."""
    if not isinstance(event, Identify):
        return []
    others: list[tuple[str, str]] = []
    if event.user_id is not None and event.device_id is not None:
        others.append(("device", event.device_id))
    if event.anonymous_id is not None and (event.user_id or event.device_id):
        others.append(("anonymous", event.anonymous_id))
    owner: Subject = event.user_id or subject_of(event)
    return [
        Said(
            record,
            place.setdefault(other, len(place)),
            place[owner],
            event.user_id is not None,
            ts,
            id_hash,
            event.unlink,
        )
        for other in others
    ]


def looked(chunks: Sequence[Chunk], pids: list[str]) -> tuple[list[Looked], list[int]]:
    """Looks that reached their home; adds who is asked to `pids`, and gives the homes of those."""
    asked = dict.fromkeys(look for chunk in chunks for look in chunk.looks)
    if not asked:
        return [], []
    place = {pid: k for k, pid in enumerate(pids)}
    found, homes = [], []
    for at, peer in asked:
        if at.pid not in place:
            place[at.pid] = len(pids)
            pids.append(at.pid)
            homes.append(at.home)
        found.append(Looked(place[at.pid], peer))
    return found, homes


@dataclass(slots=True)
class Relinked:
    """What became of the links of a batch.

    Parameters
    ----------
    links
        All links of the batch's people, by place.
    touched
        Places that must be written and projected, whether or not an event changed them.
    looks
        To be sent once all is written.
    shifted
        Places of people whose owner may have changed, in this batch or in one before that was
        written and not told; and when those asked for it who are erased, None of the others.
    """

    links: dict[int, Links]
    touched: set[int] = field(default_factory=set)
    looks: dict[Look, None] = field(default_factory=dict)
    shifted: dict[int, int | None] = field(default_factory=dict)

    def owner(self, place: int) -> str | None:
        """Profile that shows somebody's row, if it is another."""
        claim = self.links.get(place, NO_LINKS).owner
        return claim.owner if claim else None


class Linker:
    """Applies the links of one batch.

    Parameters
    ----------
    pids, home
        Of the batch's people.
    stored
        Their states.
    peers
        All who are linked with them.
    rules
        Of traits.
    """

    def __init__(
        self,
        pids: Sequence[str],
        home: NDArray[np.int64],
        stored: Stored,
        peers: Peers,
        rules: TraitRules,
    ) -> None:
        self._pids = pids
        self._home = home
        self._stored = stored
        self._peers = peers
        self._rules = rules
        self.result = Relinked(dict(stored.links))

    def relink(
        self, claims: Sequence[Claimed], looks: Sequence[Looked], asked: Mapping[int, int]
    ) -> dict[int, int]:
        """Apply all of a batch.

        Parameters
        ----------
        asked
            Places of people who ask to be erased, and when.

        Returns
        -------
        dict
            Places of all who are to be erased now, and when that was asked for.
        """
        self._claim(claims)
        erased = {**self._look(looks), **asked}
        # Also if they were before: whoever wrote the tombstone may not have come to tell.
        self._tell_peers(erased)
        self.result.shifted.update(erased)
        return {place: ms for place, ms in erased.items() if not self._stored.erased[place]}

    def tell(self, traited: Sequence[Traited]) -> None:
        """Add what was said of people to what is known."""
        links = self.result.links
        for place, traits in traited:
            known = links.get(place, NO_LINKS)
            joined = self._rules.joined(known.traits, traits)
            if joined != known.traits and not self._stored.erased[place]:
                links[place] = replace(known, traits=joined)
                self.result.touched.add(place)

    def _claim(self, claims: Sequence[Claimed]) -> None:
        links = self.result.links
        for place, _, claim in claims:
            if self._stored.erased[place]:
                # Whoever is erased stays so; the owner may not know yet.
                self._tell(place, [Peer(claim.owner, claim.home)])
                continue
            links[place] = links.get(place, NO_LINKS).with_claim(claim)
            self.result.touched.add(place)
            if links[place].may_follow_from(claim):
                self.result.shifted[place] = None
            # All of them: a repetition does not know any more which of them it was that changed.
            self._tell(place, [Peer(c.owner, c.home) for c in links[place].claims])

    def _look(self, looks: Sequence[Looked]) -> dict[int, int]:
        erased: dict[int, int] = {}
        links, peers = self.result.links, self._peers
        for place, peer in looks:
            mine = links.get(place, NO_LINKS)
            is_mine = peers.belongs(peer.pid, self._pids[place])
            owner = mine.owner
            if owner and owner.owner == peer.pid and peers.is_erased(peer.pid):
                erased[place] = peers.erased_ms(peer.pid)
            elif self._stored.erased[place]:
                if is_mine:
                    self._tell(place, [peer])
            else:
                if is_mine or peer in mine.members:
                    links[place] = mine.with_member(peer) if is_mine else mine.without(peer.pid)
                # Also if nothing changes: what was computed from the peer as it was before must be
                # refused, whether it is on its way from elsewhere or has come by and is not here.
                self.result.touched.add(place)
        return erased

    def tell_owners(self, places: Iterable[int]) -> None:
        """Have the owners of people who have changed look."""
        # Most who stand here have traits and nobody they belong to.
        claims = {p: known for p, known in self.result.links.items() if known.claims}
        for place in sorted(claims.keys() & set(places)) if claims else ():
            if claim := claims[place].owner:
                self._tell(place, [Peer(claim.owner, claim.home)])

    def _tell_peers(self, places: Iterable[int]) -> None:
        for place in places:
            self._tell(place, self.result.links.get(place, NO_LINKS).peers())

    def shown(
        self, spec: Spec, place: NDArray[np.intp], rows: Rows
    ) -> tuple[Rows, dict[int, Ties]]:
        """(R,) rows as readers shall see them, and ties by row, where there are any."""
        shown, ties = rows, dict[int, Ties]()
        for k, p in enumerate(place.tolist() if self.result.links else ()):
            if (links := self.result.links.get(p)) is None:
                continue
            ties[k] = self._peers.merged_ties(self._pids[p], links)
            if links.members:
                shown = rows.copy() if shown is rows else shown
                shown[k : k + 1] = self._peers.merged(spec, self._pids[p], links, shown[k : k + 1])
        return shown, ties

    def traits(self, place: NDArray[np.intp]) -> dict[int, bytes]:
        """Traits as readers shall see them, of all of (R,) people who have, or may have had some.

        By the place among them; empty where there are none any more.
        """
        shown: dict[int, bytes] = {}
        for k, p in enumerate(place.tolist() if self.result.links else ()):
            if (links := self.result.links.get(p)) and links.owner is None:
                traits = self._peers.traits(self._rules, self._pids[p], links)
                shown[k] = self._rules.shown(traits)
        return shown

    def _tell(self, place: int, peers: Sequence[Peer] | set[Peer]) -> None:
        me = Peer(self._pids[place], int(self._home[place]))
        for peer in sorted(peers):
            self.result.looks[Look(peer, me)] = None

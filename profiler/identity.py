"""Who belongs to whom: the links of one subject, kept beside its row, and its traits.

Every subject keeps a row of its own for ever, at its own home. A link only says whose profile shows
it: an anonymous or device id belongs to the user of its earliest link, or, while it has none, to
the device of its earliest link. So links lead from anonymous to device to user: there are no
cycles, no chain is longer than two, and two users are never one.

What is kept for each claim are times, merged by minimum and maximum, so that links may come in any
order, twice, and be taken back. See docs/decisions/identity.md.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from profiler.ties import NO_TIES, Ties
from profiler.traits import NO_TRAITS, Traits

CLAIMS_MAX: Final = 64
MEMBERS_MAX: Final = 64
NEVER_MS: Final = 2**62
"""First time of a claim that was taken back before it was made."""


class Claim(Struct, frozen=True, array_like=True):
    """That a subject belongs to another, by all that was said about these two.

    Parameters
    ----------
    owner
        Profile id of the other.
    home
        Its home partition.
    is_user
        Whether it is a user.
    first_ms, first_id
        Event time and hash of the event's id of the earliest link: who comes first, owns.
    last_ms
        Event time of the latest link.
    cut_ms
        Event time of the latest unlink, -1 where there was none: only a later link counts.
    """

    owner: str
    home: int
    is_user: bool
    first_ms: int = NEVER_MS
    first_id: int = 0
    last_ms: int = -1
    cut_ms: int = -1

    @property
    def holds(self) -> bool:
        """Whether it was not taken back."""
        return self.last_ms > self.cut_ms

    @property
    def rank(self) -> tuple[bool, int, int, str]:
        """What decides between claims: the least owns."""
        return not self.is_user, self.first_ms, self.first_id, self.owner

    def joined(self, other: Claim) -> Claim:
        """Merge two accounts of the same claim: commutative, associative, idempotent."""
        first_ms, first_id = min((self.first_ms, self.first_id), (other.first_ms, other.first_id))
        return Claim(
            self.owner,
            self.home,
            self.is_user,
            first_ms,
            first_id,
            max(self.last_ms, other.last_ms),
            max(self.cut_ms, other.cut_ms),
        )


class Peer(NamedTuple):
    """Somebody that a subject is linked with, and where to reach them."""

    pid: str
    home: int


class Look(NamedTuple):
    """A request to look at somebody again.

    Parameters
    ----------
    at
        Who is asked.
    peer
        Who has changed.
    """

    at: Peer
    peer: Peer


class Links(Struct, frozen=True, array_like=True):
    """What is known of one subject besides its row: its links and its traits.

    Parameters
    ----------
    claims
        To whom it may belong, by rank, at most `CLAIMS_MAX`.
    members
        Who belongs to it, as far as they have told, by pid, at most `MEMBERS_MAX`.
    traits
        What was said of this subject itself.
    ties
        Whom it is tied to, and whether it may be mixed into others (`profiler.ties`).

    Examples
    --------
    >>> late, early = (Claim(who, 0, True, ts, 1, ts) for who, ts in (("ann", 9), ("bob", 5)))
    >>> links = NO_LINKS.with_claim(late).with_claim(early)
    >>> links.owner.owner
    'bob'
    >>> links.with_claim(Claim("bob", 0, True, cut_ms=7)).owner.owner
    'ann'
    """

    claims: tuple[Claim, ...] = ()
    members: tuple[Peer, ...] = ()
    traits: Traits = NO_TRAITS
    ties: Ties = NO_TIES

    @property
    def owner(self) -> Claim | None:
        """The claim that decides whose profile shows this subject."""
        # Most have none, and are asked with every write.
        return next((c for c in self.claims if c.holds), None) if self.claims else None

    def with_claim(self, claim: Claim) -> Links:
        """Add a claim, or what else was said of one that is known."""
        by_owner = {known.owner: known for known in self.claims}
        known = by_owner.get(claim.owner)
        by_owner[claim.owner] = claim if known is None else known.joined(claim)
        ranked = sorted(by_owner.values(), key=lambda c: c.rank)
        return replace(self, claims=tuple(ranked[:CLAIMS_MAX]))

    def may_follow_from(self, claim: Claim) -> bool:
        """Whether the owner may be who it is because of a claim that was added.

        A repeated link of two who are linked already is not why, and so are most of them. One that
        comes again after a crash is told from it: it is still the earliest.
        """
        known = next((known for known in self.claims if known.owner == claim.owner), None)
        if known is None:
            return False
        is_earliest = (known.first_ms, known.first_id) == (claim.first_ms, claim.first_id)
        return is_earliest or known.cut_ms >= 0

    def with_member(self, peer: Peer) -> Links:
        """Add a member; of too many, those whose pids come first stay."""
        kept = sorted({*self.members, peer})[:MEMBERS_MAX]
        return replace(self, members=tuple(kept))

    def without(self, pid: str) -> Links:
        """Remove a member."""
        return replace(self, members=tuple(p for p in self.members if p.pid != pid))

    def with_ties(self, ties: Ties) -> Links:
        """Replace the ties."""
        return replace(self, ties=ties)

    def of_the_erased(self) -> Links:
        """All that may be kept of somebody who is erased."""
        return replace(self, traits=NO_TRAITS, ties=NO_TIES)

    def peers(self) -> set[Peer]:
        """All who must look again when this subject is erased."""
        return {*self.members, *(Peer(claim.owner, claim.home) for claim in self.claims)}


NO_LINKS: Final = Links()
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Links)


def encode_links(links: Links) -> bytes:
    """Write links for the tail of a state; nothing if there are none.

    Examples
    --------
    >>> encode_links(NO_LINKS), decode_links(b"") == NO_LINKS
    (b'', True)
    """
    return b"" if links == NO_LINKS else _ENCODER.encode(links)


def decode_links(data: bytes) -> Links:
    """Read what `encode_links` wrote.

    Raises
    ------
    msgspec.DecodeError
        If it did not write this.
    """
    return _DECODER.decode(data) if data else NO_LINKS

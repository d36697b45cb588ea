"""What is told of profiles that changed: whose row another profile shows now, who stands alone.

A record of ``profiler.updates`` follows from what is stored of somebody, not from what led to it.
So whoever applies the same links once more, after a crash, says the same once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from profiler.columns import Ints
from profiler.linking import Relinked

Told = Literal["none", "links", "all"]
"""What is told: nothing; only of people whose owner may have changed; of every profile too."""


class Update(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one profile."""

    pid: Annotated[str, Meta(description="profile id; the record's key too")]
    change: Annotated[
        Literal["moved", "returned", "erased", "updated"],
        Meta(
            description=(
                "moved: another profile shows its events; returned: none does any more, as links "
                "were taken back; erased: deleted, for ever; updated: what readers see changed"
            )
        ),
    ]
    rev: Annotated[int, Meta(ge=0, description="revision of what was stored")]
    ts: Annotated[
        int,
        Meta(
            ge=0,
            description=(
                "event time, ms UTC: of the latest link or unlink, of the wish to be erased, or of "
                "the latest event"
            ),
        ),
    ]
    moved_to: Annotated[str | None, Meta(description="profile id, only of those that moved")] = None


def updates_of(
    told: Told,
    pids: Sequence[str],
    relinked: Relinked,
    erased: NDArray[np.bool_],
    rev: Ints,
    as_of: Ints,
) -> dict[str, Update]:
    """Updates to be sent once a batch is written, by pid.

    Parameters
    ----------
    pids
        The batch's people.
    relinked
        What became of their links.
    erased
        (R,) whether a tombstone stood for them before.
    rev, as_of
        (R,) revisions and greatest event times once the batch is written.
    """
    if told == "none":
        return {}
    shifted = relinked.shifted
    found = {
        pids[place]: _linked(relinked, place, pids[place], int(rev[place]), erased_ms)
        for place, erased_ms in shifted.items()
    }
    if told == "all":
        # Of all whom the batch is about: whoever wrote it before may not have come to tell.
        for place in np.flatnonzero((rev > 0) & ~erased).tolist():
            # What readers see of whoever belongs to another is that other's.
            if place not in shifted and relinked.owner(place) is None:
                pid = pids[place]
                found[pid] = Update(
                    pid=pid, change="updated", rev=int(rev[place]), ts=int(as_of[place])
                )
    return found


def _linked(relinked: Relinked, place: int, pid: str, rev: int, erased_ms: int | None) -> Update:
    if erased_ms is not None:
        return Update(pid=pid, change="erased", rev=rev, ts=erased_ms)
    claims = relinked.links[place].claims
    ts = max(max(claim.last_ms, claim.cut_ms) for claim in claims)
    if owner := relinked.owner(place):
        return Update(pid=pid, change="moved", rev=rev, ts=ts, moved_to=owner)
    return Update(pid=pid, change="returned", rev=rev, ts=ts)


def encode_update(update: Update) -> bytes:
    """Write an update as the value of its record.

    Examples
    --------
    >>> encode_update(Update(pid="p", change="moved", rev=3, ts=7, moved_to="q"))
    b'{"pid":"p","change":"moved","rev":3,"ts":7,"moved_to":"q"}'
    """
    return _ENCODER.encode(update)


_ENCODER: Final = msgspec.json.Encoder()

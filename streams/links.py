"""Who belongs to whom, for an operator: read from the states, and taken back by an event."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from profiler.errors import UsageError
from profiler.identity import Claim
from profiler.peers import Peers
from profiler.spec import DEFAULT_SPEC
from profiler.state import Layout, unknown_specs
from streams.producer import EventProducer
from streams.settings import Settings
from streams.store import Store

FIELDS: Final[Mapping[str, str]] = {
    "user": "user_id",
    "device": "device_id",
    "anonymous": "anonymous_id",
}
"""Field of an event for each kind of subject, from owners to members."""


class Subject(Struct, frozen=True):
    """What is known of one subject in a graph.

    Parameters
    ----------
    pid
        Profile id.
    events
        Events that its own row holds.
    erased
        Whether it was erased.
    shown_by
        Profile that shows its row, None if that is its own.
    claims
        The evidence: to whom it may belong, the first that holds decides.
    members
        Profile ids of those whose rows its profile shows.
    """

    pid: str
    events: int
    erased: bool
    shown_by: str | None
    claims: tuple[Claim, ...]
    members: tuple[str, ...]


async def graph(store: Store, pid: str) -> list[Subject]:
    """Find a subject, whoever its row is shown by, and all whose rows that shows.

    Empty if nothing is known of the subject.

    Raises
    ------
    StoreUnavailable
        If the store cannot be reached now.
    """
    peers = await known(store, [pid])
    top = pid
    while claim := peers.links(top).owner:
        top = claim.owner
        peers = await known(store, [*peers.place, top])
    found = [top]
    for one in found:
        members = [member.pid for member in peers.links(one).members]
        peers = await known(store, [*peers.place, *members])
        found += [member for member in members if peers.belongs(member, one)]
    subjects = [_subject(peers, one) for one in dict.fromkeys([*found, pid])]
    return [one for one in subjects if one.events or one.erased or one.claims or one.members]


def unlink(settings: Settings, member: str, owner: str) -> None:
    """Take the link of two subjects back, by an event: a later link of the two counts again.

    Parameters
    ----------
    member, owner
        As ``kind:id``.

    Raises
    ------
    UsageError
        If these cannot be linked.
    BrokerUnavailable
        If no broker answers.
    """
    fields: dict[str, object] = {}
    for subject in (member, owner):
        kind, colon, subject_id = subject.partition(":")
        if not colon or kind not in FIELDS or not subject_id:
            raise UsageError(f"{subject!r}: give user:<id>, device:<id> or anonymous:<id>")
        fields[FIELDS[kind]] = subject_id
    kinds = list(FIELDS.values())
    names = list(fields)
    if len(fields) < 2 or kinds.index(names[0]) < kinds.index(names[1]):
        raise UsageError(
            f"name the one who belongs to the other first: unmerge {owner} {member}"
            if len(fields) == 2
            else "two of one kind are never linked"
        )
    now_ms = time.time_ns() // 1_000_000
    event = {"type": "identify", "ts": now_ms, "unlink": True, "source": "operator", **fields}
    with EventProducer.of(settings) as producer:
        producer.send_raw(str(fields[names[1]]).encode(), msgspec.json.encode(event))


async def known(store: Store, pids: list[str]) -> Peers:
    """Load what is stored of these people.

    Raises
    ------
    StoreUnavailable
        If the store cannot be reached now.
    """
    order = list(dict.fromkeys(pids))
    values = dict(zip(order, await store.load(order), strict=True))
    layouts: dict[str, Layout] = {}
    for spec_hash in unknown_specs(list(values.values()), DEFAULT_SPEC, {}):
        if (layout := await store.spec(spec_hash)) is not None:
            layouts[spec_hash] = msgspec.json.decode(layout)
    return Peers.of(values, DEFAULT_SPEC, layouts)


def _subject(peers: Peers, pid: str) -> Subject:
    links = peers.links(pid)
    place = peers.place[pid]
    owner = links.owner
    return Subject(
        pid=pid,
        events=int(peers.stored.rows["core.n_accepted"][place]),
        erased=bool(peers.stored.erased[place]),
        shown_by=owner.owner if owner else None,
        claims=links.claims,
        members=tuple(m.pid for m in links.members if peers.belongs(m.pid, pid)),
    )

"""Topics that were made anew or lost their end: found before a worker starts, and adopted.

See `streams.identity` for why a worker must not go on by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata
from msgspec import Struct

from profiler.dedupe import INCARNATIONS_MAX
from profiler.errors import BrokerUnavailable, TopicReplaced, UsageError
from profiler.forwarding import Seen
from streams.eventlog import READ, ends_of
from streams.identity import REMEDY, TopicIdentity, identities
from streams.settings import Settings
from streams.store import Store
from streams.topics import admin_of, topic_ids


class Adoption(Struct, frozen=True, kw_only=True):
    """What was found about a topic, and done.

    Parameters
    ----------
    name
        Full name.
    outcome
        ``unchanged``; ``made anew``: it is read from its beginning; ``lost its end``: the
        partitions that did are read from their present end.
    incarnation
        How often it was made anew, by now.
    begins
        Offsets at which the group begins, by partition, where they were set.
    """

    name: str
    outcome: Literal["unchanged", "made anew", "lost its end"]
    incarnation: int
    begins: dict[int, int]


def check_offsets(settings: Settings) -> None:
    """Make sure that the topics have what the group has read.

    Raises
    ------
    TopicReplaced
        A partition ends before the committed offset.
    BrokerUnavailable
        No broker answers.
    """
    for short in READ:
        ends = ends_of(settings, short)
        name = settings.topic(short)
        for number, offset in sorted(_committed(settings, name, ends).items()):
            if offset > ends[number]:
                raise TopicReplaced(
                    f"partition {number} of {name} ends at offset {ends[number]}, but was read up "
                    f"to {offset}: it lost its end, and new records would be taken for old ones: "
                    f"{REMEDY}"
                )


async def adopt(settings: Settings, store: Store) -> list[Adoption]:
    """Accept the topics as they are now.

    Raises
    ------
    UsageError
        Workers run, a topic is missing, or was made anew too often.
    BrokerUnavailable, StoreUnavailable
        If they are.
    """
    _check_nobody_reads(settings)
    ids = topic_ids(settings, READ)
    known = await identities(store)
    adoptions = []
    for short in READ:
        name = settings.topic(short)
        before = known.get(name, TopicIdentity(ids[name]))
        found = _look(settings, short, before, ids[name])
        adoptions.append(found)
        if found.outcome != "unchanged":
            # The offsets first: whoever is interrupted here finds the old identity, and repeats it.
            _set_offsets(settings, short, found)
            identity = TopicIdentity(ids[name], found.incarnation)
            await store.put_topic(name, msgspec.json.encode(identity))
    return adoptions


def _look(settings: Settings, short: str, before: TopicIdentity, topic_id: str) -> Adoption:
    name, ends = settings.topic(short), ends_of(settings, short)
    outcome: Literal["unchanged", "made anew", "lost its end"] = "unchanged"
    if before.id != topic_id:
        outcome, begins = "made anew", dict.fromkeys(ends, 0)
    else:
        committed = _committed(settings, name, ends)
        begins = {n: ends[n] for n, offset in committed.items() if offset > ends[n]}
        outcome = "lost its end" if begins else "unchanged"
    incarnation = before.incarnation + (outcome != "unchanged")
    if incarnation >= INCARNATIONS_MAX:
        raise UsageError(f"{name} was made anew {incarnation} times: fences cannot count further")
    return Adoption(name=name, outcome=outcome, incarnation=incarnation, begins=begins)


def _committed(settings: Settings, name: str, numbers: Mapping[int, Any]) -> dict[int, int]:
    found = _group_offsets(settings, name, list(numbers))
    return {p.partition: at.offset for p, at in found.items() if at.offset >= 0}


def _group_offsets(
    settings: Settings, name: str, numbers: Sequence[int]
) -> dict[TopicPartition, OffsetAndMetadata]:
    partitions = [TopicPartition(name, n) for n in numbers]
    with admin_of(settings) as admin:
        found: dict[TopicPartition, OffsetAndMetadata] = admin.list_group_offsets(
            {settings.group: partitions}
        )[settings.group]
    return found


def _check_nobody_reads(settings: Settings) -> None:
    with admin_of(settings) as admin:
        group = admin.describe_groups([settings.group])[settings.group]
    if members := group.get("members"):
        raise UsageError(
            f"group {settings.group} has {len(members)} members: stop all workers first, with "
            "SIGTERM, so that they commit what they have read"
        )


def _set_offsets(settings: Settings, short: str, adoption: Adoption) -> None:
    before = _group_offsets(settings, adoption.name, list(adoption.begins))
    nothing = Seen("").encode() if short == "forwarded" else ""
    offsets = {}
    for number, offset in adoption.begins.items():
        place = TopicPartition(adoption.name, number)
        # What has come home stays known, whatever became of the topic it came through.
        text = before[place].metadata if place in before else ""
        offsets[place] = OffsetAndMetadata(offset, text or nothing, None)
    with admin_of(settings) as admin:
        faults = admin.alter_group_offsets(settings.group, offsets)
    if refused := {fault.__name__ for fault in faults.values() if fault.errno}:
        raise BrokerUnavailable(f"the offsets were not set: {', '.join(sorted(refused))}")

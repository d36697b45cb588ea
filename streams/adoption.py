"""Topics that were made anew or lost their end: found before a worker starts, and adopted.

See `streams.identity` for why a worker must not go on by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.structs import OffsetAndMetadata
from msgspec import Struct

from profiler.dedupe import INCARNATIONS_MAX
from profiler.errors import TopicReplaced, UsageError
from profiler.forwarding import Seen
from streams.eventlog import READ, ends_of, places_of
from streams.groups import commit_offsets, committed_offsets, members_of
from streams.identity import REMEDY, Place, TopicIdentity, identities, reached
from streams.settings import Settings
from streams.store import Store
from streams.topics import admin_of, topic_ids

CERTAIN_AFTER: Final = 5
RETRY_INTERVAL_S: Final = 1.0


class Adoption(Struct, frozen=True, kw_only=True):
    """What was found about a topic, and done.

    Parameters
    ----------
    name
        Full name.
    outcome
        ``unchanged``; ``made anew``: it is read from its beginning; ``lost its end``: the
        partitions that did are read from their present end.
    identity
        By which workers know it from now on.
    begins
        Offsets at which the group begins, by partition, where they were set.
    """

    name: str
    outcome: Literal["unchanged", "made anew", "lost its end"]
    identity: TopicIdentity
    begins: dict[int, int]


def check_offsets(settings: Settings, reached: Mapping[Place, int]) -> None:
    """Make sure that the topics have what the group has read.

    Parameters
    ----------
    reached
        How far the profiles know each partition, which may be farther than was committed.

    Raises
    ------
    TopicReplaced
        A partition ends before that, or before the committed offset.
    BrokerUnavailable
        No broker answers.
    """
    for short in READ:
        attempts = 1
        while (cut := _cut(settings, short, reached)) and attempts < CERTAIN_AFTER:
            # A leader that has just taken over may not know yet how far its followers are.
            attempts += 1
            time.sleep(RETRY_INTERVAL_S)
        for number, (offset, end) in cut.items():
            raise TopicReplaced(
                f"partition {number} of {settings.topic(short)} ends at offset {end}, but was read "
                f"up to {offset}: it lost its end, and new records would be taken for old ones: "
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
    known = {name: at for name, at in (await identities(store)).items() if name in ids}
    far = await reached(store, known, settings.topic("events"))
    adoptions = []
    for short in READ:
        name = settings.topic(short)
        before = known.get(name, TopicIdentity(ids[name]))
        found = _look(settings, short, before, ids[name], far)
        adoptions.append(found)
        if found.outcome != "unchanged":
            # The offsets first: whoever is interrupted here finds the old identity, and repeats it.
            _set_offsets(settings, short, found)
            await store.put_topic(name, msgspec.json.encode(found.identity))
    return adoptions


def _look(
    settings: Settings,
    short: str,
    before: TopicIdentity,
    topic_id: str,
    reached: Mapping[Place, int],
) -> Adoption:
    name = settings.topic(short)
    outcome: Literal["unchanged", "made anew", "lost its end"]
    if before.id != topic_id:
        begins = {n: 0 for _, n in sorted(places_of(settings, [name]))}
        outcome, identity = "made anew", before.made_anew(topic_id)
    else:
        begins = {number: end for number, (_, end) in _cut(settings, short, reached).items()}
        outcome = "lost its end" if begins else "unchanged"
        identity = before.cut(begins)
    if any(identity.incarnation_of(n) >= INCARNATIONS_MAX for n in begins):
        raise UsageError(f"{name} was made anew too often: fences count to {INCARNATIONS_MAX}")
    return Adoption(name=name, outcome=outcome, identity=identity, begins=begins)


def _cut(
    settings: Settings, short: str, reached: Mapping[Place, int]
) -> dict[int, tuple[int, int]]:
    """How far partitions were read, and their end, where that lies before it."""
    name = settings.topic(short)
    with admin_of(settings) as admin:
        (topic,) = admin.describe_topics([name])
        numbers = sorted(p["partition_index"] for p in topic["partitions"])
    read = {n: reached.get((name, n), 0) for n in numbers}
    places = [TopicPartition(name, n) for n in numbers]
    for place, at in committed_offsets(settings, settings.group, places).items():
        read[place.partition] = max(at.offset, read[place.partition])
    # The ends afterwards: meanwhile others may read on, and commit.
    with admin_of(settings) as admin:
        wanted = {TopicPartition(name, n): OffsetSpec.LATEST for n in numbers}
        ends = {p.partition: at.offset for p, at in admin.list_partition_offsets(wanted).items()}
    if all(at <= ends[n] for n, at in read.items()):
        return {}
    # This answer is slow, and right on every broker.
    certain = ends_of(settings, short)
    return {n: (at, certain[n]) for n, at in read.items() if at > certain[n]}


def _check_nobody_reads(settings: Settings) -> None:
    if members := members_of(settings, settings.group):
        raise UsageError(
            f"group {settings.group} has {len(members)} members: stop all workers first, with "
            "SIGTERM, so that they commit what they have read"
        )


def _set_offsets(settings: Settings, short: str, adoption: Adoption) -> None:
    places = [TopicPartition(adoption.name, n) for n in adoption.begins]
    before = committed_offsets(settings, settings.group, places)
    nothing = Seen("").encode() if short == "forwarded" else ""
    offsets = {}
    for number, offset in adoption.begins.items():
        place = TopicPartition(adoption.name, number)
        # What has come home stays known, whatever became of the topic it came through.
        text = before[place].metadata if place in before else ""
        offsets[place] = OffsetAndMetadata(offset, text or nothing, None)
    commit_offsets(settings, settings.group, offsets)

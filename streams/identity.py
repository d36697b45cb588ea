"""Whether the topics are still those whose offsets stand in the profiles.

A fence is an offset. In a topic that was deleted and made anew, or that lost its end, new records
get offsets that old ones had: the fence would drop them, and nobody would know. So the id of each
topic is kept in the store, with numbers that count how often it was made anew, and its partitions
cut, and are part of every fence. A worker that meets another id, or a committed offset that the
topic does not have, stops and says so; ``profiler topics adopt`` is how an operator says that this
is right.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
from msgspec import Struct

from profiler.dedupe import incarnation_of, is_forwarded, partition_number
from profiler.errors import TopicReplaced
from streams.store import Store

Place = tuple[str, int]
"""Full name of a topic, and a partition of it."""

REMEDY = "stop all workers and run `profiler topics adopt`, which tells what it will do"


class TopicIdentity(Struct, frozen=True):
    """Which topic it is.

    Parameters
    ----------
    id
        As the broker has it.
    incarnation
        How often it was made anew.
    losses
        How often partitions of it lost their end since.
    """

    id: str
    incarnation: int = 0
    losses: dict[int, int] = {}

    def incarnation_of(self, partition: int) -> int:
        """How often offsets of a partition began to mean something else."""
        return self.incarnation + self.losses.get(partition, 0)

    def made_anew(self, topic_id: str) -> TopicIdentity:
        """Identity of a topic that took the place of this one."""
        return TopicIdentity(topic_id, self.incarnation + max(self.losses.values(), default=0) + 1)

    def cut(self, partitions: Collection[int]) -> TopicIdentity:
        """Identity of this topic after these partitions lost their end."""
        lost = {n: self.losses.get(n, 0) + 1 for n in partitions}
        return TopicIdentity(self.id, self.incarnation, self.losses | lost)


async def recognise(store: Store, topic_ids: Mapping[str, str]) -> dict[str, TopicIdentity]:
    """Compare the broker's topics with those that the store knows; give their identities.

    Parameters
    ----------
    topic_ids
        Id by full name. One that the store does not know yet is kept as it is.

    Raises
    ------
    TopicReplaced
        A topic is another one.
    """
    known = await identities(store)
    for name, topic_id in topic_ids.items():
        if name not in known:
            known[name] = TopicIdentity(topic_id)
            await store.put_topic(name, msgspec.json.encode(known[name]))
        elif known[name].id != topic_id:
            raise TopicReplaced(
                f"the topic {name} was made anew (its id is {topic_id}, was {known[name].id}), and "
                f"its records would be taken for old ones: {REMEDY}"
            )
    return {name: known[name] for name in topic_ids}


async def reached(
    store: Store, known: Mapping[str, TopicIdentity], events: str
) -> dict[Place, int]:
    """Return how far the profiles know each partition of these topics.

    Parameters
    ----------
    events
        Full name of the topic of events; the other is that of forwarded events.
    """
    found: dict[Place, int] = {}
    for code, offset in (await store.reached(events)).items():
        number = partition_number(code)
        for name, identity in known.items():
            is_kind = bool(is_forwarded(code)) == (name != events)
            if is_kind and incarnation_of(code) == identity.incarnation_of(number):
                found[name, number] = offset
    return found


async def identities(store: Store) -> dict[str, TopicIdentity]:
    """Return what the store knows, by full name."""
    found = await store.topics()
    return {name: msgspec.json.decode(text, type=TopicIdentity) for name, text in found.items()}

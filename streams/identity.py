"""Whether the topics are still those whose offsets stand in the profiles.

A fence is an offset. In a topic that was deleted and made anew, or that lost its end, new records
get offsets that old ones had: the fence would drop them, and nobody would know. So the id of each
topic is kept in the store, with a number that counts how often it was made anew and is part of
every fence. A worker that meets another id, or a committed offset that the topic does not have,
stops and says so; ``profiler topics adopt`` is how an operator says that this is right.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from profiler.errors import TopicReplaced
from streams.store import Store

REMEDY = "stop all workers and run `profiler topics adopt`, which tells what it will do"


class TopicIdentity(Struct, frozen=True):
    """Which topic it is.

    Parameters
    ----------
    id
        As the broker has it.
    incarnation
        How often it was made anew.
    """

    id: str
    incarnation: int = 0


async def recognise(store: Store, topic_ids: Mapping[str, str]) -> dict[str, int]:
    """Compare the broker's topics with those that the store knows; give their incarnations.

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
    return {name: known[name].incarnation for name in topic_ids}


async def identities(store: Store) -> dict[str, TopicIdentity]:
    """Return what the store knows, by full name."""
    found = await store.topics()
    return {name: msgspec.json.decode(text, type=TopicIdentity) for name, text in found.items()}

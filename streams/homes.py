"""What comes from where: the topics that a worker reads, and the forwards that have come home."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import NamedTuple

from profiler.dedupe import EVENTS, FORWARDED, partition_code, topic_code
from profiler.forwarding import Seen
from profiler.records import Chunk
from streams.committer import Forwards
from streams.identity import TopicIdentity
from streams.inbox import Delivery
from streams.log import get_logger
from streams.patience import Patience

_log = get_logger(component="worker")


class Topics(NamedTuple):
    """Full names of the topics of events and of forwarded events."""

    events: str
    forwarded: str


class Arrival(NamedTuple):
    """A delivery as a chunk of a batch.

    Parameters
    ----------
    chunk
        Without the forwards that had been seen before.
    acknowledge
        To be called once it is durable.
    n_repeated
        Forwards that had been seen before.
    """

    chunk: Chunk
    acknowledge: Callable[[], None]
    n_repeated: int


class Homes:
    """The partitions of one worker.

    Parameters
    ----------
    topics
        That it reads.
    forwards
        Read again where the broker does not tell what had been seen.
    patience
        For a broker that is away.
    """

    def __init__(self, topics: Topics, forwards: Forwards, patience: Patience) -> None:
        self.topics = topics
        self._forwards = forwards
        self._patience = patience
        self._identities: dict[str, TopicIdentity] = {}
        self._seen: dict[int, Seen] = {}

    def identify_topics(self, identities: Mapping[str, TopicIdentity]) -> None:
        """Take note of how often each topic was made anew, or cut."""
        self._identities = dict(identities)

    def codes_of(self, partitions: Collection[tuple[str, int]]) -> set[int]:
        """Codes of partitions as the fences have them."""
        return {partition_code(self._code(*place), place[1]) for place in partitions}

    def _code(self, topic: str, number: int) -> int:
        identity = self._identities.get(topic)
        incarnation = identity.incarnation_of(number) if identity else 0
        return topic_code(FORWARDED if topic == self.topics.forwarded else EVENTS, incarnation)

    async def assign(self, partitions: Mapping[tuple[str, int], tuple[int, str]]) -> None:
        """Begin at these committed offsets, with the texts beside them."""
        self._seen = {}
        for (topic, number), (offset, text) in partitions.items():
            if topic == self.topics.forwarded:
                remember = partial(self._remember, number, offset, text)
                self._seen[number] = await self._patience.until_done(remember)

    def receive(self, delivery: Delivery) -> Arrival:
        """Turn a delivery into a chunk, once and in its order."""
        number = delivery.partition
        code = self._code(delivery.topic, number)
        if delivery.topic != self.topics.forwarded:
            chunk = Chunk(code, number, delivery.records)
            return Arrival(chunk, partial(delivery.acknowledge, ""), 0)
        seen = self._seen.setdefault(number, self._unaware())
        records, offsets, origins, n_repeated, looks = seen.admit(delivery.records)
        chunk = Chunk(code, number, records, offsets, origins, looks)
        return Arrival(chunk, partial(delivery.acknowledge, seen.encode()), n_repeated)

    def _unaware(self) -> Seen:
        return Seen(self.topics.events)

    async def _remember(self, home: int, offset: int, text: str) -> Seen:
        """Find out which forwards have reached a home before an offset."""
        try:
            return Seen.decode(self.topics.events, text)
        except ValueError:
            seen = self._unaware()
        if offset > 0:
            # The broker keeps no text with an offset, or somebody else has set it.
            _log.warning("forwards_read_again", partition=home, before_offset=offset)
            async for records in self._forwards.history(home, offset):
                seen.admit(records)
        return seen

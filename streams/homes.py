"""What comes from where: the topics that a worker reads, and the forwards that have come home."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import NamedTuple

from profiler.dedupe import EVENTS, FORWARDED, partition_code, topic_code
from profiler.forwarding import Seen
from profiler.records import Chunk
from streams.committer import Forwards
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
        self._topics = topics
        self._forwards = forwards
        self._patience = patience
        self._codes = {topics.events: topic_code(EVENTS), topics.forwarded: topic_code(FORWARDED)}
        self._seen: dict[int, Seen] = {}

    def number_topics(self, incarnations: Mapping[str, int]) -> None:
        """Take note of how often each topic was made anew."""
        for kind, name in ((EVENTS, self._topics.events), (FORWARDED, self._topics.forwarded)):
            self._codes[name] = topic_code(kind, incarnations.get(name, 0))

    def codes_of(self, partitions: Collection[tuple[str, int]]) -> set[int]:
        """Codes of partitions as the fences have them."""
        return {partition_code(self._codes[topic], number) for topic, number in partitions}

    async def assign(self, partitions: Mapping[tuple[str, int], tuple[int, str]]) -> None:
        """Begin at these committed offsets, with the texts beside them."""
        self._seen = {}
        for (topic, number), (offset, text) in partitions.items():
            if topic == self._topics.forwarded:
                remember = partial(self._remember, number, offset, text)
                self._seen[number] = await self._patience.until_done(remember)

    def receive(self, delivery: Delivery) -> Arrival:
        """Turn a delivery into a chunk, once and in its order."""
        code, number = self._codes[delivery.topic], delivery.partition
        if delivery.topic != self._topics.forwarded:
            chunk = Chunk(code, number, delivery.records)
            return Arrival(chunk, partial(delivery.acknowledge, ""), 0)
        seen = self._seen.setdefault(number, self._unaware())
        records, offsets, origins, n_repeated = seen.admit(delivery.records)
        chunk = Chunk(code, number, records, offsets, origins)
        return Arrival(chunk, partial(delivery.acknowledge, seen.encode()), n_repeated)

    def _unaware(self) -> Seen:
        return Seen(self._topics.events)

    async def _remember(self, home: int, offset: int, text: str) -> Seen:
        """Find out which forwards have reached a home before an offset."""
        try:
            return Seen.decode(self._topics.events, text)
        except ValueError:
            seen = self._unaware()
        if offset > 0:
            # The broker keeps no text with an offset, or somebody else has set it.
            _log.warning("forwards_read_again", partition=home, before_offset=offset)
            async for records in self._forwards.history(home, offset):
                seen.admit(records)
        return seen

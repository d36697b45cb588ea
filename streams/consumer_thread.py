"""The thread in which aiokafka's consumer lives: options that Faust lacks, exact seeks, metadata.

Part of `streams.batching`, and like it bound to faust-streaming 0.15.3 and aiokafka 0.14.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Transport
from faust.types import TP

from streams.assignor import HomeAssignor

Committed = Mapping[TP, tuple[int, str]]
"""Committed offset and the text beside it, by partition; -1 where nothing is committed."""


class ConsumerThread(AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer: options that Faust lacks, and exact seeks.

    A fetch may be under way while a rebalance passes and Faust seeks back to what is committed. Was
    it taken out of aiokafka's buffer before that seek, its records come again; was it after, they
    never do. So seeks are counted, and a fetch notes the count at the moment it is taken.
    """

    fetch_max_wait_ms: int
    """Longest wait of a fetch; Faust fixes it at 1500, which is a latency of a second."""

    texts: Mapping[tuple[TP, int], str] = {}
    """What is kept beside an offset when it is committed, by partition and offset."""

    n_seeks = 0
    n_seeks_at_fetch = 0

    def _create_worker_consumer(self, transport: Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.fetch_max_wait_ms
        consumer._partition_assignment_strategy = (HomeAssignor,)
        commit = consumer.commit

        async def commit_with_texts(offsets: Mapping[Any, OffsetAndMetadata]) -> None:
            texts = self.texts
            # Faust commits every offset with an empty text.
            await commit(
                {
                    tp: OffsetAndMetadata(o.offset, texts.get((TP(*tp), o.offset), ""))
                    for tp, o in offsets.items()
                }
            )

        consumer.commit = commit_with_texts
        return consumer

    async def seek_and_tell(self) -> Committed:
        """Seek to what is committed, and tell what that is."""
        found: Committed = await self.call_thread(self._seek_and_tell)
        return found

    async def _seek_and_tell(self) -> Committed:
        consumer = self._ensure_consumer()
        partitions = [TopicPartition(*tp) for tp in consumer.assignment()]
        committed = await consumer._coordinator.fetch_committed_offsets(partitions)
        nothing = OffsetAndMetadata(-1, "")
        found = {TP(*tp): committed.get(tp, nothing) for tp in partitions}
        fresh = [tp for tp in partitions if committed.get(tp, nothing).offset <= 0]
        # From here to the first fetch of a new position nothing else runs in this thread, so that
        # no fetch can lie between two of the seeks.
        for tp in partitions:
            if tp not in fresh:
                consumer.seek(tp, committed[tp].offset)
        self.n_seeks += 1
        if fresh and self.app.conf.consumer_auto_offset_reset == "earliest":
            # aiokafka's own `seek_to_committed` leaves these where they are, after records that
            # were fetched and never delivered.
            await consumer.seek_to_beginning(*fresh)
        return {tp: (known.offset, known.metadata or "") for tp, known in found.items()}

    def rejoin(self) -> None:
        """Leave the assignment, and ask for one again; returns at once."""
        assert self.thread_loop is not None
        coordinator = self._ensure_consumer()._coordinator
        self.thread_loop.call_soon_threadsafe(coordinator.request_rejoin)

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        records = await super()._fetch_records(*args, **kwargs)
        self.n_seeks_at_fetch = self.n_seeks
        return records

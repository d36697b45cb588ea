"""Faust in batches: one Faust event per fetched batch of one partition.

Faust pays 100–200 µs for every record it delivers. Here it delivers the records of one partition
that were fetched together as *one* event, whose value is the list of aiokafka's records; topics,
agents, assignment, rebalance, back-pressure, monitor and web stay Faust's. Topics that were not
made with `BatchApp.batched_topic` keep Faust's behaviour, record by record.

An event is acknowledged with `acknowledge` when its effect is durable, any time after the agent
took it; several batches of a partition may be outstanding. Only the acknowledged prefix of what was
delivered is ever committed. Before partitions leave, the application is asked to finish
(`revoked`), what it acknowledged is committed, and then the state of those partitions is dropped.

This is the only file that touches Faust's internals; it is written against faust-streaming 0.15.3.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Set
from typing import Any

import faust
from aiokafka import ConsumerRecord
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.exceptions import ConsumerNotStarted
from faust.transport.consumer import CONSUMER_PARTITIONS_REVOKED
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Transport
from faust.transport.drivers.aiokafka import Consumer as AIOKafkaConsumer
from faust.types import TP, AppT, EventT, Message, TopicT
from faust.types.tuples import ConsumerMessage
from mode import Service

Partitions = Set[TP]


def acknowledge(event: EventT[list[ConsumerRecord]]) -> None:
    """Say that a batch is durable; to be called in the thread of the app's loop.

    An event of an assignment that has ended is ignored: its records were, or will be, delivered
    again to whoever has the partition now.
    """
    event.ack()
    # The message waits in its partition's queue for the commit; its records need not.
    event.message.value = None


class BatchApp(faust.App):
    """A Faust app that can have batched topics.

    Parameters
    ----------
    id
        Consumer group.
    fetch_max_wait_ms
        Longest wait of a fetch; Faust fixes it at 1500, which is a latency of a second.
    drain_timeout_s
        How long leaving partitions may wait for batches that are being worked on. What is not
        acknowledged by then is delivered again, to whoever has the partition next.
    assigned
        Awaited with all partitions of a new assignment, before any of their records is delivered.
    revoked
        Awaited with the partitions that are about to go: finish what is in flight of them and
        acknowledge it. Nothing more of them is delivered.
    options
        Faust's own settings.
    """

    def __init__(
        self,
        id: str,
        *,
        fetch_max_wait_ms: int,
        drain_timeout_s: float,
        assigned: Callable[[Partitions], Awaitable[None]],
        revoked: Callable[[Partitions], Awaitable[None]],
        **options: Any,
    ) -> None:
        self.fetch_max_wait_ms = fetch_max_wait_ms
        self.drain_timeout_s = drain_timeout_s
        self.assigned = assigned
        self.revoked = revoked
        self.batched_topics: set[str] = set()
        # Our own drain replaces Faust's, which has no limit: a store that is away would hold up
        # the rebalance of the whole group.
        super().__init__(id, stream_wait_empty=False, **options)

    def batched_topic(self, *names: str, n_batches_max: int) -> TopicT:
        """Declare topics whose records arrive in batches, for one agent.

        Parameters
        ----------
        names
            Topics, which must exist.
        n_batches_max
            Batches that may wait for the agent before fetching pauses.
        """
        topic = self.topic(*names, schema=_BatchSchema())
        # `App.topic(maxsize=…)` never reaches the queue, which would hold 4096 batches.
        topic.maxsize = n_batches_max
        self.batched_topics.update(names)
        return topic

    async def stop(self) -> None:
        """Finish what is being worked on, commit it, leave the group, stop."""
        if self.started and not self.should_stop and not self.crashed and self._consumer:
            assert isinstance(self.consumer, _BatchConsumer)
            await self.consumer.drain()
        await super().stop()

    async def until_crashed(self) -> None:
        """Wait for a fault of any part of the app."""
        await self._crashed.wait()

    def partitions(self) -> frozenset[TP]:
        """All partitions that this process has now; empty while the group is rebalancing."""
        if self.rebalancing or self._assignment is None:
            return frozenset()
        return frozenset(self._assignment)

    def lags(self) -> dict[TP, int]:
        """Records of each batched partition that are not acknowledged, as of the last fetch."""
        if not isinstance(self._consumer, _BatchConsumer):
            return {}
        highwater = self._consumer.highwater
        return {tp: found.lag(highwater(tp)) for tp, found in self._consumer._progress.items()}

    def _new_transport(self) -> Transport:
        return _BatchTransport(self.conf.broker_consumer, self)


class _BatchSchema(faust.Schema[Any, Any]):
    """The value of an event is the list of records, as it was fetched."""

    def loads_key(self, app: AppT, message: Message, **_: Any) -> None:
        return None

    def loads_value(self, app: AppT, message: Message, **_: Any) -> Any:
        return message.value


class _Progress:
    """What of one partition was delivered, acknowledged and committed in this assignment."""

    __slots__ = ("acknowledged", "committed", "outstanding")

    def __init__(self) -> None:
        self.outstanding: deque[ConsumerMessage] = deque()
        self.acknowledged: int | None = None
        self.committed: int | None = None

    def to_commit(self) -> int | None:
        """Offset after the acknowledged prefix, where it is not committed yet."""
        # Asked of the messages themselves: a late acknowledgement from an earlier assignment is of
        # a message in no queue, and vouches for nothing even where a new batch ends alike.
        while self.outstanding and self.outstanding[0].acked:
            self.acknowledged = self.outstanding.popleft().offset + 1
        return None if self.acknowledged == self.committed else self.acknowledged

    def lag(self, highwater: int | None) -> int:
        batches: Iterable[Any] = (m.value for m in self.outstanding if not m.acked)
        left = next(iter(batches), None)
        return highwater - left[0].offset if left and highwater is not None else 0


class _ConsumerThread(AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer: options that Faust lacks, and exact seeks.

    A fetch may be under way while a rebalance passes and Faust seeks back to what is committed. Was
    it taken out of aiokafka's buffer before that seek, its records come again; was it after, they
    never do. So seeks are counted, and a fetch notes the count at the moment it is taken.
    """

    n_seeks = 0
    n_seeks_at_fetch = 0

    def _create_worker_consumer(self, transport: Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        app = self.app
        assert isinstance(app, BatchApp)
        consumer._fetch_max_wait_ms = app.fetch_max_wait_ms
        # Partition n of every topic goes to the same worker: a profile's events and what other
        # workers forward to its home meet in one process. Round robin does not give that.
        consumer._partition_assignment_strategy = (RangePartitionAssignor,)
        return consumer

    async def seek_to_committed(self) -> Mapping[TP, int]:
        found: Mapping[TP, int] = await self.call_thread(self._seek_to_committed)
        return found

    async def _seek_to_committed(self) -> dict[Any, int | None]:
        consumer = self._ensure_consumer()
        committed = {tp: await consumer.committed(tp) for tp in consumer.assignment()}
        fresh = [tp for tp, offset in committed.items() if not offset]
        # From here to the first fetch of a new position nothing else runs in this thread, so that
        # no fetch can lie between two of the seeks.
        for tp, offset in committed.items():
            if offset:
                consumer.seek(tp, offset)
        self.n_seeks += 1
        if fresh and self.app.conf.consumer_auto_offset_reset == "earliest":
            # aiokafka's own `seek_to_committed` leaves these where they are, after records that
            # were fetched and never delivered.
            await consumer.seek_to_beginning(*fresh)
        return committed

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Any:
        records = await super()._fetch_records(*args, **kwargs)
        self.n_seeks_at_fetch = self.n_seeks
        return records


class _BatchConsumer(AIOKafkaConsumer):
    """Faust's consumer, where a message of a batched topic is a whole batch."""

    app: BatchApp
    _thread: _ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._progress: dict[TP, _Progress] = {}
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Fetch once: one message per partition of a batched topic, one per record of others."""
        records_by_partition, active = await self._wait_next_records(timeout)
        n_seeks = self._thread.n_seeks_at_fetch
        if not records_by_partition:
            return
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # as Faust does it
        for aiokafka_partition, records in records_by_partition.items():
            if not self._is_current(n_seeks):
                return
            tp = TP(*aiokafka_partition)
            if not (active is None or tp in active or tp in self._buffered_partitions):
                continue
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
            for message in self._messages(tp, records):
                # While the reader of this generator waited, much may have happened.
                if not self._is_current(n_seeks):
                    return
                if tp.topic in self.app.batched_topics:
                    self._progress.setdefault(tp, _Progress()).outstanding.append(message)
                yield tp, message

    def _is_current(self, n_seeks: int) -> bool:
        """Whether what was fetched after so many seeks may be delivered; if not, it comes again."""
        return self.flow_active and not self.should_stop and self._thread.n_seeks == n_seeks

    def _messages(self, tp: TP, records: list[Any]) -> Iterable[ConsumerMessage]:
        if tp.topic not in self.app.batched_topics:
            return (self._to_message(tp, record) for record in records)
        return [self._to_batch(tp, records)] if records else []

    def _to_batch(self, tp: TP, records: list[Any]) -> ConsumerMessage:
        last = records[-1]
        return ConsumerMessage(
            *(tp.topic, tp.partition, last.offset),
            *(last.timestamp / 1_000, last.timestamp_type),
            headers=None,
            key=None,
            value=records,  # type: ignore[arg-type]  # the schema passes it on as it is
            checksum=None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        # Faust fills gaps between messages as if acknowledged; here they are whole batches.
        if tp.topic not in self.app.batched_topics:
            await super()._add_gap(tp, offset_from, offset_to)

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic not in self.app.batched_topics:
            return super()._new_offset(tp)
        # Faust's own lists of acknowledged offsets are not used, only kept from growing; the
        # partition stays in them, so that a commit that failed is tried again.
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        progress = self._progress.get(tp)
        return progress.to_commit() if progress else None

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return tp.topic in self.app.batched_topics or super()._should_commit(tp, offset)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        did_commit = await super()._commit(offsets)
        if did_commit:
            for tp, offset in offsets.items():
                if progress := self._progress.get(tp):
                    progress.committed = offset
        return did_commit

    async def drain(self) -> None:
        """Stop the flow, let the app finish and acknowledge, commit; bounded in time."""
        try:
            partitions = self.assignment()
        except ConsumerNotStarted:
            return
        if not partitions:
            return
        self.stop_flow()
        self.app.flow_control.suspend()
        self.pause_partitions(partitions)
        self.app.flow_control.clear()
        if not await self._finish(partitions):
            n_left = sum(not message.acked for message in self._unacked_messages)
            self.log.warning("%d batches were not finished; they will be delivered again", n_left)
        # `commit` does nothing while another is under way, which may have begun before the last
        # acknowledgement.
        await self.maybe_wait_for_commit_to_finish()
        await self.commit()

    async def _finish(self, partitions: Partitions) -> bool:
        try:
            async with asyncio.timeout(self.app.drain_timeout_s):
                await self.app.revoked(partitions)
                while any(not message.acked for message in self._unacked_messages):
                    # Faust sets it at every acknowledgement. Its own waiting is no use: it takes
                    # a second at a time, and swallows cancellation.
                    self._waiting_for_ack = asyncio.Future()
                    await self._waiting_for_ack
        except TimeoutError:
            return False
        return True

    @Service.transitions_to(CONSUMER_PARTITIONS_REVOKED)
    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish, commit, hand over to Faust, forget; Faust itself would forget first."""
        if revoked and not self.app.should_stop:
            await self.drain()
        self._active_partitions.difference_update(revoked)
        self._paused_partitions.difference_update(revoked)
        await self._on_partitions_revoked(revoked)
        per_partition = [self._gap, self._acked, self._acked_index, self._progress]
        for mapping in (*per_partition, self._read_offset, self._committed_offset):
            for tp in revoked:
                mapping.pop(tp, None)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Tell the app, then let Faust seek and resume."""
        await self.app.assigned(assigned)
        await super().on_partitions_assigned(assigned, generation_id)


class _BatchTransport(Transport):
    Consumer = _BatchConsumer

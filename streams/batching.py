"""Faust in batches: one Faust event per fetched batch of one partition.

Faust pays 100–200 µs for every record it delivers. Here it delivers the records of one partition
that were fetched together as *one* event, whose value is the list of aiokafka's records; topics,
agents, assignment, rebalance, back-pressure, monitor and web stay Faust's. Topics that were not
made with `BatchApp.batched_topic` keep Faust's behaviour, record by record.

An event is acknowledged with `acknowledge` when its effect is durable, any time after the agent
took it; several batches of a partition may be outstanding. Only the acknowledged prefix of what was
delivered is ever committed. Before partitions leave, the application is asked to finish
(`revoked`), what it acknowledged is committed, and then the state of those partitions is dropped.

This file and `streams.consumer_thread` are the only ones that touch Faust's internals; they are
written against faust-streaming 0.15.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Set
from typing import Any, Final, cast

import faust
from aiokafka import ConsumerRecord
from faust.exceptions import ConsumerNotStarted
from faust.transport.consumer import CONSUMER_PARTITIONS_REVOKED
from faust.transport.drivers.aiokafka import Consumer as AIOKafkaConsumer
from faust.transport.drivers.aiokafka import Transport
from faust.types import TP, AppT, EventT, Message, TopicT
from faust.types.tuples import ConsumerMessage
from mode import Service

from profiler.errors import TopicReplaced
from streams.consumer_thread import Committed, ConsumerThread
from streams.progress import Progress

ROOM_INTERVAL_S: Final = 0.01
"""How often a full queue is looked at for room."""

Partitions = Set[TP]


def acknowledge(event: EventT[list[ConsumerRecord]], text: str = "") -> None:
    """Say that a batch is durable; to be called in the thread of the app's loop.

    An event of an assignment that has ended is ignored: its records are delivered again.

    Parameters
    ----------
    text
        Kept as metadata of the offset commit, and given back with the next assignment.
    """
    event.ack()
    event.message.value = text  # type: ignore[assignment]  # Faust does not look at it any more


def take_records(event: EventT[list[ConsumerRecord]]) -> list[ConsumerRecord]:
    """Take the records out of a batch.

    Event and message are kept until the offset is committed, which may be long after the records
    have been worked on.
    """
    records = cast(list[ConsumerRecord], event.value)
    event.value = event.message.value = None
    return records


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
        Awaited with all partitions of a new assignment, each with its committed offset and the
        text beside it, before any of their records is delivered.
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
        assigned: Callable[[Committed], Awaitable[None]],
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

    def is_current(self, event: EventT[list[ConsumerRecord]]) -> bool:
        """Whether the assignment holds in which a batch was delivered, not acknowledged yet."""
        consumer = self._consumer
        return isinstance(consumer, _BatchConsumer) and consumer.is_outstanding(event.message)

    async def rewind(self) -> None:
        """Make all that is not acknowledged stale, and have it delivered again.

        It is read again from the committed offsets, after a rebalance that this asks for: so there
        is one way only in which a position is ever set.
        """
        assert isinstance(self.consumer, _BatchConsumer)
        self.consumer.rewind()

    async def stop(self) -> None:
        """Finish what is being worked on, commit it, leave the group, stop."""
        # All but what was made anew can be finished, and must: adopting lifts its fences.
        is_sound = not self.crashed or isinstance(self.crash_reason, TopicReplaced)
        if self.started and not self.should_stop and is_sound and self._consumer:
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


class _BatchConsumer(AIOKafkaConsumer):
    """Faust's consumer, where a message of a batched topic is a whole batch."""

    app: BatchApp
    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._progress: dict[TP, Progress] = {}
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> ConsumerThread:
        thread = ConsumerThread(self, loop=self.loop, beacon=self.beacon)
        thread.fetch_max_wait_ms = self.app.fetch_max_wait_ms
        return thread

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
                # While this generator's reader waited, much may have happened.
                if not self._is_current(n_seeks):
                    return
                if tp.topic in self.app.batched_topics:
                    self._progress.setdefault(tp, Progress()).deliver(message, records[0].offset)
                yield tp, message

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        if not self._buffered_partitions:
            return await super()._wait_next_records(timeout)
        # A queue is full, and its partition left out of fetches until there is room again. Faust
        # would notice that only after its wait for the others, of a second.
        if self._get_active_partitions():
            return await super()._wait_next_records(ROOM_INTERVAL_S)
        await self.sleep(ROOM_INTERVAL_S)
        return {}, set()

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
        progress = {tp: found for tp in offsets if (found := self._progress.get(tp))}
        self._thread.texts = {
            (tp, offset): text
            for tp, found in progress.items()
            for offset, text in found.texts.items()
        }
        did_commit = await super()._commit(offsets)
        if did_commit:
            for tp, found in progress.items():
                found.note_committed(offsets[tp])
        return did_commit

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek, and tell the app from where it will be delivered."""
        self._progress.clear()
        found = await self._thread.seek_and_tell()
        self._progress = {tp: Progress(max(offset, 0)) for tp, (offset, _) in found.items()}
        await self.app.assigned(found)
        return {tp: offset for tp, (offset, _) in found.items() if offset >= 0}

    def is_outstanding(self, message: Message) -> bool:
        """Whether a batch was delivered in the assignment that holds."""
        progress = self._progress.get(message.tp)
        return progress is not None and progress.is_outstanding(message)

    def rewind(self) -> None:
        """See `BatchApp.rewind`."""
        self._stop_deliveries(self.assignment())
        self._progress.clear()
        self._unacked_messages.clear()
        self._thread.rejoin()

    async def drain(self) -> None:
        """Stop the flow, let the app finish and acknowledge, commit; bounded in time."""
        try:
            partitions = self.assignment()
        except ConsumerNotStarted:
            return
        if not partitions:
            return
        self._stop_deliveries(partitions)
        if not await self._finish(partitions):
            n_left = sum(not message.acked for message in self._unacked_messages)
            self.log.warning("%d batches were not finished; they will be delivered again", n_left)
        # `commit` does nothing while another is under way, which may have begun before the last
        # acknowledgement.
        await self.maybe_wait_for_commit_to_finish()
        await self.commit()

    def _stop_deliveries(self, partitions: Iterable[TP]) -> None:
        self.stop_flow()
        self.app.flow_control.suspend()
        self.pause_partitions(partitions)
        self.app.flow_control.clear()

    async def _finish(self, partitions: Partitions) -> bool:
        try:
            async with asyncio.timeout(self.app.drain_timeout_s):
                await self.app.revoked(partitions)
                while any(not message.acked for message in self._unacked_messages):
                    # Faust sets it at every acknowledgement. Its own wait swallows cancellation.
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


class _BatchTransport(Transport):
    Consumer = _BatchConsumer

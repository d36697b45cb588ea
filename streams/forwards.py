"""Forwards: records on their way to the home partition of their subject.

To one home they go batch after batch, each sent when the one before is acknowledged. So whatever
fails, no record reaches a home before an older one of the same origin partition.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from profiler.errors import BrokerUnavailable
from profiler.forwarding import headers_of
from profiler.records import Forward, Record
from streams.broker import PLAINTEXT, BrokerSecurity
from streams.sender import SEND_TIMEOUT_S, Sender
from streams.tasks import together
from streams.topics import FORWARD_BYTES_MAX

HISTORY_RECORDS_MAX: Final = 1_000_000
FETCH_MAX_WAIT_MS: Final = 20
BATCH_BYTES: Final = 900_000
"""Below the limit of a topic that was made without ours (1 MiB)."""


class KafkaForwards:
    """Sends records on to their homes; connects at the first one.

    Parameters
    ----------
    brokers
        Bootstrap addresses, separated by commas.
    topic
        Full name of the topic of forwarded events.
    security
        Of the brokers.
    """

    def __init__(self, brokers: str, topic: str, security: BrokerSecurity = PLAINTEXT) -> None:
        self._brokers = brokers
        self._topic = topic
        self._security = security
        self._sender = Sender(
            brokers, security, batch_bytes=BATCH_BYTES, request_bytes_max=FORWARD_BYTES_MAX
        )

    async def send(self, forwards: Sequence[Forward]) -> None:
        """See `streams.committer.Forwards`.

        Raises
        ------
        BrokerUnavailable
            Some may not be kept; send all of them again.
        """
        by_home: defaultdict[int, list[Forward]] = defaultdict(list)
        for forward in forwards:
            by_home[forward.home].append(forward)
        async with self._sender.producer() as producer:
            await together(
                *(self._send_home(producer, home, some) for home, some in by_home.items())
            )

    async def history(self, home: int, end: int) -> AsyncIterator[Sequence[Record]]:
        """See `streams.committer.Forwards`.

        Raises
        ------
        BrokerUnavailable
            It stopped answering.
        """
        place = TopicPartition(self._topic, home)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._brokers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            **self._security.options(),
        )
        try:
            await consumer.start()
            consumer.assign([place])
            first = (await consumer.beginning_offsets([place]))[place]
            consumer.seek(place, max(first, end - HISTORY_RECORDS_MAX))
            while await consumer.position(place) < end:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    found = await consumer.getmany(place, timeout_ms=1_000)
                yield [record for record in found.get(place, ()) if record.offset < end]
                log_end = consumer.highwater(place)
                if log_end is not None and await consumer.position(place) >= log_end:
                    return  # it lost its end, which others will notice
        except (KafkaError, OSError, TimeoutError) as fault:
            raise BrokerUnavailable(f"forwards could not be read: {fault!r}") from fault
        finally:
            await consumer.stop()

    async def close(self) -> None:
        """Close the connection; a later `send` opens it again."""
        await self._sender.close()

    async def _send_home(self, producer: Any, home: int, forwards: Sequence[Forward]) -> None:
        batch = producer.create_batch()
        for forward in forwards:
            if not _append(batch, forward):
                await self._send_batch(producer, home, batch)
                batch = producer.create_batch()
                _append(batch, forward)
        await self._send_batch(producer, home, batch)

    async def _send_batch(self, producer: Any, home: int, batch: Any) -> None:
        batch.close()
        await (await producer.send_batch(batch, self._topic, partition=home))


def _append(batch: Any, forward: Forward) -> bool:
    """Add a record unless the batch is full. One that is empty takes any."""
    record = forward.record
    headers = headers_of(forward)
    # Not the origin's time: what is old on arrival would be deleted before it is read.
    added = batch.append(key=record.key, value=record.value, timestamp=None, headers=headers)
    return added is not None

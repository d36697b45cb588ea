"""Forwards: records on their way to the home partition of their subject.

To one home they go batch after batch, each sent when the one before is acknowledged. So whatever
fails, no record reaches a home before an older one of the same origin partition.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from profiler.batch import Forward, Record
from profiler.forwarding import origin_header
from streams.sender import Sender
from streams.tasks import together
from streams.topics import FORWARD_BYTES_MAX

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
    """

    def __init__(self, brokers: str, topic: str) -> None:
        self._topic = topic
        self._sender = Sender(brokers, batch_bytes=BATCH_BYTES, request_bytes_max=FORWARD_BYTES_MAX)

    async def send(self, forwards: Sequence[Forward]) -> None:
        """See `streams.committer.Forwards`.

        Raises
        ------
        BrokerUnavailable
            Some may not be kept; send all of them again.
        """
        by_home: defaultdict[int, list[Record]] = defaultdict(list)
        for home, record in forwards:
            by_home[home].append(record)
        async with self._sender.producer() as producer:
            await together(
                *(self._send_home(producer, home, records) for home, records in by_home.items())
            )

    async def close(self) -> None:
        """Close the connection; a later `send` opens it again."""
        await self._sender.close()

    async def _send_home(self, producer: Any, home: int, records: Sequence[Record]) -> None:
        batch = producer.create_batch()
        for record in records:
            if not _append(batch, record):
                await self._send_batch(producer, home, batch)
                batch = producer.create_batch()
                _append(batch, record)
        await self._send_batch(producer, home, batch)

    async def _send_batch(self, producer: Any, home: int, batch: Any) -> None:
        batch.close()
        await (await producer.send_batch(batch, self._topic, partition=home))


def _append(batch: Any, record: Record) -> bool:
    """Add a record unless the batch is full. One that is empty takes any."""
    headers = [*record.headers, origin_header(record)]
    # Not the origin's time: what is old on arrival would be deleted before it is read.
    added = batch.append(key=record.key, value=record.value, timestamp=None, headers=headers)
    return added is not None

"""The load: skewed events, written to a topic ahead of a measurement.

aiokafka's own batches carry 600,000 events in a few seconds, where `send` would take a minute.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Sequence
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaProducer
from msgspec import Struct

from profiler.partitioning import partition_of
from profiler.zipf import zipf_events

BATCH_BYTES: Final = 256 * 1024
Events = list[tuple[bytes, bytes]]


class Load(Struct, frozen=True, kw_only=True):
    """Events of many users, of whom few do most.

    Parameters
    ----------
    n_events, n_users
        How many.
    exponent
        P(rank of a user) ∝ rank^−exponent.
    start_ms, span_ms
        Event times are uniform over this span, and in order. A span of hours lets sessions end and
        labels fall due while the load is consumed, as on a real topic.
    seed
        The same seed gives the same events.
    """

    n_events: int
    n_users: int
    exponent: float
    start_ms: int
    span_ms: int
    seed: int = 0

    def events(self) -> Events:
        """Keys and values, in order of event time."""
        return zipf_events(
            self.n_events, self.n_users, self.exponent, self.seed, self.start_ms, self.span_ms
        )


class _Time(Struct):
    ts: int


_TIMES: Final = msgspec.json.Decoder(_Time)


def times_ms(events: Events) -> list[int]:
    """Event times."""
    return [_TIMES.decode(value).ts for _, value in events]


def preload(brokers: str, topic: str, n_partitions: int, load: Load) -> None:
    """Write a load to a topic, partitioned by user as the default producers do.

    The timestamp of a record is the time of its event: a backlog that lies there since then.
    """
    asyncio.run(_preload(brokers, topic, n_partitions, load.events()))


def partitioner(n_partitions: int) -> Any:
    """Murmur2 with a memory: in Python it costs 6 µs a key."""
    return functools.lru_cache(maxsize=1_000_000)(lambda key: partition_of(key, n_partitions))


async def _preload(brokers: str, topic: str, n_partitions: int, events: Events) -> None:
    partition = partitioner(n_partitions)
    async with AIOKafkaProducer(
        bootstrap_servers=brokers, acks="all", max_batch_size=BATCH_BYTES
    ) as producer:
        open_batches = [producer.create_batch() for _ in range(n_partitions)]
        sent: list[Awaitable[Any]] = []
        for (key, value), ts in zip(events, times_ms(events), strict=True):
            p = partition(key)
            if open_batches[p].append(key=key, value=value, timestamp=ts) is None:
                sent.append(await producer.send_batch(open_batches[p], topic, partition=p))
                open_batches[p] = producer.create_batch()
                open_batches[p].append(key=key, value=value, timestamp=ts)
        sent += await _send_rest(producer, topic, open_batches)
        await asyncio.gather(*sent)


async def _send_rest(producer: Any, topic: str, batches: Sequence[Any]) -> list[Awaitable[Any]]:
    return [
        await producer.send_batch(batch, topic, partition=p)
        for p, batch in enumerate(batches)
        if batch.record_count()
    ]

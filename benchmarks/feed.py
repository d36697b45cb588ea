"""Events of many users from a thread of their own, at full speed or at a given rate."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Final, Self

from aiokafka import AIOKafkaProducer

from benchmarks.load import BATCH_BYTES
from profiler.partitioning import partitions_of

ROUND_EVENTS: Final = 10_000
ROUNDS_PER_S: Final = 10
N_ITEMS: Final = 1_000_000
PAUSE_S: Final = 0.05
STOP_TIMEOUT_S: Final = 60.0


class Feed:
    """Sends events of one user after another; ended when the block is left.

    Parameters
    ----------
    brokers, topic, n_partitions
        Where to, partitioned as the default producers do.
    n_users
        Users ``u0`` to ``u<n_users − 1>``, again and again.
    n_events
        After how many it ends by itself.
    rate
        Events per second; as fast as it can by default.
    ahead_max
        How many more than `n_done` it sends: what lies unread fills the broker.

    Attributes
    ----------
    n_sent
        Events that the broker has.
    n_done
        How far the reader is; to be kept up to date by whoever watches it.
    """

    def __init__(
        self,
        brokers: str,
        topic: str,
        n_partitions: int,
        *,
        n_users: int,
        n_events: int,
        rate: int | None = None,
        ahead_max: int | None = None,
    ) -> None:
        self.n_sent = 0
        self.n_done = 0
        self._brokers = brokers
        self._topic = topic
        self._n_partitions = n_partitions
        self._n_users = n_users
        self._n_events = n_events
        self._rate = rate
        self._ahead_max = ahead_max
        self._stopping = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more; `n_sent` is final."""
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S)
        self.check()

    def check(self) -> None:
        """Raise what has ended it."""
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except BaseException as fault:  # told to whoever watches
            self._fault = fault

    async def _send_all(self) -> None:
        size = ROUND_EVENTS if self._rate is None else max(1, self._rate // ROUNDS_PER_S)
        started_s = time.monotonic()
        async with AIOKafkaProducer(
            bootstrap_servers=self._brokers, acks="all", max_batch_size=BATCH_BYTES
        ) as producer:
            while self.n_sent < self._n_events and not self._stopping.is_set():
                if self._ahead_max is not None and self.n_sent - self.n_done >= self._ahead_max:
                    await asyncio.sleep(PAUSE_S)
                    continue
                end = min(self.n_sent + size, self._n_events)
                await self._send_round(producer, range(self.n_sent, end))
                self.n_sent = end
                if self._rate is not None:
                    await asyncio.sleep(started_s + end / self._rate - time.monotonic())

    async def _send_round(self, producer: AIOKafkaProducer, numbers: range) -> None:
        now_ms = time.time_ns() // 1_000_000
        keys = [b"u%d" % (k % self._n_users) for k in numbers]
        partitions = partitions_of(keys, self._n_partitions).tolist()
        batches = [producer.create_batch() for _ in range(self._n_partitions)]
        sent = []
        for k, key, p in zip(numbers, keys, partitions, strict=True):
            item = k % N_ITEMS
            value = (
                b'{"type":"click","ts":%d,"event_id":"m%d","user_id":"%b","item_id":"i%d",'
                b'"category":"c%d","brand":"b%d","price":9.5}'
                % (now_ms, k, key, item, item % 300, item % 77)
            )
            if batches[p].append(key=key, value=value, timestamp=now_ms) is None:
                sent.append(await producer.send_batch(batches[p], self._topic, partition=p))
                batches[p] = producer.create_batch()
                batches[p].append(key=key, value=value, timestamp=now_ms)
        for p, batch in enumerate(batches):
            if batch.record_count():
                sent.append(await producer.send_batch(batch, self._topic, partition=p))
        await asyncio.gather(*sent)

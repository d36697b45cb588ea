"""A connection for records that must arrive: opened when it is needed, closed when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from profiler.errors import BrokerUnavailable
from streams.broker import BrokerSecurity

LINGER_MS: Final = 2
SEND_TIMEOUT_S: Final = 30.0


class Sender:
    """An aiokafka producer that is acknowledged by all replicas.

    Parameters
    ----------
    brokers
        Bootstrap addresses, separated by commas.
    security
        Of the brokers.
    batch_bytes
        Size at which a batch is full; a single record may be greater.
    request_bytes_max
        Greatest request.
    """

    def __init__(
        self, brokers: str, security: BrokerSecurity, *, batch_bytes: int, request_bytes_max: int
    ) -> None:
        self._brokers = brokers
        self._security = security
        self._batch_bytes = batch_bytes
        self._request_bytes_max = request_bytes_max
        self._producer: AIOKafkaProducer | None = None

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[Any]:
        """Give the producer, connected.

        Raises
        ------
        BrokerUnavailable
            If the body fails for the broker's sake: some of what it sent may not be kept.
        """
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                yield await self._connected()
        except (KafkaError, OSError, TimeoutError) as fault:
            # Nothing of this attempt may linger in its buffer and come after the next one.
            await self.close()
            raise BrokerUnavailable(f"records were not acknowledged: {fault!r}") from fault

    async def send(self, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Send keys and values, and return once all are acknowledged by all replicas.

        Raises
        ------
        BrokerUnavailable
            Some may not be kept; send all of them again.
        """
        async with self.producer() as producer:
            sent = [await producer.send(topic, value, key=key) for key, value in records]
            await asyncio.gather(*sent)

    async def close(self) -> None:
        """Close the connection; it is opened again when it is needed."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._brokers,
                # Not idempotent: readers tell repetitions apart anyhow, and aiokafka asks for its
                # producer id in a form that the embedded broker does not answer.
                acks="all",
                linger_ms=LINGER_MS,
                max_request_size=self._request_bytes_max,
                max_batch_size=self._batch_bytes,
                **self._security.options(),
            )
            # Kept before it is started, so that `close` ends also one whose start failed.
            self._producer = producer
            await producer.start()
        return self._producer

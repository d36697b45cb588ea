"""Dead letters: records that cannot be applied, kept with their reason and their origin.

A letter's value, key and headers are those of the record, byte for byte; what we know about it
stands in headers that start with ``profiler.``. What the broker refuses even here is cut to its
first KiB, with its length and SHA-256.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError
from msgspec import Struct

from profiler.records import Record
from streams.broker import PLAINTEXT, BrokerSecurity
from streams.sender import Sender
from streams.topics import DEAD_LETTER_BYTES_MAX

PREFIX: Final = "profiler."
TRUNCATED_BYTES: Final = 1_024
BATCH_BYTES: Final = 262_144
"""Letters come by thousands where a quarter of the records are bad: each batch is a round trip."""

TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)

Headers = list[tuple[str, bytes]]


class DeadLetter(Struct, frozen=True):
    """A record that cannot be applied.

    Parameters
    ----------
    record
        As it came.
    reason
        One of `profiler.catalogue.DEAD_LETTER_REASONS`.
    """

    record: Record
    reason: str


class KafkaDeadLetters:
    """Sends dead letters to their topic; connects at the first one.

    Parameters
    ----------
    brokers
        Bootstrap addresses, separated by commas.
    topic
        Full name of the topic of dead letters.
    now_ms
        The clock, for ``profiler.at_ms``.
    security
        Of the brokers.
    """

    def __init__(
        self,
        brokers: str,
        topic: str,
        now_ms: Callable[[], int],
        security: BrokerSecurity = PLAINTEXT,
    ) -> None:
        self._topic = topic
        self._now_ms = now_ms
        self._sender = Sender(
            brokers,
            security,
            batch_bytes=BATCH_BYTES,
            request_bytes_max=DEAD_LETTER_BYTES_MAX,
        )

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send letters, and return once all are acknowledged by all replicas, at least once.

        Raises
        ------
        BrokerUnavailable
            Some may not be kept; send all of them again.
        """
        if not letters:
            return
        async with self._sender.producer() as producer:
            await self._send_all(producer, letters)

    async def close(self) -> None:
        """Close the connection; a later `send` opens it again."""
        await self._sender.close()

    async def _send_all(self, producer: Any, letters: Sequence[DeadLetter]) -> None:
        at_ms = self._now_ms()
        outcomes = await asyncio.gather(
            *(self._send_whole(producer, letter, at_ms) for letter in letters),
            return_exceptions=True,
        )
        refused = []
        for letter, outcome in zip(letters, outcomes, strict=True):
            if isinstance(outcome, TOO_LARGE):
                refused.append(letter)
            elif isinstance(outcome, BaseException):
                raise outcome
        # One after another: what a letter was sent together with may have been too large.
        for letter in refused:
            try:
                await self._send_whole(producer, letter, at_ms)
            except TOO_LARGE:
                await self._send_cut(producer, letter, at_ms)

    async def _send_whole(self, producer: Any, letter: DeadLetter, at_ms: int) -> None:
        # Kafka's clients cannot send a record that has neither key nor value.
        value = letter.record.value or b""
        headers = _headers(letter, at_ms)
        await _acknowledged(producer, self._topic, value, letter.record.key, headers)

    async def _send_cut(self, producer: Any, letter: DeadLetter, at_ms: int) -> None:
        record, value = letter.record, letter.record.value or b""
        headers = [
            *(header for header in _headers(letter, at_ms) if header[0].startswith(PREFIX)),
            (PREFIX + "length", str(len(value)).encode()),
            (PREFIX + "sha256", hashlib.sha256(value).hexdigest().encode()),
        ]
        key = record.key and record.key[:TRUNCATED_BYTES]
        await _acknowledged(producer, self._topic, value[:TRUNCATED_BYTES], key, headers)


def _headers(letter: DeadLetter, at_ms: int) -> Headers:
    record = letter.record
    about = {
        "reason": letter.reason,
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp_ms": "" if record.timestamp is None else str(record.timestamp),
        "at_ms": str(at_ms),
    }
    if record.value is None:
        about["no_value"] = "1"
    own = [(PREFIX + name, text.encode()) for name, text in about.items()]
    # A producer's header of our prefix would be taken for ours.
    given = [header for header in record.headers or () if not header[0].startswith(PREFIX)]
    return [*given, *own]


async def _acknowledged(
    producer: Any, topic: str, value: bytes, key: bytes | None, headers: Headers
) -> None:
    await (await producer.send(topic, value, key=key, headers=headers))

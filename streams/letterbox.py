"""Looking into the topic of dead letters, and re-submitting what lies there.

Both are synchronous, for the command line. Reading ends where the topic ended when it was read:
that is taken from the answers to fetches, as the embedded broker's ``ListOffsets`` is wrong.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError
from msgspec import Struct

from profiler.errors import BrokerUnavailable, UsageError
from streams.deadletter import PREFIX
from streams.settings import Settings
from streams.topics import BOOTSTRAP_TIMEOUT_MS, DEAD_LETTER_BYTES_MAX

POLL_MS: Final = 200
SILENCE_S: Final = 10.0
POLL_RECORDS_MAX: Final = 500


class KeptLetter(Struct, frozen=True, kw_only=True):
    """A dead letter as it lies in its topic.

    Parameters
    ----------
    reason
        Why it could not be applied.
    topic, partition, offset
        Its origin.
    timestamp_ms
        Kafka timestamp of the original record, where it had one.
    at_ms
        When it was put here.
    key, value, headers
        Those of the original record; `value` may be cut.
    n_bytes
        Length of the original value.
    sha256
        Of the original value, where it was cut, else empty.
    kept_partition, kept_offset
        Where it lies now.
    """

    reason: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None
    at_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    n_bytes: int
    sha256: str
    kept_partition: int
    kept_offset: int


class Replayed(Struct, frozen=True, kw_only=True):
    """What `replay_dead_letters` did.

    Parameters
    ----------
    n_sent
        Records re-submitted and acknowledged.
    n_truncated
        Letters of which only the beginning was kept: they cannot be re-submitted.
    n_empty
        Letters that have neither key nor value: Kafka's clients cannot send them.
    """

    n_sent: int = 0
    n_truncated: int = 0
    n_empty: int = 0


def list_dead_letters(
    settings: Settings, limit: int, reason: str | None = None
) -> list[KeptLetter]:
    """Give the newest dead letters, newest first; at most `limit`, in memory too.

    Raises
    ------
    UsageError
        The topic does not exist.
    BrokerUnavailable
        No broker answers.
    """
    with _consumer(settings, group=None) as (consumer, partitions):
        consumer.seek_to_beginning(*partitions)
        kept: dict[int, deque[KeptLetter]] = {p.partition: deque(maxlen=limit) for p in partitions}
        for letters in _until_end(consumer, partitions):
            for letter in letters:
                if reason in (None, letter.reason):
                    kept[letter.kept_partition].append(letter)
    found = [letter for letters in kept.values() for letter in letters]
    found.sort(key=lambda letter: (letter.at_ms, letter.kept_offset), reverse=True)
    return found[:limit]


def replay_dead_letters(
    settings: Settings, reason: str | None = None, limit: int | None = None
) -> Replayed:
    """Re-submit dead letters to their original topics, each once.

    How far it came is kept as offsets of the consumer group ``<group>-deadletter-replay``, and of
    ``<group>-deadletter-replay-<reason>`` for the replay of one reason. A replay that is killed
    may send some records again: give events an `event_id`.

    Raises
    ------
    UsageError
        The topic does not exist.
    BrokerUnavailable
        No broker answers, or a record was not acknowledged.
    """
    total = Replayed()
    base = f"{settings.group}-deadletter-replay"
    with (
        _consumer(settings, group=f"{base}-{reason}" if reason else base) as (consumer, partitions),
        _producer(settings) as producer,
    ):
        done = _Done(settings, base)
        for partition in partitions:
            start = max(done.up_to(partition, None), done.up_to(partition, reason))
            consumer.seek(partition, start)
        for letters in _until_end(consumer, partitions):
            wanted = [x for x in letters if reason in (None, x.reason) and not done.covers(x)]
            if limit is not None:
                wanted = wanted[: limit - total.n_sent]
            sent = _resubmit(producer, wanted)
            total = _sum(total, sent)
            is_full = limit is not None and total.n_sent >= limit
            after = wanted[-1].kept_offset + 1 if is_full and wanted else letters[-1].kept_offset + 1
            where = TopicPartition(settings.topic("deadletter"), letters[-1].kept_partition)
            consumer.commit({where: OffsetAndMetadata(after, "", -1)})
            if is_full:
                break
    return total

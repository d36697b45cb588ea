"""Looking into the topic of dead letters, and re-submitting what lies there.

Both are synchronous, for the command line. They read to where the topic ended when they began: a
worker that rejects a replayed record again puts it there once more.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError
from msgspec import Struct

from profiler.errors import BrokerUnavailable
from streams.broker import client_options
from streams.deadletter import PREFIX
from streams.eventlog import Ends, ends_of
from streams.groups import committed_offsets
from streams.settings import Settings
from streams.topics import DEAD_LETTER_BYTES_MAX

POLL_MS: Final = 200
SILENCE_S: Final = 10.0
FETCH_MAX_WAIT_MS: Final = 20
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
    """Give the newest of the present dead letters, newest first; at most `limit`, in memory too.

    Raises
    ------
    UsageError
        The topic does not exist.
    BrokerUnavailable
        No broker answers.
    """
    ends = ends_of(settings, "deadletter")
    with _consumer(settings, ends, group=None) as (consumer, partitions):
        consumer.seek_to_beginning(*partitions)
        kept: dict[int, deque[KeptLetter]] = {p.partition: deque(maxlen=limit) for p in partitions}
        for _, letters in _until(consumer, ends):
            for letter in letters:
                if reason in (None, letter.reason):
                    kept[letter.kept_partition].append(letter)
    found = [letter for letters in kept.values() for letter in letters]
    found.sort(key=lambda letter: (letter.at_ms, letter.kept_offset), reverse=True)
    return found[:limit]


def replay_dead_letters(
    settings: Settings, reason: str | None = None, limit: int | None = None
) -> Replayed:
    """Re-submit the present dead letters to their original topics, each once.

    What is rejected again meanwhile is left for the next replay.

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
    name = f"{settings.group}-deadletter-replay"
    group = name if reason is None else f"{name}-{reason}"
    total = Replayed()
    ends = ends_of(settings, "deadletter")
    with (
        _consumer(settings, ends, group) as (consumer, partitions),
        _producer(settings) as producer,
    ):
        progress = _Progress(settings, name)
        for partition in partitions:
            start = max(progress.offset(None, partition), progress.offset(reason, partition))
            consumer.seek(partition, start)
        for partition, letters in _until(consumer, ends):
            wanted = [
                letter
                for letter in letters
                if reason in (None, letter.reason)
                and letter.kept_offset >= progress.offset(letter.reason, partition)
            ]
            room = None if limit is None else limit - total.n_sent
            sent, n_seen = _resubmit(producer, wanted, room)
            total = _sum(total, sent)
            after = letters[-1] if n_seen == len(wanted) else wanted[n_seen - 1]
            consumer.commit({partition: OffsetAndMetadata(after.kept_offset + 1, "", -1)})
            if total.n_sent == limit:
                break
    return total


class _Progress:
    """How far earlier replays came: of everything (reason None), and of single reasons."""

    def __init__(self, settings: Settings, group: str) -> None:
        self._settings = settings
        self._group = group
        self._by_reason: dict[str | None, dict[TopicPartition, int]] = {}

    def offset(self, reason: str | None, partition: TopicPartition) -> int:
        """Letters below this were replayed."""
        if reason not in self._by_reason:
            group = self._group if reason is None else f"{self._group}-{reason}"
            committed = committed_offsets(self._settings, group)
            self._by_reason[reason] = {tp: found.offset for tp, found in committed.items()}
        return max(0, self._by_reason[reason].get(partition, 0))


@contextmanager
def _consumer(
    settings: Settings, ends: Ends, group: str | None
) -> Iterator[tuple[KafkaConsumer, list[TopicPartition]]]:
    topic = settings.topic("deadletter")
    try:
        consumer = KafkaConsumer(
            **client_options(settings),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=POLL_RECORDS_MAX,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        )
        with closing(consumer):
            partitions = [TopicPartition(topic, number) for number in ends]
            consumer.assign(partitions)
            yield consumer, partitions
    except KafkaError as fault:
        raise BrokerUnavailable(f"no answer from Kafka at {settings.brokers}: {fault}") from fault


@contextmanager
def _producer(settings: Settings) -> Iterator[KafkaProducer]:
    producer = KafkaProducer(**client_options(settings), max_request_size=DEAD_LETTER_BYTES_MAX)
    with closing(producer):
        yield producer


def _until(
    consumer: KafkaConsumer, ends: Ends
) -> Iterator[tuple[TopicPartition, list[KeptLetter]]]:
    """Read every partition to its end, in pieces that are not empty."""
    silent_since_s = time.monotonic()
    while any(consumer.position(p) < ends[p.partition] for p in consumer.assignment()):
        polled = consumer.poll(timeout_ms=POLL_MS)
        for partition, records in polled.items():
            end = ends[partition.partition]
            if letters := [_kept(record) for record in records if record.offset < end]:
                yield partition, letters
        if polled:
            silent_since_s = time.monotonic()
        elif time.monotonic() - silent_since_s > SILENCE_S:
            raise BrokerUnavailable(f"no answer from Kafka for {SILENCE_S:.0f} s")


def _kept(record: Any) -> KeptLetter:
    given = tuple(header for header in record.headers if not header[0].startswith(PREFIX))
    ours = {
        name.removeprefix(PREFIX): value.decode("utf-8", "replace")
        for name, value in record.headers
        if name.startswith(PREFIX)
    }
    value = None if "no_value" in ours else record.value
    return KeptLetter(
        reason=ours.get("reason", ""),
        topic=ours.get("topic", ""),
        partition=int(ours.get("partition", -1)),
        offset=int(ours.get("offset", -1)),
        timestamp_ms=int(ours["timestamp_ms"]) if ours.get("timestamp_ms") else None,
        at_ms=int(ours.get("at_ms", record.timestamp)),
        key=record.key,
        value=value,
        headers=given,
        n_bytes=int(ours.get("length", len(value or b""))),
        sha256=ours.get("sha256", ""),
        kept_partition=record.partition,
        kept_offset=record.offset,
    )


def _resubmit(
    producer: KafkaProducer, letters: Sequence[KeptLetter], room: int | None
) -> tuple[Replayed, int]:
    """Send letters, at most `room`; gives what was done, and how many letters were looked at."""
    n_truncated = n_empty = n_seen = 0
    futures: list[Any] = []
    for letter in letters:
        if len(futures) == room:
            break
        n_seen += 1
        if letter.sha256:
            n_truncated += 1
        elif letter.key is None and letter.value is None:
            n_empty += 1
        else:
            futures.append(
                producer.send(
                    letter.topic, letter.value, key=letter.key, headers=list(letter.headers)
                )
            )
    producer.flush()
    for future in futures:
        future.get()
    return Replayed(n_sent=len(futures), n_truncated=n_truncated, n_empty=n_empty), n_seen


def _sum(a: Replayed, b: Replayed) -> Replayed:
    return Replayed(
        n_sent=a.n_sent + b.n_sent,
        n_truncated=a.n_truncated + b.n_truncated,
        n_empty=a.n_empty + b.n_empty,
    )

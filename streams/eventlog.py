"""A topic as a log with a beginning and an end: read it all, and see who lags behind.

For tools that look at the whole stream once, such as the audit; workers read through Faust.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from profiler.errors import BrokerUnavailable, UsageError
from profiler.records import Record
from streams.broker import client_options
from streams.groups import committed_offsets
from streams.identity import Place
from streams.settings import TOPICS, Settings

FETCH_MAX_WAIT_MS: Final = 20
POLL_TIMEOUT_MS: Final = 200
POLL_RECORDS_MAX: Final = 10_000
STALL_TIMEOUT_S: Final = 30.0
LAG_INTERVAL_S: Final = 0.1
READ: Final = ("events", "forwarded")
"""Topics that workers read, each before those that they fill from it."""
ASK_TIMEOUT_S: Final = 10.0
GLANCE_BYTES: Final = 1_024

Ends = Mapping[int, int]
"""Offset after the last record, by partition."""


def ends_of(settings: Settings, name: str = "events") -> Ends:
    """Find the end of each partition of a topic: what a fetch near it says.

    Parameters
    ----------
    name
        One of `streams.settings.TOPICS`; see `ends_of_topic` for any other.

    Raises
    ------
    UsageError
        If there is no such topic.
    BrokerUnavailable
        If no broker answers.

    Notes
    -----
    The usual question, `end_offsets`, is answered by the embedded broker (Tansu 0.6) with the place
    after the *first* record of the last batch, and so is the lag that is computed from it.
    """
    return ends_of_topic(settings, settings.topic(name))


def ends_of_topic(settings: Settings, topic: str) -> Ends:
    """Find the end of each partition of a topic, given by its full name; see `ends_of`."""
    with open_consumer(settings) as consumer:
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            ours = topic in {settings.topic(short) for short in TOPICS}
            hint = "; `profiler topics create` makes it" if ours else f" at {settings.brokers}"
            raise UsageError(f"there is no topic {topic}{hint}")
        partitions = [TopicPartition(topic, n) for n in sorted(numbers)]
        beginnings = consumer.beginning_offsets(partitions)
        consumer.assign(partitions)
        for p, near_end in consumer.end_offsets(partitions).items():
            consumer.seek(p, max(beginnings[p], near_end - 1))
        started_s = time.monotonic()
        while any(consumer.highwater(p) is None for p in partitions):
            consumer.poll(timeout_ms=POLL_TIMEOUT_MS)
            check_progress(settings, started_s, topic)
        return {p.partition: consumer.highwater(p) for p in partitions}


def beginnings_of(settings: Settings, topic: str, partitions: Collection[int]) -> Ends:
    """Offset of the first record that each of these partitions still has.

    Parameters
    ----------
    topic
        Its full name.

    Raises
    ------
    BrokerUnavailable
        If no broker answers.
    """
    with open_consumer(settings) as consumer:
        places = [TopicPartition(topic, n) for n in partitions]
        return {p.partition: offset for p, offset in consumer.beginning_offsets(places).items()}


def records_until(settings: Settings, ends: Ends, topic: str = "") -> Iterator[Record]:
    """Give all records of a topic before these ends, each partition in offset order.

    Parameters
    ----------
    topic
        Its full name; by default the topic of events.

    Raises
    ------
    UsageError
        If records have been deleted from its beginning.
    BrokerUnavailable
        If no broker answers, or gives nothing for half a minute.
    """
    topic = topic or settings.topic("events")
    beginnings = beginnings_of(settings, topic, ends)
    if cut := sorted(n for n, offset in beginnings.items() if offset):
        raise UsageError(
            f"partitions {cut} of {topic} no longer begin at offset 0: "
            "the past cannot be read from them; use the original files"
        )
    for records in records_between(settings, topic, beginnings, ends):
        yield from records


def portions_until(settings: Settings, topic: str, ends: Ends) -> Iterator[list[Record]]:
    """Give what a topic still holds before these ends, as it comes: of one partition at a time.

    Raises
    ------
    BrokerUnavailable
        If no broker answers, or gives nothing for half a minute.
    """
    yield from records_between(settings, topic, beginnings_of(settings, topic, ends), ends)


def records_between(
    settings: Settings, topic: str, starts: Mapping[int, int], ends: Ends
) -> Iterator[list[Record]]:
    """Give what partitions of a topic hold from some offsets up to others, in pieces of one each.

    Parameters
    ----------
    topic
        Its full name.

    Raises
    ------
    BrokerUnavailable
        If no broker answers, or gives nothing for half a minute.
    """
    with open_consumer(settings) as consumer:
        partitions = {TopicPartition(topic, n): end for n, end in ends.items()}
        consumer.assign(list(partitions))
        for p in partitions:
            consumer.seek(p, starts[p.partition])
        progress_s = time.monotonic()
        while any(consumer.position(p) < end for p, end in partitions.items()):
            found = consumer.poll(timeout_ms=POLL_TIMEOUT_MS, max_records=POLL_RECORDS_MAX)
            for partition, records in found.items():
                if before := [r for r in records if r.offset < partitions[partition]]:
                    yield before
            progress_s = time.monotonic() if found else progress_s
            check_progress(settings, progress_s, topic)


def wait_until_consumed(settings: Settings, wait_s: float) -> None:
    """Return once the consumer group has committed the ends of all that workers read.

    Raises
    ------
    UsageError
        If it has not after `wait_s`.
    BrokerUnavailable
        If no broker answers then.
    """
    deadline_s = time.monotonic() + wait_s
    while True:
        is_late = time.monotonic() >= deadline_s
        try:
            # In this order: what is read of the one is sent on to the other.
            name, lag = next(
                ((name, lag) for name in READ if (lag := _lag(settings, name))), ("", 0)
            )
        except BrokerUnavailable:  # a coordinator that moves is away for a moment
            if is_late:
                raise
        else:
            if not lag:
                return
            if is_late:
                raise UsageError(
                    f"group {settings.group} is {lag} records behind the end of "
                    f"{settings.topic(name)}: let a worker catch up, then audit"
                )
        time.sleep(LAG_INTERVAL_S)


def held_up(settings: Settings, places: Collection[Place]) -> dict[Place, int]:
    """Find those of these partitions of which a reader gets more from where the group stands.

    Returns
    -------
    dict
        The group's committed offset, by partition; -1 where it has not committed any.

    Raises
    ------
    BrokerUnavailable
        If no broker answers in time.

    Notes
    -----
    Offsets alone do not tell: the end may lie behind a transaction's marker, which nobody is given,
    and the committed offset before records that have been deleted. So it is tried.
    """
    partitions = [TopicPartition(*place) for place in places]
    found = committed_offsets(settings, settings.group, partitions)
    standing = {p: found[p].offset if p in found else -1 for p in partitions}
    with open_consumer(settings, max_partition_fetch_bytes=GLANCE_BYTES) as consumer:
        beginnings = consumer.beginning_offsets(partitions)
        consumer.assign(partitions)
        for p in partitions:
            consumer.seek(p, max(beginnings[p], standing[p]))
        unknown, waiting = set(partitions), set()
        started_s = time.monotonic()
        while unknown:
            waiting |= consumer.poll(timeout_ms=POLL_TIMEOUT_MS, max_records=1).keys()
            consumer.pause(*waiting)
            unknown = {p for p in unknown - waiting if not _is_at_end(consumer, p)}
            check_progress(settings, started_s, settings.group, ASK_TIMEOUT_S)
    return {(p.topic, p.partition): standing[p] for p in waiting}


def places_of(settings: Settings, topics: Collection[str]) -> set[Place]:
    """All partitions of topics, given by full names.

    Raises
    ------
    BrokerUnavailable
        If no broker answers.
    """
    with open_consumer(settings) as consumer:
        return {(name, n) for name in topics for n in consumer.partitions_for_topic(name) or ()}


def _is_at_end(consumer: Any, partition: Any) -> bool:
    end = consumer.highwater(partition)
    return end is not None and consumer.position(partition) >= end


def _lag(settings: Settings, name: str) -> int:
    ends = ends_of(settings, name)
    wanted = [TopicPartition(settings.topic(name), n) for n in ends]
    committed = committed_offsets(settings, settings.group, wanted)
    known = {p.partition: max(0, found.offset) for p, found in committed.items()}
    return sum(max(0, end - known.get(n, 0)) for n, end in ends.items())


def check_progress(
    settings: Settings, since_s: float, what: str, timeout_s: float = STALL_TIMEOUT_S
) -> None:
    """Give up on a broker that has given nothing for too long.

    Raises
    ------
    BrokerUnavailable
        If that is so.
    """
    if time.monotonic() - since_s > timeout_s:
        raise BrokerUnavailable(f"{settings.brokers} gave nothing of {what} for {timeout_s:.0f} s")


@contextmanager
def open_consumer(settings: Settings, **options: Any) -> Iterator[Any]:
    """A reader that belongs to no group and leaves no trace."""
    with _faults(settings):
        consumer = KafkaConsumer(
            **client_options(settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            check_crcs=False,  # in Python it costs more than all else; contents are compared anyway
            **options,
        )
        try:
            yield consumer
        finally:
            consumer.close()


@contextmanager
def _faults(settings: Settings) -> Iterator[None]:
    try:
        yield
    except KafkaError as fault:
        raise BrokerUnavailable(f"{settings.brokers}: {fault}") from fault

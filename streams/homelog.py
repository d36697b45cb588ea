"""What workers were given of some home partitions, read as they read it, while it grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, Final, NamedTuple, Self

from kafka import TopicPartition
from tqdm import tqdm

from profiler.dedupe import EVENTS, FORWARDED, partition_code, topic_code
from profiler.forwarding import Seen
from profiler.records import Chunk, Record
from streams.deadletter import PREFIX
from streams.eventlog import (
    POLL_RECORDS_MAX,
    POLL_TIMEOUT_MS,
    beginnings_of,
    check_progress,
    ends_of,
    open_consumer,
    records_between,
)
from streams.identity import TopicIdentity
from streams.settings import Settings

KINDS: Final = {"events": EVENTS, "forwarded": FORWARDED}

Origin = tuple[str, int, int]
"""Topic, partition and offset at which a record first arrived."""


class Kept(NamedTuple):
    """A record that concerns somebody, as it stands in a chunk.

    Parameters
    ----------
    topic_code, partition
        Of the partition it was read from.
    record, offset, origin
        As in a `Chunk`.
    """

    topic_code: int
    partition: int
    record: Record
    offset: int
    origin: int

    @property
    def code(self) -> int:
        """Code of the partition it was read from."""
        return partition_code(self.topic_code, self.partition)


class HomeLog:
    """Partitions of both topics that hold the events of some homes.

    Parameters
    ----------
    settings
        Which broker and topics.
    homes
        The partitions' numbers.
    identities
        Of both topics, by full name: what stands in fences.
    is_wanted
        Gives the places of those records of a chunk that are kept.

    Attributes
    ----------
    is_cut
        Whether something is missing from the beginning.
    """

    def __init__(
        self,
        settings: Settings,
        homes: Collection[int],
        identities: Mapping[str, TopicIdentity],
        is_wanted: Callable[[Chunk], Collection[int]],
    ) -> None:
        self._settings = settings
        self._homes = sorted(homes)
        self._is_wanted = is_wanted
        self._stack = ExitStack()
        self._seen = {n: Seen(settings.topic("events")) for n in self._homes}
        self._code: dict[tuple[str, int], int] = {}
        self._starts: dict[str, Mapping[int, int]] = {}
        self.is_cut = False
        for name, kind in KINDS.items():
            topic = settings.topic(name)
            self._starts[topic] = beginnings_of(settings, topic, self._homes)
            for n in self._homes:
                identity = identities.get(topic)
                life = identity.incarnation_of(n) if identity else 0
                self._code[topic, n] = topic_code(kind, life)
                self.is_cut |= life > 0 or self._starts[topic][n] > 0

    def __enter__(self) -> Self:
        self._consumer: Any = self._stack.enter_context(open_consumer(self._settings))
        places = [TopicPartition(topic, n) for topic, n in self._code]
        self._consumer.assign(places)
        for p in places:
            self._consumer.seek(p, self._starts[p.topic][p.partition])
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def catch_up(self, *, progress: bool | None = False) -> list[Kept]:
        """Read to where the partitions end now, and give what concerns those who are wanted."""
        ends = {
            TopicPartition(self._settings.topic(name), n): end
            for name in KINDS
            for n, end in ends_of(self._settings, name).items()
            if n in self._homes
        }
        kept: list[Kept] = []
        since_s = time.monotonic()
        total = sum(max(0, end - self._consumer.position(p)) for p, end in ends.items())
        disable = None if progress is None else not progress
        with tqdm(total=total, unit=" records", unit_scale=True, disable=disable) as bar:
            while any(self._consumer.position(p) < end for p, end in ends.items()):
                found, n = self._poll()
                kept += found
                bar.update(n)
                since_s = time.monotonic() if n else since_s
                check_progress(self._settings, since_s, self._settings.topic_prefix)
        return kept

    def read_on(self) -> list[Kept]:
        """Read what there is by now, or wait a moment for it."""
        return self._poll()[0]

    def has_read(self, code: int, offset: int) -> bool:
        """Whether what a fence speaks of was read, or is of a topic that is no more."""
        for (topic, n), own in self._code.items():
            if partition_code(own, n) == code:
                return bool(self._consumer.position(TopicPartition(topic, n)) > offset)
        return True

    def _poll(self) -> tuple[list[Kept], int]:
        polled = self._consumer.poll(timeout_ms=POLL_TIMEOUT_MS, max_records=POLL_RECORDS_MAX)
        kept: list[Kept] = []
        for place, records in polled.items():
            chunk = self._chunk(place.topic, place.partition, records)
            kept += _kept(chunk, self._is_wanted(chunk))
        return kept, sum(map(len, polled.values()))

    def _chunk(self, topic: str, partition: int, records: list[Record]) -> Chunk:
        code = self._code[topic, partition]
        if topic == self._settings.topic("events"):
            return Chunk(code, partition, records)
        # Looks are made anew where these records are applied.
        found, offsets, origins, *_ = self._seen[partition].admit(records)
        return Chunk(code, partition, found, offsets, origins)


def chunks_of(kept: list[Kept]) -> Iterator[Chunk]:
    """Bring records into the order of their timestamps, each partition in its own order."""
    latest: dict[tuple[int, int], int] = {}
    keyed: list[tuple[int, Kept]] = []
    for one in kept:
        place = one.topic_code, one.partition
        latest[place] = max(latest.get(place, 0), one.record.timestamp or 0)
        keyed.append((latest[place], one))
    keyed.sort(key=lambda pair: pair[0])
    run: list[Kept] = []
    for _, one in keyed:
        if run and run[0][:2] != one[:2]:
            yield _as_chunk(run)
            run = []
        run.append(one)
    if run:
        yield _as_chunk(run)


def dead_origins(settings: Settings, wanted: Collection[Origin]) -> set[Origin]:
    """Find those of these records that lie among the dead letters.

    Raises
    ------
    UsageError
        If there is no such topic.
    BrokerUnavailable
        If no broker answers.
    """
    ends = ends_of(settings, "deadletter")
    starts = beginnings_of(settings, settings.topic("deadletter"), ends)
    by_text = {tuple(map(str, one)): one for one in wanted}
    found: set[Origin] = set()
    for records in records_between(settings, settings.topic("deadletter"), starts, ends):
        for record in records:
            said = {name: value.decode("utf-8", "replace") for name, value in record.headers}
            text = tuple(said.get(PREFIX + part, "") for part in ("topic", "partition", "offset"))
            if text in by_text:
                found.add(by_text[text])
    return found


def _kept(chunk: Chunk, places: Collection[int]) -> Iterator[Kept]:
    offsets, origins = chunk.fence_offsets(), chunk.origin_codes()
    for k in places:
        yield Kept(chunk.topic_code, chunk.partition, chunk.records[k], offsets[k], origins[k])


def _as_chunk(run: list[Kept]) -> Chunk:
    return Chunk(
        run[0].topic_code,
        run[0].partition,
        [one.record for one in run],
        [one.offset for one in run],
        [one.origin for one in run],
    )

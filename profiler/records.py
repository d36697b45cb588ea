"""Records as they come, in chunks of one partition, and as they are sent on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from profiler.dedupe import partition_code
from profiler.identity import Look


class Record(Protocol):
    """A record as it comes from Kafka; aiokafka's and kafka-python's fit."""

    @property
    def topic(self) -> str: ...  # noqa: D102  # Kafka's own words
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int | None: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...  # noqa: D102


class RawRecord(NamedTuple):
    """A record that did not come from Kafka: for tests, files and simulations."""

    topic: str
    partition: int
    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Chunk(Struct, frozen=True):
    """Consecutive records of one partition.

    Parameters
    ----------
    topic_code
        See `profiler.dedupe.topic_code`: part of the fence.
    partition
        Their partition.
    records
        In offset order.
    offsets
        Offsets at which the fence has them; by default their own. Forwarded records stand here as
        they first arrived, so that theirs are others.
    origins
        Codes of the partitions where they first arrived; by default this one's.
    looks
        Requests among them to look at somebody again; they are no records of `records`.
    """

    topic_code: int
    partition: int
    records: Sequence[Record]
    offsets: Sequence[int] | None = None
    origins: Sequence[int] | None = None
    looks: Sequence[Look] = ()

    @property
    def code(self) -> int:
        """Code of the partition."""
        return partition_code(self.topic_code, self.partition)

    def origin_codes(self) -> Sequence[int]:
        """Codes of the partitions where the records first arrived."""
        return [self.code] * len(self.records) if self.origins is None else self.origins

    def end(self) -> int:
        """Offset after the last record, as the fence has it; 0 where there is none."""
        if not self.records:
            return 0
        return 1 + (self.records[-1].offset if self.offsets is None else self.offsets[-1])

    def fence_offsets(self) -> Sequence[int]:
        """Offsets at which the fence has the records."""
        return [r.offset for r in self.records] if self.offsets is None else self.offsets


class Forward(NamedTuple):
    """A record that belongs in another partition.

    Parameters
    ----------
    home
        Partition where it belongs.
    origin
        Code of the partition where it arrived; None of what began here.
    record
        As it arrived.
    """

    home: int
    origin: int | None
    record: Record

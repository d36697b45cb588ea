"""The producer of a run, a process of its own: ``python -m tests.chaos.producer``.

It sends at a steady rate until it is told to end (SIGTERM), then waits until every record is
acknowledged, and writes what it knows: the ledger, and the broken records that must have become
dead letters.
"""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from profiler.errors import BrokerUnavailable
from profiler.events import AnyEvent
from profiler.partitioning import partition_of
from streams.ledger import Ledger, passes_screen
from streams.producer import EventProducer, ProducerOptions
from streams.settings import settings_from_process
from tests.chaos.traffic import USERS, Sent, traffic

LEDGER: Final = "ledger.jsonl"
ACCOUNT: Final = "account.json"
# Longer than all faults of a run together: what is given up before is of unknown outcome.
DELIVERY_TIMEOUT_MS: Final = 600_000


class BrokenRecord(Struct, frozen=True, order=True):
    """One that must become a dead letter, its value by SHA-256."""

    reason: str
    key: str
    digest: str


class Account(Struct, frozen=True, kw_only=True):
    """What a producer knows in the end.

    Parameters
    ----------
    acknowledged, unknown
        Records: acknowledged, and given up with nobody knowing whether the broker has them.
    broken
        Those acknowledged that must become dead letters.
    broken_unknown
        Those that may.
    astray
        Events that were sent to another partition than their home.
    """

    acknowledged: int
    unknown: int
    broken: list[BrokenRecord]
    broken_unknown: list[BrokenRecord]
    astray: int = 0


class Books(Ledger):
    """A ledger that keeps an eye on broken records as well."""

    def __init__(self, accepts: Callable[[AnyEvent, int], bool]) -> None:
        super().__init__(accepts)
        self.n_acknowledged = self.n_unknown = 0
        self._sent: dict[bytes, BrokenRecord] = {}
        self._broken: list[BrokenRecord] = []

    def expect(self, record: Sent) -> None:
        """Take notice of a record before it is sent."""
        if record.fault is not None:
            self._sent[record.value] = broken_record(record.fault, record.key, record.value)

    def add(
        self, value: bytes | None, record_ms: int, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Enter one acknowledged record."""
        self.n_acknowledged += 1
        if found := self._sent.pop(value or b"", None):
            self._broken.append(found)
        super().add(value, record_ms, headers)

    def doubt(self, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Enter one record of unknown outcome."""
        self.n_unknown += 1
        super().doubt(value, headers)

    def account(self) -> Account:
        """Give the books, once everything sent has been entered."""
        return Account(
            acknowledged=self.n_acknowledged,
            unknown=self.n_unknown,
            broken=self._broken,
            broken_unknown=list(self._sent.values()),
        )


class Aim:
    """Chooses the partition of each record, as its partitioner would.

    Parameters
    ----------
    n_partitions
        Of the topic, and homes.

    Attributes
    ----------
    n_astray
        Events, but no broken records, whose partition was not their home.
    """

    def __init__(self, n_partitions: int) -> None:
        self.n_astray = 0
        self._n_partitions = n_partitions
        self._turn = count()
        self._home_of = lru_cache(USERS)(lambda key: partition_of(key, n_partitions))

    def partition_of(self, record: Sent) -> int:
        """Choose."""
        chosen = home = self._home_of(record.key)
        if record.partitioner == "crc32":
            chosen = crc32(record.key) % self._n_partitions
        elif record.partitioner == "in turn":
            chosen = next(self._turn) % self._n_partitions
        self.n_astray += chosen != home and record.fault is None
        return chosen


def broken_record(reason: str, key: bytes | None, value: bytes | None) -> BrokenRecord:
    """Describe a broken record."""
    return BrokenRecord(reason, (key or b"").decode(), sha256(value or b"").hexdigest())


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    told_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told_to_end.append(number))
    settings = settings_from_process()
    books = Books(passes_screen(settings))
    options = ProducerOptions(delivery_timeout_ms=DELIVERY_TIMEOUT_MS)
    producer = EventProducer.of(settings, options, books)
    aim = Aim(settings.partitions)
    started_s = time.monotonic()
    for n, record in enumerate(traffic(given.seed, lambda: time.time_ns() // 1_000_000)):
        time.sleep(max(0.0, started_s + n / given.rate - time.monotonic()))
        if told_to_end:
            break
        books.expect(record)
        producer.send_raw(record.key, record.value, partition=aim.partition_of(record))
    try:
        producer.close()
    except BrokerUnavailable as fault:
        print(fault)
    books.write(given.directory / LEDGER)
    account = msgspec.structs.replace(books.account(), astray=aim.n_astray)
    (given.directory / ACCOUNT).write_bytes(msgspec.json.encode(account))


if __name__ == "__main__":
    _main()

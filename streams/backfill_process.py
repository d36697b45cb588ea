"""What the processes of a backfill do: sort an origin into parts, and apply a part.

Each is a call of a plain function in a process of its own, which starts with `begin`.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from profiler.batch import Preparer
from profiler.cleaning import Cleaner
from profiler.dedupe import EVENTS, FORWARDED, PARTS, topic_code
from profiler.facets.quarantine import Guard
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.recommendation.seen import Seen
from profiler.records import Chunk, RawRecord
from profiler.spec import guarded_spec
from streams.arena import Arena
from streams.assembly import open_store, screen
from streams.broker import security_of
from streams.cleaning import rates_of
from streams.committer import Committer
from streams.deadletter import KafkaDeadLetters
from streams.eventlog import records_until
from streams.formats import decoder_of, source_of
from streams.forwards import KafkaForwards
from streams.log import configure_logs
from streams.metrics import Metrics
from streams.patience import Patience
from streams.replay import ReplayOptions, load
from streams.settings import load_settings
from streams.spool import Spooled, SpoolWriter, read_index, read_part
from streams.statistics import BATCH_EVENTS_MAX, StatisticsWriter
from streams.store import Store
from streams.updater import Updater, Work
from streams.updates import KafkaUpdates

SPOOL_RECORDS: Final = 4_096
"""Records that are sorted into parts at a time."""

ARENA_SPARE: Final = 1_024
"""Places for people beyond two for each record, of whom at most one link each is known."""

UNGUARDED: Final = guarded_spec(Guard(events_max=0, rhythm=False))
"""Nobody is taken for a machine because of what is loaded."""

FILE: Final = "file:"
"""What the origin of a file's row begins with, in place of a topic."""

_PR_SET_PDEATHSIG: Final = 1


class FileOrigin(Struct, frozen=True, kw_only=True, tag=True):
    """Data files, read one after another.

    Parameters
    ----------
    paths, source, mapping
        As `profiler replay` takes them.
    options
        Which of their rows.
    slice, slices
        Of several that read the same files, the one that takes every so many-th run of rows.
    """

    paths: tuple[str, ...]
    source: str
    mapping: str | None
    options: ReplayOptions
    slice: int = 0
    slices: int = 1

    def records(self) -> Iterator[RawRecord]:
        """Give the rows as records."""
        mapping = None if self.mapping is None else Path(self.mapping)
        source = source_of(self.source, mapping)
        name = FILE + self.paths[0]
        rows = load([Path(path) for path in self.paths], source, self.options)
        for number, row in enumerate(rows):
            if number // SPOOL_RECORDS % self.slices == self.slice:
                yield RawRecord(name, 0, number, None, row.key, row.value)


class TopicOrigin(Struct, frozen=True, kw_only=True, tag=True):
    """One partition of a topic, up to an offset.

    Parameters
    ----------
    topic
        Its full name.
    """

    topic: str
    partition: int
    end: int

    def records(self, environ: Mapping[str, str]) -> Iterator[RawRecord]:
        """Give all records before the end."""
        ends = {self.partition: self.end}
        for r in records_until(load_settings(environ), ends, self.topic):
            yield RawRecord(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)


Origin = FileOrigin | TopicOrigin


class Task(Struct, frozen=True, kw_only=True):
    """What all processes of a load have to know.

    Parameters
    ----------
    environ
        Gives the settings.
    load_id
        Mark of the load.
    parts
        How many there are.
    until_ms
        Events from then on belong to the live stream.
    """

    environ: dict[str, str]
    load_id: str
    parts: int
    until_ms: int


class Applied(Struct, frozen=True):
    """What became of a part: records, and events by outcome (`profiler.pipeline.OUTCOMES`)."""

    records: int
    outcomes: dict[str, int]


class _Process:
    """One process of a load."""

    def __init__(self, task: Task, counter: Any) -> None:
        self.task = task
        self.counter = counter
        self.settings = load_settings(task.environ)
        limits = msgspec.structs.replace(screen(self.settings), from_ms=0, until_ms=task.until_ms)
        # Two, as each gives a readable name only once, and only what is applied has use for it.
        self.sorter, self.preparer = (
            Preparer(
                Pseudonymiser(self.settings.pseudonym_key.reveal().encode()),
                limits,
                homes=self.settings.partitions,
                decoder=decoder_of(self.settings),
                parts=task.parts,
                # No catalogue: history is loaded today, and says nothing of when it arrived.
                cleaner=Cleaner(rates_of(self.settings)),
                rules=self.settings.trait_rules(),
            )
            for _ in range(2)
        )
        self.loop = asyncio.new_event_loop()
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """Opened by whoever needs it first."""
        if self._store is None:
            self._store = open_store(self.settings)
        return self._store

    def count(self, n: int) -> None:
        """Tell the main process of so many records more."""
        with self.counter.get_lock():
            self.counter.value += n


_process: _Process | None = None


def begin(task: Task, counter: Any) -> None:
    """Prepare this process, which ends when its parent does.

    Parameters
    ----------
    counter
        Shared number of records, to be added to.
    """
    global _process
    # Millions of records wait to be written, and nothing of ours is in a cycle.
    gc.disable()
    # The main process ends us in its order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)
    _process = _Process(task, counter)
    # That a worker was first with a row is nothing to warn of here.
    configure_logs("error", _process.settings.log_format)


def spool(origin: Origin, path: Path) -> None:
    """Sort an origin into parts on disk; of what cannot be applied a list lies beside it."""
    assert _process is not None, "begin() comes first"
    process = _process
    records = (
        origin.records() if isinstance(origin, FileOrigin) else origin.records(process.task.environ)
    )
    with SpoolWriter(path) as writer, path.with_suffix(".rejected").open("wb") as rejected:
        while several := list(islice(records, SPOOL_RECORDS)):
            # No part has this number: all that can be applied is sent on, that is, into its part.
            prepared = process.sorter.prepare([Chunk(topic_code(EVENTS), 0, several)])
            process.sorter.contents.take_new_names()
            for forward in prepared.forwards:
                writer.add(forward.home - PARTS, forward.record)
            for fault in prepared.rejected:
                rejected.write(_line(several[fault.index], fault.reason))
            writer.rejected.update(fault.reason for fault in prepared.rejected)
            writer.n_records += len(several)
            writer.n_outside += prepared.n_outside
            writer.n_unused += prepared.n_unused
            process.count(len(several))


def apply(paths: Sequence[Path], part: int) -> Applied:
    """Apply a part of what has been spooled, once for each person.

    Raises
    ------
    StoreRestarted
        The store may have lost what it had acknowledged: all parts that are not known to be on disk
        have to be applied again.
    """
    assert _process is not None, "begin() comes first"
    process = _process
    origins: dict[Path, Spooled] = {path: read_index(path) for path in paths}
    records = read_part(origins, part)
    outcomes = process.loop.run_until_complete(_apply(process, part, records))
    process.count(len(records))
    return Applied(len(records), dict(outcomes))


async def _apply(process: _Process, part: int, records: Sequence[RawRecord]) -> Counter[str]:
    settings, store = process.settings, process.store
    store.rejoin()
    security = security_of(settings)
    forwards = KafkaForwards(settings.brokers, settings.topic("forwarded"), security)
    letters = KafkaDeadLetters(
        settings.brokers,
        settings.topic("deadletter"),
        lambda: time.time_ns() // 1_000_000,
        security,
    )
    updates = KafkaUpdates(settings.brokers, settings.topic("updates"), settings.updates, security)
    patience = Patience(Metrics())
    arena = Arena(UNGUARDED, ARENA_SPARE + 2 * len(records))
    updater = Updater(
        UNGUARDED, process.preparer, None, arena, store, process.task.load_id, updates.told
    )

    async def load_rows(pids: Sequence[str]) -> list[bytes | None]:
        return await patience.until_done(lambda: store.load(pids))

    async def compute(chunks: Sequence[Chunk], only: Collection[str] | None = None) -> Work:
        return await updater.compute(chunks, load_rows, only)

    committer = Committer(
        store=store,
        dead_letters=letters,
        forwards=forwards,
        patience=patience,
        updater=updater,
        compute=compute,
        topic=settings.topic("events"),
        updates=updates,
    )
    try:
        chunk = Chunk(topic_code(FORWARDED), PARTS + part, records, range(len(records)))
        work = await compute([chunk])
        if refused := await committer.write(work):
            await committer.settle(refused, work, None)
        if settings.statistics_interval_s:
            await patience.until_done(partial(_count, store, work.processed.seen))
        return work.processed.outcomes
    finally:
        await letters.close()
        await forwards.close()
        await updates.close()


async def _count(store: Store, seen: Seen) -> None:
    """Add what people touched to the statistics, of as many of a part as there is room for."""
    statistics = StatisticsWriter(store)
    for start in range(0, len(seen), BATCH_EVENTS_MAX):
        statistics.add(seen.only(slice(start, start + BATCH_EVENTS_MAX)))
    await statistics.flush()


def _line(record: RawRecord, reason: str) -> bytes:
    value = (record.value or b"").decode(errors="backslashreplace")
    where = (
        record.topic if record.topic.startswith("file:") else f"{record.topic}:{record.partition}"
    )
    return (
        msgspec.json.encode(
            {"reason": reason, "origin": where, "at": record.offset, "value": value}
        )
        + b"\n"
    )

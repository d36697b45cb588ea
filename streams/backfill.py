"""History into the store, past Kafka: years of it, in parallel, exactly once, while events stream.

Two passes. The first sorts all records into *parts*, on disk: whatever concerns one person lies in
one part (`streams.spool`). The second applies part after part: the events of a part in the order of
their times, on the rows as the store has them, and each person's row is read and written once. With
the row goes a *mark* that says so, in the same atomic write (`Store.commit`): a part that has to be
applied again, after whatever crash, finds the mark and leaves that person out.

Workers may run meanwhile. Either side's write is refused where the other was there first, and its
events are applied again on what it finds. What a worker reads knows neither marks nor parts, so
nothing of the live stream changes.

A part is done once the store has it on disk. Until then a restart of the store, or ours, applies it
again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

import msgspec
from msgspec import Struct
from tqdm import tqdm

from profiler.errors import StoreRestarted, StoreUnavailable, UsageError
from profiler.spec import DEFAULT_SPEC
from streams.assembly import open_store
from streams.backfill_folder import Folder, Manifest, default_parent
from streams.backfill_pool import Processes, processes_of
from streams.backfill_process import Applied, Origin, Task, apply, spool
from streams.settings import Settings
from streams.spool import Spooled
from streams.store import LOAD_TTL_S, Store
from streams.worker_process import environment_of

GLANCE_S: Final = 0.5
"""Between looks at how far the processes are, and at what is on disk."""

PART_RECORDS: Final = 16_384
"""Wanted size of a part: one batch."""
PARTS_MAX: Final = 4_096


class BackfillOptions(Struct, frozen=True, kw_only=True):
    """How to load.

    Parameters
    ----------
    until_ms
        Events from then on are left to the live stream.
    records
        How many there are, roughly: for the number of parts, and the time left.
    processes
        At a time.
    folder
        In which one is made for what is sorted; by default the user's cache.
    rejected
        File that is to list the records which cannot be applied.
    progress
        Show a bar on standard error; by default where that is a terminal.
    """

    until_ms: int
    records: int
    processes: int
    folder: Path | None = None
    rejected: Path | None = None
    progress: bool | None = None


class BackfillReport(Struct, frozen=True, kw_only=True):
    """What was loaded.

    Parameters
    ----------
    load_id
        Name of the load: the same command has the same.
    was_finished
        Whether nothing had to be done any more.
    records
        Records that were read.
    rejected
        Those of them that cannot be applied, by reason.
    outside
        Events that are left to the live stream.
    outcomes
        What became of the others (`profiler.pipeline.OUTCOMES`); ``repeated``: had been applied
        before a stop.
    seconds, events_per_s
        Of this run, over all records.
    """

    load_id: str
    was_finished: bool = False
    records: int = 0
    rejected: dict[str, int] = {}
    outside: int = 0
    outcomes: dict[str, int] = {}
    seconds: float = 0.0
    events_per_s: float = 0.0


class Progress(Struct, frozen=True, kw_only=True):
    """How far a load is, as the store keeps it (``profiler:loads``).

    Parameters
    ----------
    started_ms, updated_ms, finished_ms
        Wall clock; the last is 0 until then.
    parts_done, parts
        Parts that are on disk, and all.
    """

    started_ms: int
    updated_ms: int
    finished_ms: int = 0
    parts_done: int = 0
    parts: int = 0


async def backfill(
    settings: Settings, origins: Sequence[Origin], load_id: str, options: BackfillOptions
) -> BackfillReport:
    """Load history; interrupted or killed, the same call goes on from where it stopped.

    Parameters
    ----------
    origins
        What to read: the same from one call to the next.
    load_id
        Name of the load. What was finished under it is not loaded again.

    Raises
    ------
    UsageError
        If another process is at the same load, the data cannot be read, or the load stopped so long
        ago that the store does not know any more what was applied.
    StoreUnavailable
        If the store cannot be reached at the start; later it is waited for.
    """
    started_s = time.monotonic()
    store = open_store(settings)
    try:
        known = await _known(store, load_id)
        if known.finished_ms:
            return BackfillReport(load_id=load_id, was_finished=True)
        await store.put_spec(DEFAULT_SPEC.hash, msgspec.json.encode(DEFAULT_SPEC.layout()))
        plan = Manifest(
            load_id=load_id,
            origins=list(origins),
            parts=min(PARTS_MAX, 1 + options.records // PART_RECORDS),
            started_ms=known.started_ms,
        )
        with Folder(options.folder or default_parent(), plan) as folder:
            _require_marks(load_id, known.started_ms if folder.is_new else known.updated_ms)
            task = Task(
                environ=environment_of(settings),
                load_id=load_id,
                parts=folder.manifest.parts,
                until_ms=options.until_ms,
            )
            with processes_of(task, options.processes) as processes:
                await _spool(processes, folder, options)
                spooled = folder.spooled()
                run = _Run(settings, store, folder, processes, known, spooled)
                await run.apply(options)
            if options.rejected is not None:
                folder.write_rejected(options.rejected)
            await run.note(is_finished=True)
            folder.remove()
        return _report(load_id, spooled, folder.manifest.done, time.monotonic() - started_s)
    finally:
        await store.close()


async def _spool(processes: Processes, folder: Folder, options: BackfillOptions) -> None:
    """Sort what has not been sorted yet."""
    running = {
        processes.submit(spool, origin, path)
        for k, origin in enumerate(folder.manifest.origins)
        if not (path := folder.spool_path(k)).exists()
    }
    with _bar("sorting", options.records, options.progress) as bar:
        bar.update(sum(index.records for index in folder.spooled().values()))
        while running:
            finished, running = await asyncio.wait(running, timeout=GLANCE_S)
            bar.update(processes.take_count())
            for future in finished:
                future.result()


class _Run:
    """The second pass."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        folder: Folder,
        processes: Processes,
        known: Progress,
        spooled: Mapping[Path, Spooled],
    ) -> None:
        self._durable_after_s = settings.durable_after_s
        self._store = store
        self._folder = folder
        self._processes = processes
        self._known = known
        self._spooled = spooled
        self._paths = list(spooled)
        self._running: dict[asyncio.Future[Applied], tuple[int, int]] = {}
        self._n_restarts = 0
        self._landed: dict[int, tuple[float, Applied]] = {}

    async def apply(self, options: BackfillOptions) -> None:
        """Apply all parts that are not done, and wait until the store has them on disk."""
        manifest = self._folder.manifest
        n_records = sum(index.records for index in self._spooled.values())
        with _bar("applying", n_records, options.progress) as bar:
            bar.update(sum(applied.records for applied in manifest.done.values()))
            for part in range(manifest.parts):
                if part not in manifest.done:
                    self._start(part)
            while self._running or self._landed:
                if self._running:
                    finished, _ = await asyncio.wait(self._running, timeout=GLANCE_S)
                    self._land(finished)
                else:
                    await asyncio.sleep(GLANCE_S / 10)
                bar.update(self._processes.take_count())
                await self._secure()

    async def note(self, *, is_finished: bool = False) -> None:
        """Tell the store how far the load is."""
        now_ms = time.time_ns() // 1_000_000
        progress = msgspec.structs.replace(
            self._known,
            updated_ms=now_ms,
            finished_ms=now_ms if is_finished else 0,
            parts_done=len(self._folder.manifest.done),
            parts=self._folder.manifest.parts,
        )
        await self._store.put_load(self._folder.manifest.load_id, msgspec.json.encode(progress))

    def _start(self, part: int) -> None:
        self._running[self._processes.submit(apply, self._paths, part)] = part, self._n_restarts

    def _land(self, finished: set[asyncio.Future[Applied]]) -> None:
        for future in finished:
            part, n_restarts = self._running.pop(future)
            try:
                applied = future.result()
            except (StoreRestarted, StoreUnavailable):
                self._start(part)
                continue
            if n_restarts == self._n_restarts:
                self._landed[part] = time.monotonic(), applied
            else:
                # It may have been written to the store as it was before.
                self._start(part)

    async def _secure(self) -> None:
        """Note as done what had landed and is now on disk."""
        landed = dict(self._landed)
        if not landed:
            return
        try:
            can_tell = await self._store.until_durable()
            before_s = time.monotonic() - (0 if can_tell else self._durable_after_s)
            done = {part: one for part, (at_s, one) in landed.items() if at_s <= before_s}
            if done:
                self._folder.note_done(done)
                await self.note()
        except StoreRestarted:
            # It may have lost any of them. Their marks say whose events it lost.
            self._store.rejoin()
            self._n_restarts += 1
            for part in self._landed:
                self._start(part)
            self._landed.clear()
        except StoreUnavailable:
            await asyncio.sleep(GLANCE_S)
        else:
            for part in done:
                del self._landed[part]


async def _known(store: Store, load_id: str) -> Progress:
    """How far a load was, and from now on known to have begun."""
    now_ms = time.time_ns() // 1_000_000
    found = (await store.loads()).get(load_id)
    if found is None:
        begun = Progress(started_ms=now_ms, updated_ms=now_ms)
        await store.put_load(load_id, msgspec.json.encode(begun))
        return begun
    return msgspec.json.decode(found, type=Progress)


def _require_marks(load_id: str, since_ms: int) -> None:
    """Refuse to go on where marks may have expired that are needed."""
    age_s = time.time() - since_ms / 1_000
    if age_s > LOAD_TTL_S / 2:
        raise UsageError(
            f"load {load_id} stopped {age_s / 86_400:.0f} days ago, and whose events it had "
            "applied is forgotten: start from an empty store"
        )


def _report(
    load_id: str, spooled: Mapping[Path, Spooled], done: Mapping[int, Applied], seconds: float
) -> BackfillReport:
    rejected: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for index in spooled.values():
        rejected.update(index.rejected)
        outcomes["accepted_unused"] += index.unused
    for applied in done.values():
        outcomes.update(applied.outcomes)
    records = sum(index.records for index in spooled.values())
    return BackfillReport(
        load_id=load_id,
        records=records,
        rejected=dict(rejected.most_common()),
        outside=sum(index.outside for index in spooled.values()),
        outcomes={name: n for name, n in outcomes.most_common() if n},
        seconds=seconds,
        events_per_s=records / seconds,
    )


def _bar(what: str, total: int, progress: bool | None) -> tqdm[NoReturn]:
    # None: only if standard error is a terminal.
    disable = None if progress is None else not progress
    return tqdm(total=total, desc=what, unit=" records", unit_scale=True, disable=disable)

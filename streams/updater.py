"""One batch from records to writes: the pure pipeline around one read, on rows of the arena."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from profiler.batch import Prepared, Preparer
from profiler.dedupe import partition_number
from profiler.events import BEHAVIOUR_TYPES
from profiler.excerpt import about
from profiler.identity import NO_LINKS, Links
from profiler.models.bank import ModelBank
from profiler.models.labels import Labels
from profiler.models.waiting import Due
from profiler.peers import Peers
from profiler.pipeline import Processed, process
from profiler.records import Chunk
from profiler.spec import Spec
from profiler.state import Layout, decode_states, encode_states, encode_tombstone, unknown_specs
from profiler.updates import Told
from streams.arena import Arena
from streams.stopwatch import Stopwatch
from streams.store import Erasure, Move, ProfileWrite, Store, Write
from streams.updates import tell
from streams.work import Work as Work  # what it computes
from streams.work import rejected_records as rejected_records

Load = Callable[[Sequence[str]], Awaitable[list[bytes | None]]]

AWAY_SHARE: Final = 16
"""Part of the arena that may be filled at once with people who are only looked at for a label."""


class Updater:
    """Computes batches on the arena's rows.

    Parameters
    ----------
    spec, preparer, bank
        The pure core.
    arena
        Hot rows.
    store
        Only asked for layouts of other specs here, and for marks.
    load_id
        What comes is the history of a load of this name (`streams.backfill`): one batch has all of
        a person's events, in any order, and whose mark the store has is done with.
    told
        Which changes are told.
    """

    def __init__(
        self,
        spec: Spec,
        preparer: Preparer,
        bank: ModelBank | None,
        arena: Arena,
        store: Store,
        load_id: str = "",
        told: Told = "none",
    ) -> None:
        self.spec = spec
        self.bank = bank
        self.arena = arena
        self._preparer = preparer
        self._store = store
        self._load_id = load_id
        self._told = told
        self._layouts: dict[str, Layout] = {}
        self._watermark_ms: dict[int, int] = {}

    async def compute(
        self, chunks: Sequence[Chunk], load: Load, only: Collection[str] | None = None
    ) -> Work:
        """Apply records to the arena's rows, loading what is missing; nothing is written.

        Parameters
        ----------
        only
            Whose part of the records is applied, by default everybody's. A record may be about two
            people: of one whose other records are not here, the fence must not be moved past them.

        Raises
        ------
        UnknownSpec
            If a stored row's layout is known to nobody.
        """
        lap = Stopwatch()
        prepared = self._preparer.prepare(chunks)
        if only is not None:
            prepared = about(prepared, only)
        n_repeated = 0
        if self._load_id:
            prepared.in_order_of_time()
            done = await self._store.marked(self._load_id, prepared.pids)
            n_repeated = prepared.without(done)
        names = self._preparer.contents.take_new_names()
        lap("decode")
        # Before anything is applied: whoever comes back late must not hide that it was late.
        overdue = await self._overdue(load)
        self.arena.begin(prepared.pids)
        slots, peers = await self._everybody(prepared, load)
        stored = self.arena.gather(slots)
        lap("load")
        processed = process(self.spec, prepared, stored, self.bank, lap, peers)
        processed.outcomes["repeated"] = n_repeated
        changed = slots[processed.place]
        links = processed.links()
        self.arena.scatter(changed, processed.rows, processed.fences, links)
        writes = self._encode(prepared, processed, links)
        lap("encode")
        if self.bank is not None:
            self._note_watermarks(prepared)
            self._await_labels(self.bank, prepared, processed)
            self.bank.learn([*overdue, *processed.labels])
        lap("learn")
        updates = tell(self._told, prepared.pids, processed, stored.erased, self.arena, slots)
        return Work(chunks, prepared, processed, writes, names, lap.seconds, updates)

    def forget(self, codes: Collection[int]) -> None:
        """Drop what is known of partitions that this worker no longer has."""
        self.arena.drop_partitions({partition_number(code) for code in codes})
        for code in codes:
            if self.bank is not None:
                self.bank.forget(code)
            self._watermark_ms.pop(code, None)

    def forget_all(self) -> None:
        """Drop everything that the store may not have any more."""
        self.forget(list(self._watermark_ms))
        self.arena.clear()
        self._preparer.contents.forget()

    def watermarks_ms(self) -> dict[int, int]:
        """Greatest event time by partition number, forwarded events included."""
        latest: dict[int, int] = {}
        for code, watermark_ms in self._watermark_ms.items():
            number = partition_number(code)
            latest[number] = max(watermark_ms, latest.get(number, 0))
        return latest

    def expire(self, now_ms: int) -> None:
        """Learn from labels that were due before a time, of people whose rows are here."""
        if self.bank is None:
            return
        for code in self._watermark_ms:
            due = self.bank.due(code, now_ms)
            here = [one for one in due if one.pid in self.arena]
            self.bank.waiting.again(code, [one for one in due if one.pid not in self.arena])
            self.bank.learn([self._expired(self.bank, code, here, now_ms)])

    async def _bring(self, pids: list[str], load: Load) -> None:
        values = await load(pids)
        await self._learn_layouts(values)
        self.arena.put(pids, decode_states(values, self.spec, self._layouts))

    async def _learn_layouts(self, values: Sequence[bytes | None]) -> None:
        for spec_hash in unknown_specs(values, self.spec, self._layouts):
            layout = await self._store.spec(spec_hash)
            if layout is not None:
                self._layouts[spec_hash] = msgspec.json.decode(layout)

    async def _everybody(self, prepared: Prepared, load: Load) -> tuple[NDArray[np.intp], Peers]:
        """Places of all people of a batch, once all are here, and the others they are linked with.

        The others may be written by other workers: only the store knows their rows.
        """
        values: dict[str, bytes | None] = {}
        peers = Peers.of({}, self.spec, {})
        asked = [look.peer.pid for look in prepared.looks]
        while True:
            # Asked again after each load: rows of a revoked partition may have been dropped.
            while missing := self.arena.missing(prepared.pids):
                await self._bring(missing, load)
                # Never older than the rows: another worker may have looked since, and written.
                values, peers = {}, Peers.of({}, self.spec, {})
            slots = self.arena.slots(prepared.pids)
            missing = peers.missing(self.arena.links(slots), asked)
            if not missing:
                return slots, peers
            values.update(zip(missing, await load(missing), strict=True))
            await self._learn_layouts(list(values.values()))
            peers = Peers.of(values, self.spec, self._layouts)

    async def _overdue(self, load: Load) -> list[Labels]:
        """Take the labels that are due by the watermarks, also of people who have left memory.

        They above all are those who have not come back: without them, all seem to.
        """
        bank = self.bank
        if bank is None:
            return []
        parts = []
        for code, watermark_ms in self._watermark_ms.copy().items():
            due = bank.due(code, watermark_ms)
            away = self.arena.missing([one.pid for one in due])
            later = set(away[self.arena.capacity // AWAY_SHARE :])
            bank.waiting.again(code, [one for one in due if one.pid in later])
            due = [one for one in due if one.pid not in later]
            if away:
                try:
                    await self._bring([pid for pid in away if pid not in later], load)
                except Exception:
                    bank.waiting.again(code, due)
                    raise
            here = [one for one in due if one.pid in self.arena]
            parts.append(self._expired(bank, code, here, watermark_ms))
        return parts

    def _expired(self, bank: ModelBank, code: int, due: Sequence[Due], now_ms: int) -> Labels:
        """Labels of these people, whose rows are here, that were due before a time."""
        pids = [one.pid for one in due]
        slots = self.arena.slots(pids)
        columns = self.arena.columns(slots, bank.kept_columns)
        labels = bank.expire(columns, now_ms)
        self.arena.annotate(slots, {name: columns[name] for name in bank.told_columns})
        bank.wait_for(code, pids, columns)
        return labels

    def _note_watermarks(self, prepared: Prepared) -> None:
        # Times of other types were not screened.
        is_behaviour = prepared.type_code < len(BEHAVIOUR_TYPES)
        for code in np.unique(prepared.partition[is_behaviour]).tolist():
            latest = int(prepared.ts[is_behaviour & (prepared.partition == code)].max())
            self._watermark_ms[code] = max(latest, self._watermark_ms.get(code, 0))

    def _await_labels(self, bank: ModelBank, prepared: Prepared, processed: Processed) -> None:
        """Wait for the labels of those whom this batch changed."""
        home = processed.fences.partition
        pids = [prepared.pids[p] for p in processed.place.tolist()]
        for code in np.unique(home).tolist():
            chosen = np.flatnonzero(home == code)
            of_code = [pids[i] for i in chosen.tolist()]
            bank.wait_for(code, of_code, processed.rows[chosen])

    def _encode(
        self, prepared: Prepared, processed: Processed, links: Mapping[int, Links]
    ) -> dict[str, Write]:
        pids = [prepared.pids[p] for p in processed.place.tolist()]
        slots = self.arena.slots(pids)
        rev = self.arena.revisions(slots)
        states = encode_states(self.spec, processed.rows, rev, processed.fences, links)
        vectors = processed.vectors.astype("<f4", copy=False).tobytes()
        size = 4 * self.spec.dims
        writes: dict[str, Write] = {
            pid: ProfileWrite(pid, r, state, vectors[start : start + size], summary, as_of)
            for pid, r, state, start, summary, as_of in zip(
                pids,
                rev.tolist(),
                states,
                range(0, len(vectors), size),
                processed.summaries,
                processed.as_of.tolist(),
                strict=True,
            )
        }
        for k, known in links.items():
            write, owner = writes[pids[k]], known.owner
            assert isinstance(write, ProfileWrite)
            writes[write.pid] = (
                Move(write.pid, write.rev, write.state, owner.owner)
                if owner
                else msgspec.structs.replace(
                    write, returns=bool(known.claims), traits=processed.traits[k]
                )
            )
        if self._load_id:
            self._mark(prepared, writes)
        if processed.erased:
            writes.update(self._erase(prepared, processed))
        return writes

    def _mark(self, prepared: Prepared, writes: dict[str, Write]) -> None:
        """Note in the store, with their rows, whose events of this load have been applied."""
        for place in np.unique(prepared.row).tolist():
            write = writes.get(prepared.pids[place])
            if write is not None and not isinstance(write, Erasure):
                writes[write.pid] = msgspec.structs.replace(write, mark=self._load_id)

    def _erase(self, prepared: Prepared, processed: Processed) -> dict[str, Erasure]:
        pids = [prepared.pids[p] for p in processed.erased]
        slots = self.arena.slots(pids)
        self.arena.erase(slots)
        links = processed.relinked.links
        return {
            pid: Erasure(pid, rev, encode_tombstone(rev, ms, links.get(place, NO_LINKS)))
            for pid, rev, (place, ms) in zip(
                pids, self.arena.revisions(slots).tolist(), processed.erased.items(), strict=True
            )
        }

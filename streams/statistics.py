"""Statistics of all people together, from this worker's events into the store that all share.

What batches saw is added up in memory and merged into the store's rows every now and then: a row is
read, added to, and written if nobody else wrote it meanwhile, else read again. Adding commutes, so
workers need not agree on anything, and each row is a key of its own, in a cluster too.

The room in memory bounds what this costs, however fast events come: once it is full, events are
left out until the next flush. Associations are a sample then, which is all that they ever are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.errors import CorruptState
from profiler.recommendation.associations import Associations, TokenRows, joined
from profiler.recommendation.seen import Seen
from profiler.recommendation.shelf import Shelf
from profiler.recommendation.statistics import Statistics
from profiler.recommendation.stored import (
    decode_rows,
    decode_shelf,
    encode_rows,
    encode_shelf,
    revisions_of,
)
from streams.log import get_logger
from streams.store import RowWrite, Store, name_field

ROOM_ROWS: Final = 4_096
"""Rows of items between two flushes."""
BATCH_EVENTS_MAX: Final = 512
"""Events of a batch that are added up; of more, every so many-th."""
TRIES_MAX: Final = 8
"""How often a row is read again because another worker wrote it, before its additions are left."""
CHUNK_ROWS: Final = 128

SHELF: Final = "shelf"
KINDS: Final = ("item", "category", "members")

_log = get_logger(component="statistics")


class StatisticsWriter:
    """Adds up what batches saw, and merges it into the store.

    Parameters
    ----------
    store
        Where all workers' rows are.

    Attributes
    ----------
    n_counted, n_left_out
        Events that were taken in, and those for which there was no room.
    n_given_up
        Rows whose additions were left, as others kept writing them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._new = Statistics()
        self.n_counted = self.n_left_out = self.n_given_up = 0

    def add(self, seen: Seen) -> None:
        """Take in what a batch saw; in part, where there is too much of it."""
        n = len(seen)
        if not n:
            return
        if len(self._new.items) >= ROOM_ROWS:
            self.n_left_out += n
            return
        if n > BATCH_EVENTS_MAX:
            step = -(-n // BATCH_EVENTS_MAX)
            seen = seen.only(slice(None, None, step))
            self.n_left_out += n - len(seen)
        self._new.add(seen)
        self.n_counted += len(seen)

    async def flush(self) -> None:
        """Merge all that is new into the store's rows.

        Raises
        ------
        StoreUnavailable
            If the store cannot be reached; what was not merged yet is lost.
        """
        new, self._new = self._new, Statistics()
        for kind, table in zip(KINDS, (new.items, new.categories, new.members), strict=True):
            heads = await self._merge(kind, table)
            if kind != "members" and len(heads):
                await self._put_on_shelf(kind, heads)

    async def _merge(self, kind: str, table: Associations) -> NDArray[np.void]:
        """Add a table to the store; the heads of its rows as they are then."""
        tokens = table.tokens()
        heads = [
            await self._merge_rows(kind, table.rows(tokens[start : start + CHUNK_ROWS]))
            for start in range(0, len(tokens), CHUNK_ROWS)
        ]
        return np.concatenate(heads) if heads else TokenRows.empty(0).heads

    async def _merge_rows(self, kind: str, new: TokenRows) -> NDArray[np.void]:
        done = []
        for _ in range(TRIES_MAX):
            tokens = new.heads["id"].tolist()
            names = [name_field(token) for token in tokens]
            values = await self._store.rows(kind, names)
            merged = Associations()
            merged.merge(_decoded(values))
            merged.merge(new)
            rows = merged.rows(tokens)
            revisions = [rev + 1 for rev in revisions_of(values)]
            writes = [
                RowWrite(kind, name, value)
                for name, value in zip(names, encode_rows(rows, revisions), strict=True)
            ]
            written = np.array(await self._store.put_rows(writes), dtype=bool)
            done.append(rows.heads[written])
            new = new.at(~written)
            if not len(new.heads):
                break
        self.n_given_up += len(new.heads)
        return np.concatenate(done)

    async def _put_on_shelf(self, kind: str, heads: NDArray[np.void]) -> None:
        for _ in range(TRIES_MAX):
            values = await self._store.rows(SHELF, [kind])
            shelf = Shelf(decode_shelf(values[0])).with_heads(heads)
            value = encode_shelf(shelf.heads, revisions_of(values)[0] + 1)
            if (await self._store.put_rows([RowWrite(SHELF, kind, value)]))[0]:
                return


def _decoded(values: Sequence[bytes | None]) -> TokenRows:
    """Stored rows, of which something is known; one that nobody can read begins anew."""
    try:
        rows = decode_rows(values)
    except CorruptState as fault:
        if len(values) > 1:
            return joined([_decoded([value]) for value in values])
        _log.warning("row_unreadable", fault=str(fault))
        rows = TokenRows.empty(0)
    return rows.at(rows.heads["id"] != 0)


__all__ = ["KINDS", "SHELF", "StatisticsWriter"]

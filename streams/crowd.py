"""Figures of the crowd on their way to the store.

A worker keeps what its batches add, and now and then adds that to hashes which all workers share,
field by field (``HINCRBYFLOAT``). Adding commutes, so workers need not know of each other, and what
is there outlives them; a field of its own for each worker would have to be taken over from those
that are gone. Decay needs no write: counts are relative to a landmark that only moves every 448
days, and to another hash (`profiler.behaviour.crowd`). One hash is one key, as a cluster wants it.

It is at least once: what was under way when the store went away is added again, a batch that is
replayed after a crash counts again, and what a worker had not told when it was killed is lost.
Figures of the crowd need not be better; profiles are.
"""

from __future__ import annotations

from collections.abc import Iterable

from profiler.behaviour.crowd import Crowd
from profiler.errors import StoreUnavailable
from streams.store import Store


class CrowdFigures:
    """Keeps what batches add to the figures of the crowd, until it is published.

    Parameters
    ----------
    store
        Where to.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._new = Crowd()

    def count(self, crowds: Iterable[Crowd]) -> None:
        """Take over what a batch has added."""
        for crowd in crowds:
            self._new.add(crowd)

    async def publish(self) -> None:
        """Add to the store what is new.

        Raises
        ------
        StoreUnavailable
            If it cannot be reached; nothing is forgotten.
        """
        told, self._new = self._new, Crowd()
        counts = told.fields()
        if not counts:
            return
        try:
            await self._store.add_behaviour(told.epoch, told.as_of_ms, counts)
        except StoreUnavailable:
            self._new.add(told)
            raise

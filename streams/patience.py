"""Patience: do something until the other side is there, and say so once.

Nothing is lost meanwhile: whatever waits behind it is held by a bounded queue.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from profiler.errors import (
    BrokerUnavailable,
    RegistryUnavailable,
    StoreRestarted,
    StoreUnavailable,
)
from streams.log import get_logger
from streams.metrics import Metrics

BACKOFF_MIN_S: Final = 0.05
BACKOFF_MAX_S: Final = 2.0

_SIDES: Final[dict[type[Exception], str]] = {
    StoreUnavailable: "store",
    BrokerUnavailable: "broker",
    RegistryUnavailable: "registry",
}
_AWAY: Final = tuple(_SIDES)

_log = get_logger(component="worker")
_Result = TypeVar("_Result")


class Patience:
    """Repeats actions on a store, broker or registry that is away, with growing pauses.

    Parameters
    ----------
    metrics
        Counts the pauses.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: Counter[str] = Counter()
        self._answered: set[str] = set()

    async def until_done(self, action: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return what `action` gives once the other side is there.

        The action may have taken effect although it failed: it must bear repetition.
        """
        pause_s = BACKOFF_MIN_S
        side: str | None = None
        try:
            while True:
                try:
                    result = await action()
                except _AWAY as fault:
                    if side is None:
                        side = _SIDES[type(fault)]
                        self._begin(side, fault)
                except StoreRestarted:
                    # It answers again, although not what was hoped for.
                    self._note_answer(side)
                    raise
                else:
                    self._note_answer(side)
                    return result
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, BACKOFF_MAX_S)
        finally:
            if side is not None:
                self._end(side)

    def _note_answer(self, side: str | None) -> None:
        if side is not None:
            self._answered.add(side)

    def _end(self, side: str) -> None:
        self._waiting[side] -= 1
        if self._waiting[side]:
            return
        self._metrics.set_paused(side, False)
        if side in self._answered:
            _log.info("resumed", waited_for=side)

    def _begin(self, side: str, fault: Exception) -> None:
        self._waiting[side] += 1
        # A read and a write may wait at the same time: that is one pause.
        if self._waiting[side] == 1:
            _log.warning("paused", waiting_for=side, fault=str(fault))
            self._answered.discard(side)
            self._metrics.count_pause(side)
            self._metrics.set_paused(side, True)

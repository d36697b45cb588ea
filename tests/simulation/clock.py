"""An event loop whose time passes only when everybody waits: runs are quick, and all alike."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class StandStill(Exception):
    """Everybody waits for something that nobody will do."""


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, tells its loop how long it would have waited."""

    waited_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise StandStill
            self.waited_s += max(timeout, 0.0)
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Nothing but the callbacks of one thread, in an order that the program alone decides."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Seconds that have been waited for so far."""
        return self._clock.waited_s


def run_simulated(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Like `asyncio.run`, in simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(main)

"""A tracker that nobody waits for, and whose faults are nobody's."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Final

from streams.log import get_logger
from streams.tracking.contract import Tracker

WAITING_MAX: Final = 1_000
CLOSE_TIMEOUT_S: Final = 10.0
_log = get_logger(component="tracking")


class Background:
    """Hands everything to a tracker in a thread of its own.

    A call costs a place in a queue. Where the tool is slower than we are, points are dropped and
    counted; where it fails, a warning is logged once, with the kind of the fault only, since its
    text may show an address with a password.

    Parameters
    ----------
    tracker
        Used by the thread alone.
    waiting_max
        How much may wait.

    Attributes
    ----------
    dropped, failed
        Number of calls that were not handed on, and that the tracker did not bear.
    """

    def __init__(self, tracker: Tracker, waiting_max: int = WAITING_MAX) -> None:
        self.dropped = self.failed = 0
        self._tracker = tracker
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(waiting_max)
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add a point to each of these curves, soon."""
        points = dict(metrics)
        self._hand_on(lambda: self._tracker.log(points, step))

    def log_params(self, params: Mapping[str, str | float]) -> None:
        """Tell what the run was made with, soon."""
        copied = dict(params)
        self._hand_on(lambda: self._tracker.log_params(copied))

    def log_text(self, name: str, text: str) -> None:
        """Add a page, soon."""
        self._hand_on(lambda: self._tracker.log_text(name, text))

    def _hand_on(self, call: Callable[[], None]) -> None:
        try:
            self._waiting.put_nowait(call)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is left and end the run; gives up after ten seconds."""
        try:
            self._waiting.put(None, timeout=CLOSE_TIMEOUT_S)
        except queue.Full:
            _log.warning("tracking_abandoned", waiting=self._waiting.qsize())
            return
        self._thread.join(CLOSE_TIMEOUT_S)
        if self._thread.is_alive() or self.dropped:
            _log.warning("tracking_incomplete", waiting=self._waiting.qsize(), dropped=self.dropped)

    def _work(self) -> None:
        while (call := self._waiting.get()) is not None:
            self._carry_out(call)
        self._carry_out(self._tracker.close)

    def _carry_out(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as fault:  # a tool's fault must not reach those who work
            self.failed += 1
            if self.failed == 1:
                _log.warning("tracking_failed", fault=type(fault).__name__)

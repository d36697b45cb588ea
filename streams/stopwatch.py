"""Where the time of a batch goes."""

from __future__ import annotations

import time


class Stopwatch:
    """Seconds by step; steps of the same name add up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def __call__(self, step: str) -> None:
        """Note that a step ends here."""
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._last
        self._last = now

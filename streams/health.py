"""What a worker tells supervisors: whether it is alive, and whether it is ready."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from profiler.errors import StoreUnavailable
from streams.store import Durability

PING_TIMEOUT_S: Final = 1.0
DURABILITY_KEPT_S: Final = 60.0

Answer = tuple[int, dict[str, Any]]
"""An HTTP status and the facts behind it."""


async def _unknown() -> Durability:
    return "unknown"


class Health:
    """Answers of ``/healthz`` and ``/readyz``.

    Parameters
    ----------
    ping
        Returns if the store answers.
    durability
        Asks the store whether what it acknowledged survives it.
    is_behind
        Whether events would have to wait for the catalogue of items; None where there is none.

    Attributes
    ----------
    stall
        Why the worker counts as stalled, None while it does not.
    """

    def __init__(
        self,
        ping: Callable[[], Awaitable[None]],
        durability: Callable[[], Awaitable[Durability]] | None = None,
        is_behind: Callable[[], bool] | None = None,
    ) -> None:
        self.stall: str | None = None
        self._ping = ping
        self._ask_durability = durability or _unknown
        self._is_behind = is_behind
        self._durability: Durability = "unknown"
        self._known_until_s = 0.0

    def liveness(self) -> Answer:
        """200, unless the worker stalled: to answer at all is proof that its loop runs."""
        if self.stall is None:
            return 200, {"alive": True}
        return 503, {"alive": False, "stalled": self.stall}

    async def readiness(self, n_partitions: int) -> Answer:
        """200 if there are partitions, a store that answers, current items, and no stall."""
        has_store = await self.store_answers()
        is_behind = self._is_behind is not None and self._is_behind()
        is_ready = n_partitions > 0 and has_store and not is_behind and self.stall is None
        facts = {
            "ready": is_ready,
            "partitions": n_partitions,
            "store": "ok" if has_store else "unavailable",
            "durability": self._durability,
        }
        if self._is_behind is not None:
            facts["items"] = "behind" if is_behind else "ok"
        return 200 if is_ready else 503, facts

    async def store_answers(self) -> bool:
        """Ask the store, for a second at most."""
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                await self._ping()
                await self._refresh()
        except (StoreUnavailable, TimeoutError):
            return False
        return True

    async def _refresh(self) -> None:
        # It changes when somebody changes the store, or another takes its place.
        if time.monotonic() >= self._known_until_s:
            self._durability = await self._ask_durability()
            self._known_until_s = time.monotonic() + DURABILITY_KEPT_S

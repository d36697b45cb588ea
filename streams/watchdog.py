"""A thread that ends a worker which stands still while records wait for it.

What hangs cannot be trusted to notice. So the watchdog is a thread of its own, and believes neither
the app nor its client library: it asks the broker, through connections of its own, where the group
stands and whether a reader would get more from there. Four times per `Settings.stall_timeout_s` it
looks; a partition that stands at the same committed offset with records waiting at five looks in a
row has stalled, and so has an event loop that does not answer for that long.

It counts looks and never compares clocks: a machine that was suspended is one look older.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from profiler.errors import BrokerUnavailable
from streams.eventlog import Place, held_up, is_group_stable, places_of
from streams.health import Health
from streams.log import get_logger
from streams.metrics import Metrics
from streams.settings import Settings

EXIT_STALLED: Final = 75
"""EX_TEMPFAIL of ``sysexits.h``: start it again."""
LOOKS: Final = 4
NOTICE_S: Final = 3.0
"""So long the pages tell of it before the end begins."""
LAST_RESORT_S: Final = 15.0
"""More than the notice and an orderly stop take together."""
STACK_DEPTH: Final = 6

_log = get_logger(component="watchdog")


class Watchdog:
    """Watches one app from outside its event loop.

    Parameters
    ----------
    settings
        Group, brokers, and the timeout.
    topics
        Full names of the topics that the app reads.
    health
        Told of a stall.
    metrics
        Told too; says whether the store is known to be away, which no restart would cure.
    """

    def __init__(
        self, settings: Settings, topics: Collection[str], health: Health, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._topics = topics
        self._health = health
        self._metrics = metrics
        self._interval_s = settings.stall_timeout_s / LOOKS
        self._ended = threading.Event()
        self._looks: dict[tuple[Place, int], int] = {}

    @contextmanager
    def watching(
        self, places: Callable[[], Collection[Place]], stop: Callable[[], None]
    ) -> Iterator[None]:
        """Watch while in this block, which is to be entered in the thread of the app's loop.

        Parameters
        ----------
        places
            Gives the partitions that the app has; called in the loop.
        stop
            Stops the app in good order; called in the loop, after a stall.
        """
        loop = asyncio.get_running_loop()
        watch = threading.Thread(
            target=self._watch,
            args=(loop, threading.get_ident(), places, stop),
            name="watchdog",
            daemon=True,
        )
        watch.start()
        try:
            yield
        finally:
            self._ended.set()

    def _watch(
        self,
        loop: asyncio.AbstractEventLoop,
        thread_id: int,
        places: Callable[[], Collection[Place]],
        stop: Callable[[], None],
    ) -> None:
        while not self._ended.wait(self._interval_s):
            # The loop may have been closed since.
            with suppress(RuntimeError):
                if reason := self._look(loop, places):
                    self._raise_alarm(reason, _where(thread_id))
                    loop.call_soon_threadsafe(stop)
                    return

    def _look(
        self, loop: asyncio.AbstractEventLoop, places: Callable[[], Collection[Place]]
    ) -> str | None:
        """Give the reason, if the app has stalled."""
        found: list[Collection[Place]] = []
        answered = threading.Event()

        def answer() -> None:
            if not self._is_store_away():
                found.append(frozenset(places()))
            answered.set()

        loop.call_soon_threadsafe(answer)
        timeout_s = self._settings.stall_timeout_s
        # Wait in parts, of which a suspended process misses one.
        if not any(answered.wait(self._interval_s) for _ in range(LOOKS)):
            return f"the event loop has not answered for {timeout_s:g} s"
        waiting = self._waiting(found[0]) if found else {}
        self._looks = {at: self._looks.get(at, 0) + 1 for at in waiting.items()}
        stuck = sorted(place for (place, _), n in self._looks.items() if n > LOOKS)
        if not stuck:
            return None
        names = ", ".join(f"{topic}/{partition}" for topic, partition in stuck)
        return f"no commit for {timeout_s:g} s although records wait in {names}"

    def _is_store_away(self) -> bool:
        return self._metrics.value("profiler_paused", waiting_for="store") > 0

    def _waiting(self, places: Collection[Place]) -> Mapping[Place, int]:
        """Where the group stands before records that wait, of what this app should work on."""
        try:
            if not places:
                # Others may have them all. But when nobody does, this app may be why.
                if is_group_stable(self._settings) is not False:
                    return {}
                places = places_of(self._settings, self._topics)
            return held_up(self._settings, places)
        except BrokerUnavailable:
            return {}
        except Exception as fault:  # whatever it is, the watch goes on
            _log.warning("watch_failed", fault=repr(fault))
            return {}

    def _raise_alarm(self, reason: str, where: str) -> None:
        # First of all: whatever keeps the app from going on may keep the rest of this as well.
        last_resort = threading.Timer(LAST_RESORT_S, os._exit, (EXIT_STALLED,))
        last_resort.daemon = True
        last_resort.start()
        self._health.stall = reason
        self._metrics.count_stall()
        _log.error("stalled", reason=reason, loop_at=where, exit_code=EXIT_STALLED)
        time.sleep(NOTICE_S)


def _where(thread_id: int) -> str:
    """What a thread is doing, the innermost call first."""
    frame = sys._current_frames().get(thread_id)
    stack = traceback.extract_stack(frame)[-STACK_DEPTH:]
    return " < ".join(f"{call.name} {call.filename}:{call.lineno}" for call in reversed(stack))

"""A thread that ends a worker which stands still while records wait for it.

What hangs cannot be trusted to notice. So the watchdog is a thread of its own, and believes neither
the app nor its client library: it asks the broker, through connections of its own, where the group
stands and whether a reader would get more from there. Four times per `Settings.stall_timeout_s` it
looks. A partition has stalled when five looks in a row found the group at the same offset and
records waiting behind it. A worker without partitions may be one too many, so it waits twice as
long, and for nothing at all to move in the group. An event loop that does not answer has stalled.

A broker that does not answer is no stall, nor is a store that is known to be away: to start again
would cure neither.

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
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Final

from profiler.errors import BrokerUnavailable
from streams.eventlog import held_up, places_of
from streams.health import Health
from streams.identity import Place
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
AWAITED: Final = ("store", "registry", "items")
"""Whom a worker may wait for without having stalled."""

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
        Asks the store; told of a stall.
    metrics
        Says whether the worker waits for its store; told too.
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
            sight = self._see(places)
            try:
                seeing = asyncio.run_coroutine_threadsafe(sight, loop)
            except RuntimeError:  # the loop has been closed since
                sight.close()
                return
            if reason := self._look(seeing):
                self._raise_alarm(reason, _where(thread_id))
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(stop)
                return

    async def _see(self, places: Callable[[], Collection[Place]]) -> Collection[Place] | None:
        """What the app has, as told by its own loop; None while it waits for others."""
        is_paused = any(self._metrics.value("profiler_paused", waiting_for=w) for w in AWAITED)
        return None if is_paused or not await self._health.store_answers() else places()

    def _look(self, seeing: Future[Collection[Place] | None]) -> str | None:
        """Give the reason, if the app has stalled."""
        timeout_s = self._settings.stall_timeout_s
        # Wait in parts, of which a suspended process misses one.
        if not any(wait({seeing}, self._interval_s).done for _ in range(LOOKS)):
            # An app that has ended owes no answer.
            is_over = self._ended.is_set()
            return None if is_over else f"the event loop has not answered for {timeout_s:g} s"
        mine, waiting = self._waiting(seeing)
        self._looks = {at: self._looks.get(at, 0) + 1 for at in waiting.items()}
        if mine:
            stuck = [place for (place, _), n in self._looks.items() if n > LOOKS]
        else:
            timeout_s *= 2
            is_stuck = all(n > 2 * LOOKS for n in self._looks.values())
            stuck = list(waiting) if is_stuck else []
        if not stuck:
            return None
        names = ", ".join(f"{topic}/{partition}" for topic, partition in sorted(stuck))
        what = "no commit" if mine else "no partition, and no commit in the group,"
        return f"{what} for {timeout_s:g} s although records wait in {names}"

    def _waiting(
        self, seeing: Future[Collection[Place] | None]
    ) -> tuple[Collection[Place], Mapping[Place, int]]:
        """What the app has, and where the group stands before records that it might work on."""
        try:
            mine = seeing.result()
            if mine is None:
                return (), {}
            places = mine or places_of(self._settings, self._topics)
            return mine, held_up(self._settings, places)
        except BrokerUnavailable:
            return (), {}
        except Exception as fault:  # whatever it is, the watch goes on
            _log.warning("watch_failed", fault=repr(fault))
            return (), {}

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

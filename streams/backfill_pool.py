"""The processes of a backfill, from the outside."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from profiler.errors import ProfilerError
from streams.backfill_process import Task, begin

_Result = TypeVar("_Result")


class Processes:
    """Processes that work on one load, and how many records they are through.

    Parameters
    ----------
    task
        The load.
    n
        How many.
    """

    def __init__(self, task: Task, n: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._counter = context.Value("q", 0)
        self._pool = ProcessPoolExecutor(n, context, begin, (task, self._counter))

    def submit(self, work: Callable[..., _Result], *arguments: Any) -> asyncio.Future[_Result]:
        """Have a function called by one of them."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        # Nobody waits for it any more once the load is interrupted.
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future

    def take_count(self) -> int:
        """Records since the last call."""
        with self._counter.get_lock():
            n: int = self._counter.value
            self._counter.value = 0
        return n

    def close(self) -> None:
        """End them at once: whatever they are at is done again."""
        for process in multiprocessing.active_children():
            process.terminate()
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def processes_of(task: Task, n: int) -> Iterator[Processes]:
    """Have processes for a load, which end with the context."""
    processes = Processes(task, n)
    try:
        yield processes
    except BrokenProcessPool as fault:
        raise ProfilerError(
            "a process of the load was ended, perhaps for want of memory: the same command goes on "
            "from where it was, with fewer --processes if need be"
        ) from fault
    finally:
        processes.close()

"""An event loop whose time passes only when everybody waits: runs are quick, and all alike."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine, Generator
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


before_step: contextvars.ContextVar[Callable[[], bool]] = contextvars.ContextVar("before_step")
"""Asked whenever a task of this context goes on after an `await`: False kills it there."""


class _Stepping(Coroutine[Any, Any, Any]):
    """A coroutine that can be killed at every `await`."""

    def __init__(self, inner: Coroutine[Any, Any, Any], goes_on: Callable[[], bool]) -> None:
        self._inner = inner
        self._goes_on = goes_on

    def send(self, value: Any) -> Any:
        if self._goes_on():
            return self._inner.send(value)
        return self._inner.throw(asyncio.CancelledError())

    def throw(self, *fault: Any) -> Any:
        return self._inner.throw(*fault)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()


def _task(
    loop: asyncio.AbstractEventLoop,
    coroutine: Any,
    context: contextvars.Context | None = None,
) -> asyncio.Task[Any]:
    goes_on = context.get(before_step) if context is not None else before_step.get(None)
    if goes_on is not None:
        coroutine = _Stepping(coroutine, goes_on)
    return asyncio.Task(coroutine, loop=loop, context=context)


def run_simulated(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Like `asyncio.run`, in simulated time."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.get_loop().set_task_factory(_task)
        return runner.run(main)

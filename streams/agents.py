"""The agent between Faust and the worker.

It hands every batch to the worker and takes the next one; the batch is acknowledged later, by the
worker, when its effect is durable. A fault of the worker is never swallowed: it crashes the app.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Protocol

from aiokafka import ConsumerRecord
from faust.streams import Stream
from faust.types import AgentT, EventT, StreamT, TopicT
from mode.supervisors import CrashingSupervisor

from profiler.records import Record
from streams.batching import BatchApp, acknowledge, take_records
from streams.inbox import Delivery


class Worker(Protocol):
    """What a Faust app needs of a worker; `streams.worker` has the real one."""

    async def run(self, rewind: Callable[[], Awaitable[None]]) -> None:
        """Work until cancelled. Whatever it raises, or its return, ends the process.

        `rewind` makes all that was delivered and not acknowledged stale: it comes again.
        """

    async def submit(self, delivery: Delivery) -> None:
        """Take a batch; waits while the queue is full, returns before the batch is durable."""

    async def assigned(self, partitions: Mapping[tuple[str, int], tuple[int, str]]) -> None:
        """Expect batches of these (topic, partition), all that the worker has from now on.

        Each comes with its committed offset, -1 where there is none, and the text beside it.
        """

    async def revoked(self, partitions: Collection[tuple[str, int]]) -> None:
        """Finish and acknowledge what is in flight of these; they are about to go."""

    async def ping(self) -> None:
        """Ask the store for an answer; raises `StoreUnavailable`."""


Reach = Callable[[Sequence[Record]], Awaitable[None]]
"""Returns once all is known that records need."""


def deliver_to(
    worker: Worker, app: BatchApp, topic: TopicT, reach: Reach | None = None
) -> AgentT[list[ConsumerRecord]]:
    """Register the agent that passes all batches of `topic` on to `worker`.

    Parameters
    ----------
    reach
        Is waited for before a batch is passed on; meanwhile the topic waits.
    """

    async def deliver(stream: StreamT[list[ConsumerRecord]]) -> None:
        assert isinstance(stream, Stream)
        async for event in stream.noack().events():
            delivery = _delivery(app, event)
            if reach is not None:
                await reach(delivery.records)
            await worker.submit(delivery)

    # Faust's own choice would start the agent again, and the batch in its hand would be skipped.
    return app.agent(topic, name="deliver", supervisor_strategy=CrashingSupervisor)(deliver)


def _delivery(app: BatchApp, event: EventT[list[ConsumerRecord]]) -> Delivery:
    tp = event.message.tp
    return Delivery(
        topic=tp.topic,
        partition=tp.partition,
        records=take_records(event),
        acknowledge=partial(acknowledge, event),
        is_current=partial(app.is_current, event),
    )

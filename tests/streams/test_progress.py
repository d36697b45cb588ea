"""A partition goes on where it was left, or the worker does not go on."""

from __future__ import annotations

import asyncio

import pytest
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from profiler.errors import TopicReplaced
from streams.identity import TopicIdentity
from streams.progress import Progress

PLACE = TP("events", 3)


def batch(last_offset: int) -> ConsumerMessage:
    return ConsumerMessage(
        *PLACE, last_offset, 0.0, 0, headers=None, key=None, value=None, checksum=None, tp=PLACE
    )


def test_what_begins_before_the_end_of_the_last_batch_is_another_topic() -> None:
    async def scenario() -> None:
        progress = Progress()
        progress.deliver(batch(9), 0)
        with pytest.raises(TopicReplaced):
            progress.deliver(batch(12), 5)

    asyncio.run(scenario())


def test_so_is_what_begins_before_the_committed_offset() -> None:
    """A group that rebalances after an outage starts where its partition no longer has an end."""

    async def scenario() -> None:
        with pytest.raises(TopicReplaced):
            Progress(begins=100).deliver(batch(12), 0)
        Progress(begins=100).deliver(batch(150), 120)  # what lay between was deleted by its age

    asyncio.run(scenario())


def test_an_identity_never_counts_back() -> None:
    first = TopicIdentity("a")
    cut = first.cut([3]).cut([3, 5])
    anew = cut.made_anew("b")

    assert [cut.incarnation_of(n) for n in (0, 3, 5)] == [0, 2, 1]
    assert [anew.incarnation_of(n) for n in (0, 3, 5)] == [3, 3, 3]

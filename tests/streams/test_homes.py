"""Where a home goes on, and what it has seen before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.structs import PartitionMetadata

from profiler.dedupe import EVENTS, FORWARDED, partition_code, topic_code
from profiler.forwarding import Seen, origin_header
from profiler.records import Forward, RawRecord, Record
from streams.assignor import HomeAssignor
from streams.homes import Homes, Topics
from streams.identity import TopicIdentity
from streams.inbox import Delivery
from streams.metrics import Metrics
from streams.patience import Patience

TOPICS = Topics("shop.events", "shop.forwarded")


class Log:
    """The topic of forwarded events."""

    def __init__(self, records: Sequence[Record] = ()) -> None:
        self.records = records

    async def send(self, forwards: Sequence[Forward]) -> None:
        raise AssertionError("nothing is sent here")

    async def history(self, home: int, end: int) -> AsyncIterator[Sequence[Record]]:
        yield [r for r in self.records if r.offset < end]


def homes(log: Log | None = None) -> Homes:
    return Homes(TOPICS, log or Log(), Patience(Metrics()))


def forward(origin_offset: int, offset: int) -> RawRecord:
    origin = RawRecord(TOPICS.events, 1, origin_offset, 5, b"u", b"{}")
    header = origin_header(Forward(3, 1, origin))
    return RawRecord(TOPICS.forwarded, 3, offset, 9, b"u", b"{}", [header])


def delivery(records: Sequence[Record], texts: list[str]) -> Delivery:
    first = records[0]
    return Delivery(first.topic, first.partition, records, texts.append, lambda: True)


def test_forwards_are_received_once_and_the_commit_says_up_to_where() -> None:
    texts: list[str] = []
    mine = homes()
    asyncio.run(mine.assign({(TOPICS.forwarded, 3): (-1, "")}))

    first = mine.receive(delivery([forward(7, 0), forward(9, 1)], texts))
    again = mine.receive(delivery([forward(7, 2), forward(9, 3), forward(12, 4)], texts))
    for arrival in (first, again):
        arrival.acknowledge()

    assert [r.offset for r in first.chunk.records] == [7, 9]
    assert [r.offset for r in again.chunk.records] == [12]
    assert (again.chunk.fence_offsets(), again.n_repeated) == ([4], 2)
    assert [Seen.decode(TOPICS.events, text).highest for text in texts] == [{1: 9}, {1: 12}]


def test_a_home_goes_on_from_what_was_committed() -> None:
    mine = homes()
    asyncio.run(mine.assign({(TOPICS.forwarded, 3): (2, Seen("", {1: 9}).encode())}))

    arrival = mine.receive(delivery([forward(9, 2), forward(10, 3)], []))

    assert [r.offset for r in arrival.chunk.records] == [10]


@pytest.mark.parametrize("text", ["", "reset by hand"])
def test_without_a_text_of_ours_the_forwards_before_are_read_again(text: str) -> None:
    mine = homes(Log([forward(7, 0), forward(9, 1), forward(11, 2)]))
    asyncio.run(mine.assign({(TOPICS.forwarded, 3): (2, text)}))

    arrival = mine.receive(delivery([forward(9, 2), forward(10, 3)], []))

    assert [r.offset for r in arrival.chunk.records] == [10]


def test_topics_that_were_made_anew_have_other_codes() -> None:
    mine = homes()
    mine.identify_topics(
        {TOPICS.events: TopicIdentity("e", 2, {6: 1}), TOPICS.forwarded: TopicIdentity("f", 1)}
    )

    found = mine.codes_of([(TOPICS.events, 5), (TOPICS.events, 6), (TOPICS.forwarded, 5)])

    assert found == {
        partition_code(topic_code(EVENTS, 2), 5),
        partition_code(topic_code(EVENTS, 3), 6),
        partition_code(topic_code(FORWARDED, 1), 5),
    }


@pytest.mark.parametrize("n_members", [1, 2, 3, 5, 9])
def test_partitions_of_the_same_number_go_to_the_same_member(n_members: int) -> None:
    cluster = ClusterMetadata()
    sizes = {TOPICS.events: 8, TOPICS.forwarded: 4}
    for topic, n in sizes.items():
        cluster._partitions[topic] = {
            p: PartitionMetadata(topic, p, 0, [], [], None) for p in range(n)
        }
    members = {f"m{k}": HomeAssignor.metadata(list(sizes)) for k in range(n_members)}

    found = HomeAssignor.assign(cluster, members)

    owner = {
        (topic, p): member
        for member, assignment in found.items()
        for topic, partitions in assignment.assignment
        for p in partitions
    }
    assert owner.keys() == {(topic, p) for topic, n in sizes.items() for p in range(n)}
    assert all(owner[TOPICS.events, p] == owner[TOPICS.forwarded, p] for p in range(4))
    loads = [sum(m == member for m in owner.values()) for member in members]
    assert max(loads) - min(loads) <= 2

"""Which worker has which partitions: those of the same number go together.

A profile's events and what other workers forward to its home then meet in one process, also where
the topics have different numbers of partitions. Neither of aiokafka's assignors gives that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)


class HomeAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka is untyped
    """Partition n of every topic goes to member n modulo the number of members."""

    name = "home"
    version = 0

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Return each member's partitions. All members read the same topics."""
        order = sorted(members)
        topics = sorted({topic for member in members.values() for topic in member.subscription})
        numbers: dict[str, dict[str, list[int]]] = {member: defaultdict(list) for member in order}
        for topic in topics:
            for number in sorted(cluster.partitions_for_topic(topic) or ()):
                numbers[order[number % len(order)]][topic].append(number)
        return {
            member: ConsumerProtocolMemberAssignment(cls.version, sorted(found.items()), b"")
            for member, found in numbers.items()
        }

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """Tell what this member reads."""
        return ConsumerProtocolMemberMetadata(cls.version, list(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Nothing has to be remembered."""

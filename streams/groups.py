"""What the coordinator of a group knows: its members, and the offsets that it committed.

A group's coordinator moves when a broker comes or goes. kafka-python's admin client remembers the
one that it found first, so a question that met a former one is asked again by a new client.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from kafka import TopicPartition
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
)
from kafka.structs import OffsetAndMetadata

from profiler.errors import BrokerUnavailable
from streams.settings import Settings
from streams.topics import admin_of

PATIENCE_S: Final = 30.0
RETRY_INTERVAL_S: Final = 0.5
NO_GROUP: Final = "GroupIdNotFoundError"
"""What newer brokers answer about a group that has neither members nor offsets."""

PASSING: Final = (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    NotCoordinatorError,
)

Offsets = Mapping[TopicPartition, OffsetAndMetadata]


_Answer = TypeVar("_Answer")


def committed_offsets(
    settings: Settings, group: str, partitions: Sequence[TopicPartition] | None = None
) -> Offsets:
    """Offsets that a group committed.

    Parameters
    ----------
    partitions
        Those wanted, all others are left out; None: all that it ever committed.

    Raises
    ------
    BrokerUnavailable
        No broker answers, or none coordinates the group.
    """
    found: dict[str, Offsets] = _asked(
        settings, lambda admin: admin.list_group_offsets({group: partitions})
    )
    return found[group]


def commit_offsets(settings: Settings, group: str, offsets: Offsets) -> None:
    """Set the offsets of a group that has no members.

    Raises
    ------
    BrokerUnavailable
        No broker answers, none coordinates the group, or the offsets are refused.
    """

    def commit(admin: Any) -> None:
        for fault in admin.alter_group_offsets(group, offsets).values():
            if fault.errno:
                raise fault("the offsets were not set")

    _asked(settings, commit)


def members_of(settings: Settings, group: str) -> list[Any]:
    """Members of a group, none if there is no such group.

    Raises
    ------
    BrokerUnavailable
        No broker answers, or none coordinates the group.
    """

    def members(admin: Any) -> list[Any]:
        described = admin.describe_groups([group])[group]
        fault = described["error"]
        if fault and NO_GROUP not in fault:
            # The client gives it as text, and it is seldom another.
            raise CoordinatorNotAvailableError(fault)
        found: list[Any] = described["members"]
        return found

    return _asked(settings, members)


def _asked(settings: Settings, question: Callable[[Any], _Answer]) -> _Answer:
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            with admin_of(settings) as admin:
                return question(admin)
        except BrokerUnavailable as fault:
            if not isinstance(fault.__cause__, PASSING) or time.monotonic() > deadline_s:
                raise
        time.sleep(RETRY_INTERVAL_S)

"""A group's coordinator is asked again when another broker has become it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import NotCoordinatorError
from kafka.structs import OffsetAndMetadata

from profiler.errors import BrokerUnavailable
from streams import groups
from streams.groups import commit_offsets, committed_offsets, members_of
from streams.settings import Settings
from streams.topics import create_topics
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration


@pytest.fixture
def broker(kafka: ApacheKafka) -> ApacheKafka:
    return kafka


@pytest.fixture
def place(settings: Settings) -> TopicPartition:
    create_topics(settings)
    return TopicPartition(settings.topic("events"), 0)


def test_a_group_that_never_was_has_neither_members_nor_offsets(
    settings: Settings, place: TopicPartition
) -> None:
    assert members_of(settings, settings.group) == []
    assert place not in committed_offsets(settings, settings.group)


def test_offsets_that_were_set_are_found(settings: Settings, place: TopicPartition) -> None:
    at = OffsetAndMetadata(0, "as text", None)

    commit_offsets(settings, settings.group, {place: at})

    found = committed_offsets(settings, settings.group, [place])[place]
    assert (found.offset, found.metadata) == (0, "as text")


def test_a_former_coordinator_is_not_the_last_word(
    settings: Settings, place: TopicPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = _coordinators_that_moved(monkeypatch, times=2)

    committed_offsets(settings, settings.group, [place])

    assert len(asked) == 3
    assert len(set(asked)) == 3, "a client goes on asking the coordinator that it found first"


def test_patience_ends(
    settings: Settings, place: TopicPartition, monkeypatch: pytest.MonkeyPatch
) -> None:
    _coordinators_that_moved(monkeypatch, times=1000)
    monkeypatch.setattr(groups, "PATIENCE_S", 1.0)

    with pytest.raises(BrokerUnavailable, match="NotCoordinatorError"):
        committed_offsets(settings, settings.group, [place])


def test_no_broker_is_no_passing_matter(settings: Settings) -> None:
    nowhere = msgspec.structs.replace(settings, brokers="127.0.0.1:1")

    with pytest.raises(BrokerUnavailable):
        members_of(nowhere, settings.group)


def _coordinators_that_moved(monkeypatch: pytest.MonkeyPatch, times: int) -> list[Any]:
    """The clients that asked; the first ones are told that the group has gone elsewhere."""
    asked: list[Any] = []
    ask = KafkaAdminClient.list_group_offsets

    def answer(client: Any, wanted: Any) -> Any:
        asked.append(client)
        if len(asked) <= times:
            raise NotCoordinatorError("the group has gone elsewhere")
        return ask(client, wanted)

    monkeypatch.setattr(KafkaAdminClient, "list_group_offsets", answer)
    return asked

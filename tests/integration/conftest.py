"""One broker and one store for all integration tests; every test has topics of its own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from streams.embedded import EmbeddedBroker, EmbeddedStore
from streams.settings import Secret, Settings
from streams.topics import create_topics
from tests.integration.rig import as_environment
from tests.servers.apache_kafka import ApacheKafka

_numbers = count(1)


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka() -> Iterator[ApacheKafka]:
    """Apache Kafka itself, for what the embedded broker cannot show."""
    with ApacheKafka() as running:
        yield running


@pytest.fixture(scope="session")
def store() -> Iterator[EmbeddedStore]:
    with EmbeddedStore() as store:
        yield store


@pytest.fixture
def settings(
    broker: EmbeddedBroker, store: EmbeddedStore, free_port: Callable[[], int]
) -> Settings:
    """Settings with topics and a group that no other test has, and short times."""
    number = next(_numbers)
    return Settings(
        pseudonym_key=Secret("k" * 32),
        brokers=broker.address,
        store_url=store.url,
        topic_prefix=f"test-{number}",
        group=f"group-{number}",
        # The embedded broker lets a group wait for members for half of this.
        session_timeout_s=1.0,
        commit_interval_s=0.1,
        web_port=free_port(),
    )


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find


@pytest.fixture
def topics(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose topics are there, for the command line too."""
    create_topics(settings)
    as_environment(settings, monkeypatch)
    return settings

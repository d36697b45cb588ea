"""The real brokers that chaos and compatibility rest on: what they hold outlives a kill."""

from __future__ import annotations

import pytest

from streams.eventlog import ends_of, records_until
from streams.producer import EventProducer
from streams.settings import Secret, Settings
from streams.topics import create_topics
from tests.servers.apache_kafka import VERSION, VERSION_3, ApacheKafka

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("version", [VERSION, VERSION_3])
def test_what_a_broker_acknowledged_is_there_after_a_kill(version: str) -> None:
    with ApacheKafka(version) as kafka:
        settings = Settings(pseudonym_key=Secret("k" * 32), brokers=kafka.address)
        create_topics(settings)
        send(settings, b"before")
        kafka.kill()
        kafka.start()
        send(settings, b"after")

        assert values_of(settings) == [b"before", b"after"]


def test_of_three_brokers_one_may_go() -> None:
    with ApacheKafka(n_brokers=3) as kafka:
        settings = Settings(pseudonym_key=Secret("k" * 32), brokers=kafka.address, replication=3)
        create_topics(settings)
        send(settings, b"before")
        kafka.kill(0)
        send(settings, b"without it")
        kafka.start(0)

        assert values_of(settings) == [b"before", b"without it"]


def send(settings: Settings, value: bytes) -> None:
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        producer.send_raw(b"key", value)


def values_of(settings: Settings) -> list[bytes]:
    return [record.value or b"" for record in records_until(settings, ends_of(settings))]

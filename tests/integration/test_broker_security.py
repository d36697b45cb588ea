"""A broker that asks for TLS and a password: a worker, a dead letter and the tools get through."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from profiler.errors import BrokerUnavailable, ConfigurationError
from streams.embedded import EmbeddedStore
from streams.letterbox import list_dead_letters, replay_dead_letters
from streams.producer import EventProducer, ProducerOptions
from streams.settings import Secret, Settings
from streams.spawn import free_port
from streams.topics import create_topics, topic_ids
from streams.worker_process import WorkerProcess
from tests.integration.rig import audited
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.broker_security import PASSWORD, SecureListener

pytestmark = pytest.mark.integration

EVENTS = 300
WAIT_S = 60.0


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a broker that lets in one user, and a store of its own."""
    directory = tmp_path_factory.mktemp("secured")
    listener = SecureListener(directory / "tls", with_password=True)
    with (
        ApacheKafka(directory=directory / "kafka", listener=listener) as kafka,
        EmbeddedStore() as store,
    ):
        settings = Settings(
            pseudonym_key=Secret("k" * 32),
            brokers=kafka.address,
            store_url=store.url,
            commit_interval_s=0.1,
            web_port=free_port(),
        )
        yield listener.told(settings)


def test_events_and_dead_letters_pass_through_tls_with_a_password(
    secured: Settings, tmp_path: Path
) -> None:
    create_topics(secured)
    worker = WorkerProcess(secured, tmp_path / "worker.log")
    worker.start()
    try:
        worker.wait_until_ready()
        now_ms = time.time_ns() // 1_000_000
        with EventProducer.of(secured) as producer:
            for n in range(EVENTS):
                event = {"type": "click", "ts": now_ms, "user_id": f"u{n % 20}", "item_id": "i"}
                # No key: most events are not in the partition of their home.
                producer.send_raw(None, msgspec.json.encode(event))
            producer.send_raw(None, b"{")
        report = audited(secured)
    finally:
        worker.stop()

    assert report.outcomes == {"applied": EVENTS, "malformed": 1}
    assert (report.mismatched, report.stale) == (0, 0), report.differences
    assert [letter.value for letter in list_dead_letters(secured, 10)] == [b"{"]
    assert replay_dead_letters(secured).n_sent == 1
    assert PASSWORD not in worker.log.read_text("utf-8")


def test_a_wrong_password_lets_nobody_in(secured: Settings) -> None:
    guessed = msgspec.structs.replace(secured, broker_password=Secret("guessed"))

    with pytest.raises(BrokerUnavailable):
        topic_ids(guessed, ["events"])
    with pytest.raises(BrokerUnavailable):
        EventProducer.of(guessed, ProducerOptions(connect_timeout_ms=1_000))


def test_a_broker_that_no_known_authority_vouches_for_is_not_talked_to(secured: Settings) -> None:
    trusting_others = msgspec.structs.replace(secured, broker_ca_file="")

    with pytest.raises(BrokerUnavailable):
        topic_ids(trusting_others, ["events"])


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_authorities_is_refused_by_its_setting(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    settings = Settings(
        pseudonym_key=Secret("k" * 32), broker_security="ssl", broker_ca_file=str(file)
    )

    with pytest.raises(ConfigurationError) as caught:
        topic_ids(settings, ["events"])

    assert caught.value.setting == "PROFILER_BROKER_CA_FILE"

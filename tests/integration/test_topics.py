"""Topics are created once, with the options of the design, on a real broker."""

from __future__ import annotations

import gc

import msgspec
import pytest
from kafka import KafkaAdminClient

from profiler.errors import BrokerUnavailable, ConfigurationError, UsageError
from streams import broker as broker_module
from streams import topics
from streams.settings import TOPICS, Settings
from streams.topics import create_topics, topic_ids

pytestmark = pytest.mark.integration


def test_every_topic_of_the_settings_is_created(settings: Settings) -> None:
    created = create_topics(settings)

    assert {state.name for state in created} == {settings.topic(name) for name in TOPICS}
    assert {state.outcome for state in created} == {"created"}
    assert {state.n_partitions for state in created} == {settings.partitions}


def test_creating_again_changes_nothing_and_says_so(settings: Settings) -> None:
    create_topics(settings)

    again = create_topics(settings)

    assert {state.outcome for state in again} == {"existed"}
    assert {state.note for state in again} == {""}


def test_another_number_of_event_partitions_is_noted(settings: Settings) -> None:
    _create(settings, "events", n_partitions=6)

    state = next(s for s in create_topics(settings) if s.name == settings.topic("events"))

    assert state.outcome == "existed"
    assert state.note == "has 6 partitions, PROFILER_PARTITIONS is 4"


def test_another_number_of_homes_is_refused(settings: Settings) -> None:
    create_topics(settings)

    with pytest.raises(ConfigurationError, match=r"PROFILER_PARTITIONS: is 8, but .* set it to 4"):
        create_topics(msgspec.structs.replace(settings, partitions=8))


def test_missing_topics_are_named_in_full(settings: Settings) -> None:
    _create(settings, "events", n_partitions=4)

    forwarded, updates = settings.topic("forwarded"), settings.topic("updates")
    with pytest.raises(UsageError, match=rf"no topic {forwarded}, {updates}: run"):
        topic_ids(settings, ["events", "forwarded"])
    untold = msgspec.structs.replace(settings, updates="none")
    with pytest.raises(UsageError, match=rf"no topic {forwarded}: run"):
        topic_ids(untold, ["events", "forwarded"])


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_broker_that_does_not_answer_is_reported(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_module, "BOOTSTRAP_TIMEOUT_MS", 100)

    with pytest.raises(BrokerUnavailable, match="no answer from Kafka at 127"):
        create_topics(msgspec.structs.replace(settings, brokers="127.0.0.1:1"))
    gc.collect()  # kafka-python leaves a socket open when nobody answers


def test_what_is_compacted_has_no_retention_and_the_rest_has_the_one_of_the_settings(
    settings: Settings,
) -> None:
    config_by_name = {spec.name: spec.config(settings) for spec in topics.TOPICS}

    assert config_by_name["updates"] == {"cleanup.policy": "compact"}
    assert config_by_name["events"]["retention.ms"] == str(settings.retention_s * 1_000)


def test_versions_of_items_outlive_the_events_that_may_refer_to_them(settings: Settings) -> None:
    (items,) = (spec for spec in topics.TOPICS if spec.name == "items")

    config = items.config(settings)

    assert config["cleanup.policy"] == "compact"
    assert int(config["min.compaction.lag.ms"]) > settings.retention_s * 1_000
    assert config["message.timestamp.type"] == "LogAppendTime"


def _create(settings: Settings, name: str, n_partitions: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    options = {"num_partitions": n_partitions, "replication_factor": 1}
    admin.create_topics({settings.topic(name): options})
    admin.close()

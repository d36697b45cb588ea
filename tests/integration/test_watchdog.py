"""A worker that stands still while records wait says so and ends; one that only waits does not."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import orjson
import pytest
from kafka import KafkaProducer

from profiler.errors import ProfilerError
from streams.embedded import EmbeddedStore
from streams.settings import Settings
from streams.topics import create_topics
from streams.watchdog import EXIT_STALLED
from streams.worker_process import WorkerProcess
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration

WAIT_S = 30.0
STALL_TIMEOUT_S = 2.0

CHILD = """
import asyncio, sys, time
import msgspec
from streams import app
from streams.log import configure_logs
from streams.metrics import Metrics
from streams.settings import Secret, Settings

configure_logs("info", "json")
if sys.argv[2] == "polls too late":
    app.MAX_POLL_INTERVAL_S = 1.0

class Worker:
    has_paused = False
    async def run(self, rewind): await asyncio.Event().wait()
    async def submit(self, delivery):
        if sys.argv[2] == "blocks the loop": time.sleep(1_000)
        if sys.argv[2] == "polls too late" and not self.has_paused:
            self.has_paused = True
            await asyncio.sleep(1.5)
        if sys.argv[2] != "acknowledges nothing": delivery.acknowledge("")
    async def assigned(self, partitions): pass
    async def revoked(self, partitions): pass
    async def ping(self): pass

fields = msgspec.json.decode(sys.argv[1])
settings = Settings(pseudonym_key=Secret("k" * 32), **fields)
sys.exit(asyncio.run(app.run(settings, Worker(), Metrics())))
"""


@pytest.fixture
def watched(settings: Settings) -> Settings:
    """Settings with a short time-out; the topics exist."""
    create_topics(settings)
    return msgspec.structs.replace(
        settings, store_timeout_s=0.5, durable_after_s=0.2, stall_timeout_s=STALL_TIMEOUT_S
    )


def test_a_worker_that_makes_no_progress_says_so_and_ends_with_its_own_code(
    watched: Settings, tmp_path: Path
) -> None:
    with child(watched, tmp_path, "acknowledges nothing") as process:
        until(lambda: get(watched, "/readyz")[0] == 200)
        produce(watched, 10)
        until(lambda: get(watched, "/healthz")[0] == 503)
        page = orjson.loads(get(watched, "/healthz")[1])
        readiness, _ = get(watched, "/readyz")
        metrics = get(watched, "/metrics")[1]
        code = process.wait(WAIT_S)

    assert code == EXIT_STALLED
    assert page["alive"] is False
    assert "no commit for 2 s although records wait in" in page["stalled"]
    assert readiness == 503
    assert b"profiler_stalls_total 1.0" in metrics
    alarm = [line for line in logged(tmp_path) if line["message"] == "stalled"]
    assert [(line["level"], line["reason"]) for line in alarm] == [("error", page["stalled"])]


def test_a_worker_whose_loop_is_blocked_ends_and_says_where(
    watched: Settings, tmp_path: Path
) -> None:
    with child(watched, tmp_path, "blocks the loop") as process:
        until(lambda: get(watched, "/readyz")[0] == 200)
        produce(watched, 10)
        code = process.wait(WAIT_S)

    assert code == EXIT_STALLED
    (alarm,) = [line for line in logged(tmp_path) if line["message"] == "stalled"]
    assert alarm["reason"] == "the event loop has not answered for 2 s"
    assert alarm["loop_at"].startswith("submit ")


def test_a_worker_that_rebalances_without_end_is_ended_133_602(
    watched: Settings, tmp_path: Path, kafka: ApacheKafka
) -> None:
    # A queue that is full after 40 records: nothing is fetched while the worker is busy.
    settings = msgspec.structs.replace(
        watched, brokers=kafka.address, batch_events_max=10, queue_events_max=40
    )
    create_topics(settings)
    produce(settings, 1_000)
    with child(settings, tmp_path, "polls too late") as process:
        code = process.wait(WAIT_S)

    assert code == EXIT_STALLED
    (alarm,) = [line for line in logged(tmp_path) if line["message"] == "stalled"]
    assert "no partition, and no commit in the group, for 4 s" in alarm["reason"]


def test_a_worker_that_is_idle_or_suspended_or_waits_for_its_store_goes_on(
    watched: Settings, tmp_path: Path
) -> None:
    with EmbeddedStore(appendonly=True) as store:
        settings = msgspec.structs.replace(watched, store_url=store.url)
        worker = WorkerProcess(settings, tmp_path / "worker.log")
        worker.start()
        try:
            worker.wait_until_ready()
            process_id = worker.process_id
            assert process_id is not None
            time.sleep(1.5 * STALL_TIMEOUT_S)
            store.kill()
            produce(settings, 50)
            until(lambda: "paused" in [line["message"] for line in logged(tmp_path)])
            time.sleep(2 * STALL_TIMEOUT_S)
            signalled(process_id, signal.SIGSTOP)
            time.sleep(1.5 * STALL_TIMEOUT_S)
            signalled(process_id, signal.SIGCONT)
            store.start()
            until(lambda: worker.scrape().n_records >= 50)
            code = worker.stop()
        finally:
            worker.kill()

    said = Counter(line["message"] for line in logged(tmp_path))
    assert (code, said["stalled"], said["resumed"]) == (0, 0, 1)


def test_a_worker_that_must_have_a_durable_store_refuses_another(
    watched: Settings, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(watched, require_durable=True)
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    worker.start()

    with pytest.raises(ProfilerError, match=r"ended with 2; .*PROFILER_REQUIRE_DURABLE: is true"):
        worker.wait_until_ready()


def test_a_worker_that_must_have_a_durable_store_waits_for_it_and_tells(
    watched: Settings, tmp_path: Path
) -> None:
    store = EmbeddedStore(appendonly=True)
    with store:
        pass
    settings = msgspec.structs.replace(watched, require_durable=True, store_url=store.url)
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    worker.start()
    try:
        until(lambda: b"store_unavailable" in worker.log.read_bytes())
        with store:
            worker.wait_until_ready()
            _, page = get(settings, "/readyz")
    finally:
        worker.kill()

    assert orjson.loads(page)["durability"] == "aof"


@contextmanager
def child(settings: Settings, directory: Path, fault: str) -> Iterator[subprocess.Popen[bytes]]:
    """An app of its own process, whose worker has a fault."""
    usual = Settings(pseudonym_key=settings.pseudonym_key)
    given = {name: getattr(settings, name) for name in settings.__struct_fields__}
    own = {name: value for name, value in given.items() if value != getattr(usual, name)}
    fields = msgspec.json.encode(own).decode()
    command = [sys.executable, "-W", "ignore", "-c", CHILD, fields, fault]
    with (directory / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def signalled(process_id: int, number: signal.Signals) -> None:
    subprocess.run(["kill", f"-{number.value}", str(process_id)], check=True)


def produce(settings: Settings, n_records: int) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    for number in range(n_records):
        value = {"type": "click", "ts": time.time_ns() // 1_000_000, "user_id": f"u{number}"}
        producer.send(settings.topic("events"), orjson.dumps(value | {"item_id": "i"}))
    producer.flush()
    producer.close()


def get(settings: Settings, path: str) -> tuple[int, bytes]:
    url = f"http://{settings.web_host}:{settings.web_port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read()
    except (OSError, http.client.HTTPException):
        return 0, b""


def logged(directory: Path) -> list[dict[str, str]]:
    lines = (directory / "worker.log").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines if line.startswith(b"{")]


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)

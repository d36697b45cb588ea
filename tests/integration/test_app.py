"""The app's life: its pages, its faults, its signals, and a broker that hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from pathlib import Path

import msgspec
import orjson
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from profiler.errors import StoreUnavailable, UsageError
from streams.app import create_app, run, serve
from streams.embedded import EmbeddedBroker
from streams.inbox import Delivery
from streams.metrics import Metrics
from streams.settings import Settings
from streams.topics import create_topics

pytestmark = pytest.mark.integration

WAIT_S = 20.0

CHILD = """
import asyncio, sys
import msgspec
from streams.app import run
from streams.log import configure_logs
from streams.metrics import Metrics
from streams.settings import Secret, Settings

configure_logs("info", "json")

class Worker:
    async def run(self, rewind): await asyncio.Event().wait()
    async def submit(self, delivery):
        # Durable only later: a graceful stop has to wait for it.
        asyncio.get_running_loop().call_later(0.5, delivery.acknowledge, "")
        print(len(delivery.records), flush=True)
    async def assigned(self, partitions): pass
    async def revoked(self, partitions): pass
    async def ping(self): pass

fields = msgspec.json.decode(sys.argv[1])
settings = Settings(pseudonym_key=Secret("k" * 32), **fields)
sys.exit(asyncio.run(run(settings, Worker(), Metrics())))
"""


class Worker:
    """Acknowledges at once; can be made to fail, or to have lost its store."""

    def __init__(self) -> None:
        self.n_records = 0
        self.has_store = True
        self.fails = asyncio.Event()
        self.fails_in_submit = False

    async def run(self, rewind: Callable[[], Awaitable[None]]) -> None:
        await self.fails.wait()
        raise ZeroDivisionError("a fault of the worker")

    async def submit(self, delivery: Delivery) -> None:
        if self.fails_in_submit:
            raise ZeroDivisionError("a fault of submit")
        self.n_records += len(delivery.records)
        delivery.acknowledge("")

    async def assigned(self, partitions: Mapping[tuple[str, int], tuple[int, str]]) -> None:
        pass

    async def revoked(self, partitions: Collection[tuple[str, int]]) -> None:
        pass

    async def ping(self) -> None:
        if not self.has_store:
            raise StoreUnavailable("the store does not answer")


@pytest.fixture
def topics(settings: Settings) -> Settings:
    create_topics(settings)
    return settings


def test_the_pages_tell_metrics_life_and_readiness(topics: Settings, tmp_path: Path) -> None:
    found: dict[str, tuple[int, bytes]] = {}

    async def visit(worker: Worker) -> None:
        async def get(path: str) -> tuple[int, bytes]:
            return await asyncio.to_thread(_get, topics, path)

        await _until_async(lambda: get("/healthz"), lambda page: page[0] == 200)
        found["joining"] = await get("/readyz")
        await _until_async(lambda: get("/readyz"), lambda page: page[0] == 200)
        found["ready"] = await get("/readyz")
        found["metrics"] = await get("/metrics")
        worker.has_store = False
        found["no store"] = await get("/readyz")

    code = _serve(topics, tmp_path, visit)

    assert code == 0
    assert found["metrics"][1].startswith(b"# HELP")
    status_and_facts = {k: (s, orjson.loads(b)) for k, (s, b) in found.items() if k != "metrics"}
    assert status_and_facts == {
        "joining": (503, {"ready": False, "partitions": 0, "store": "ok", "durability": "unknown"}),
        "ready": (200, {"ready": True, "partitions": 4, "store": "ok", "durability": "unknown"}),
        "no store": (
            503,
            {"ready": False, "partitions": 4, "store": "unavailable", "durability": "unknown"},
        ),
    }


@pytest.mark.parametrize("in_submit", [False, True])
def test_a_fault_of_the_worker_ends_the_process_with_an_error(
    topics: Settings, tmp_path: Path, in_submit: bool
) -> None:
    async def visit(worker: Worker) -> None:
        worker.fails_in_submit = in_submit
        if not in_submit:
            worker.fails.set()
        await asyncio.to_thread(_produce, topics, 1)
        await asyncio.sleep(WAIT_S)

    assert _serve(topics, tmp_path, visit) == 1
    assert _n_committed(topics) == 0


def test_a_broker_that_hangs_is_waited_for(settings: Settings, tmp_path: Path) -> None:
    with EmbeddedBroker() as broker:
        alone = msgspec.structs.replace(settings, brokers=broker.address)
        create_topics(alone)

        async def visit(worker: Worker) -> None:
            await asyncio.to_thread(_produce, alone, 100)
            await _until(lambda: worker.n_records == 100)
            assert broker.process_id is not None
            os.kill(broker.process_id, signal.SIGSTOP)
            await asyncio.sleep(2 * alone.session_timeout_s)
            os.kill(broker.process_id, signal.SIGCONT)
            await asyncio.to_thread(_produce, alone, 100)
            await _until(lambda: worker.n_records >= 200)

        code = _serve(alone, tmp_path, visit)

        assert (code, _n_committed(alone)) == (0, 200)


def test_a_process_that_is_told_to_stop_finishes_commits_and_exits_with_0(
    topics: Settings,
) -> None:
    given = "brokers", "group", "topic_prefix", "session_timeout_s", "web_port"
    fields = msgspec.json.encode({name: getattr(topics, name) for name in given}).decode()
    _produce(topics, 100)
    command = [sys.executable, "-W", "ignore", "-c", CHILD, fields]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        n_taken = 0
        while n_taken < 100:
            n_taken += int(child.stdout.readline())

        child.send_signal(signal.SIGTERM)
        code = child.wait(10)

    assert (code, _n_committed(topics)) == (0, 100)


def test_without_its_topics_a_worker_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(UsageError, match="run `profiler topics create`"):
        asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    return await run(settings, Worker(), Metrics())


def _serve(
    settings: Settings, directory: Path, visit: Callable[[Worker], Coroutine[None, None, None]]
) -> int:
    """Run an app until `visit` is through or the app ends by itself; its exit code."""

    async def scenario() -> int:
        worker = Worker()
        stop = asyncio.Event()
        app = create_app(settings, worker, Metrics(), directory / "faust")
        serving = asyncio.create_task(serve(app, stop))
        visiting = asyncio.create_task(visit(worker))
        await asyncio.wait({serving, visiting}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        if visiting.done():
            visiting.result()
        visiting.cancel()
        return await serving

    return asyncio.run(scenario())


def _produce(settings: Settings, n_records: int) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    for number in range(n_records):
        producer.send(settings.topic("events"), b"%d" % number, key=b"%d" % number)
    producer.flush()
    producer.close()


def _n_committed(settings: Settings) -> int:
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    found = admin.list_group_offsets(settings.group)[settings.group]
    admin.close()
    return sum(max(0, at.offset) for at in found.values())


def _get(settings: Settings, path: str) -> tuple[int, bytes]:
    url = f"http://{settings.web_host}:{settings.web_port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read()
    except urllib.error.URLError:
        return 0, b""


async def _until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s, "waited in vain"
        await asyncio.sleep(0.01)


async def _until_async(
    get: Callable[[], Coroutine[None, None, tuple[int, bytes]]],
    fits: Callable[[tuple[int, bytes]], bool],
) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not fits(await get()):
        assert time.monotonic() < deadline_s, "waited in vain"
        await asyncio.sleep(0.01)

"""Segment's library and the CloudEvents SDK, unmodified: what they tell lands where it belongs.

All are programs of ``examples/``: a collector, and a producer for each.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from streams.client import ProfileClient
from streams.embedded import EmbeddedBroker, EmbeddedStore
from streams.eventlog import wait_until_consumed
from streams.reader import Profile
from streams.settings import Settings
from streams.topics import create_topics
from streams.worker_process import WorkerProcess
from tests.integration.rig import WAIT_S, until

pytestmark = pytest.mark.integration

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
KEY: Final = "a write key"
ENVIRONMENT: Final = {**os.environ, "COLLECTOR_WRITE_KEY": KEY}
BATCHED: Final = "application/cloudevents-batch+json"


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker of its own: the examples send to `profiler.events`."""
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def served(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Topics by their usual names, and a worker that reads them."""
    usual = msgspec.structs.replace(settings, topic_prefix="profiler")
    create_topics(usual)
    worker = WorkerProcess(usual, tmp_path / "worker.log")
    worker.start()
    yield usual
    worker.kill()


@pytest.fixture
def collector(served: Settings, free_port: Callable[[], int]) -> Iterator[str]:
    with collecting(served.brokers, free_port()) as url:
        yield url


@contextmanager
def collecting(brokers: str, port: int) -> Iterator[str]:
    program = [sys.executable, str(EXAMPLES / "collector.py"), "--brokers", brokers]
    process = subprocess.Popen(
        [*program, "--port", str(port)], env=ENVIRONMENT, cwd=EXAMPLES.parent
    )
    try:
        until(lambda: answers(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(WAIT_S) == 0


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 404
    except OSError:
        return False
    finally:
        connection.close()


def run(example: str, *arguments: str) -> None:
    command = [sys.executable, str(EXAMPLES / example), *arguments]
    subprocess.run(command, env=ENVIRONMENT, cwd=EXAMPLES.parent, check=True, timeout=WAIT_S)


def post(
    url: str, body: bytes, headers: dict[str, str] | None = None, key: str = KEY
) -> tuple[int, str]:
    """Status and text of the answer."""
    sent = {"Authorization": f"Bearer {key}", **(headers or {})}
    request = urllib.request.Request(url, body, sent, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def profile(settings: Settings, subject: str) -> Profile | None:
    wait_until_consumed(settings, WAIT_S)
    with ProfileClient(settings.store_url, settings.pseudonym_key.reveal()) as client:
        return client.get(subject)


def counts(settings: Settings, subject: str) -> dict[str, int]:
    """Events of somebody by type, those without any left out."""
    found = profile(settings, subject)
    assert found is not None
    return {kind: n for kind, n in found.summary["activity"].items() if isinstance(n, int) and n}


@contextmanager
def forgetful(target: str) -> Iterator[str]:
    """A way to the collector that swallows its first answer, as a network does now and then."""
    answered: list[int] = []

    class Way(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            names = ("Authorization", "Content-Encoding", "Content-Type")
            headers = {name: self.headers[name] for name in names if name in self.headers}
            request = urllib.request.Request(target + self.path, body, headers, method="POST")
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
                answered.append(answer.status)
                text = answer.read()
            if len(answered) == 1:
                self.close_connection = True
                return
            self.send_response(answered[-1])
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Way)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert answered[:2] == [200, 200]


VISIT: Final = {"browse": 2, "cart": 1, "click": 1, "purchase": 1}


def test_what_segments_library_tells_is_one_profile(served: Settings, collector: str) -> None:
    run("segment_producer.py", collector, "alice")

    assert counts(served, "alice") == VISIT
    alice, cookie, app = (
        profile(served, subject)
        for subject in ("alice", "anonymous:cookie-of-alice", "anonymous:app-of-alice")
    )
    assert alice and cookie and app
    assert alice.pid == cookie.pid == app.pid
    assert alice.summary["value"]["spent"] == 69.0
    assert alice.top("item")[0][0] == "lamp-7"


def test_a_call_that_the_library_repeats_counts_once(served: Settings, collector: str) -> None:
    with forgetful(collector) as way:
        run("segment_producer.py", way, "bob")

    assert counts(served, "bob") == VISIT


def test_what_the_cloudevents_sdk_writes_to_kafka_is_one_profile(served: Settings) -> None:
    run("cloudevents_producer.py", served.brokers, "carol")

    assert counts(served, "carol") == {"browse": 1, "purchase": 1}
    carol, browser = profile(served, "carol"), profile(served, "anonymous:browser-of-carol")
    assert carol and browser
    assert carol.pid == browser.pid
    assert carol.summary["value"]["spent"] == 34.5


def test_cloudevents_come_over_http_in_all_three_modes(served: Settings, collector: str) -> None:
    events = [
        CloudEvent(
            {"type": f"com.shop.{kind}", "source": "/shop", "id": f"{k}", "subject": "zoë"},
            {"item_id": "lamp-7", "price": 2.0},
        )
        for k, kind in enumerate(("click", "browse", "cart", "purchase"))
    ]
    binary, structured = to_binary_event(events[0]), to_structured_event(events[1])
    batch = b"[%b,%b]" % tuple(to_structured_event(event).body for event in events[2:])
    url = f"{collector}/v1/events"

    answers = [
        post(url, binary.body, {"Content-Type": "application/json", **binary.headers}),
        post(url, structured.body, structured.headers),
        *(post(url, batch, {"Content-Type": BATCHED}) for _ in range(2)),
    ]

    assert [status for status, _ in answers] == [200] * 4
    assert json.loads(answers[-1][1]) == {"success": True, "messages": 2}
    assert counts(served, "zoë") == dict.fromkeys(("click", "browse", "cart", "purchase"), 1)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("batch", b"{", {}, 400),
        ("batch", b'{"batch":7}', {}, 400),
        ("batch", b"no gzip", {"Content-Encoding": "gzip"}, 400),
        ("batch", gzip.compress(b" " * 2_000_000), {"Content-Encoding": "gzip"}, 413),
        ("batch", b" " * 2_000_000, {}, 413),
        ("events", b"{}", {}, 400),
        ("events", b"{", {"Content-Type": "application/cloudevents+json"}, 400),
        ("events", b"{}", {"Content-Type": BATCHED}, 400),
    ],
)
def test_what_cannot_be_read_is_refused(
    collector: str, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert post(f"{collector}/v1/{path}", body, headers)[0] == status


def test_a_wrong_write_key_is_refused(collector: str) -> None:
    assert post(f"{collector}/v1/batch", b'{"batch":[]}', key="another")[0] == 401
    assert post(f"{collector}/v1/batch", b'{"batch":[]}')[0] == 200


def test_nothing_is_called_kept_while_the_broker_is_away(free_port: Callable[[], int]) -> None:
    call = {"type": "track", "userId": "dan", "event": "Product Clicked", "messageId": "m"}
    body = msgspec.json.encode({"batch": [call], "sentAt": "2026-01-01T00:00:00Z"})

    with collecting(f"127.0.0.1:{free_port()}", free_port()) as url:
        began_s = time.monotonic()
        status, text = post(f"{url}/v1/batch", body)

    assert (status, text) == (503, "perhaps not kept: send it again")
    assert time.monotonic() - began_s < WAIT_S

"""A small HTTP collector: calls of Segment's libraries and CloudEvents in, records of Kafka out.

    COLLECTOR_WRITE_KEY_FILE=key.txt python examples/collector.py --brokers 127.0.0.1:9092

`POST /v1/batch` is what Segment's and RudderStack's libraries call; `POST /v1/events` takes
CloudEvents, binary, structured or batched. Each message becomes a record with the bytes it came in;
workers know how to read it (docs/sources.md). 200 says that Kafka has all of a request, 503 that it
may not: what is sent again has the same ids, and counts once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import click
import msgspec
from aiohttp import BasicAuth, web

from profiler.decoding import Decoder
from profiler.errors import BrokerUnavailable
from profiler.privacy.pseudonym import subject_of
from profiler.records import RawRecord
from streams.producer import EventProducer, Headers, ProducerOptions

BODY_BYTES_MAX: Final = 1_048_576
REQUESTS_WAITING_MAX: Final = 256
OPTIONS: Final = ProducerOptions(delivery_timeout_ms=10_000, connect_timeout_ms=5_000)
STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
REQUIRED: Final = ("ce-specversion", "ce-id", "ce-source", "ce-type")
UNREADABLE: Final = (
    *(msgspec.DecodeError, UnicodeError, RecursionError),
    web.RequestPayloadError,  # no gzip, though it says so
)
Waiting = tuple[list[RawRecord], asyncio.Future[BaseException | None]]


class Batch(msgspec.Struct):
    """What Segment's libraries send. The write key in it ends here."""

    batch: list[msgspec.Raw]
    sentAt: str | None = None  # their name


def segment_records(body: bytes) -> list[RawRecord]:
    """Make of each call, byte for byte, a batch of one, with the time at which it was sent."""
    batch = msgspec.json.decode(body, type=Batch)
    sent = msgspec.json.encode(batch.sentAt)
    return [_record(b'{"sentAt":%b,"batch":[%b]}' % (sent, bytes(c))) for c in batch.batch]


def cloudevents_records(request: web.Request, body: bytes) -> list[RawRecord]:
    """Bring events from HTTP's binding to Kafka's; a batch is taken apart."""
    names = {name.lower(): value for name, value in request.headers.items()}
    if request.content_type == BATCHED:
        events = msgspec.json.decode(body, type=list[msgspec.Raw])
        return [_record(bytes(e), [("content-type", STRUCTURED.encode())]) for e in events]
    kind = [("content-type", names.get("content-type", "application/json").encode())]
    if request.content_type == STRUCTURED:
        msgspec.json.decode(body, type=msgspec.Raw)
        return [_record(body, kind)]
    if missing := [name for name in REQUIRED if name not in names]:
        raise web.HTTPBadRequest(text=f"this is no CloudEvent: {missing[0]} is missing")
    given = [(f"ce_{n[3:]}", unquote(v).encode()) for n, v in names.items() if n[:3] == "ce-"]
    return [_record(body, [*kind, *given])]


def _record(value: bytes, headers: Headers = ()) -> RawRecord:
    return RawRecord("", 0, 0, None, None, value, headers)


class Outbox:
    """Sends what all requests bring, together; each hears when Kafka has what it brought."""

    def __init__(self, brokers: str, topic: str) -> None:
        self._place = brokers, topic
        self._waiting: asyncio.Queue[Waiting] = asyncio.Queue(REQUESTS_WAITING_MAX)
        self._producer: EventProducer | None = None
        self._decoder = Decoder()

    async def send(self, records: list[RawRecord]) -> None:
        """Return once they are kept, or raise why they may not be."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((records, done))
        if fault := await done:
            raise fault

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            taken = [await self._waiting.get()]
            while not self._waiting.empty():
                taken.append(self._waiting.get_nowait())
            records = [record for some, _ in taken for record in some]
            sending = asyncio.to_thread(self._send, records)
            (outcome,) = await asyncio.gather(sending, return_exceptions=True)
            for _, done in taken:
                if not done.done():  # else its client has gone
                    done.set_result(outcome)

    def _send(self, records: Sequence[RawRecord]) -> None:
        self._producer = producer = self._producer or EventProducer(*self._place, OPTIONS)
        # With the subject as key a record arrives at its home; without one it is sent on there.
        events, at, *_ = self._decoder.decode(records)
        keys = {i: subject_of(e)[1].encode() for i, e in zip(at.tolist(), events, strict=True)}
        try:
            for i, record in enumerate(records):
                producer.send_raw(keys.get(i), record.value, headers=record.headers)
            producer.flush()
        except BrokerUnavailable:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the connection; it is opened again when it is needed."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(BrokerUnavailable):
                producer.close()


def create_app(outbox: Outbox, write_key: str) -> web.Application:
    """Build the web application."""

    async def collect(request: web.Request) -> web.Response:
        given = request.headers.get("authorization", "")
        with contextlib.suppress(ValueError):
            given = f"Bearer {BasicAuth.decode(given).login}"
        if not hmac.compare_digest(given.encode(), f"Bearer {write_key}".encode()):
            raise web.HTTPUnauthorized(text="the write key is wrong")
        try:
            body = await request.read()
            is_segment = request.path == "/v1/batch"
            found = segment_records(body) if is_segment else cloudevents_records(request, body)
        except UNREADABLE as fault:
            raise web.HTTPBadRequest(text="unreadable") from fault
        try:
            await outbox.send(found)
        except (BrokerUnavailable, asyncio.QueueFull) as fault:
            raise web.HTTPServiceUnavailable(text="perhaps not kept: send it again") from fault
        return web.json_response({"success": True, "messages": len(found)})

    async def keep_sending(app: web.Application) -> AsyncIterator[None]:
        sending = asyncio.create_task(outbox.run())
        yield
        sending.cancel()
        await asyncio.to_thread(outbox.close)

    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.add_routes([web.post(path, collect) for path in ("/v1/batch", "/v1/events")])
    app.cleanup_ctx.append(keep_sending)
    return app


@click.command()
@click.option("--brokers", default="127.0.0.1:9092", show_default=True)
@click.option("--topic", default="profiler.events", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True)
def main(brokers: str, topic: str, host: str, port: int) -> None:
    """Collect until interrupted. The write key is in COLLECTOR_WRITE_KEY, or ..._KEY_FILE."""
    file = os.environ.get("COLLECTOR_WRITE_KEY_FILE")
    key = Path(file).read_text("utf-8").strip() if file else os.environ.get("COLLECTOR_WRITE_KEY")
    if not key:
        raise click.UsageError("set COLLECTOR_WRITE_KEY_FILE, or COLLECTOR_WRITE_KEY")
    web.run_app(create_app(Outbox(brokers, topic), key), host=host, port=port)


if __name__ == "__main__":
    main()

"""The same records by different producers; what is acknowledged is entered in the books."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from confluent_kafka import Message
from confluent_kafka import Producer as ConfluentProducer

from profiler.errors import BrokerUnavailable
from streams.producer import EventProducer
from streams.settings import Settings
from tests.chaos.producer import Books
from tests.chaos.traffic import Sent
from tests.matrix.cells import KAFKA_3, Producer
from tests.servers.apache_kafka import java_command

FLUSH_TIMEOUT_S: Final = 60.0
SEPARATOR: Final = b"\t"
CONSOLE_PRODUCER: Final = "kafka.tools.ConsoleProducer"

Send = Callable[[Settings, Iterable[Sent], Books], None]


def send(producer: Producer, settings: Settings, records: Iterable[Sent], books: Books) -> int:
    """Send all records, and return how many once they are acknowledged.

    Raises
    ------
    ProfilerError
        If some are not.
    """
    n_sent = 0

    def expected() -> Iterator[Sent]:
        nonlocal n_sent
        for record in records:
            if producer != "ConsoleProducer" or _is_line(record):
                n_sent += 1
                books.expect(record)
                yield record

    _SENDERS[producer](settings, expected(), books)
    if books.n_acknowledged != n_sent:
        raise BrokerUnavailable(f"{books.n_acknowledged} of {n_sent} records were acknowledged")
    return n_sent


def _by_ours(settings: Settings, records: Iterable[Sent], books: Books) -> None:
    with EventProducer.of(settings, ledger=books) as producer:
        for record in records:
            producer.send_raw(record.key, record.value)


def _by_confluent(settings: Settings, records: Iterable[Sent], books: Books) -> None:
    def delivered(fault: object, message: Message) -> None:
        if fault is None:
            books.add(message.value(), message.timestamp()[1])

    # It hashes keys in its own way (CRC-32): most events arrive elsewhere than at home.
    producer = ConfluentProducer(
        {"bootstrap.servers": settings.brokers, "enable.idempotence": True, "linger.ms": 5}
    )
    for record in records:
        producer.produce(settings.topic("events"), record.value, record.key, on_delivery=delivered)
        producer.poll(0)
    producer.flush(FLUSH_TIMEOUT_S)


def _by_aiokafka(settings: Settings, records: Iterable[Sent], books: Books) -> None:
    async def run() -> None:
        topic = settings.topic("events")
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.brokers, enable_idempotence=True, linger_ms=5
        )

        async def acknowledged(record: Sent, future: Any) -> None:
            books.add(record.value, (await future).timestamp)

        async with producer, asyncio.timeout(FLUSH_TIMEOUT_S), asyncio.TaskGroup() as waiting:
            for record in records:
                future = await producer.send(topic, record.value, key=record.key)
                waiting.create_task(acknowledged(record, future))
                await asyncio.sleep(0)

    asyncio.run(run())


def _by_console(settings: Settings, records: Iterable[Sent], books: Books) -> None:
    properties = {"parse.key": "true", "key.separator": SEPARATOR.decode()}
    options = [word for item in properties.items() for word in ("--property", "=".join(item))]
    where = ["--bootstrap-server", settings.brokers, "--topic", settings.topic("events")]
    # Version 4 has it in a package that a broker does without; that of version 3 is as good.
    command = [*java_command(KAFKA_3), CONSOLE_PRODUCER, *where, *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    with process, process.stdin as line:
        sent = []
        for record in records:
            line.write(record.key + SEPARATOR + record.value + b"\n")
            sent.append(record)
    if process.returncode:
        raise BrokerUnavailable(f"the console producer ended with {process.returncode}")
    # It tells nobody what was acknowledged; were it not all, the ledger would miss it.
    for record in sent:
        books.add(record.value, time.time_ns() // 1_000_000)


def _is_line(record: Sent) -> bool:
    """Whether a record survives as a line of text: binary rubbish does not."""
    try:
        record.value.decode()
    except UnicodeDecodeError:
        return False
    return b"\n" not in record.value and b"\r" not in record.value


_SENDERS: Final[Mapping[Producer, Send]] = {
    "EventProducer": _by_ours,
    "confluent-kafka": _by_confluent,
    "aiokafka": _by_aiokafka,
    "ConsoleProducer": _by_console,
}

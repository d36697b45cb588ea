"""CloudEvents by their own SDK, straight to Kafka: in binary and in structured mode.

    python examples/cloudevents_producer.py 127.0.0.1:9092 alice

The SDK (``pip install cloudevents``) makes the messages, any Kafka client sends them. The data is
one of our events; attributes complete it: `type` by its last part, `time`, `source` and `id`.
"""

from __future__ import annotations

import sys
from typing import Any

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from kafka import KafkaProducer

TOPIC = "profiler.events"


def visit(user_id: str) -> list[CloudEvent]:
    """Look at a lamp as nobody, sign in, buy it."""
    cookie, lamp = f"browser-of-{user_id}", {"item_id": "lamp-7", "category": "lighting"}
    told: list[tuple[str, dict[str, Any]]] = [
        ("browse", {"anonymous_id": cookie, **lamp}),
        ("identify", {"user_id": user_id, "anonymous_id": cookie}),
        ("purchase", {"user_id": user_id, **lamp, "price": 34.5, "currency": "EUR"}),
    ]
    return [
        CloudEvent({"type": f"com.shop.{kind}", "source": "/shop", "subject": user_id}, data)
        for kind, data in told
    ]


def subject(event: BaseCloudEvent) -> str | None:
    """Key of a record: all of a person in one partition, though any will do."""
    return event.get_subject()


def main(brokers: str = "127.0.0.1:9092", user_id: str = "alice") -> None:
    """Send a visit in either mode by turns."""
    producer = KafkaProducer(bootstrap_servers=brokers, acks="all")
    for k, event in enumerate(visit(user_id)):
        write = to_structured_event if k % 2 else to_binary_event
        message = write(event, key_mapper=subject)
        key = str(message.key).encode()
        producer.send(TOPIC, message.value, key=key, headers=list(message.headers.items()))
    producer.flush()
    producer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

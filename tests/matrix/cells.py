"""The cells: which broker, store and producer are tried together. One row each."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from tests.servers.redis_server import Kind

Producer = Literal["EventProducer", "confluent-kafka", "aiokafka", "ConsoleProducer"]
Security = Literal["", "TLS", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

KAFKA_3: Final = "3.9.2"
KAFKA_4: Final = "4.4.0"


class Cell(Struct, frozen=True, kw_only=True):
    """One combination.

    Parameters
    ----------
    kafka
        Version of Apache Kafka; empty for the embedded broker.
    security
        What the broker asks of its clients: nothing, TLS, or TLS with a password.
    store
        Which store; ``cluster`` is three Valkey 9, between which slots move all the time.
    store_tls, store_password
        What the store asks of its clients.
    producer
        Who sends.
    """

    kafka: str = KAFKA_4
    security: Security = ""
    store: Kind | Literal["cluster"] = "valkey"
    store_tls: bool = False
    store_password: bool = False
    producer: Producer = "EventProducer"


CELLS: Final = {
    # Brokers, with one store.
    "kafka-3.9": Cell(kafka=KAFKA_3),
    "kafka-4.1": Cell(kafka="4.1.1"),  # as in docker-compose.yml
    "kafka-4.4": Cell(),
    "embedded": Cell(kafka=""),
    # Brokers with TLS and passwords.
    "kafka-3.9-scram-512": Cell(kafka=KAFKA_3, security="SCRAM-SHA-512"),
    "kafka-4.4-tls": Cell(security="TLS"),
    "kafka-4.4-plain": Cell(security="PLAIN"),
    "kafka-4.4-scram-256": Cell(security="SCRAM-SHA-256"),
    # Stores, with one broker.
    "redis-7": Cell(store="redis"),
    "redis-7-tls": Cell(store="redis", store_tls=True, store_password=True),
    "redis-8": Cell(store="redis8"),
    "redis-8-tls": Cell(store="redis8", store_tls=True, store_password=True),
    "valkey-8-tls": Cell(store="valkey8", store_tls=True, store_password=True),
    "valkey-9-password": Cell(store_password=True),
    "valkey-9-cluster": Cell(store="cluster"),
    # Producers, with one broker and store.
    "confluent-kafka": Cell(producer="confluent-kafka"),
    "aiokafka": Cell(producer="aiokafka"),
    "console-producer": Cell(producer="ConsoleProducer"),
    # Everything behind TLS and a password at once.
    "all-secured": Cell(
        security="SCRAM-SHA-512", store="redis8", store_tls=True, store_password=True
    ),
}

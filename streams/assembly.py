"""Puts a worker together from settings: the pure core in the middle, the edges around it."""

from __future__ import annotations

import os
import socket
import time

from msgspec import Struct

from profiler.batch import Preparer, Screen
from profiler.cleaning import Cleaner
from profiler.decoding import Decodes
from profiler.facets.quarantine import Guard
from profiler.models.bank import ModelBank
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.spec import DEFAULT_SPEC, guarded_spec
from streams.alerts import KafkaAlerts
from streams.broker import security_of
from streams.catalogue import CatalogueReader
from streams.cleaning import catalogue_of, rates_of
from streams.deadletter import KafkaDeadLetters
from streams.formats import decoder_of
from streams.forwards import KafkaForwards
from streams.homes import Topics
from streams.metrics import Metrics
from streams.redis_store import RedisStore
from streams.settings import Settings
from streams.spot_check import SpotCheck
from streams.updates import KafkaUpdates
from streams.worker import Limits, Worker


class Assembly(Struct, frozen=True):
    """A worker and what it holds open.

    Parameters
    ----------
    worker
        Ready to run.
    store, dead_letters, forwards, updates, alerts
        Its edges; connected when they are first used.
    metrics
        What it counts.
    items
        Follows the topic of items, where events are completed from it.
    """

    worker: Worker
    store: RedisStore
    dead_letters: KafkaDeadLetters
    forwards: KafkaForwards
    metrics: Metrics
    updates: KafkaUpdates
    alerts: KafkaAlerts
    items: CatalogueReader | None = None

    async def close(self) -> None:
        """Let go of connections."""
        await self.dead_letters.close()
        await self.forwards.close()
        await self.updates.close()
        await self.alerts.close()
        await self.store.close()


def assemble(settings: Settings) -> Assembly:
    """Build a worker and its edges; nothing is connected yet.

    Raises
    ------
    ConfigurationError
        If the settings do not fit together.
    """
    metrics = Metrics()
    store = open_store(settings)
    security = security_of(settings)
    dead_letters = KafkaDeadLetters(
        settings.brokers,
        settings.topic("deadletter"),
        lambda: time.time_ns() // 1_000_000,
        security,
    )
    forwards = KafkaForwards(settings.brokers, settings.topic("forwarded"), security)
    rates, catalogue, items = rates_of(settings), catalogue_of(settings), None
    if catalogue is not None:
        items = CatalogueReader(settings, catalogue, rates, dead_letters, metrics)
    updates = KafkaUpdates(settings.brokers, settings.topic("updates"), settings.updates, security)
    alerts = KafkaAlerts(settings.brokers, settings.topic("alerts"), security)
    worker = Worker(
        spec=guarded_spec(guard(settings)),
        preparer=Preparer(
            Pseudonymiser(settings.pseudonym_key.reveal().encode()),
            screen(settings),
            homes=settings.partitions,
            decoder=_decoder(settings, metrics),
            rules=settings.trait_rules(),
            cleaner=Cleaner(rates, catalogue),
        ),
        bank=ModelBank(DEFAULT_SPEC, waiting_max=settings.arena_rows),
        store=store,
        dead_letters=dead_letters,
        forwards=forwards,
        metrics=metrics,
        limits=Limits(
            batch_events_max=settings.batch_events_max,
            queue_events_max=settings.queue_events_max,
            arena_rows=settings.arena_rows,
            figures_interval_s=settings.figures_interval_s,
            statistics_interval_s=settings.statistics_interval_s,
            durable_after_s=settings.durable_after_s,
        ),
        topics=Topics(settings.topic("events"), settings.topic("forwarded")),
        worker_id=f"{socket.gethostname()}-{os.getpid()}",
        updates=updates,
        alerts=alerts,
    )
    return Assembly(worker, store, dead_letters, forwards, metrics, updates, alerts, items)


def _decoder(settings: Settings, metrics: Metrics) -> Decodes:
    decoder = decoder_of(settings)
    if not settings.quality_records_per_s:
        return decoder
    return SpotCheck(decoder, metrics, settings.quality_records_per_s)


def open_store(settings: Settings) -> RedisStore:
    """Build the store that the settings name; it connects when it is first used."""
    return RedisStore(
        settings.store_url,
        spec_hash=DEFAULT_SPEC.hash,
        state_ttl_s=settings.state_ttl_s,
        timeout_s=settings.store_timeout_s,
    )


def screen(settings: Settings) -> Screen:
    """Bounds of event times as the settings want them."""
    return Screen(
        clock_skew_max_ms=settings.clock_skew_max_s * 1_000,
        event_age_max_ms=settings.event_age_max_s * 1_000,
        historical_sources=frozenset(settings.historical_sources),
        from_ms=settings.live_from_ms,
        exempt_sources=frozenset(settings.guard_exempt_sources),
    )


def guard(settings: Settings) -> Guard:
    """What no person does, as the settings want it."""
    return Guard(
        events_max=settings.guard_events,
        window_ms=settings.guard_s * 1_000,
        rhythm=settings.guard_rhythm,
    )

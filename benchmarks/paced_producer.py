"""Live load at a given rate, and probes that see for themselves when an event can be read.

Arrivals are Poisson: the times at which events *should* be sent are drawn beforehand, and never
depend on how the system keeps up (no coordinated omission). A record's timestamp, and so every
delay, counts from that intended time, whatever the producer itself adds.

Runs in a process of its own: `run_paced` is what the parent submits to one.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Final

import numpy as np
import redis.asyncio
from aiokafka import AIOKafkaProducer
from msgspec import Struct

from benchmarks.consumers import KEY
from benchmarks.load import Load, partitioner, times_ms
from profiler.privacy.pseudonym import Pseudonymiser

TICK_S: Final = 0.002
PROBE_POLL_S: Final = 0.002
PROBE_TIMEOUT_S: Final = 10.0
N_GENERATED_PER_S: Final = 100_000
SETTLE_S: Final = 2.0
LINGER_MS: Final = 5
"""The default of Kafka's own producer since version 4.0. It is part of every delay."""
SEED: Final = 7


class Pace(Struct, frozen=True, kw_only=True):
    """What to send.

    Parameters
    ----------
    brokers, topic, n_partitions, store_url
        Where to, and where it should become readable.
    rate
        Events per second.
    seconds
        How long.
    probes_per_s
        Events of people never seen before, among the others, that are looked for in the store.
    n_users, exponent
        See `benchmarks.load.Load`.
    """

    brokers: str
    topic: str
    n_partitions: int
    store_url: str
    rate: int
    seconds: float
    probes_per_s: int
    n_users: int
    exponent: float


class Paced(Struct, frozen=True, kw_only=True):
    """What was sent.

    Parameters
    ----------
    start_ms
        Intended time of the first event, about.
    n_events
        Events sent, probes included.
    handed_over_ms
        By event: from its intended time to its handing over to the Kafka client.
    probes
        Intended time of each probe, and the milliseconds until it was readable.
    """

    start_ms: int
    n_events: int
    handed_over_ms: list[float]
    probes: list[tuple[int, float]]


def run_paced(pace: Pace) -> Paced:
    """Send, and wait for the last probe."""
    n_events = round(pace.rate * pace.seconds)
    lead_s = SETTLE_S + (n_events + pace.n_users) / N_GENERATED_PER_S
    start_ms = round(1000 * (time.time() + lead_s))
    span_ms = round(1000 * pace.seconds)
    # Sorted uniform times are what a Poisson process gives when its number of events is known.
    load = Load(
        n_events=n_events,
        n_users=pace.n_users,
        exponent=pace.exponent,
        start_ms=start_ms,
        span_ms=span_ms,
        seed=SEED,
    )
    events = load.events()
    probes = _probes(pace, start_ms)
    schedule = sorted(
        [*zip(times_ms(events), events, strict=True), *((at_ms, probes[at_ms]) for at_ms in probes)]
    )
    if time.time() * 1000 > start_ms:
        raise RuntimeError("the events were not ready in time: the machine is too busy to measure")
    return asyncio.run(_run(pace, schedule, probes, start_ms))


async def _run(
    pace: Pace,
    schedule: list[tuple[int, tuple[bytes, bytes]]],
    probes: dict[int, tuple[bytes, bytes]],
    start_ms: int,
) -> Paced:
    pid = Pseudonymiser(KEY.encode()).pid
    waiting = [
        (at_ms, f"profile:{{{pid('user', key.decode())}}}") for at_ms, (key, _) in probes.items()
    ]
    watching = asyncio.create_task(_watch(pace.store_url, waiting))
    handed_over_ms = await _send(pace, schedule)
    return Paced(
        start_ms=start_ms,
        n_events=len(schedule),
        handed_over_ms=handed_over_ms,
        probes=await watching,
    )


def _probes(pace: Pace, start_ms: int) -> dict[int, tuple[bytes, bytes]]:
    """Probes by intended time, at most one a millisecond."""
    rng = np.random.default_rng(SEED)
    n_probes = round(pace.probes_per_s * pace.seconds)
    times = np.unique(rng.integers(start_ms, start_ms + round(1000 * pace.seconds), n_probes))
    users = [f"probe-{at_ms}" for at_ms in times.tolist()]
    return {
        at_ms: (
            user.encode(),
            json.dumps({"type": "click", "ts": at_ms, "user_id": user, "item_id": "i0"}).encode(),
        )
        for at_ms, user in zip(times.tolist(), users, strict=True)
    }


async def _send(pace: Pace, schedule: list[tuple[int, tuple[bytes, bytes]]]) -> list[float]:
    """Hand over what is due; with a batch on the wire, the next of its partition grows."""
    partition = partitioner(pace.n_partitions)
    due: list[list[tuple[int, bytes, bytes]]] = [[] for _ in range(pace.n_partitions)]
    on_wire: list[Any] = [None] * pace.n_partitions
    handed_over_ms: list[float] = []
    position = 0
    async with AIOKafkaProducer(
        bootstrap_servers=pace.brokers, acks="all", linger_ms=LINGER_MS
    ) as producer:
        while position < len(schedule) or any(due):
            now_ms = time.time() * 1000
            while position < len(schedule) and schedule[position][0] <= now_ms:
                at_ms, (key, value) = schedule[position]
                due[partition(key)].append((at_ms, key, value))
                position += 1
            for p, records in enumerate(due):
                if records and (on_wire[p] is None or on_wire[p].done()):
                    n_taken, on_wire[p] = await _send_batch(producer, pace.topic, p, records)
                    handed_over_ms += [time.time() * 1000 - r[0] for r in records[:n_taken]]
                    del records[:n_taken]
            await asyncio.sleep(TICK_S)
        await asyncio.gather(*(future for future in on_wire if future is not None))
    return handed_over_ms


async def _send_batch(
    producer: Any, topic: str, p: int, records: list[tuple[int, bytes, bytes]]
) -> tuple[int, Any]:
    batch = producer.create_batch()
    n_taken = 0
    for at_ms, key, value in records:
        if batch.append(key=key, value=value, timestamp=at_ms) is None:
            break
        n_taken += 1
    return n_taken, await producer.send_batch(batch, topic, partition=p)


async def _watch(store_url: str, waiting: list[tuple[int, str]]) -> list[tuple[int, float]]:
    """Look for each probe from its intended time on, until it is there."""
    store: Any = redis.asyncio.Redis.from_url(store_url)
    found: list[tuple[int, float]] = []
    open_probes: dict[str, int] = {}
    position = 0
    while position < len(waiting) or open_probes:
        now_ms = time.time() * 1000
        while position < len(waiting) and waiting[position][0] <= now_ms:
            open_probes[waiting[position][1]] = waiting[position][0]
            position += 1
        if open_probes:
            pipeline = store.pipeline(transaction=False)
            for profile in open_probes:
                pipeline.exists(profile)
            answers = await pipeline.execute()
            now_ms = time.time() * 1000
            for profile, is_there in zip(list(open_probes), answers, strict=True):
                at_ms = open_probes[profile]
                if is_there or now_ms - at_ms > 1000 * PROBE_TIMEOUT_S:
                    found.append((at_ms, now_ms - at_ms))
                    del open_probes[profile]
        await asyncio.sleep(PROBE_POLL_S)
    await store.aclose()
    return found

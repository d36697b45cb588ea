"""How soon a worker consumes that finds many profiles in the store.

``python benchmarks/cold_start.py`` fills an embedded store with a million profiles of the load's
users, so that the rows which the worker needs are there, and starts one on a backlog. Nothing is
loaded at the start, so their number should not matter: an empty store is tried beside.
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import Final

import click
import numpy as np
import redis

from benchmarks.consumers import KEY, Servers, WorkerProcess
from benchmarks.load import Load, preload
from benchmarks.throughput import reached
from profiler.dedupe import Fences
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.spec import DEFAULT_SPEC
from profiler.state import encode_states
from streams.embedded import EmbeddedBroker, EmbeddedStore
from streams.redis_store import RedisStore
from streams.settings import Secret, Settings
from streams.store import ProfileWrite
from streams.topics import create_topics

CHUNK: Final = 10_000
PREFIX: Final = "cold"
SUMMARY: Final = b'{"core":{"events":1}}'
N_EVENTS: Final = 100_000
SPAN_MS: Final = 6 * 3_600_000


@click.command()
@click.option("--profiles", default=1_000_000, show_default=True, help="In the store before.")
def main(profiles: int) -> None:
    """Measure the time from a worker's start to its first commit."""
    with EmbeddedStore() as store, EmbeddedBroker() as broker:
        servers = Servers(brokers=broker.address, store_url=store.url)
        settings = Settings(pseudonym_key=Secret(KEY), brokers=servers.brokers, topic_prefix=PREFIX)
        create_topics(settings)
        load = Load(
            n_events=N_EVENTS,
            n_users=profiles,
            exponent=0.0,
            start_ms=round(time.time() * 1000) - SPAN_MS,
            span_ms=SPAN_MS,
        )
        preload(servers.brokers, settings.topic("events"), settings.partitions, load)
        print(f"{0:>10,} profiles: {_seconds_to_commit(servers, 'empty')}")
        with redis.Redis.from_url(servers.store_url) as admin:
            admin.flushall()
            asyncio.run(_fill(servers.store_url, profiles))
            used_mb = admin.info("memory")["used_memory"] / 2**20
        print(
            f"{profiles:>10,} profiles ({used_mb:,.0f} MiB): {_seconds_to_commit(servers, 'full')}"
        )


def _seconds_to_commit(servers: Servers, group: str) -> str:
    with WorkerProcess(servers, PREFIX, group) as worker:
        first = reached(worker, lambda progress: progress.n_events > 0)
        first_s = first.at_s - worker.started_s
        last = reached(worker, lambda progress: progress.n_events >= N_EVENTS)
    return f"first commits after {first_s:.1f} s, {last.n_events:,} events after " + (
        f"{last.at_s - worker.started_s:.1f} s"
    )


async def _fill(url: str, n: int) -> None:
    store = RedisStore(url, spec_hash=DEFAULT_SPEC.hash, state_ttl_s=86_400, timeout_s=30.0)
    pid = functools.partial(Pseudonymiser(KEY.encode()).pid, "user")
    one = np.ones(1, dtype=np.int64)
    [state] = encode_states(DEFAULT_SPEC, DEFAULT_SPEC.empty(1), one, Fences.empty(1))
    vector = bytes(4 * DEFAULT_SPEC.dims)
    for start in range(0, n, CHUNK):
        users = range(start, min(n, start + CHUNK))
        writes = [ProfileWrite(pid(f"u{k}"), 1, state, vector, SUMMARY, 1) for k in users]
        assert all(await store.commit(writes))
    await store.close()


if __name__ == "__main__":
    main()

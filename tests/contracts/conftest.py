"""The stores under test. A store takes part by its line in `STORES`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis

from streams.embedded import EmbeddedStore
from streams.memory_store import MemoryStore
from streams.redis_store import RedisStore
from streams.store import profile_key
from tests.contracts.store_rig import NAMES_MAX, SPEC, Play, Rig, Scenario
from tests.servers.valkey_cluster import ValkeyCluster


def memory_rig(url: str) -> Rig:
    store = MemoryStore(spec_hash=SPEC, names_max=NAMES_MAX)
    return Rig(store, lambda pid: store.profiles.get(pid, {}))


def redis_rig(url: str, reader: Any = redis.Redis) -> Rig:
    def profile(pid: str) -> dict[str, bytes]:
        with reader.from_url(url) as client:
            found: dict[bytes, bytes] = client.hgetall(profile_key(pid))
            return {field.decode(): value for field, value in found.items()}

    store = RedisStore(url, spec_hash=SPEC, state_ttl_s=1_000, timeout_s=5, names_max=NAMES_MAX)
    return Rig(store, profile)


def cluster_rig(url: str) -> Rig:
    return redis_rig(url, reader=redis.RedisCluster)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedStore]:
    with EmbeddedStore() as running:
        yield running


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    with ValkeyCluster() as running:
        yield running


def nowhere(request: pytest.FixtureRequest) -> str:
    return ""


def emptied_server(request: pytest.FixtureRequest) -> str:
    server: EmbeddedStore = request.getfixturevalue("server")
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
    return server.url


def emptied_cluster(request: pytest.FixtureRequest) -> str:
    cluster: ValkeyCluster = request.getfixturevalue("cluster")
    for node in cluster.nodes:
        node.client.flushall()
    return cluster.url


STORES = [
    pytest.param((memory_rig, nowhere), id="memory"),
    pytest.param((redis_rig, emptied_server), id="redis", marks=pytest.mark.integration),
    pytest.param((cluster_rig, emptied_cluster), id="cluster", marks=pytest.mark.integration),
]


@pytest.fixture(params=STORES)
def play(request: pytest.FixtureRequest) -> Play:
    """Run a scenario against an empty store."""
    rig_at, place = request.param
    url = place(request)

    async def run(scenario: Scenario) -> None:
        async with AsyncExitStack() as stack:
            rig = rig_at(url)
            stack.push_async_callback(rig.store.close)
            await scenario(rig)

    return lambda scenario: asyncio.run(run(scenario))

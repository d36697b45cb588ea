"""What a store tells about writes that a server may have lost, or has on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from profiler.errors import StoreRestarted, StoreUnavailable
from streams.embedded import EmbeddedStore
from streams.redis_durability import MARK_TTL_S
from streams.redis_store import RedisStore
from streams.spawn import HOST
from streams.store import MARK_KEY
from tests.servers.redis_server import Kind, RedisServer
from tests.stores import play, write

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[EmbeddedStore]:
    with EmbeddedStore(appendonly=True) as running:
        yield running


@pytest.fixture
def client(server: EmbeddedStore) -> Iterator[Any]:
    with redis.Redis.from_url(server.url) as connected:
        yield connected


def test_a_restart_fails_everything_until_the_store_is_rejoined(server: EmbeddedStore) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])
        server.kill()
        server.start()

        for attempt in (store.load(["a"]), store.commit([write("a", 2)]), store.until_durable()):
            with pytest.raises(StoreRestarted):
                await attempt
        await store.ping()
        with pytest.raises(StoreRestarted):
            await store.load(["a"])

        store.rejoin()
        assert await store.load(["a"]) == [write("a").state]
        assert await store.commit([write("a", 2)]) == [True]

    play(server.url, scenario)


def test_a_store_that_cannot_tell_must_still_be_there(server: EmbeddedStore) -> None:
    """Or its horizon would pass while it is down, with writes that it has lost."""

    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])
        assert not await store.until_durable()
        server.kill()
        with pytest.raises(StoreUnavailable):
            await store.until_durable()
        server.start()
        with pytest.raises(StoreRestarted):
            await store.until_durable()

    play(server.url, scenario)


def test_every_later_restart_is_noticed_too(server: EmbeddedStore) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.ping()
        for _ in range(2):
            server.kill()
            server.start()
            with pytest.raises(StoreRestarted):
                await store.load(["a"])
            store.rejoin()
            await store.load(["a"])

    play(server.url, scenario)


def test_a_restart_after_a_commit_is_never_taken_for_durable(
    server: EmbeddedStore, client: Any
) -> None:
    client.config_set("appendfsync", "always")

    async def scenario(store: RedisStore) -> None:
        assert await store.until_durable()
        await store.commit([write("a")])
        server.kill()
        server.start()

        with pytest.raises(StoreRestarted):
            await store.until_durable()

    play(server.url, scenario)


def test_a_lost_connection_is_no_restart(server: EmbeddedStore, client: Any) -> None:
    client.config_set("appendfsync", "always")

    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])
        client.client_kill_filter(_type="normal", skipme=True)

        assert await store.load(["a"]) == [write("a").state]
        client.client_kill_filter(_type="normal", skipme=True)
        assert await store.until_durable()

    play(server.url, scenario)


def test_a_commit_under_way_fails_when_a_restart_is_noticed_elsewhere(
    server: EmbeddedStore, client: Any
) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.load(["a"])
        client.client_pause(60_000, all=False)
        commit = asyncio.ensure_future(store.commit([write("a")]))
        await until(lambda: client.info("clients")["blocked_clients"] == 1)
        # The replication id of a server is another after it was a replica for a moment.
        client.replicaof(HOST, 1)
        client.replicaof("no", "one")
        async with asyncio.TaskGroup() as many:
            for _ in range(3):  # as many as need new connections
                many.create_task(store.ping())
        client.client_unpause()

        with pytest.raises(StoreRestarted):
            await commit

    play(server.url, scenario)


def test_a_server_that_hides_who_it_is_serves_and_its_restart_goes_unnoticed(
    server: EmbeddedStore, client: Any
) -> None:
    url = server.url.replace("redis://", "redis://humble:secret@")

    def let_in() -> None:
        commands = ["+@all", "-info", "-config"]
        client.acl_setuser("humble", True, passwords=["+secret"], keys="*", commands=commands)

    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])
        assert not await store.until_durable()
        assert await store.durability() == "unknown"
        server.kill()
        server.start()
        let_in()

        assert await store.commit([write("a", 2)]) == [True]

    let_in()
    play(url, scenario)


def test_a_rejoin_without_a_restart_changes_nothing(server: EmbeddedStore, client: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])
        clients = client.info("clients")["connected_clients"]

        store.rejoin()

        assert await store.load(["a"]) == [write("a").state]
        assert client.info("clients")["connected_clients"] == clients

    play(server.url, scenario)


def test_what_was_committed_is_durable_when_the_file_is_synced(
    server: EmbeddedStore, client: Any
) -> None:
    client.config_set("appendfsync", "always")
    client.config_set("no-appendfsync-on-rewrite", "yes")

    async def scenario(store: RedisStore) -> None:
        await store.commit([write(f"p{n}") for n in range(100)])
        assert await store.until_durable()
        assert 0 < client.ttl(MARK_KEY) <= MARK_TTL_S
        # While its file is rewritten this server syncs nothing.
        client.config_set("rdb-key-save-delay", 5_000)
        client.bgrewriteaof()
        await until(lambda: is_rewriting(client))

        await store.commit([write("a")])
        durable = asyncio.ensure_future(store.until_durable())
        n_commits = 0
        while is_rewriting(client):
            assert not durable.done()
            n_commits += 1
            assert await store.commit([write("a", 1 + n_commits)]) == [True]

        assert await durable
        assert n_commits > 1

    # A wait on the socket that is shorter than the rewriting, so that it has to be repeated.
    play(server.url, scenario, timeout_s=0.4)


def test_closing_the_store_ends_the_wait(server: EmbeddedStore, client: Any) -> None:
    client.config_set("appendfsync", "always")
    client.config_set("no-appendfsync-on-rewrite", "yes")

    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])
        client.config_set("rdb-key-save-delay", 60_000_000)
        client.bgrewriteaof()
        await until(lambda: is_rewriting(client))
        await store.commit([write("a", 2)])
        durable = asyncio.ensure_future(store.until_durable())
        await until(lambda: client.info("clients")["blocked_clients"] == 1)

        await store.close()

        with pytest.raises(StoreUnavailable):
            await durable

    play(server.url, scenario, timeout_s=0.4)


def is_rewriting(client: Any) -> bool:
    return bool(client.info("persistence")["aof_rewrite_in_progress"])


def test_a_server_that_dies_during_the_wait_is_unavailable(
    server: EmbeddedStore, client: Any
) -> None:
    client.config_set("appendfsync", "always")

    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])
        client.client_pause(60_000, all=False)
        durable = asyncio.ensure_future(store.until_durable())
        await until(lambda: client.info("clients")["blocked_clients"] == 1)
        server.kill()

        with pytest.raises(StoreUnavailable):
            await durable

    play(server.url, scenario)


@pytest.mark.parametrize("policy", ["everysec", "no"])
def test_a_server_that_calls_durable_what_it_has_only_written_is_not_believed(
    server: EmbeddedStore, client: Any, policy: str
) -> None:
    client.config_set("appendfsync", policy)

    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])

        assert not await store.until_durable()

    play(server.url, scenario)


def test_without_an_append_only_file_nothing_is_durable_and_it_is_asked_once(
    server: EmbeddedStore, client: Any
) -> None:
    client.config_set("appendonly", "no")
    client.config_set("appendfsync", "always")

    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])
        assert not await store.until_durable()
        n_asked = client.info("commandstats")["cmdstat_waitaof"]["rejected_calls"]

        assert not await store.until_durable()

        assert client.info("commandstats")["cmdstat_waitaof"]["rejected_calls"] == n_asked

    play(server.url, scenario)


def test_a_server_without_the_command_cannot_tell(tmp_path: Path, redis_7: Kind) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])
        assert await store.durability() == "aof"

        assert not await store.until_durable()

    with RedisServer(redis_7, tmp_path, options={"appendfsync": "always"}) as old:
        play(old.url, scenario)


async def until(happens: Callable[[], bool]) -> None:
    while not happens():
        await asyncio.sleep(0)

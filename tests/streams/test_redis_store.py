"""What the Redis store promises beyond the contract: expiry, slots, restarts, secrets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from profiler.errors import ConfigurationError, StoreError, StoreRestarted, StoreUnavailable
from profiler.state import encode_tombstone
from streams.embedded import EmbeddedStore
from streams.redis_commands import CHUNK_COMMANDS
from streams.redis_store import FIGURES_TTL_S, RedisStore
from streams.store import (
    Erasure,
    names_key,
    profile_key,
    spec_key,
    state_key,
)
from tests.stores import SPEC, TTL_S, play, write

PID = "kQNgSXXOt-uRt-lhe9x8Rw"

integration = pytest.mark.integration


@pytest.fixture(scope="module")
def shared() -> Iterator[EmbeddedStore]:
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def server(shared: EmbeddedStore) -> EmbeddedStore:
    with redis.Redis.from_url(shared.url) as client:
        client.flushall()
    return shared


@pytest.fixture
def client(server: EmbeddedStore) -> Iterator[Any]:
    with redis.Redis.from_url(server.url) as connected:
        yield connected


@integration
def test_every_key_expires_but_a_tombstone(server: EmbeddedStore, client: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a"), Erasure("gone", 1, encode_tombstone(1, 0))])
        await store.put_names({"item": {1: "tea"}})
        await store.put_spec(SPEC, b"{}")
        await store.put_figures("profiler:metrics:w", {"events": "1"})

    play(server.url, scenario)

    left_s = {key.decode(): client.ttl(key) for key in client.scan_iter()}
    assert left_s.pop(state_key("gone")) == -1
    expected = {
        state_key("a"): TTL_S,
        profile_key("a"): TTL_S,
        names_key("item"): 2 * TTL_S,
        spec_key(SPEC): 2 * TTL_S,
        "profiler:metrics:w": FIGURES_TTL_S,
    }
    assert left_s.keys() == expected.keys()
    assert all(expected[key] - 60 <= left <= expected[key] for key, left in left_s.items())


@integration
def test_a_write_renews_both_times_to_live(server: EmbeddedStore, client: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])
        client.expire(state_key("a"), 10)
        client.expire(profile_key("a"), 10)

        await store.commit([write("a", 2)])

        assert min(client.ttl(state_key("a")), client.ttl(profile_key("a"))) > TTL_S - 60

    play(server.url, scenario)


def test_both_keys_of_a_profile_are_in_one_cluster_slot() -> None:
    slots = {key_slot(key(PID).encode()) for key in (state_key, profile_key)}

    assert slots == {key_slot(PID.encode())}


@integration
def test_a_store_that_is_away_says_so_and_serves_again_after_its_restart() -> None:
    with EmbeddedStore(appendonly=True) as server:

        async def scenario(store: RedisStore) -> None:
            await store.commit([write("a")])
            assert await store.durability() == "aof"
            server.kill()
            for attempt in (
                store.ping(),
                store.load(["a"]),
                store.commit([write("a", 2)]),
                store.put_names({"item": {1: "tea"}}),
                store.figures("profiler:metrics:w"),
            ):
                with pytest.raises(StoreUnavailable):
                    await attempt
            server.start()
            with pytest.raises(StoreRestarted):
                await store.load(["a"])

            store.rejoin()

            assert await store.commit([write("a", 2)]) == [True]

        play(server.url, scenario)


@integration
def test_a_store_that_dies_within_a_commit_leaves_its_outcome_unknown() -> None:
    with EmbeddedStore() as server:

        async def scenario(store: RedisStore) -> None:
            await store.ping()
            pids = [f"p{n}" for n in range(20 * CHUNK_COMMANDS)]
            commit = asyncio.ensure_future(store.commit([write(pid) for pid in pids]))
            await until_some_are_written(server.url)
            server.kill()

            with pytest.raises(StoreUnavailable):
                await commit

        play(server.url, scenario)


async def until_some_are_written(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        while client.dbsize() == 0:
            await asyncio.sleep(0)


@integration
def test_a_store_that_hangs_is_unavailable_after_the_timeout(server: EmbeddedStore) -> None:
    assert server.process_id is not None
    process_id = server.process_id

    async def scenario(store: RedisStore) -> None:
        await store.ping()
        os.kill(process_id, signal.SIGSTOP)
        try:
            with pytest.raises(StoreUnavailable):
                await store.load(["a"])
        finally:
            os.kill(process_id, signal.SIGCONT)

        await until_it_answers(store)

    play(server.url, scenario, timeout_s=0.2)


async def until_it_answers(store: RedisStore) -> None:
    for _ in range(100):
        with contextlib.suppress(StoreUnavailable):
            return await store.ping()
    pytest.fail("the store did not come back")


@integration
def test_a_script_that_the_server_forgot_is_loaded_again(
    server: EmbeddedStore, client: Any
) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])
        client.script_flush()

        assert await store.commit([write("a", 2)]) == [True]

    play(server.url, scenario)


@integration
def test_a_foreign_key_in_the_way_leaves_the_state_alone(
    server: EmbeddedStore, client: Any
) -> None:
    async def scenario(store: RedisStore) -> None:
        client.set(profile_key("a"), "not a hash")

        with pytest.raises(StoreError, match="WRONGTYPE"):
            await store.commit([write("a"), write("b")])

        # The connection with the unread reply of "b" must not serve the next request.
        assert await store.load(["a"]) == [None]

    play(server.url, scenario)


@integration
def test_the_loop_is_free_while_a_commit_is_on_the_wire(server: EmbeddedStore, client: Any) -> None:
    async def scenario(store: RedisStore) -> None:
        client.client_pause(10_000, all=False)
        commit = asyncio.ensure_future(store.commit([write("a")]))
        ticks = 0
        while ticks < 100:
            await asyncio.sleep(0)
            ticks += 1
        assert not commit.done()

        client.client_unpause()

        assert await commit == [True]

    play(server.url, scenario)


@integration
def test_constituents_are_not_taken_for_profiles_of_their_own(
    server: EmbeddedStore, client: Any
) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit([write("a")])
        client.set(state_key("a") + ":1", b"constituent")

        found = [pid async for chunk in store.scan() for pid, _ in chunk]

        assert found == ["a"]

    play(server.url, scenario)


@integration
def test_a_refused_password_is_a_configuration_error_that_does_not_show_it(
    client: Any, server: EmbeddedStore
) -> None:
    url = server.url.replace("redis://", "redis://someone:pa55word@")

    async def scenario() -> None:
        store = RedisStore(url, spec_hash=SPEC, state_ttl_s=TTL_S, timeout_s=5)
        with pytest.raises(ConfigurationError, match="PROFILER_STORE_URL") as refused:
            await store.ping()
        await store.close()

        assert "pa55word" not in f"{refused.value!s}{refused.value!r}{store!r}"

    asyncio.run(scenario())


@pytest.mark.parametrize("url", ["http://:pa55word@store", "redis://:pa55word@store?foo=1"])
def test_an_address_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="PROFILER_STORE_URL") as refused:
        RedisStore(url, spec_hash=SPEC, state_ttl_s=TTL_S, timeout_s=5)

    assert "pa55word" not in str(refused.value)


@integration
def test_closing_twice_is_harmless_and_leaves_no_thread(server: EmbeddedStore) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.ping()
        await store.close()

    play(server.url, scenario)

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("store")]

"""What the Redis store promises on a cluster: slots that move, servers that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from redis.crc import key_slot

from profiler.errors import StoreRestarted, StoreUnavailable
from profiler.state import REV_SLICE
from streams.redis_commands import CHUNK_COMMANDS
from streams.redis_store import RedisStore
from streams.store import MARK_KEY
from tests.servers.valkey_cluster import N_SLOTS, ValkeyCluster
from tests.stores import play, write

pytestmark = pytest.mark.integration

DURABLE = {"appendonly": "yes", "appendfsync": "always"}
PIDS = [f"p{n}" for n in range(2_000)]


@pytest.fixture(scope="module")
def shared() -> Iterator[ValkeyCluster]:
    with ValkeyCluster(options=DURABLE) as running:
        yield running


@pytest.fixture
def cluster(shared: ValkeyCluster) -> ValkeyCluster:
    """For tests that leave the servers as they are, but may move slots."""
    for node in shared.nodes:
        node.client.flushall()
    return shared


@pytest.fixture
def fragile() -> Iterator[ValkeyCluster]:
    """For tests that do not."""
    with ValkeyCluster(options=DURABLE) as running:
        yield running


def pid_of(cluster: ValkeyCluster, node: int) -> str:
    slots = set(cluster.nodes[node].slots())
    return next(pid for pid in PIDS if key_slot(pid.encode()) in slots)


async def revisions(store: RedisStore) -> list[int]:
    states = await store.load(PIDS)
    return [0 if state is None else int.from_bytes(state[REV_SLICE], "little") for state in states]


def test_a_batch_larger_than_a_chunk_goes_to_all_servers_and_comes_back_in_order(
    cluster: ValkeyCluster,
) -> None:
    pids = [f"p{n}" for n in range(4 * CHUNK_COMMANDS)]

    async def scenario(store: RedisStore) -> None:
        written = await store.commit([write(pid, 1) for pid in pids])
        # Every second one is refused.
        again = await store.commit([write(pid, 1 + n % 2) for n, pid in enumerate(pids)])

        assert written == [True] * len(pids)
        assert again == [n % 2 == 1 for n in range(len(pids))]
        expected = [write(pid, 1 + n % 2).state for n, pid in enumerate(pids)]
        assert await store.load(pids) == expected

    play(cluster.url, scenario)

    assert all(node.client.dbsize() > 0 for node in cluster.nodes)


def test_while_slots_move_every_write_lands_and_none_twice(cluster: ValkeyCluster) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit([write(pid) for pid in PIDS])
        moving = asyncio.create_task(asyncio.to_thread(cluster.move_slots, 60, 0, 1))
        n_commits = 0
        known = [1] * len(PIDS)
        while not moving.done():
            try:
                written = await store.commit(
                    [write(pid, rev + 1) for pid, rev in zip(PIDS, known, strict=True)]
                )
            except StoreUnavailable:
                known = await reloaded(store, known)
                continue
            assert all(written)
            known = [rev + 1 for rev in known]
            n_commits += 1
            assert await revisions(store) == known
        await moving

        assert n_commits > 1
        assert await revisions(store) == known

    play(cluster.url, scenario)


async def reloaded(store: RedisStore, known: list[int]) -> list[int]:
    while True:
        try:
            found = await revisions(store)
        except StoreUnavailable:
            continue
        assert all(old <= new <= old + 1 for old, new in zip(known, found, strict=True))
        return found


def test_a_profile_on_its_way_is_found_where_it_is(cluster: ValkeyCluster) -> None:
    pid = pid_of(cluster, 0)
    slot = key_slot(pid.encode())

    async def scenario(store: RedisStore) -> None:
        await store.commit([write(other) for other in PIDS])
        cluster.begin_move(slot, 0, 1)
        cluster.move_keys(slot, 0, 1)

        assert set(await revisions(store)) == {1}
        assert all(await store.commit([write(other, 2) for other in PIDS]))
        cluster.end_move(slot, 0, 1)

        assert set(await revisions(store)) == {2}

    play(cluster.url, scenario)


def test_a_profile_that_begins_while_its_slot_moves_has_to_wait(cluster: ValkeyCluster) -> None:
    pid = pid_of(cluster, 0)
    slot = key_slot(pid.encode())

    async def scenario(store: RedisStore) -> None:
        cluster.begin_move(slot, 0, 1)
        with pytest.raises(StoreUnavailable):
            await store.commit([write(pid)])
        cluster.end_move(slot, 0, 1)

        assert await store.commit([write(pid)]) == [True]

    play(cluster.url, scenario)


def test_a_server_that_joins_and_takes_slots_is_no_restart(fragile: ValkeyCluster) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit([write(pid) for pid in PIDS])
        fragile.add_master()
        fragile.move_slots(50, 0, 3)

        await until_agreed(store)

        assert set(await revisions(store)) == {1}
        assert await store.until_durable()
        assert all(await store.commit([write(pid, 2) for pid in PIDS]))

    play(fragile.url, scenario)


async def until_agreed(store: RedisStore) -> None:
    while True:
        try:
            await store.load(PIDS)
        except StoreUnavailable:
            continue
        return


def test_a_restart_of_any_server_is_noticed(fragile: ValkeyCluster) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit([write(pid) for pid in PIDS])
        fragile.nodes[2].kill()
        with pytest.raises(StoreUnavailable):
            await store.load(PIDS)
        fragile.nodes[2].start()

        with pytest.raises(StoreRestarted):
            await until_agreed(store)
        with pytest.raises(StoreRestarted):
            await store.until_durable()

        store.rejoin()
        await until_agreed(store)
        assert set(await revisions(store)) == {1}

    play(fragile.url, scenario)


def test_a_replica_that_takes_over_counts_as_a_restart(fragile: ValkeyCluster) -> None:
    replica = fragile.add_replica(of=1)

    async def scenario(store: RedisStore) -> None:
        await store.commit([write(pid) for pid in PIDS])
        assert await store.until_durable()
        while replica.client.dbsize() < fragile.nodes[1].client.dbsize():
            await asyncio.sleep(0)
        fragile.nodes[1].kill()
        replica.client.execute_command("CLUSTER FAILOVER", "TAKEOVER")

        with pytest.raises(StoreRestarted):
            await until_agreed(store)

        store.rejoin()
        await until_agreed(store)
        assert set(await revisions(store)) == {1}

    play(fragile.url, scenario)


def test_durable_is_what_every_server_has_on_disk(cluster: ValkeyCluster) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit([write(pid) for pid in PIDS])
        assert await store.durability() == "aof"

        assert await store.until_durable()

        for node in cluster.nodes:
            (mark,) = node.client.keys(f"{MARK_KEY}*")
            assert key_slot(mark) in node.slots()

    play(cluster.url, scenario)


def test_a_cluster_is_as_durable_as_the_worst_of_its_servers(cluster: ValkeyCluster) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.commit([write(pid) for pid in PIDS])

        assert await store.durability() == "none"
        assert not await store.until_durable()

    cluster.nodes[1].client.config_set("appendonly", "no")
    try:
        play(cluster.url, scenario)
    finally:
        cluster.nodes[1].client.config_set("appendonly", "yes")


def test_a_slot_that_nobody_owns_is_unavailable_and_the_others_are_served(
    cluster: ValkeyCluster,
) -> None:
    lost, kept = pid_of(cluster, 2), pid_of(cluster, 1)
    slot = key_slot(lost.encode())

    async def scenario(store: RedisStore) -> None:
        with pytest.raises(StoreUnavailable):
            await store.load([lost])
        assert await store.load([kept]) == [None]

    for node in cluster.nodes:
        node.client.config_set("cluster-require-full-coverage", "no")
        node.client.execute_command("CLUSTER DELSLOTS", slot)
    try:
        play(cluster.url, scenario)
    finally:
        cluster.nodes[2].client.execute_command("CLUSTER ADDSLOTS", slot)
        assert sum(len(node.slots()) for node in cluster.nodes) == N_SLOTS

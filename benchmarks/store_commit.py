"""What a commit and a load cost: µs per profile of client CPU, server CPU and wall time.

``python benchmarks/store_commit.py`` starts an embedded store; ``--aof`` has it keep its log, as
production does. "Busy" is a commit while the main thread computes without a pause, as a worker does
under full load; its client CPU contains that computation.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Final

import click
import msgspec
import numpy as np
import redis
from msgspec import Struct

from profiler.privacy.pseudonym import Pseudonymiser
from profiler.state import revision_bytes
from streams.embedded import EmbeddedStore
from streams.redis_store import RedisStore
from streams.store import ProfileWrite

SPEC: Final = "0123456789abcdef"
STATE_BYTES: Final = 2_048
VECTOR_BYTES: Final = 512
SUMMARY_BYTES: Final = 400


class Cost(Struct, frozen=True):
    """One exchange, in µs per profile."""

    client_cpu: float
    server_cpu: float
    wall: float


@click.command()
@click.option("--writes", default=2_000, show_default=True, help="Profiles per batch.")
@click.option("--rounds", default=15, show_default=True, help="Batches; medians are shown.")
@click.option("--aof", is_flag=True, help="Keep an append-only file.")
def main(writes: int, rounds: int, aof: bool) -> None:
    """Measure commits and loads of `writes` profiles."""
    with EmbeddedStore(appendonly=aof) as server, redis.Redis.from_url(server.url) as admin:
        costs = asyncio.run(_measure(server.url, admin, writes, rounds))
    print(f"{writes:,} profiles per batch, append-only file {'on' if aof else 'off'}")
    print(f"{'µs per profile':<16}" + "".join(f"{part:>12}" for part in Cost.__struct_fields__))
    for name, found in costs.items():
        parts = zip(*(msgspec.structs.astuple(cost) for cost in found), strict=True)
        print(f"{name:<16}" + "".join(f"{statistics.median(part):>12.1f}" for part in parts))


async def _measure(
    url: str, admin: redis.Redis, n_writes: int, rounds: int
) -> dict[str, list[Cost]]:
    store = RedisStore(url, spec_hash=SPEC, state_ttl_s=34_560_000, timeout_s=5)
    pids = [Pseudonymiser(b"k" * 32).pid("user", str(n)) for n in range(n_writes)]
    costs: dict[str, list[Cost]] = {"commit": [], "load": [], "commit, busy": []}

    async def cost(work: Callable[[], Awaitable[object]]) -> Cost:
        server_s, client_s, wall_s = _server_cpu_s(admin), time.process_time(), time.perf_counter()
        await work()
        client_s, wall_s = time.process_time() - client_s, time.perf_counter() - wall_s
        server_s = _server_cpu_s(admin) - server_s
        return Cost(*(1e6 * seconds / n_writes for seconds in (client_s, server_s, wall_s)))

    rev = 0
    for _ in range(rounds):
        for name, commit in (("commit", _commit), ("commit, busy", _commit_while_busy)):
            rev += 1
            batch = [_write(pid, rev) for pid in pids]
            costs[name].append(await cost(lambda b=batch, c=commit: c(store, b)))  # type: ignore[misc]  # bound as defaults
        costs["load"].append(await cost(lambda: store.load(pids)))
    await store.close()
    return costs


async def _commit(store: RedisStore, batch: list[ProfileWrite]) -> None:
    assert all(await store.commit(batch))


async def _commit_while_busy(store: RedisStore, batch: list[ProfileWrite]) -> None:
    commit = asyncio.ensure_future(_commit(store, batch))
    matrix = np.ones((8_192, 32))
    counts: dict[int, int] = {}
    while not commit.done():
        for key in range(5_000):
            counts[key] = key * 3
        np.exp(matrix)
        await asyncio.sleep(0)
    await commit


def _write(pid: str, rev: int) -> ProfileWrite:
    head = b"\1" + bytes.fromhex(SPEC) + revision_bytes(rev)
    state = head + random.randbytes(STATE_BYTES - len(head))
    vector, summary = random.randbytes(VECTOR_BYTES), random.randbytes(SUMMARY_BYTES)
    return ProfileWrite(pid, rev, state, vector, summary, 1_700_000_000_000)


def _server_cpu_s(admin: redis.Redis) -> float:
    used = admin.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


if __name__ == "__main__":
    main()

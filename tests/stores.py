"""A Redis store for a scenario, and writes for it: any bytes do, as it looks only at revisions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from profiler.state import revision_bytes
from streams.redis_store import RedisStore
from streams.store import ProfileWrite

SPEC = "0123456789abcdef"
TTL_S = 1_000

Scenario = Callable[[RedisStore], Awaitable[None]]


def play(url: str, scenario: Scenario, timeout_s: float = 5) -> None:
    async def run() -> None:
        store = RedisStore(url, spec_hash=SPEC, state_ttl_s=TTL_S, timeout_s=timeout_s)
        try:
            await scenario(store)
        finally:
            await store.close()

    asyncio.run(run())


def write(pid: str, rev: int = 1) -> ProfileWrite:
    state = b"\1" + bytes.fromhex(SPEC) + revision_bytes(rev) + bytes(2_000)
    return ProfileWrite(pid, rev, state, bytes(512), b"{}", 1_700_000_000_000)

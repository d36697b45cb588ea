"""The store contract on Redis, or anything that speaks its protocol (version 6 or later).

A batch is one pipelined read and one pipelined write; `streams.redis_commands` packs them.

The exchange runs in a thread with a blocking socket, so that the event loop's thread computes the
next batch meanwhile, which it could not do if it had to feed an asyncio transport. It also costs
half: 8.5 µs of our CPU per written profile and 5 per loaded one, where redis-py's asyncio
connection takes 18 and 12.5. The interpreter lock is free while the bytes are on the wire.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from redis.exceptions import ResponseError

from profiler.behaviour.layout import epochs_read
from streams.redis_commands import packed_tail
from streams.redis_errors import checked_url, our_errors
from streams.redis_names import put_names
from streams.redis_servers import Servers, open_servers
from streams.store import (
    BEHAVIOUR_AS_OF,
    BEHAVIOUR_KEY,
    BEHAVIOUR_TTL_S,
    LOADS_KEY,
    NAMES_MAX,
    SCAN_CHUNK,
    TOPICS_KEY,
    Durability,
    RowWrite,
    Write,
    behaviour_key,
    name_field,
    names_key,
    reached_key,
    row_key,
    spec_key,
    state_key,
    traits_key,
)

THREADS: Final = 4
FIGURES_TTL_S: Final = 86_400

_Result = TypeVar("_Result")


class RedisStore:
    """The store contract on Redis.

    Parameters
    ----------
    url
        ``redis://``, ``rediss://`` (TLS) or ``unix://``, with user and password where needed; of a
        cluster that of any server.
    spec_hash
        Spec under which this worker's vectors are laid out.
    state_ttl_s
        How long a profile outlives its last event.
    timeout_s
        For connecting, and for each send and reply.
    names_max
        Names kept per kind, give or take what workers add at the same moment.

    Raises
    ------
    ConfigurationError
        If the address cannot be used. Never shows it: it may hold a password.
    """

    def __init__(
        self,
        url: str,
        *,
        spec_hash: str,
        state_ttl_s: int,
        timeout_s: float,
        names_max: int = NAMES_MAX,
    ) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        # A wait for the disk may last seconds: it must not take a thread from loads and commits.
        self._waiter = ThreadPoolExecutor(1, thread_name_prefix="store-wait")
        self._closing = threading.Event()
        self._open = partial(
            open_servers,
            checked_url(url),
            timeout_s=timeout_s,
            tail=packed_tail(spec_hash, ttl_ms=state_ttl_s * 1_000),
            closing=self._closing,
        )
        self._opening = threading.Lock()
        self._opened: Servers | None = None
        self._state_ttl_s = state_ttl_s
        self._names_max = names_max
        self._names_dropped = 0

    @property
    def names_dropped(self) -> int:
        """See `Store.names_dropped`."""
        return self._names_dropped

    async def load(self, pids: Sequence[str]) -> list[bytes | None]:
        """See `Store.load`."""
        if not pids:
            return []
        return await self._with(lambda servers: servers.load(pids))

    async def views(self, pids: Sequence[str]) -> list[dict[str, bytes]]:
        """See `Store.views`."""
        if not pids:
            return []
        found = await self._with(lambda servers: servers.views(pids))
        # Version 2 of the protocol has the fields and values of a hash in turn.
        return [
            {field.decode(): value for field, value in zip(flat[::2], flat[1::2], strict=True)}
            for flat in found
        ]

    async def traits(self, pids: Sequence[str]) -> list[bytes | None]:
        """See `Store.traits`."""
        if not pids:
            return []
        return await self._with(lambda servers: servers.load(pids, traits_key))

    async def commit(self, writes: Sequence[Write]) -> list[bool]:
        """See `Store.commit`."""
        if not writes:
            return []
        return await self._with(lambda servers: servers.commit(writes))

    async def marked(self, mark: str, pids: Sequence[str]) -> set[str]:
        """See `Store.marked`."""
        if not pids:
            return set()
        found = await self._with(lambda servers: servers.marked(mark, pids))
        return {pid for pid, exists in zip(pids, found, strict=True) if exists}

    async def loads(self) -> dict[str, bytes]:
        """See `Store.loads`."""
        return await self.figures(LOADS_KEY)

    async def put_load(self, mark: str, progress: bytes) -> None:
        """See `Store.put_load`."""
        await self._with(lambda servers: servers.commands.hset(LOADS_KEY, mark, progress))

    async def rows(self, kind: str, names: Sequence[str]) -> list[bytes | None]:
        """See `Store.rows`."""
        if not names:
            return []
        return await self._with(lambda servers: servers.load(names, partial(row_key, kind)))

    async def put_rows(self, writes: Sequence[RowWrite]) -> list[bool]:
        """See `Store.put_rows`."""
        if not writes:
            return []
        ttl_ms = self._state_ttl_s * 1_000
        return await self._with(lambda servers: servers.put_rows(writes, ttl_ms))

    async def put_names(self, names: Mapping[str, Mapping[int, str]]) -> None:
        """See `Store.put_names`. The bound is checked before, so two round trips."""
        bound, ttl_s = self._names_max, 2 * self._state_ttl_s
        self._names_dropped += await self._with(
            lambda servers: put_names(servers.commands, names, bound, ttl_s)
        )

    async def names(self, kind: str, hashes: Sequence[int]) -> list[str | None]:
        """See `Store.names`."""
        if not hashes:
            return []
        fields = [name_field(token_hash) for token_hash in hashes]
        found: list[bytes | None] = await self._with(
            lambda servers: servers.commands.hmget(names_key(kind), fields)
        )
        return [None if name is None else name.decode() for name in found]

    async def put_spec(self, spec_hash: str, layout: bytes) -> None:
        """See `Store.put_spec`. It outlives every profile that was written under it."""
        key, ttl_s = spec_key(spec_hash), 2 * self._state_ttl_s
        await self._with(lambda servers: servers.commands.set(key, layout, ex=ttl_s))

    async def spec(self, spec_hash: str) -> bytes | None:
        """See `Store.spec`."""
        found: bytes | None = await self._with(
            lambda servers: servers.commands.get(spec_key(spec_hash))
        )
        return found

    async def topics(self) -> dict[str, bytes]:
        """See `Store.topics`."""
        return await self.figures(TOPICS_KEY)

    async def put_topic(self, name: str, identity: bytes) -> None:
        """See `Store.put_topic`."""
        await self._with(lambda servers: servers.commands.hset(TOPICS_KEY, name, identity))

    async def put_reached(self, topic: str, offsets: Mapping[int, int]) -> None:
        """See `Store.put_reached`."""
        key, scores = reached_key(topic), {str(code): offset for code, offset in offsets.items()}
        await self._with(lambda servers: servers.commands.zadd(key, scores, gt=True))

    async def reached(self, topic: str) -> dict[int, int]:
        """See `Store.reached`."""
        found: list[tuple[bytes, float]] = await self._with(
            lambda servers: servers.commands.zrange(reached_key(topic), 0, -1, withscores=True)
        )
        return {int(code): int(offset) for code, offset in found}

    async def put_figures(self, key: str, fields: Mapping[str, str | bytes]) -> None:
        """See `Store.put_figures`."""

        def put(servers: Servers) -> None:
            pipeline = servers.commands.pipeline(transaction=False)
            pipeline.hset(key, mapping={**fields})
            pipeline.expire(key, FIGURES_TTL_S)
            pipeline.execute()

        await self._with(put)

    async def figures(self, key: str) -> dict[str, bytes]:
        """See `Store.figures`."""
        found: dict[bytes, bytes] = await self._with(lambda servers: servers.commands.hgetall(key))
        return {field.decode(): value for field, value in found.items()}

    async def add_behaviour(self, epoch: int, as_of_ms: int, counts: Mapping[str, float]) -> None:
        """See `Store.add_behaviour`."""
        key = behaviour_key(epoch)

        def add(servers: Servers) -> None:
            pipeline = servers.commands.pipeline(transaction=False)
            for name, count in counts.items():
                pipeline.hincrbyfloat(key, name, count)
            pipeline.zadd(BEHAVIOUR_KEY, {BEHAVIOUR_AS_OF: as_of_ms}, gt=True)
            for written in (key, BEHAVIOUR_KEY):
                pipeline.expire(written, BEHAVIOUR_TTL_S)
            pipeline.execute()

        await self._with(add)

    async def behaviour(self) -> tuple[int, dict[int, dict[str, float]]]:
        """See `Store.behaviour`."""

        def read(servers: Servers) -> float | None:
            found: float | None = servers.commands.zscore(BEHAVIOUR_KEY, BEHAVIOUR_AS_OF)
            return found

        as_of_ms = int(await self._with(read) or 0)
        epochs = {e: await self.figures(behaviour_key(e)) for e in epochs_read(as_of_ms)}
        return as_of_ms, {
            epoch: {name: float(count) for name, count in counts.items()}
            for epoch, counts in epochs.items()
        }

    async def scan(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """See `Store.scan`. Remembers every pid: about 130 MB per million profiles."""
        prefix, suffix = state_key("*").split("*")
        seen: set[str] = set()
        for server in await self._with(lambda servers: servers.masters()):
            cursor = -1
            while cursor != 0:
                page = partial(server.scan, max(cursor, 0), match=state_key("*"), count=SCAN_CHUNK)
                cursor, keys = await self._in_thread(page)
                # SCAN may give a key twice while the table shrinks, or when its slot moves.
                pids = {key.decode().removeprefix(prefix).removesuffix(suffix) for key in keys}
                order = list(pids - seen)
                seen |= pids
                states = await self.load(order)
                yield [(p, s) for p, s in zip(order, states, strict=True) if s is not None]

    async def durability(self) -> Durability:
        """See `Store.durability`; ``unknown`` where a server does not let us look."""
        return await self._with(lambda servers: _worst(map(_durability, servers.masters())))

    async def until_durable(self) -> bool:
        """See `Store.until_durable`.

        False without ``WAITAOF`` (Redis before 7.2), without an append-only file, and where the
        command is not to be believed (`streams.redis_durability`).
        """
        return await self._with(lambda servers: servers.until_durable(), self._waiter)

    def rejoin(self) -> None:
        """See `Store.rejoin`. All connections are made anew."""
        servers = self._opened
        if servers is not None and servers.changed:
            self._opened = None
            servers.close()

    async def ping(self) -> None:
        """See `Store.ping`."""
        await self._with(lambda servers: [server.ping() for server in servers.masters()])

    async def close(self) -> None:
        """See `Store.close`. Waits for what is on the wire, at most the timeout."""
        self._closing.set()
        for threads in (self._threads, self._waiter):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)
        if self._opened is not None:
            self._opened.close()

    async def _with(
        self, work: Callable[[Servers], _Result], threads: ThreadPoolExecutor | None = None
    ) -> _Result:
        return await self._in_thread(lambda: work(self._servers()), threads)

    async def _in_thread(
        self, work: Callable[[], _Result], threads: ThreadPoolExecutor | None = None
    ) -> _Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads or self._threads, _run, work)

    def _servers(self) -> Servers:
        servers = self._opened
        if servers is None:
            with self._opening:
                servers = self._opened = self._opened or self._open()
        return servers


def _run(work: Callable[[], _Result]) -> _Result:
    with our_errors():
        return work()


def _durability(server: Any) -> Durability:
    try:
        found = server.config_get("appendonly").get("appendonly")
    except ResponseError:  # managed services forbid or rename the command
        return "unknown"
    return "aof" if found == "yes" else "none" if found == "no" else "unknown"


def _worst(found: Iterable[Durability]) -> Durability:
    several = set(found)
    return next(worst for worst in ("none", "unknown", "aof") if worst in several)

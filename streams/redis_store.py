"""The store contract on Redis, or anything that speaks its protocol (version 6 or later).

A batch is one pipelined read and one pipelined write; `streams.redis_commands` packs them.

The exchange runs in a thread with a blocking socket, so that the event loop's thread computes the
next batch meanwhile, which it could not do if it had to feed an asyncio transport. It also costs
half: 8.5 µs of our CPU per written profile and 5 per loaded one, where redis-py's asyncio
connection takes 18 and 12.5. The interpreter lock is free while the bytes are on the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from streams.redis_commands import Request, chunks, packed_reads, packed_tail, packed_writes
from streams.redis_errors import checked_url, our_errors
from streams.store import (
    NAMES_MAX,
    SCAN_CHUNK,
    Durability,
    Erasure,
    ProfileWrite,
    name_field,
    names_key,
    spec_key,
    state_key,
)

READ_BYTES: Final = 65_536
"""Per read from the socket. Each return from the kernel has to win the interpreter lock again, but
hiredis moves all that it still holds after every reply of 1 KiB: at 1 MiB a load costs thrice."""
THREADS: Final = 4
NAMES_PER_COMMAND: Final = 1_000
FIGURES_TTL_S: Final = 86_400

_Result = TypeVar("_Result")


class RedisStore:
    """The store contract on Redis.

    Parameters
    ----------
    url
        ``redis://``, ``rediss://`` (TLS) or ``unix://``, with user and password where needed.
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
        self._pool = redis.ConnectionPool.from_url(
            checked_url(url),
            max_connections=2 * THREADS,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            socket_keepalive=True,
            socket_read_size=READ_BYTES,
            # Version 2 has one reply per command and no pushed messages between them.
            protocol=2,
            # The worker pauses, backs off and tells about it: a second layer would hide that.
            retry=Retry(NoBackoff(), 0),
        )
        # Its stubs cannot know that we never ask for decoded replies.
        self._redis: Any = redis.Redis(connection_pool=self._pool)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        self._state_ttl_s = state_ttl_s
        self._names_max = names_max
        self._names_dropped = 0
        self._tail = packed_tail(spec_hash, ttl_ms=state_ttl_s * 1_000)

    @property
    def names_dropped(self) -> int:
        """See `Store.names_dropped`."""
        return self._names_dropped

    async def load(self, pids: Sequence[str]) -> list[bytes | None]:
        """See `Store.load`."""
        if not pids:
            return []
        return await self._in_thread(lambda: self._exchange(packed_reads(pids)))

    async def commit(self, writes: Sequence[ProfileWrite | Erasure]) -> list[bool]:
        """See `Store.commit`."""
        if not writes:
            return []
        replies = await self._in_thread(lambda: self._exchange(packed_writes(writes, self._tail)))
        # The first reply is that of SCRIPT LOAD.
        return [reply == 1 for reply in islice(replies, 1, None)]

    async def put_names(self, names: Mapping[str, Mapping[int, str]]) -> None:
        """See `Store.put_names`. The bound is checked before, so two round trips."""
        await self._in_thread(lambda: self._put_names(names))

    async def names(self, kind: str, hashes: Sequence[int]) -> list[str | None]:
        """See `Store.names`."""
        if not hashes:
            return []
        fields = [name_field(token_hash) for token_hash in hashes]
        found: list[bytes | None] = await self._in_thread(
            lambda: self._redis.hmget(names_key(kind), fields)
        )
        return [None if name is None else name.decode() for name in found]

    async def put_spec(self, spec_hash: str, layout: bytes) -> None:
        """See `Store.put_spec`. It outlives every profile that was written under it."""
        await self._in_thread(
            lambda: self._redis.set(spec_key(spec_hash), layout, ex=2 * self._state_ttl_s)
        )

    async def spec(self, spec_hash: str) -> bytes | None:
        """See `Store.spec`."""
        found: bytes | None = await self._in_thread(lambda: self._redis.get(spec_key(spec_hash)))
        return found

    async def put_figures(self, key: str, fields: Mapping[str, str | bytes]) -> None:
        """See `Store.put_figures`."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hset(key, mapping={**fields})
        pipeline.expire(key, FIGURES_TTL_S)
        await self._in_thread(pipeline.execute)

    async def figures(self, key: str) -> dict[str, bytes]:
        """See `Store.figures`."""
        found: dict[bytes, bytes] = await self._in_thread(lambda: self._redis.hgetall(key))
        return {field.decode(): value for field, value in found.items()}

    async def scan(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """See `Store.scan`. Remembers every pid: about 130 MB per million profiles."""
        prefix, suffix = state_key("*").split("*")
        seen: set[str] = set()
        cursor = -1
        while cursor != 0:
            page = partial(self._redis.scan, max(cursor, 0), match=state_key("*"), count=SCAN_CHUNK)
            cursor, keys = await self._in_thread(page)
            # SCAN may give a key twice while the table shrinks.
            pids = {key.decode().removeprefix(prefix).removesuffix(suffix) for key in keys} - seen
            seen |= pids
            order = list(pids)
            states = await self.load(order)
            yield [(p, s) for p, s in zip(order, states, strict=True) if s is not None]

    async def durability(self) -> Durability:
        """See `Store.durability`; ``unknown`` where the server does not let us look."""
        found = await self._in_thread(self._appendonly)
        return "aof" if found == "yes" else "none" if found == "no" else "unknown"

    async def until_durable(self) -> bool:
        """See `Store.until_durable`."""
        return False

    def rejoin(self) -> None:
        """See `Store.rejoin`."""

    async def ping(self) -> None:
        """See `Store.ping`."""
        await self._in_thread(self._redis.ping)

    async def close(self) -> None:
        """See `Store.close`. Waits for what is on the wire, at most the timeout."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._pool.close()

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, _run, work)

    def _exchange(self, requests: Iterable[Request]) -> list[Any]:
        """Send chunk after chunk, and read each one's replies while the server has the next."""
        connection: Any = self._pool.get_connection()
        try:
            replies: list[Any] = []
            read = connection.read_response
            waiting = 0
            for packed, n_replies in requests:
                connection.send_packed_command([packed], check_health=False)
                replies.extend([read() for _ in range(waiting)])
                waiting = n_replies
            replies.extend([read() for _ in range(waiting)])
        except BaseException:
            # Replies that nobody has read would answer the next request.
            connection.disconnect()
            raise
        finally:
            self._pool.release(connection)
        return replies

    def _appendonly(self) -> str:
        try:
            found: dict[str, str] = self._redis.config_get("appendonly")
        except ResponseError:  # managed services forbid or rename the command
            return ""
        return found.get("appendonly", "")

    def _put_names(self, names: Mapping[str, Mapping[int, str]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for kind in names:
            pipeline.hlen(names_key(kind))
        for (kind, new), n_known in zip(names.items(), pipeline.execute(), strict=True):
            key = names_key(kind)
            fields = [(name_field(token_hash), name) for token_hash, name in new.items()]
            room = max(0, self._names_max - n_known)
            if room < len(fields):
                known = self._redis.hmget(key, [field for field, _ in fields])
                fields = [f for f, old in zip(fields, known, strict=True) if old is None]
                self._names_dropped += max(0, len(fields) - room)
            for chunk in chunks(fields[:room], NAMES_PER_COMMAND):
                pipeline.hset(key, mapping=dict(chunk))
            pipeline.expire(key, 2 * self._state_ttl_s)
        pipeline.execute()


def _run(work: Callable[[], _Result]) -> _Result:
    with our_errors():
        return work()

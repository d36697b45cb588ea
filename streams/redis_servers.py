"""The way to what is behind one address: one server (here), or a cluster (`streams.redis_cluster`).

What was opened is good until a server is met again as another; then `RedisStore.rejoin` opens anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Protocol

import redis

from profiler.errors import ConfigurationError
from streams.redis_cluster import Cluster
from streams.redis_commands import (
    Request,
    packed_marks,
    packed_reads,
    packed_rows,
    packed_views,
    packed_writes,
)
from streams.redis_durability import Marks
from streams.redis_errors import SETTING
from streams.redis_exchange import connections, leased, pipelined
from streams.redis_incarnations import Incarnations
from streams.store import MARK_KEY, RowWrite, Write, state_key


class Servers(Protocol):
    """Where a store's commands go. Every method blocks, and may be called by any thread."""

    @property
    def commands(self) -> Any:
        """A client of redis-py, for what is not of a batch."""

    @property
    def changed(self) -> bool:
        """Whether a server was met again as another."""

    def masters(self) -> list[Any]:
        """One client of redis-py for each server that takes writes."""

    def load(
        self, pids: Sequence[str], key_of: Callable[[str], str] = state_key
    ) -> list[bytes | None]:
        """See `Store.load`; and `Store.traits`, with their keys."""

    def marked(self, mark: str, pids: Sequence[str]) -> list[int]:
        """1 where there is one, see `Store.marked`."""

    def views(self, pids: Sequence[str]) -> list[list[bytes]]:
        """Fields and values in turn, see `Store.views`."""

    def commit(self, writes: Sequence[Write]) -> list[bool]:
        """See `Store.commit`."""

    def put_rows(self, writes: Sequence[RowWrite], ttl_ms: int) -> list[bool]:
        """See `Store.put_rows`."""

    def until_durable(self) -> bool:
        """See `Store.until_durable`."""

    def close(self) -> None:
        """Let go of the connections that nobody uses."""


class SingleServer:
    """One server.

    Parameters
    ----------
    pool
        Connections to it, which `incarnations` greets.
    incarnations
        Who was met.
    marks
        To wait for its disk.
    tail
        See `streams.redis_commands.packed_writes`.
    """

    def __init__(
        self, pool: redis.ConnectionPool, incarnations: Incarnations, marks: Marks, tail: bytes
    ) -> None:
        self._pool = pool
        self._incarnations = incarnations
        self._marks = marks
        self._tail = tail
        # Its stubs cannot know that we never ask for decoded replies.
        self._commands: Any = redis.Redis(connection_pool=pool)

    @property
    def commands(self) -> Any:
        """See `Servers.commands`."""
        return self._commands

    @property
    def changed(self) -> bool:
        """See `Servers.changed`."""
        return self._incarnations.changed

    def masters(self) -> list[Any]:
        """See `Servers.masters`."""
        return [self._commands]

    def load(
        self, pids: Sequence[str], key_of: Callable[[str], str] = state_key
    ) -> list[bytes | None]:
        """See `Servers.load`."""
        return self._exchange(packed_reads(map(key_of, pids)))

    def marked(self, mark: str, pids: Sequence[str]) -> list[int]:
        """See `Servers.marked`."""
        return self._exchange(packed_marks(mark, pids))

    def views(self, pids: Sequence[str]) -> list[list[bytes]]:
        """See `Servers.views`."""
        return self._exchange(packed_views(pids))

    def commit(self, writes: Sequence[Write]) -> list[bool]:
        """See `Servers.commit`."""
        replies = self._exchange(packed_writes(writes, self._tail))
        # The first reply is that of SCRIPT LOAD.
        return [reply == 1 for reply in islice(replies, 1, None)]

    def put_rows(self, writes: Sequence[RowWrite], ttl_ms: int) -> list[bool]:
        """See `Servers.put_rows`."""
        return [reply == 1 for reply in self._exchange(packed_rows(writes, ttl_ms))]

    def until_durable(self) -> bool:
        """See `Servers.until_durable`."""
        with leased(self._pool, self._incarnations) as connection:
            if self._marks.cannot_tell:
                self._incarnations.verify(connection)
                return False
            return self._marks.place(connection, MARK_KEY) and self._marks.wait(connection)

    def close(self) -> None:
        """See `Servers.close`."""
        self._pool.disconnect(inuse_connections=False)

    def _exchange(self, requests: Iterable[Request]) -> list[Any]:
        replies: list[Any] = []
        with leased(self._pool, self._incarnations) as connection:
            for _ in pipelined(connection, requests, connection.read_response, replies):
                pass
        return replies


def open_servers(url: str, *, timeout_s: float, tail: bytes, closing: threading.Event) -> Servers:
    """Meet the server behind `url`, and go to all of its cluster if it is part of one."""
    incarnations = Incarnations()
    pool = connections(url, timeout_s, incarnations)
    with leased(pool, incarnations):
        pass
    if incarnations.clustered:
        if "path" in pool.connection_kwargs:
            raise ConfigurationError(SETTING, "the address of a cluster is redis:// or rediss://")
        incarnations = Incarnations()
        marks = Marks(incarnations, timeout_s=timeout_s, closing=closing)
        return Cluster(url, pool, incarnations, marks, tail)
    marks = Marks(incarnations, timeout_s=timeout_s, closing=closing)
    return SingleServer(pool, incarnations, marks, tail)

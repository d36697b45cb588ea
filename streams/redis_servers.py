"""The way to the servers behind one address: `SingleServer` here, `streams.redis_cluster` for many.

What was opened is good until a server is met again as another; then `RedisStore.rejoin` opens anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final, Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streams.redis_commands import Request, packed_reads, packed_writes
from streams.redis_durability import Marks
from streams.redis_incarnations import Incarnations
from streams.store import MARK_KEY, Erasure, ProfileWrite

READ_BYTES: Final = 65_536
"""Per read from the socket. Each return from the kernel has to win the interpreter lock again, but
hiredis moves all that it still holds after every reply of 1 KiB: at 1 MiB a load costs thrice."""
CONNECTIONS_MAX: Final = 8
"""Per server: four threads of the store, its wait, the small commands."""


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

    def load(self, pids: Sequence[str]) -> list[bytes | None]:
        """See `Store.load`."""

    def commit(self, writes: Sequence[ProfileWrite | Erasure]) -> list[bool]:
        """See `Store.commit`."""

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

    def load(self, pids: Sequence[str]) -> list[bytes | None]:
        """See `Servers.load`."""
        return self._exchange(packed_reads(pids))

    def commit(self, writes: Sequence[ProfileWrite | Erasure]) -> list[bool]:
        """See `Servers.commit`."""
        replies = self._exchange(packed_writes(writes, self._tail))
        # The first reply is that of SCRIPT LOAD.
        return [reply == 1 for reply in islice(replies, 1, None)]

    def until_durable(self) -> bool:
        """See `Servers.until_durable`."""
        self._incarnations.check()
        if self._marks.cannot_tell:
            return False
        with leased(self._pool, self._incarnations) as connection:
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


def connections(url: str, timeout_s: float, incarnations: Incarnations) -> redis.ConnectionPool:
    """Make a pool for the server at `url`, which connects to nothing yet."""
    return redis.ConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS_MAX,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        socket_read_size=READ_BYTES,
        # Version 2 has one reply per command and no pushed messages between them.
        protocol=2,
        # The worker pauses, backs off and tells about it: a second layer would hide that.
        retry=Retry(NoBackoff(), 0),
        redis_connect_func=incarnations.greet,
    )


@contextmanager
def leased(pool: redis.ConnectionPool, incarnations: Incarnations) -> Iterator[Any]:
    """Take a connection, for an exchange with the servers that were met first and no others."""
    incarnations.check()
    connection: Any = pool.get_connection()
    try:
        # Taking it may have met another server.
        incarnations.check()
        yield connection
        # So may another thread meanwhile, and then this one may have talked to the old server.
        incarnations.check()
    except BaseException:
        # Replies that nobody has read would answer the next request.
        connection.disconnect()
        incarnations.check()
        raise
    finally:
        pool.release(connection)


def pipelined(
    connection: Any, requests: Iterable[Request], read: Callable[[], Any], replies: list[Any]
) -> Iterator[None]:
    """Send chunk after chunk, and read each one's replies while the server has the next.

    Yields after each chunk, so that several servers can be served in turn.
    """
    waiting = 0
    for packed, n_replies in requests:
        connection.send_packed_command([packed], check_health=False)
        replies.extend([read() for _ in range(waiting)])
        waiting = n_replies
        yield
    replies.extend([read() for _ in range(waiting)])


def open_servers(url: str, *, timeout_s: float, tail: bytes, closing: threading.Event) -> Servers:
    """Meet the servers behind `url`."""
    incarnations = Incarnations()
    pool = connections(url, timeout_s, incarnations)
    marks = Marks(incarnations, timeout_s=timeout_s, closing=closing)
    return SingleServer(pool, incarnations, marks, tail)

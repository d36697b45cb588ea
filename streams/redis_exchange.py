"""Connections to servers, and the pipelined exchange of a batch on one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from streams.redis_commands import Request
from streams.redis_incarnations import Incarnations

READ_BYTES: Final = 65_536
"""Per read from the socket. Each return from the kernel has to win the interpreter lock again, but
hiredis moves all that it still holds after every reply of 1 KiB: at 1 MiB a load costs thrice."""
CONNECTIONS_MAX: Final = 8
"""Per server: four threads of the store, its wait, the small commands."""


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


def connections_to(
    host: str, port: int, like: redis.ConnectionPool, incarnations: Incarnations
) -> redis.ConnectionPool:
    """Make a pool for another server, with all options of an existing one."""
    options = {**like.connection_kwargs, "host": host, "port": port}
    options["redis_connect_func"] = incarnations.greet
    return redis.ConnectionPool(like.connection_class, like.max_connections, **options)


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

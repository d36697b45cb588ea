"""Whether a server is still the one that was met first.

A server that restarts, or a replica that takes its place, may lack what was acknowledged. Then its
run id (one per process) or its replication id (one per history of writes) is another. Both are
asked of every new connection, before anything else is said on it. A server also takes a new
replication id when its first replica joins: to repeat a few seconds then does no harm.
"""

from __future__ import annotations

from typing import Any, Final

from redis.exceptions import ResponseError

from profiler.errors import StoreRestarted
from streams.log import get_logger

_IDENTITY: Final = ("run_id", "master_replid")

_log = get_logger(component="store")


class Incarnations:
    """The servers that were met since the start, or since the last `Store.rejoin`.

    Threads share it. It never goes back: once a server came as another, `check` raises for good,
    so that no exchange from before can pass for one with the servers of now.

    Attributes
    ----------
    clustered
        Whether a server said that it is part of a cluster.
    """

    def __init__(self) -> None:
        self.clustered = False
        self._first: dict[str, tuple[str, ...]] = {}
        self._loss = ""
        self._is_blind = False

    @property
    def changed(self) -> bool:
        """Whether `check` raises."""
        return bool(self._loss)

    def check(self) -> None:
        """Raise `StoreRestarted` if a server came as another than it was."""
        if self._loss:
            raise StoreRestarted(self._loss)

    def lose(self, why: str) -> None:
        """Have `check` raise from now on."""
        self._loss = why

    def greet(self, connection: Any) -> None:
        """Set up a new connection and see whom it has reached: a hook of redis-py's pools."""
        connection.on_connect()
        self.verify(connection)

    def verify(self, connection: Any) -> dict[str, str]:
        """See who is at the other end, and return what it says of itself (`INFO`).

        Nothing, where the server does not let us ask: then a restart goes unnoticed.
        """
        try:
            info = _info(connection, "server") | _info(connection, "replication")
        except ResponseError as refused:  # managed services may forbid the command
            if not self._is_blind:
                self._is_blind = True
                _log.warning("restarts_unnoticed", fault=f"INFO is refused: {refused}")
            return {}
        self.clustered |= "cluster" in (info.get("redis_mode"), info.get("server_mode"))
        identity = tuple(info.get(field, "") for field in _IDENTITY)
        address = address_of(connection)
        # One step, so that of two threads that meet another server one must see the difference.
        if all(identity) and self._first.setdefault(address, identity) != identity:
            self.lose(f"{address} is not the server that it was: it may have lost writes")
        return info


def address_of(connection: Any) -> str:
    """Where a connection leads: ``host:port``, or the path of a socket."""
    path: str | None = getattr(connection, "path", None)
    return path or f"{connection.host}:{connection.port}"


def _info(connection: Any, section: str) -> dict[str, str]:
    connection.send_command("INFO", section)
    lines = connection.read_response().decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)

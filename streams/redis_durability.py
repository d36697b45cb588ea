"""Waiting until a server has on disk what it was given.

``WAITAOF`` waits for the writes of its own connection. So a mark is written on one connection,
after all that is to be waited for, and that connection waits for it: the file is written in order.
"""

from __future__ import annotations

import threading
from typing import Any, Final

from redis.exceptions import NoPermissionError, ResponseError

from profiler.errors import StoreUnavailable
from streams.log import get_logger
from streams.redis_incarnations import Incarnations

MARK_TTL_S: Final = 86_400
HONEST_SINCE: Final = 8
"""First Redis whose WAITAOF can be believed under ``appendfsync everysec``: before, it returns once
the bytes are written, up to a second before they are synced, because anything written within a
second of the last sync counts as synced (redis/redis#13793). Every Valkey until 9.1 does it too;
they all call themselves Redis 7.2 here. Under ``always`` there is nothing to be wrong about."""
_INCAPABLE: Final = ("unknown command", "appendonly is disabled")

_log = get_logger(component="store")


class Marks:
    """Marks on the servers, and the wait until they are on disk.

    Parameters
    ----------
    incarnations
        Are asked again each time: behind a proxy the server may change under a living connection.
    timeout_s
        Of sockets: no single wait lasts longer than half of it.
    closing
        Ends a wait.
    """

    def __init__(
        self, incarnations: Incarnations, *, timeout_s: float, closing: threading.Event
    ) -> None:
        self._incarnations = incarnations
        self._wait_ms = max(1, int(timeout_s * 500))
        self._closing = closing
        self._cannot_tell = False

    @property
    def cannot_tell(self) -> bool:
        """Whether some server was found unable to say what it has on disk."""
        return self._cannot_tell

    def place(self, connection: Any, key: str) -> bool:
        """Write a mark, and return True if its server can tell when it is on disk."""
        info = self._incarnations.verify(connection)
        self._incarnations.check()
        policy = _policy(connection)
        version = info.get("redis_version", "")
        if not is_believable(policy, version):
            return self._doubt(f"redis_version {version or '?'} with appendfsync {policy or '?'}")
        _ask(connection, "SET", key, "", "EX", MARK_TTL_S)
        return True

    def wait(self, connection: Any) -> bool:
        """Return True once the mark that was placed on this connection is on disk."""
        while True:
            try:
                n_synced, _ = _ask(connection, "WAITAOF", 1, 0, self._wait_ms)
            except NoPermissionError as refused:
                return self._doubt(str(refused))
            except ResponseError as refused:
                if not any(reason in str(refused) for reason in _INCAPABLE):
                    raise
                return self._doubt(str(refused))
            self._incarnations.check()
            if n_synced:
                return True
            if self._closing.is_set():
                raise StoreUnavailable("closed while waiting for the append-only file")

    def _doubt(self, why: str) -> bool:
        if not self._cannot_tell:
            self._cannot_tell = True
            _log.info("durability_unconfirmed", why=why)
        return False


def is_believable(policy: str, version: str) -> bool:
    """Whether a server knows what it has on disk.

    Parameters
    ----------
    policy
        Its ``appendfsync``; empty where it does not show it.
    version
        Its ``redis_version``, which Valkey has too.

    Examples
    --------
    >>> is_believable("everysec", "8.2.1"), is_believable("everysec", "7.2.4")
    (True, False)
    >>> is_believable("always", "7.2.4"), is_believable("no", "8.2.1")
    (True, False)
    """
    major = version.partition(".")[0]
    is_honest = major.isdigit() and int(major) >= HONEST_SINCE
    return policy == "always" or (policy != "no" and is_honest)


def _policy(connection: Any) -> str:
    try:
        found = _ask(connection, "CONFIG", "GET", "appendfsync")
    except ResponseError:  # managed services forbid or rename the command
        return ""
    policy: str = found[1].decode() if found else ""
    return policy


def _ask(connection: Any, *words: str | int) -> Any:
    connection.send_command(*words)
    return connection.read_response()

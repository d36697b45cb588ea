"""The folder of a load on disk: what has been sorted, and which parts are done."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from profiler.errors import UsageError
from streams.backfill_process import Applied, FileOrigin, Origin
from streams.spool import Spooled, read_index

_MANIFEST: Final = "manifest.json"
_LOCK: Final = "lock"


class Manifest(Struct, kw_only=True):
    """What is known of a load here.

    Parameters
    ----------
    load_id
        Its name.
    origins
        What is read.
    parts
        How many parts the records are sorted into.
    started_ms
        When the load began in the store, as that knows it: another store has nothing of it.
    done
        What became of those that the store has on disk.
    """

    load_id: str
    origins: list[Origin]
    parts: int
    started_ms: int
    done: dict[int, Applied] = {}


class Folder:
    """The folder of one load; nobody else may use it meanwhile, nor read it.

    Parameters
    ----------
    parent
        Where it is, or is made. It holds the records as they are, raw ids included.
    plan
        The load that it is for, after which it is named. If it has been begun already, its parts
        stay, and its origins but for their names; what is done stays if that is so in this store.

    Attributes
    ----------
    manifest
        What is known of the load.
    is_new
        Whether it has just been begun here.

    Raises
    ------
    UsageError
        If it cannot be used: in use, or not writable.
    """

    def __init__(self, parent: Path, plan: Manifest) -> None:
        self._path = path = parent / plan.load_id
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock: IO[bytes] = (path / _LOCK).open("wb")
        except OSError as fault:
            raise UsageError(f"{path}: {fault.strerror}") from fault
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UsageError(f"{path}: another process is at this load") from None
        found = self._read()
        self.is_new = found is None
        self.manifest = _resumed(found, plan) if found else plan
        self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.close()

    def spool_path(self, origin: int) -> Path:
        """Where the records of an origin go."""
        return self._path / f"{origin:06d}.spool"

    def spooled(self) -> dict[Path, Spooled]:
        """All origins that are sorted, in their order."""
        return {path: read_index(path) for path in sorted(self._path.glob("*.spool"))}

    def note_done(self, parts: Mapping[int, Applied]) -> None:
        """Keep which parts are done."""
        self.manifest.done |= parts
        self._write()

    def write_rejected(self, target: Path) -> None:
        """Put the lists of what cannot be applied together.

        Raises
        ------
        UsageError
            If the file cannot be written.
        """
        try:
            with open(target, "wb", opener=_private) as file:
                for path in sorted(self._path.glob("*.rejected")):
                    with path.open("rb") as part:
                        shutil.copyfileobj(part, file)
        except OSError as fault:
            raise UsageError(f"{target}: {fault.strerror}") from fault

    def remove(self) -> None:
        """Delete all of it: the load is done."""
        shutil.rmtree(self._path)

    def _read(self) -> Manifest | None:
        path = self._path / _MANIFEST
        try:
            return msgspec.json.decode(path.read_bytes(), type=Manifest)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as fault:
            raise UsageError(f"{path} is damaged ({fault}): remove its folder") from fault

    def _write(self) -> None:
        path = self._path / _MANIFEST
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            file.write(msgspec.json.encode(self.manifest))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)


def default_parent() -> Path:
    """Where the folders of loads are by default: in the user's cache."""
    return Path.home() / ".cache" / "profiler" / "backfill"


def _resumed(found: Manifest, plan: Manifest) -> Manifest:
    """What was begun, of files that may have been moved, in a store that may be another one."""
    names = dict(zip(_paths(found), _paths(plan), strict=True))
    origins = [
        replace(origin, paths=tuple(names[path] for path in origin.paths))
        if isinstance(origin, FileOrigin)
        else origin
        for origin in found.origins
    ]
    done = found.done if found.started_ms == plan.started_ms else {}
    return replace(found, origins=origins, started_ms=plan.started_ms, done=done)


def _paths(manifest: Manifest) -> list[str]:
    origins = [origin for origin in manifest.origins if isinstance(origin, FileOrigin)]
    return list(dict.fromkeys(path for origin in origins for path in origin.paths))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)

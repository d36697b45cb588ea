"""A spool: records on disk, sorted into the parts of a load, to be read part by part.

One file for each origin (a data file, a partition of a topic): blocks of records, each of one part,
then an index of them, then the place of the index. A file without an index was never finished.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
from msgspec import Struct

from profiler.errors import UsageError
from profiler.records import RawRecord, Record

BLOCK_RECORDS: Final = 128
"""Of one part, kept in memory until they are written."""

_PLACE_BYTES: Final = 8


class Spooled(Struct, frozen=True, kw_only=True):
    """What is known of an origin once it is on disk.

    Parameters
    ----------
    records
        Records that were read.
    outside
        Events that were left out because of their time.
    unused
        Records that say nothing a profile could use.
    rejected
        Records that cannot be applied, by reason.
    blocks
        Offset and length of each block, by part, in order.
    """

    records: int
    outside: int
    unused: int
    rejected: dict[str, int]
    blocks: dict[int, list[tuple[int, int]]]


class SpoolWriter:
    """Writes one origin's records; what was begun and not closed counts as never written.

    Parameters
    ----------
    path
        Of the finished file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_suffix(".unfinished")
        self._file = self._unfinished.open("wb")
        self._waiting: dict[int, list[Record]] = {}
        self._blocks: dict[int, list[tuple[int, int]]] = {}
        self.n_records = 0
        self.n_outside = 0
        self.n_unused = 0
        self.rejected: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._finish()
        self._file.close()

    def add(self, part: int, record: Record) -> None:
        """Keep a record for a part."""
        waiting = self._waiting.setdefault(part, [])
        waiting.append(record)
        if len(waiting) == BLOCK_RECORDS:
            self._write(part)

    def _write(self, part: int) -> None:
        block = _ENCODE(self._waiting.pop(part))
        self._blocks.setdefault(part, []).append((self._file.tell(), len(block)))
        self._file.write(block)

    def _finish(self) -> None:
        for part in list(self._waiting):
            self._write(part)
        index = Spooled(
            records=self.n_records,
            outside=self.n_outside,
            unused=self.n_unused,
            rejected=dict(self.rejected),
            blocks=self._blocks,
        )
        place = self._file.tell()
        self._file.write(_ENCODE(index) + place.to_bytes(_PLACE_BYTES, "little"))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._unfinished.replace(self._path)


def read_index(path: Path) -> Spooled:
    """Read what is known of a finished origin.

    Raises
    ------
    UsageError
        If the file is not a spool, or damaged.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(-_PLACE_BYTES, os.SEEK_END)
            place = int.from_bytes(file.read(_PLACE_BYTES), "little")
            file.seek(place)
            return _DECODE_INDEX(file.read(end - place))
    except (OSError, ValueError, msgspec.DecodeError) as fault:
        raise UsageError(f"{path} is damaged ({fault}): remove its folder, and begin again") from (
            fault
        )


def read_part(origins: Mapping[Path, Spooled], part: int) -> list[RawRecord]:
    """Give all records of a part, those of each file or partition in their order."""
    records: list[RawRecord] = []
    for path, index in origins.items():
        if blocks := index.blocks.get(part):
            with path.open("rb") as file:
                for place, n_bytes in blocks:
                    file.seek(place)
                    records += _DECODE(file.read(n_bytes))
    records.sort(key=itemgetter(slice(3)))
    return records


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(list[RawRecord]).decode
_DECODE_INDEX: Final = msgspec.msgpack.Decoder(Spooled).decode

"""What a backfill reads, and under which name: files, or a topic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import xxhash

from profiler.errors import UsageError
from streams.backfill_process import FileOrigin, Origin, TopicOrigin
from streams.eventlog import ends_of
from streams.formats import source_of
from streams.replay import ReplayOptions
from streams.settings import Settings

ROW_BYTES: Final = 64
PACKED_ROW_BYTES: Final = 12
"""Of a row of a data file, plain and packed, at least: guesses for the number of parts only."""

PACKED: Final = (".gz", ".parquet", ".zst")
GLANCE_BYTES: Final = 1 << 20


def file_origins(
    paths: Sequence[Path], source: str, mapping: Path | None, options: ReplayOptions
) -> tuple[list[Origin], int]:
    """Origins of data files, and about how many records they have.

    Raises
    ------
    UsageError, ConfigurationError
        If they cannot be read so.
    """
    source_of(source, mapping)
    names = [str(path) for path in paths]
    # What is counted or compared over all files is read by one process.
    is_one = options.limit is not None or options.drop_duplicates
    several = [names] if is_one else [[name] for name in names]
    origins: list[Origin] = [
        FileOrigin(
            paths=tuple(some),
            source=source,
            mapping=None if mapping is None else str(mapping),
            options=options,
        )
        for some in several
    ]
    records = sum(
        path.stat().st_size // (PACKED_ROW_BYTES if path.suffix in PACKED else ROW_BYTES)
        for path in paths
    )
    return origins, min(records, options.limit or records)


def topic_origins(settings: Settings, topic: str) -> tuple[list[Origin], int]:
    """Origins of a topic's partitions up to their present ends, and how many records they have.

    Raises
    ------
    UsageError
        If there is no such topic.
    BrokerUnavailable
        If no broker answers.
    """
    ends = ends_of(settings, topic)
    return (
        [TopicOrigin(topic=topic, partition=n, end=end) for n, end in sorted(ends.items())],
        sum(ends.values()),
    )


def load_id_of(origins: Sequence[Origin], until_ms: int) -> str:
    """Name a load by what is read: the same command on the same data is the same load.

    Raises
    ------
    UsageError
        If a file cannot be read.
    """
    digest = xxhash.xxh3_64(b"%d" % until_ms)
    for origin in origins:
        if isinstance(origin, TopicOrigin):
            # Not its end: the topic may have grown since.
            digest.update(f"{origin.topic}:{origin.partition}".encode())
        else:
            digest.update(msgspec.json.encode(origin))
            for path in map(Path, (*origin.paths, *filter(None, [origin.mapping]))):
                digest.update(_glance(path))
    return digest.hexdigest()


def _glance(path: Path) -> bytes:
    """Length, beginning and end of a file: what changes if it is another."""
    try:
        with path.open("rb") as file:
            start = file.read(GLANCE_BYTES)
            length = file.seek(0, 2)
            file.seek(max(0, length - GLANCE_BYTES))
            return b"%d:" % length + start + file.read()
    except OSError as fault:
        raise UsageError(f"{path}: {fault.strerror}") from fault

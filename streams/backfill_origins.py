"""What a backfill reads, and under which name: files, or a topic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import xxhash

from profiler.errors import UsageError
from profiler.events import TS_MAX_MS
from profiler.sources.table import moment
from streams.backfill_process import FileOrigin, Origin, TopicOrigin
from streams.eventlog import ends_of_topic
from streams.files import about_n_lines
from streams.formats import source_of
from streams.replay import ReplayOptions
from streams.settings import Settings

SLICES_MAX: Final = 4
"""Reading is a third of the work: more would mostly read."""

GLANCE_BYTES: Final = 1 << 20


def file_origins(
    paths: Sequence[Path],
    source: str,
    mapping: Path | None,
    options: ReplayOptions,
    processes: int,
) -> tuple[list[Origin], int]:
    """Origins of data files, and about how many records they have.

    Parameters
    ----------
    processes
        That share the work: where there are fewer files, several take turns at the same one.

    Raises
    ------
    UsageError, ConfigurationError
        If they cannot be read so.
    """
    source_of(source, mapping)
    names = [str(path) for path in paths]
    # What is counted or compared over all files is read by one process.
    is_one = options.limit is not None or options.distinct
    several = [names] if is_one else [[name] for name in names]
    # Each of them reads all lines, and the duplicates' digests would be in memory as often.
    slices = 1 if options.distinct else min(SLICES_MAX, max(1, processes // len(several)))
    origins: list[Origin] = [
        FileOrigin(
            paths=tuple(some),
            source=source,
            mapping=None if mapping is None else str(mapping),
            options=options,
            slice=one,
            slices=slices,
        )
        for some in several
        for one in range(slices)
    ]
    records = sum(map(about_n_lines, paths))
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
    ends = ends_of_topic(settings, topic)
    return (
        [TopicOrigin(topic=topic, partition=n, end=end) for n, end in sorted(ends.items())],
        sum(ends.values()),
    )


def until_ms_of(settings: Settings, before: str | None) -> int:
    """Tell where a load ends and the live stream goes on: as given, or as the settings say.

    Raises
    ------
    UsageError
        If it is no time.
    """
    if before is None:
        return settings.live_from_ms or TS_MAX_MS + 1
    found = moment(before)
    if isinstance(found, str) or not 1 <= found <= TS_MAX_MS:
        raise UsageError(f"--before {before!r}: give a time like 2024-06-01T00:00:00Z")
    return found


def load_id_of(origins: Sequence[Origin], until_ms: int) -> str:
    """Name a load by what is read: the same command on the same data is the same load.

    Raises
    ------
    UsageError
        If a file cannot be read.
    """
    digest = xxhash.xxh3_64(b"%d" % until_ms)
    for origin in origins:
        if isinstance(origin, FileOrigin) and origin.slice:
            continue
        if isinstance(origin, TopicOrigin):
            # Not its end: the topic may have grown since.
            digest.update(f"{origin.topic}:{origin.partition}".encode())
        else:
            # Nor the slice: another machine may have more processors. Nor names: files are moved.
            whole = msgspec.structs.replace(origin, paths=(), mapping=None, slice=0, slices=1)
            digest.update(msgspec.json.encode(whole))
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

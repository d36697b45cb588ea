"""The past as it can still be read: the topic of events, data files, or both.

It is read from its beginning as often as somebody wants, and given as records: those of a file
stand in a topic of the file's name, and have no timestamp.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from msgspec import Struct
from tqdm import tqdm

from profiler.decoding import Decoder
from profiler.errors import UsageError
from profiler.events import AnyEvent, Identify
from profiler.families import Families
from profiler.guard import BATCH_HEADERS
from profiler.linking import Subject
from profiler.privacy.pseudonym import subject_of
from profiler.records import RawRecord, Record
from profiler.sources import Source
from streams.eventlog import beginnings_of, ends_of, records_between
from streams.files import read_lines, stem
from streams.formats import decoder_of, source_of
from streams.past_options import PastOptions
from streams.replay import load
from streams.settings import Settings

FILE_RECORDS: Final = 8_192
FILE_PARTITION: Final = 0


class Files(Struct, frozen=True):
    """Data files, as `profiler replay` would send them.

    Parameters
    ----------
    paths
        In their order.
    source
        Their format.
    """

    paths: Sequence[Path]
    source: Source


class Concerned(NamedTuple):
    """A record, and whose it is.

    Parameters
    ----------
    record
        The record.
    families
        Those of its subjects that are wanted.
    is_historical
        Whether only the times of its events count, as it came after the fact.
    """

    record: Record
    families: set[Subject]
    is_historical: bool


class Past:
    """What is known of the past.

    Parameters
    ----------
    settings
        Whose topic of events, and which sources are historical.
    decoder
        That of the workers.
    files
        Data files to be read before the topic, or instead.
    with_topic
        Whether the topic is read.
    allow_cut
        Whether it may have lost its beginning to retention.

    Raises
    ------
    UsageError
        If the topic, or a file, is missing, or the topic has lost its beginning.
    BrokerUnavailable
        If no broker answers.
    """

    def __init__(
        self,
        settings: Settings,
        decoder: Decoder,
        *,
        files: Files | None = None,
        with_topic: bool = True,
        allow_cut: bool = False,
    ) -> None:
        self.n_records = 0
        self._settings = settings
        self._decoder = decoder
        self._files = files
        self._ends = ends_of(settings) if with_topic else {}
        self._starts = (
            beginnings_of(settings, settings.topic("events"), self._ends) if with_topic else {}
        )
        if not allow_cut:
            require_whole(settings, self._starts)
        if files is not None:
            load(files.paths, files.source)  # refuses what it cannot read

    def families(self, *, progress: bool | None = None) -> Families[Subject]:
        """Read everything once: who was ever linked with whom."""
        families = Families[Subject]()
        self.n_records = 0
        for records in self._batches("links", progress):
            self.n_records += len(records)
            for event in self._decoder.decode(records).events:
                if isinstance(event, Identify):
                    first, *others = _subjects_of(event)
                    for other in others:
                        families.join(first, other)
        return families

    def concerning(
        self,
        families: Families[Subject],
        wanted: Collection[Subject],
        *,
        progress: bool | None = None,
    ) -> Iterator[Concerned]:
        """Read everything once: records about these families, given by their roots."""
        historical = frozenset(self._settings.historical_sources)
        for records in self._batches("events", progress):
            events, at, *_ = self._decoder.decode(records)
            theirs: dict[int, set[Subject]] = {}
            recent: set[int] = set()
            for event, k in zip(events, at.tolist(), strict=True):
                for subject in _subjects_of(event):
                    if (root := families.root(subject)) in wanted:
                        theirs.setdefault(k, set()).add(root)
                if event.source not in historical:
                    recent.add(k)
            for k, roots in theirs.items():
                is_historical = k not in recent or not records[k].timestamp
                yield Concerned(records[k], roots, is_historical)

    def _batches(self, what: str, progress: bool | None) -> Iterator[Sequence[Record]]:
        total = sum(end - self._starts[n] for n, end in self._ends.items())
        disable = None if progress is None else not progress
        bar: tqdm[NoReturn]
        with tqdm(
            total=None if self._files else total,
            desc=what,
            unit=" records",
            unit_scale=True,
            disable=disable,
        ) as bar:
            for records in self._all():
                yield records
                bar.update(len(records))

    def _all(self) -> Iterator[Sequence[Record]]:
        if self._files is not None:
            for path in self._files.paths:
                yield from _file_records(path, self._files.source)
        if self._ends:
            yield from records_between(
                self._settings, self._settings.topic("events"), self._starts, self._ends
            )


def open_past(settings: Settings, options: PastOptions) -> Past:
    """Open the past that options name.

    Raises
    ------
    UsageError, ConfigurationError
        If something of it cannot be read.
    BrokerUnavailable
        If no broker answers.
    """
    files = options.files
    return Past(
        settings,
        decoder_of(settings),
        files=Files(files, source_of(options.source, options.mapping)) if files else None,
        with_topic=options.with_topic or not files,
        allow_cut=options.force,
    )


def require_whole(settings: Settings, starts: Mapping[int, int]) -> None:
    """Refuse a topic of events that has lost its beginning.

    Raises
    ------
    UsageError
        If it has.
    """
    if cut := sorted(n for n, offset in starts.items() if offset):
        raise UsageError(
            f"partitions {cut} of {settings.topic('events')} no longer begin at offset 0: what was "
            "before is not known from them; use the original files (--file), or --force"
        )


def _subjects_of(event: AnyEvent) -> Sequence[Subject]:
    """All whom an event concerns, the one it is about first."""
    if not isinstance(event, Identify):
        return (event.user_id or subject_of(event),)
    named = (("device", event.device_id), ("anonymous", event.anonymous_id))
    others = [(kind, value) for kind, value in named if value is not None]
    return (event.user_id, *others) if event.user_id is not None else others


def _file_records(path: Path, source: Source) -> Iterator[Sequence[Record]]:
    rows = source.convert(read_lines(path, source.form), stem(path))
    name, offset = path.as_posix(), 0
    while part := list(islice(rows, FILE_RECORDS)):
        yield [
            RawRecord(name, FILE_PARTITION, offset + k, None, row.key, row.value, BATCH_HEADERS)
            for k, row in enumerate(part)
        ]
        offset += len(part)

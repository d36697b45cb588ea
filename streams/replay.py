"""Replays data files into the topic of events, as fast as Kafka takes them or at their own pace.

Records keep the time at which they are sent as their timestamp, also those of ten years ago: the
topic's retention counts from it. Event times are in the events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final, NoReturn

import xxhash
from msgspec import Struct
from tqdm import tqdm

from profiler.errors import UsageError
from profiler.guard import BATCH_HEADERS
from profiler.sources import SOURCES, Converted, Row, See, Source
from profiler.sources.table import objects_of_table
from streams.console import require_files, require_writable
from streams.files import read_lines, stem, unpacked_name
from streams.formats import decoder_of
from streams.ledger import Ledger, passes_screen
from streams.producer import EventProducer, ProducerOptions
from streams.settings import Settings

SLEEP_S_MIN: Final = 0.001
"""Shorter waits are left out: a sleep is not more exact than this."""

TABLE_SUFFIXES: Final = (".csv", ".tsv")
MAPPING: Final = "mapping"

PROGRESS_RECORDS: Final = 500

LINGER_MAX_SPEED_MS: Final = 25


class Speed(Struct, frozen=True):
    """How fast to replay: a multiple of the events' own time, a rate, or (neither) at once.

    Parameters
    ----------
    time_factor
        10 makes ten seconds of the data pass in one.
    events_per_s
        Constant rate.
    """

    time_factor: float | None = None
    events_per_s: float | None = None


MAX_SPEED: Final = Speed()


class ReplayOptions(Struct, frozen=True, kw_only=True):
    """How to replay.

    Parameters
    ----------
    speed
        Pace; see `parse_speed`.
    limit
        Send at most so many records.
    sort
        Bring the records into the order of their event times first, all files together; this takes
        about 400 bytes of memory a record. Pacing by event time always does.
    distinct
        Leave out rows that are equal to one before, byte for byte, in the same or another file.
        Without it, equal rows are different events. Takes about 100 bytes of memory a row.
    ledger
        File to which what was acknowledged is written at the end.
    progress
        Show a bar on standard error; by default where that is a terminal.
    """

    speed: Speed = MAX_SPEED
    limit: int | None = None
    sort: bool = False
    distinct: bool = False
    ledger: Path | None = None
    progress: bool | None = None


DEFAULT_OPTIONS: Final = ReplayOptions()


class ReplayReport(Struct, frozen=True, kw_only=True):
    """What was acknowledged: records (broken rows among them), bytes of their values, duration."""

    events: int
    bytes: int
    seconds: float
    events_per_s: float


def parse_speed(text: str) -> Speed:
    """Read a speed as the command line gives it.

    Raises
    ------
    UsageError
        If it is none.

    Examples
    --------
    >>> parse_speed("10x"), parse_speed("5000"), parse_speed("max")
    (Speed(time_factor=10.0, events_per_s=None), Speed(time_factor=None, events_per_s=5000.0),
     Speed(time_factor=None, events_per_s=None))
    """
    if text == "max":
        return MAX_SPEED
    try:
        number = float(text.removesuffix("x"))
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise UsageError(f"speed {text!r}: give max, a multiple like 10x, or events per second")
    return Speed(time_factor=number) if text.endswith("x") else Speed(events_per_s=number)


def replay(
    paths: Sequence[Path],
    source: Source,
    settings: Settings,
    options: ReplayOptions = DEFAULT_OPTIONS,
) -> ReplayReport:
    """Send the rows of data files to the topic of events; returns when all are acknowledged.

    Interrupted, it sends no more, waits for what was sent, and writes the ledger of that.

    Raises
    ------
    UsageError
        If a file cannot be read, or the ledger not be written; that is found before sending.
    BrokerUnavailable
        If no broker answers, the topic is missing, or a record was not acknowledged.
    """
    records = load(paths, source, options)
    if options.ledger is not None:
        require_writable(options.ledger, paths)
    ledger = (
        Ledger(passes_screen(settings), decoder_of(settings))
        if options.ledger is not None
        else None
    )
    n_bytes = 0
    started_s = time.monotonic()
    producer = EventProducer.of(settings, _producer_options(options.speed), ledger)
    try:
        with producer, _bar(options) as bar:
            for number, record in enumerate(paced(records, options.speed), 1):
                producer.send_raw(record.key, record.value, headers=BATCH_HEADERS)
                n_bytes += len(record.value)
                if number % PROGRESS_RECORDS == 0:
                    bar.update(number - bar.n)
            bar.update(producer.n_sent - bar.n)
    finally:
        if ledger is not None and options.ledger is not None:
            ledger.write(options.ledger)
    seconds = time.monotonic() - started_s
    n_events = producer.n_acknowledged
    return ReplayReport(
        events=n_events, bytes=n_bytes, seconds=seconds, events_per_s=n_events / seconds
    )


def load(
    paths: Sequence[Path], source: Source, options: ReplayOptions = DEFAULT_OPTIONS
) -> Iterator[Converted]:
    """Give the records of data files as `options` want them, but unpaced.

    Raises
    ------
    UsageError
        If a file is missing, or is a table by its name and the source reads none.
    """
    require_readable(paths, source)
    see = _first_of_equals() if options.distinct else None
    records: Iterable[Converted] = chain.from_iterable(
        source.convert(lines_of(path, source), stem(path), see) for path in paths
    )
    if options.sort or options.speed.time_factor is not None:
        records = by_event_time(records)
    return islice(records, options.limit)


def require_readable(paths: Sequence[Path], source: Source) -> None:
    """Refuse files that a source cannot read, before any is opened.

    Raises
    ------
    UsageError
        If a file is missing, or is a table by its name and the source reads none.
    """
    require_files(paths)
    for path in paths:
        _require_form(path, source)


def by_event_time(records: Iterable[Converted]) -> list[Converted]:
    """Sort records by event time; one without a time stays behind its predecessor.

    Examples
    --------
    >>> late, early = Converted(b"u", b"{}", 9), Converted(b"u", b"{}", 1)
    >>> broken = Converted(None, b"?")
    >>> by_event_time([late, broken, early]) == [early, late, broken]
    True
    """
    keyed: list[tuple[int, Converted]] = []
    ts_ms = 0
    for record in records:
        ts_ms = ts_ms if record.ts_ms is None else record.ts_ms
        keyed.append((ts_ms, record))
    keyed.sort(key=lambda pair: pair[0])
    return [record for _, record in keyed]


def paced(
    records: Iterable[Converted],
    speed: Speed,
    clock_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Converted]:
    """Give records when they are due, or at once if that is past; late ones catch up.

    Parameters
    ----------
    records
        In the order in which they are to be sent.
    speed
        Pace. With a time factor the first record's event time is the beginning; a pause in the data
        is a pause in the replay, however long.
    clock_s, sleep
        The world's, unless a test brings its own.
    """
    if speed.time_factor is None and speed.events_per_s is None:
        yield from records
        return
    started_s = clock_s()
    first_ms: int | None = None
    for number, record in enumerate(records):
        due_s = 0.0
        if speed.events_per_s is not None:
            due_s = number / speed.events_per_s
        elif speed.time_factor is not None and record.ts_ms is not None:
            first_ms = record.ts_ms if first_ms is None else first_ms
            due_s = (record.ts_ms - first_ms) / 1000 / speed.time_factor
        wait_s = due_s - (clock_s() - started_s)
        if wait_s > SLEEP_S_MIN:
            sleep(wait_s)
        yield record


def lines_of(path: Path, source: Source) -> Iterator[bytes]:
    """Give the lines of a data file in the form that a source reads."""
    lines = read_lines(path, source.form)
    return objects_of_table(lines) if source.form == "json" and _is_table(path) else lines


def _is_table(path: Path) -> bool:
    return unpacked_name(Path(path.name.lower())).endswith(TABLE_SUFFIXES)


def _require_form(path: Path, source: Source) -> None:
    # A mapping file says which columns mean what, and in which units.
    if source.form == "json" and _is_table(path) and source.name != MAPPING:
        others = ", ".join(other.name for other in SOURCES if other.form == "csv")
        raise UsageError(
            f"{path}: source {source.name} reads JSON lines and Parquet; CSV is for: {others}, "
            "and for mapping files"
        )


def _producer_options(speed: Speed) -> ProducerOptions:
    # At full speed nobody waits for the single record: larger batches cost all sides less.
    return (
        ProducerOptions(linger_ms=LINGER_MAX_SPEED_MS) if speed == MAX_SPEED else ProducerOptions()
    )


def _first_of_equals() -> See:
    # A row that is dropped is lost: at 128 bits no two different rows are ever taken for equal.
    digests: set[bytes] = set()

    def see(row: Row) -> bool:
        n_before = len(digests)
        digests.add(xxhash.xxh3_128_digest(row.value))
        return len(digests) > n_before

    return see


def _bar(options: ReplayOptions) -> tqdm[NoReturn]:
    # None: only if standard error is a terminal.
    disable = None if options.progress is None else not options.progress
    return tqdm(total=options.limit, unit=" events", unit_scale=True, disable=disable)

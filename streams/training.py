"""Training sets: features and vectors as they were just before given times, as Parquet.

Answers come family by family, and are written in the order of the labels: meanwhile they lie in a
file without a name, so that memory does not grow with the number of labels.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from tqdm import tqdm

from profiler.errors import UsageError
from profiler.pointintime import features_at, vectors_at
from profiler.spec import DEFAULT_SPEC
from streams.labels import label_tables, read_questions, require_arrow
from streams.lookback import Bucket, buckets
from streams.past import Past
from streams.settings import Settings

try:
    import pyarrow as pa
    from pyarrow import parquet
except ModuleNotFoundError:
    pa = None

AS_OF: Final = "as_of_ms"
EVENTS: Final = "events"
VECTOR: Final = "vector"
SPEC_KEY: Final = b"profiler.spec"
LAYOUT_KEY: Final = b"profiler.layout"
ANSWERS: Final = 16_384
"""Labels that are answered at a time."""

Answers = NDArray[np.void]


class ExportReport(Struct, frozen=True, kw_only=True):
    """What an export did.

    Parameters
    ----------
    labels
        Rows that were written.
    subjects
        Different subjects among them.
    unknown
        Rows of people of whom nothing was known at the time.
    erased
        Rows of people who asked to be forgotten, by now: nothing is told of them.
    records
        Records of the past.
    seconds, records_per_s
        How long it took, and how fast the past went by.
    """

    labels: int
    subjects: int
    unknown: int
    erased: int
    records: int
    seconds: float
    records_per_s: float


def export(
    settings: Settings, past: Past, labels: Path, out: Path, *, progress: bool | None = None
) -> ExportReport:
    """Write a training set.

    Raises
    ------
    UsageError
        If the labels cannot be read, have a column that we write, or the file cannot be written.
    BrokerUnavailable
        If no broker answers.
    """
    require_arrow()
    started_s = time.monotonic()
    questions = read_questions(labels)
    schema = _schema(labels)
    with _written_whole(out) as part, _answers(len(questions.of), out.parent) as answers:
        found = buckets(settings, past, *questions, progress=progress)
        disable = None if progress is None else not progress
        with tqdm(total=len(answers), desc="labels", unit_scale=True, disable=disable) as bar:
            for bucket in found:
                _answer(bucket, answers)
                bar.update(len(bucket.places))
        _write(labels, part, schema, answers)
        seconds = time.monotonic() - started_s
        return ExportReport(
            labels=len(answers),
            subjects=len(questions.subjects),
            unknown=int(np.count_nonzero((answers["events"] == 0) & ~answers["erased"])),
            erased=int(np.count_nonzero(answers["erased"])),
            records=past.n_records,
            seconds=seconds,
            records_per_s=past.n_records / seconds,
        )


def _answer(bucket: Bucket, answers: Answers) -> None:
    """Fill in what a bucket knows."""
    for moment in bucket.moments():
        for start in range(0, len(moment), ANSWERS):
            places = moment[start : start + ANSWERS]
            answers[bucket.places[places]] = _answers_now(bucket, places, answers.dtype)
    # Who asked to be forgotten is, whenever that was.
    is_erased = bucket.fold.stored(bucket.pids).erased
    nothing = np.zeros((), dtype=answers.dtype)
    nothing["erased"] = True
    answers[bucket.places[is_erased]] = nothing


def _answers_now(bucket: Bucket, places: NDArray[np.intp], dtype: np.dtype[np.void]) -> Answers:
    """What is known at the moment of those whose moment it is."""
    pids = [bucket.pids[k] for k in places.tolist()]
    at_ms = bucket.at_ms[places]
    own, shown = bucket.fold.stored(pids).rows, bucket.fold.shown(pids).rows
    found = np.zeros(len(places), dtype=dtype)
    is_known = shown["core.n_accepted"] > 0
    found["as_of"] = shown["core.as_of"]
    found["events"] = shown["core.n_accepted"]
    found["features"] = features_at(DEFAULT_SPEC, own, at_ms)
    found["vector"][is_known] = vectors_at(DEFAULT_SPEC, shown[is_known], at_ms[is_known])
    return found


@contextmanager
def _answers(n: int, directory: Path) -> Iterator[Answers]:
    """Room for answers, on disk."""
    dtype = np.dtype(
        [
            ("as_of", "<i8"),
            ("events", "<u8"),
            ("features", "<f8", (len(DEFAULT_SPEC.feature_names),)),
            ("vector", "<f4", (DEFAULT_SPEC.dims,)),
            ("erased", "?"),
        ]
    )
    with tempfile.TemporaryFile(dir=directory) as file:
        file.truncate(n * dtype.itemsize)
        yield np.memmap(file, dtype=dtype, mode="r+", shape=(n,))


@contextmanager
def _written_whole(out: Path) -> Iterator[Path]:
    """Give a name to write to, which becomes `out` once all of it is there."""
    part = out.with_name(f"{out.name}.part")
    try:
        part.open("wb").close()
    except OSError as fault:
        raise UsageError(f"{out}: {fault.strerror}") from fault
    try:
        yield part
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _schema(labels: Path) -> Any:
    """Columns of the labels, then ours, as the first piece of the labels has them."""
    given = next(label_tables(labels)).schema
    ours = [
        pa.field(AS_OF, pa.int64()),
        pa.field(EVENTS, pa.uint64()),
        *(pa.field(name, pa.float64()) for name in DEFAULT_SPEC.feature_names),
        pa.field(VECTOR, pa.list_(pa.float32(), DEFAULT_SPEC.dims)),
    ]
    if clash := sorted({field.name for field in ours} & set(given.names)):
        raise UsageError(f"{labels}: rename {', '.join(clash)}: the export writes such columns")
    layout = msgspec.json.encode(DEFAULT_SPEC.layout())
    metadata = {SPEC_KEY: DEFAULT_SPEC.hash.encode(), LAYOUT_KEY: layout}
    return pa.schema([*given, *ours], metadata=metadata)


def _write(labels: Path, part: Path, schema: Any, answers: Answers) -> None:
    start = 0
    with parquet.ParquetWriter(part, schema) as writer:
        for table in label_tables(labels):
            piece = answers[start : start + len(table)]
            start += len(table)
            columns = [*table.columns, *_columns(piece)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _columns(piece: Answers) -> Iterator[Any]:
    """Our columns of some rows; of the erased nothing."""
    erased = piece["erased"]
    yield pa.array(piece["as_of"], mask=erased | (piece["events"] == 0))
    yield pa.array(piece["events"], mask=erased)
    for k in range(len(DEFAULT_SPEC.feature_names)):
        yield pa.array(piece["features"][:, k], mask=erased)
    flat = pa.array(piece["vector"].ravel())
    yield pa.FixedSizeListArray.from_arrays(flat, DEFAULT_SPEC.dims, mask=pa.array(erased))

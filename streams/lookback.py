"""People at given times, from the past: in memory that depends on neither its length nor theirs.

The past is read twice: once for who was ever linked with whom, once for the records of those who
are asked for. These are put into buckets on disk, each with whole families; then one bucket after
the other is looked back into.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO, Final

import msgspec
import numpy as np
import xxhash
from msgspec import Struct
from numpy.typing import NDArray

from profiler.batch import Preparer
from profiler.columns import Ints
from profiler.fold import Fold
from profiler.linking import Subject
from profiler.pointintime import look_back
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Chunk, RawRecord
from profiler.spec import Spec, guarded_spec
from streams.assembly import guard, screen
from streams.cleaning import cleaner_from_log
from streams.formats import decoder_of
from streams.past import Concerned, Past
from streams.settings import Settings

BUCKET_RECORDS: Final = 100_000
"""Records, or questions, of a bucket, as far as `BUCKETS_MAX` and the size of families allow."""
BUCKETS_MAX: Final = 256
SPOOL_BYTES: Final = 262_144
"""Of each bucket, before it goes to disk."""
_LENGTH_BYTES: Final = 4


class Bucket:
    """Some families at the times that are asked for.

    Parameters
    ----------
    preparer
        Of the records.
    kept
        All that is known of these families.
    subjects
        (P,) whom to look at.
    places, at_ms
        (P,) which of all questions these are, and the times.

    Attributes
    ----------
    fold
        What is known at the moment.
    pids
        (P,) profile ids of the subjects.
    places, at_ms
        As given.
    """

    def __init__(
        self,
        spec: Spec,
        preparer: Preparer,
        kept: Sequence[Concerned],
        pids: list[str],
        places: NDArray[np.intp],
        at_ms: Ints,
    ) -> None:
        self.fold = Fold(spec, preparer)
        self.pids = pids
        self.places = places
        self.at_ms = at_ms
        self._preparer = preparer
        self._kept = kept

    def moments(self) -> Iterator[NDArray[np.intp]]:
        """Bring the fold from time to time; give the places among the P whose time it is.

        After the last one the fold knows who has asked to be forgotten since.
        """
        records = [one.record for one in self._kept]
        is_historical = np.array([one.is_historical for one in self._kept], dtype=bool)
        prepared = self._preparer.prepare([Chunk(0, 0, records)])
        yield from look_back(self.fold, prepared, is_historical, self.pids, self.at_ms)

    def names(self) -> dict[str, dict[int, str]]:
        """Readable names, by kind and hash, of tokens that were not met before this bucket."""
        return self._preparer.contents.take_new_names()


def buckets(
    settings: Settings,
    past: Past,
    subjects: Sequence[Subject],
    of: NDArray[np.intp],
    at_ms: Ints,
    *,
    progress: bool | None = None,
) -> Iterator[Bucket]:
    """Look back at people at times, family by family; each question stands in one bucket.

    Parameters
    ----------
    subjects
        Whom to look at, each once.
    of, at_ms
        (Q,) the questions: place of the subject, and the time.
    """
    pseudonymiser = Pseudonymiser(settings.pseudonym_key.reveal().encode())
    preparer = Preparer(
        pseudonymiser,
        screen(settings),
        decoder=decoder_of(settings),
        cleaner=cleaner_from_log(settings),
    )
    spec = guarded_spec(guard(settings))
    pids = [
        pseudonymiser.pid(*(("user", one) if isinstance(one, str) else one)) for one in subjects
    ]
    families = past.families(progress=progress)
    n = min(BUCKETS_MAX, 1 + max(past.n_records, len(of)) // BUCKET_RECORDS)
    roots = [families.root(subject) for subject in subjects]
    number = np.array([_number(root, n) for root in roots], dtype=np.intp)[of]
    order = np.argsort(number, kind="stable")
    ends = np.searchsorted(number[order], np.arange(1, n))
    with _spill(n) as spill:
        for one in past.concerning(families, set(roots), progress=progress):
            for k in {_number(root, n) for root in one.families}:
                spill.put(k, one)
        for k, places in enumerate(np.split(order, ends)):
            if len(places):
                theirs = [pids[i] for i in of[places].tolist()]
                yield Bucket(spec, preparer, spill.take(k), theirs, places, at_ms[places])


class _Spilled(Struct, frozen=True, array_like=True, gc=False):
    topic: str
    partition: int
    offset: int
    timestamp: int | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    is_historical: bool


@contextmanager
def _spill(n: int) -> Iterator[_Spill]:
    with ExitStack() as stack:
        files = []
        for _ in range(n):
            files.append(stack.enter_context(tempfile.SpooledTemporaryFile(SPOOL_BYTES)))
        yield _Spill(files)


class _Spill:
    """Records in numbered temporary files that have no name, or in memory while they are few."""

    def __init__(self, files: Sequence[IO[bytes]]) -> None:
        self._files = files
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(_Spilled).decode

    def put(self, number: int, one: Concerned) -> None:
        """Add a record to a bucket."""
        r = one.record
        origin = r.topic, r.partition, r.offset, r.timestamp
        data = self._encode((*origin, r.value, list(r.headers), one.is_historical))
        self._files[number].write(len(data).to_bytes(_LENGTH_BYTES, "little") + data)

    def take(self, number: int) -> list[Concerned]:
        """Give the records of a bucket, each partition in its order."""
        file = self._files[number]
        file.seek(0)
        found = []
        while length := file.read(_LENGTH_BYTES):
            s = self._decode(file.read(int.from_bytes(length, "little")))
            record = RawRecord(
                s.topic, s.partition, s.offset, s.timestamp, None, s.value, s.headers
            )
            found.append(Concerned(record, set(), s.is_historical))
        file.close()
        found.sort(key=lambda one: (one.record.topic, one.record.partition, one.record.offset))
        return found


def _number(family: Subject, n: int) -> int:
    return xxhash.xxh32_intdigest(repr(family).encode()) % n

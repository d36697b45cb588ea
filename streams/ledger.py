"""The ledger of a producer: what the broker acknowledged, by subject and type.

`profiler audit --ledger` compares it with the plain counts of the profiles, and so finds what was
lost or counted twice between the producer and the store. Raw ids stand in it: it belongs to the
producer and stays on its side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import xxhash

from profiler.cleaning import Cleaner
from profiler.decoding import Decoder
from profiler.events import BEHAVIOUR_TYPES, TYPE_CODES, AnyEvent, Erase, timestamp_ms
from profiler.privacy.pseudonym import subject_of
from profiler.records import RawRecord
from streams.cleaning import rates_of
from streams.settings import Settings

FOLD_RECORDS: Final = 8_192


def passes_screen(settings: Settings) -> Callable[[AnyEvent, int], bool]:
    """Make the test of the worker's screen: an event's distance from its record, its currency.

    Parameters
    ----------
    settings
        Those of the workers.
    """
    skew_max_ms = settings.clock_skew_max_s * 1000
    age_max_ms = settings.event_age_max_s * 1000
    historical = frozenset(settings.historical_sources)
    strange = Cleaner(rates_of(settings)).strange

    def passes(event: AnyEvent, record_ms: int) -> bool:
        # As there, whoever asks to be forgotten is heard, whatever their clock says.
        if isinstance(event, Erase):
            return True
        ts_ms = timestamp_ms(event.ts)
        is_too_old = ts_ms < record_ms - age_max_ms and event.source not in historical
        return ts_ms <= record_ms + skew_max_ms and not is_too_old and not strange([event])

    return passes


class Ledger:
    """Counts the distinct behaviour events among acknowledged records.

    Records that a worker would dead-letter and repetitions of an event id of the same subject do
    not count, and an `erase` ends its subject's account. Every id counted is remembered by a hash
    (about 70 bytes each), so that a ledger is for campaigns of tests, not for years of production.

    Parameters
    ----------
    accepts
        Says of a decoded event and its record's timestamp (ms) whether the worker's screen lets it
        through: `passes_screen`. By default every event that decodes counts.
    decoder
        Knows the formats of records; that of the workers.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.add(b'{"type":"click","ts":5,"user_id":"alice","event_id":"1"}', 5)
    >>> ledger.add(b'{"type":"click","ts":5,"user_id":"alice","event_id":"1"}', 5)
    >>> ledger.counts()
    {'user:alice': {'click': 1}}
    """

    def __init__(
        self,
        accepts: Callable[[AnyEvent, int], bool] | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self._accepts = accepts
        self._decoder = decoder or Decoder()
        self._pending: list[RawRecord] = []
        self._seen: set[int] = set()
        self._doubted: dict[int, tuple[str, str]] = {}
        self._n_doubted = 0
        self._counts: dict[str, Counter[str]] = {}
        self._erased: set[str] = set()

    def add(
        self, value: bytes | None, record_ms: int, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Enter one acknowledged record, its timestamp and headers."""
        self._pending.append(RawRecord("", 0, 0, record_ms, None, value, headers))
        if len(self._pending) >= FOLD_RECORDS:
            self._fold()

    def doubt(self, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Enter one record of which nobody knows whether the broker has it.

        Its event may be counted or not. A doubtful `erase` is taken for none.
        """
        self._pending.append(RawRecord("", 0, 0, None, None, value, headers))

    def counts(self) -> dict[str, dict[str, int]]:
        """Events by subject (``kind:id``) and type, in order of the subjects' first events."""
        self._fold()
        return {subject: dict(counts) for subject, counts in self._counts.items()}

    def doubts(self) -> dict[str, dict[str, int]]:
        """Events of doubt that no acknowledged record holds, in the same form."""
        self._fold()
        doubts: dict[str, Counter[str]] = {}
        for subject, name in self._doubted.values():
            doubts.setdefault(subject, Counter())[name] += 1
        return {subject: dict(counts) for subject, counts in doubts.items()}

    def write(self, path: Path) -> None:
        """Write one line of JSON per subject: ``{"subject":"user:alice","counts":{"click":3}}``.

        Where there is doubt, ``"unknown":{"click":1}`` follows.
        """
        counts, doubts = self.counts(), self.doubts()
        with path.open("wb") as file:
            for subject in {**counts, **doubts}:
                line = {"subject": subject, "counts": counts.get(subject, {})}
                if subject in doubts:
                    line["unknown"] = doubts[subject]
                file.write(msgspec.json.encode(line) + b"\n")

    def _fold(self) -> None:
        pending, self._pending = self._pending, []
        events, at, _, _ = self._decoder.decode(pending)
        times = [pending[i].timestamp for i in at.tolist()]
        refused = {
            i
            for event, i, ms in zip(events, at.tolist(), times, strict=True)
            if ms is not None and self._accepts is not None and not self._accepts(event, ms)
        }
        for event, i, ms in zip(events, at.tolist(), times, strict=True):
            # One event that is refused takes its record along.
            if i not in refused:
                self._enter(event, is_known=ms is not None)

    def _enter(self, event: AnyEvent, is_known: bool) -> None:
        subject = ":".join(subject_of(event))
        if is_known and isinstance(event, Erase):
            self._erased.add(subject)
            self._counts.pop(subject, None)
        if subject in self._erased or TYPE_CODES[type(event)] >= len(BEHAVIOUR_TYPES):
            return
        name = BEHAVIOUR_TYPES[TYPE_CODES[type(event)]]
        identity = None
        if event.event_id is not None:
            identity = xxhash.xxh3_64_intdigest(f"{subject}\0{event.event_id}".encode())
            if identity in self._seen:
                return
        if not is_known:
            self._n_doubted += 1
            # Hashes are not negative: an event without an id is like no other.
            self._doubted[-self._n_doubted if identity is None else identity] = (subject, name)
            return
        if identity is not None:
            self._seen.add(identity)
            self._doubted.pop(identity, None)
        self._counts.setdefault(subject, Counter())[name] += 1

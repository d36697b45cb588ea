"""All people of a stream, recomputed record by record with the reference implementation.

Who an event is about, and whether it counts: decoding, screening, erasure. What an event changes is
in `profiler.reference`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from profiler.decoding import Decoder
from profiler.events import (
    BEHAVIOUR_TYPES,
    TYPE_CODES,
    AnyEvent,
    Consent,
    Erase,
    Identify,
    Verdict,
    timestamp_ms,
)
from profiler.records import RawRecord
from profiler.reference import ReferencePerson, apply
from profiler.reference_links import ReferenceLinks
from profiler.reference_quarantine import ReferenceGuard

LINKS_LONG: Final = 2
"""From anonymous to device to user."""


class Reference:
    """All people of a stream, from its records in order.

    Parameters
    ----------
    pid
        Profile id of a subject's kind and id.
    clock_skew_max_ms, event_age_max_ms, historical_sources
        How far an event's time may be after and before its record's; the latter not for sources of
        historical data.
    decoder
        Knows the formats of records; that of the workers.
    guard
        Of the workers, too; historical sources are exempt from it.

    Attributes
    ----------
    people
        By profile id.
    outcomes
        How many events were ``applied``, ``duplicate``, ``accepted_unused``, ``erase``,
        ``erased``; a record without an event counts as one, and so does a rejected one, by reason.
    n_records
        How many records there were.
    links
        What was said of links.
    """

    def __init__(
        self,
        pid: Callable[[str, str], str],
        *,
        clock_skew_max_ms: int,
        event_age_max_ms: int,
        historical_sources: frozenset[str] = frozenset(),
        decoder: Decoder | None = None,
        guard: ReferenceGuard | None = None,
    ) -> None:
        self.people: dict[str, ReferencePerson] = {}
        self.outcomes: Counter[str] = Counter()
        self.n_records = 0
        self.links = ReferenceLinks(pid)
        self._pid = pid
        self._clock_skew_max_ms = clock_skew_max_ms
        self._event_age_max_ms = event_age_max_ms
        self._historical_sources = historical_sources
        self._decoder = decoder or Decoder()
        self.guard = guard or ReferenceGuard(exempt_sources=historical_sources)

    def feed(
        self,
        value: bytes | None,
        topic: str,
        partition: int,
        offset: int,
        timestamp: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> list[str]:
        """Apply one record, and return the outcomes of its events.

        Parameters
        ----------
        timestamp
            The record's, ms; None, 0 or less where it has none, as in a file: nothing is screened.

        Returns
        -------
        list of str
            One for each event in turn; only one if the record has none or is rejected.
        """
        record = RawRecord(topic, partition, offset, timestamp, None, value, headers)
        outcomes = self._outcomes(record)
        self.n_records += 1
        self.outcomes.update(outcomes)
        return outcomes

    def finish(self) -> dict[str, str]:
        """Erase all who belong to the erased, and return who belongs to whom.

        To be called once all records have been fed.
        """
        owners = self.links.owners()
        for _ in range(LINKS_LONG):
            for member, owner in owners.items():
                if owner in self.people and self.people[owner].erased:
                    person = self.people.setdefault(member, ReferencePerson())
                    person.erased = True
        return owners

    def _outcomes(self, record: RawRecord) -> list[str]:
        events, _, rejected, _ = self._decoder.decode([record])
        if rejected:
            return [rejected[0].reason]
        if not events:
            return ["accepted_unused"]
        # One event that is refused takes its record along.
        if refused := [r for event in events if (r := self._screened(event, record.timestamp))]:
            return refused[:1]
        outcomes = []
        event_id = ""
        for event in events:
            # An event without an id is named after its origin, a further one after that before it.
            origin = f"{event_id}+" if event_id else _origin(record)
            event_id = event.event_id or origin
            outcomes.append(self._apply(event, (record.topic, record.partition), origin))
        return outcomes

    def _screened(self, event: AnyEvent, timestamp: int | None) -> str:
        if timestamp is None or timestamp <= 0 or isinstance(event, Erase):
            return ""
        ts = timestamp_ms(event.ts)
        if ts > timestamp + self._clock_skew_max_ms:
            return "clock_skew"
        historical = event.source in self._historical_sources
        return "too_old" if ts < timestamp - self._event_age_max_ms and not historical else ""

    def _apply(self, event: AnyEvent, partition: tuple[str, int], origin: str) -> str:
        if isinstance(event, Identify):
            self.links.say(event, event.event_id or origin)
        if isinstance(event, Identify | Consent):
            return "accepted_unused"
        pid = self._pid(*_subject(event))
        person = self.people.get(pid)
        if person is None:
            person = self.people[pid] = ReferencePerson()
            person.partition = partition
        elif person.partition != partition:
            person.ordered = False
        if isinstance(event, Erase):
            self.people[pid] = erased = ReferencePerson()
            erased.erased, erased.partition, erased.ordered = True, person.partition, person.ordered
            return "erase"
        if person.erased:
            return "erased"
        if isinstance(event, Verdict):
            person.quarantine.rule(timestamp_ms(event.ts), event.automated)
            return "applied"
        if not apply(person, event, origin):
            return "duplicate"
        name = BEHAVIOUR_TYPES[TYPE_CODES[type(event)]]
        self.guard.see(person.quarantine, timestamp_ms(event.ts), name, event.source)
        return "applied"


def _origin(record: RawRecord) -> str:
    return f"{record.topic}:{record.partition}:{record.offset}"


def _subject(event: AnyEvent) -> tuple[str, str]:
    for kind, value in (("user", event.user_id), ("device", event.device_id)):
        if value is not None:
            return kind, value
    assert event.anonymous_id is not None, "decoding refuses events without a subject"
    return "anonymous", event.anonymous_id

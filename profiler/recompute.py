"""All people of a stream, recomputed record by record with the reference implementation.

Who an event is about, and whether it counts: decoding, screening, erasure. What an event changes is
in `profiler.reference`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from profiler.decoding import Decoder
from profiler.events import (
    BEHAVIOUR_TYPES,
    TS_MAX_MS,
    TYPE_CODES,
    AnyEvent,
    Consent,
    Erase,
    Follow,
    Identify,
    Verdict,
    timestamp_ms,
)
from profiler.records import RawRecord
from profiler.reference import ReferencePerson, apply, receive
from profiler.reference_cleaning import ReferenceCleaning
from profiler.reference_links import ReferenceLinks
from profiler.reference_quarantine import FROM_A_FILE, ReferenceGuard
from profiler.reference_ties import ReferenceTies
from profiler.reference_traits import Kept, ReferenceTraits
from profiler.traits import NO_RULES, TraitRules

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
    cleaning
        Knows rates of currencies and the catalogue of items.
    rules
        Of traits; those of the workers.
    guard
        Of the workers, too; historical sources are exempt from it.

    Attributes
    ----------
    from_ms, until_ms
        Events before the one, and at or after the other, are not of what is fed now.
    people
        By profile id.
    outcomes
        How many events were ``applied``, ``duplicate``, ``accepted_unused``, ``erase``,
        ``erased``; a record without an event counts as one, and so does a rejected one, by reason.
    n_records
        How many records there were.
    links, traits
        What was said of links and of traits.
    ties
        What was said of ties, by profile id, but for those who are erased.
    """

    def __init__(
        self,
        pid: Callable[[str, str], str],
        *,
        clock_skew_max_ms: int,
        event_age_max_ms: int,
        historical_sources: frozenset[str] = frozenset(),
        decoder: Decoder | None = None,
        cleaning: ReferenceCleaning | None = None,
        rules: TraitRules = NO_RULES,
        guard: ReferenceGuard | None = None,
    ) -> None:
        self.from_ms, self.until_ms = 0, TS_MAX_MS + 1
        self.people: dict[str, ReferencePerson] = {}
        self.outcomes: Counter[str] = Counter()
        self.n_records = 0
        self.links = ReferenceLinks(pid)
        self.ties: defaultdict[str, ReferenceTies] = defaultdict(ReferenceTies)
        self.traits = ReferenceTraits(pid, rules)
        self._pid = pid
        self._clock_skew_max_ms = clock_skew_max_ms
        self._event_age_max_ms = event_age_max_ms
        self._historical_sources = historical_sources
        self._decoder = decoder or Decoder()
        self._cleaning = cleaning or ReferenceCleaning()
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
                    self.ties.pop(member, None)
        return owners

    def kept_traits(self) -> dict[str, Kept]:
        """What must be kept of traits, by pid of all who have some and were not erased.

        To be called after `finish`.
        """
        kept = {pid: self.traits.of([pid]) for pid in self.traits.subjects()}
        gone = {pid for pid, person in self.people.items() if person.erased}
        return {pid: some for pid, some in kept.items() if some and pid not in gone}

    def _outcomes(self, record: RawRecord) -> list[str]:
        events, _, rejected, _ = self._decoder.decode([record])
        if rejected:
            return [rejected[0].reason]
        if not events:
            return ["accepted_unused"]
        # One event that is refused takes its record along.
        if refused := [r for event in events if (r := self._refused(event, record.timestamp))]:
            return refused[:1]
        outcomes = []
        event_id = ""
        for event in events:
            if not self._is_taken(event):
                outcomes.append("outside")
                continue
            # An event without an id is named after its origin, a further one after that before it.
            origin = f"{event_id}+" if event_id else _origin(record)
            event_id = event.event_id or origin
            cleaned = self._cleaning.clean(event, record.timestamp)
            outcomes.append(self._apply(cleaned, record, origin))
        return outcomes

    def _refused(self, event: AnyEvent, timestamp: int | None) -> str:
        return self._screened(event, timestamp) or self._cleaning.refusal(event)

    def _is_taken(self, event: AnyEvent) -> bool:
        return isinstance(event, Erase) or self.from_ms <= timestamp_ms(event.ts) < self.until_ms

    def _screened(self, event: AnyEvent, timestamp: int | None) -> str:
        if timestamp is None or timestamp <= 0 or isinstance(event, Erase):
            return ""
        ts = timestamp_ms(event.ts)
        if ts > timestamp + self._clock_skew_max_ms:
            return "clock_skew"
        historical = event.source in self._historical_sources
        return "too_old" if ts < timestamp - self._event_age_max_ms and not historical else ""

    def _apply(self, event: AnyEvent, record: RawRecord, origin: str) -> str:
        partition = (record.topic, record.partition)
        if isinstance(event, Identify):
            self.links.say(event, event.event_id or origin)
        pid = self._pid(*_subject(event))
        if isinstance(event, Identify):
            self.traits.say(event, pid, event.event_id or origin)
        if isinstance(event, Consent) and not (pid in self.people and self.people[pid].erased):
            self.ties[pid].agree(event)
        if isinstance(event, Identify | Consent):
            return "accepted_unused"
        person = self._person(pid, partition)
        if isinstance(event, Follow):
            self._receive(event, partition, origin)
        if isinstance(event, Erase):
            self.people[pid] = erased = ReferencePerson()
            erased.erased, erased.partition, erased.ordered = True, person.partition, person.ordered
            self.ties.pop(pid, None)
            return "erase"
        if person.erased:
            return "erased"
        if isinstance(event, Verdict):
            person.quarantine.rule(timestamp_ms(event.ts), event.automated)
            return "applied"
        if not apply(person, event, origin):
            return "duplicate"
        name = BEHAVIOUR_TYPES[TYPE_CODES[type(event)]]
        if not any(header == FROM_A_FILE for header, _ in record.headers):
            self.guard.see(person.quarantine, timestamp_ms(event.ts), name, event.source)
        if isinstance(event, Follow):
            self.ties[pid].say(event, self._pid(event.target_kind, event.target_id))
        return "applied"

    def _receive(self, event: Follow, partition: tuple[str, int], origin: str) -> None:
        """Apply an event to whom it leads to; its outcome is that of who stated it."""
        target = self._person(self._pid(event.target_kind, event.target_id), partition)
        if not target.erased:
            receive(target, event, origin)

    def _person(self, pid: str, partition: tuple[str, int]) -> ReferencePerson:
        person = self.people.get(pid)
        if person is None:
            person = self.people[pid] = ReferencePerson()
            person.partition = partition
        elif person.partition != partition:
            person.ordered = False
        return person


def _origin(record: RawRecord) -> str:
    return f"{record.topic}:{record.partition}:{record.offset}"


def _subject(event: AnyEvent) -> tuple[str, str]:
    for kind, value in (("user", event.user_id), ("device", event.device_id)):
        if value is not None:
            return kind, value
    assert event.anonymous_id is not None, "decoding refuses events without a subject"
    return "anonymous", event.anonymous_id

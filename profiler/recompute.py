"""All people of a stream, recomputed record by record with the reference implementation.

Who an event is about, and whether it counts: decoding, screening, erasure. What an event changes is
in `profiler.reference`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from profiler.events import AnyEvent, Consent, Erase, Identify, decode_batch, timestamp_ms
from profiler.reference import ReferencePerson, apply


class Reference:
    """All people of a stream, from its records in order.

    Parameters
    ----------
    pid
        Profile id of a subject's kind and id.
    clock_skew_max_ms, event_age_max_ms, historical_sources
        How far an event's time may be after and before its record's; the latter not for sources of
        historical data.

    Attributes
    ----------
    people
        By profile id.
    outcomes
        How many records were ``applied``, ``duplicate``, ``accepted_unused``, ``erase``,
        ``erased``, or rejected, by reason.
    """

    def __init__(
        self,
        pid: Callable[[str, str], str],
        *,
        clock_skew_max_ms: int,
        event_age_max_ms: int,
        historical_sources: frozenset[str] = frozenset(),
    ) -> None:
        self.people: dict[str, ReferencePerson] = {}
        self.outcomes: Counter[str] = Counter()
        self._pid = pid
        self._clock_skew_max_ms = clock_skew_max_ms
        self._event_age_max_ms = event_age_max_ms
        self._historical_sources = historical_sources

    def feed(
        self,
        value: bytes | None,
        topic: str,
        partition: int,
        offset: int,
        timestamp: int | None = None,
    ) -> str:
        """Apply one record, and return its outcome.

        Parameters
        ----------
        timestamp
            The record's, ms; None, 0 or less where it has none, as in a file: nothing is screened.
        """
        (event,), rejected = decode_batch([value])
        if event is None:
            outcome = rejected[0].reason
        else:
            outcome = self._screened(event, timestamp)
            if not outcome:
                outcome = self._apply(event, topic, partition, offset)
        self.outcomes[outcome] += 1
        return outcome

    def _screened(self, event: AnyEvent, timestamp: int | None) -> str:
        if timestamp is None or timestamp <= 0 or isinstance(event, Erase):
            return ""
        ts = timestamp_ms(event.ts)
        if ts > timestamp + self._clock_skew_max_ms:
            return "clock_skew"
        historical = event.source in self._historical_sources
        return "too_old" if ts < timestamp - self._event_age_max_ms and not historical else ""

    def _apply(self, event: AnyEvent, topic: str, partition: int, offset: int) -> str:
        if isinstance(event, Identify | Consent):
            return "accepted_unused"
        pid = self._pid(*_subject(event))
        person = self.people.get(pid)
        if person is None:
            person = self.people[pid] = ReferencePerson()
            person.partition = (topic, partition)
        elif person.partition != (topic, partition):
            person.ordered = False
        if isinstance(event, Erase):
            self.people[pid] = erased = ReferencePerson()
            erased.erased, erased.partition, erased.ordered = True, person.partition, person.ordered
            return "erase"
        if person.erased:
            return "erased"
        applied = apply(person, event, f"{topic}:{partition}:{offset}")
        return "applied" if applied else "duplicate"


def _subject(event: AnyEvent) -> tuple[str, str]:
    for kind, value in (("user", event.user_id), ("device", event.device_id)):
        if value is not None:
            return kind, value
    assert event.anonymous_id is not None, "decoding refuses events without a subject"
    return "anonymous", event.anonymous_id

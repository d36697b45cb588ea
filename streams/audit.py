"""The audit: every profile in the store against one that is recomputed from the log.

The log is the topic of events from its beginning, or the records of files that were replayed. It is
read by the reference implementation, one event after another; then the store is scanned. An audit
is of a system at rest: what is still on its way would be reported as a difference, so it can wait
until the consumer group has read everything, and it notices when the topic grows meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from msgspec import Struct

from profiler.audit import Auditor, Difference
from profiler.errors import BrokerUnavailable, UnknownSpec, UsageError
from profiler.events import BEHAVIOUR_TYPES
from profiler.ledger import LedgerCheck
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.recompute import Reference
from profiler.sources import Converted
from profiler.spec import DEFAULT_SPEC
from profiler.state import Layout, decode_states, unknown_specs
from streams.settings import Settings
from streams.store import Store

BOOTSTRAP_TIMEOUT_MS: Final = 5_000
POLL_TIMEOUT_MS: Final = 200
POLL_RECORDS_MAX: Final = 10_000
STALL_TIMEOUT_S: Final = 30.0
LAG_INTERVAL_S: Final = 0.1
KINDS: Final = ("user", "device", "anonymous")

Offsets = Mapping[Any, int]


class AuditReport(Struct, frozen=True, kw_only=True):
    """What an audit found.

    Parameters
    ----------
    profiles
        Profiles that are expected or stored.
    mismatched
        Profiles that differ, the missing and the unexpected included.
    missing, unexpected
        Expected but not stored, and stored but not expected.
    unordered
        Profiles with events from several partitions: their sequential columns were only held
        against bounds.
    records, outcomes
        Records of the log, and what became of them by the reference.
    lost, duplicated
        By the ledger, if there is one: acknowledged but not counted, and counted too often.
    differences
        The first few.
    """

    profiles: int
    mismatched: int
    missing: int
    unexpected: int
    unordered: int
    records: int
    outcomes: dict[str, int]
    lost: int | None
    duplicated: int | None
    differences: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        return not (self.mismatched or self.lost or self.duplicated)


async def audit(
    settings: Settings,
    store: Store,
    *,
    records: Iterable[Converted] | None = None,
    ledger: Path | None = None,
    wait_s: float | None = None,
    limit_differences: int = 10,
) -> AuditReport:
    """Recompute all profiles and compare the store with them.

    Parameters
    ----------
    records
        What was replayed, in its order (`streams.replay.load`); nothing of it is screened against
        a record's time. By default the topic of events is read.
    ledger
        File that `streams.ledger` wrote.
    wait_s
        Wait at most so long until the consumer group has read all of the topic.

    Raises
    ------
    UsageError
        If the group lags after `wait_s`, the topic grew, its beginning is gone, or the ledger is
        none.
    BrokerUnavailable, StoreUnavailable
        If they are.
    UnknownSpec
        If a state was written under a spec whose layout is not in the store.
    """
    pid = Pseudonymiser(settings.pseudonym_key.reveal().encode()).pid
    reference = Reference(
        pid,
        clock_skew_max_ms=settings.clock_skew_max_s * 1000,
        event_age_max_ms=settings.event_age_max_s * 1000,
        historical_sources=frozenset(settings.historical_sources),
    )
    check = LedgerCheck(read_ledger(ledger, pid)) if ledger is not None else None
    if wait_s is not None:
        await asyncio.to_thread(wait_until_consumed, settings, wait_s)
    if records is not None:
        await asyncio.to_thread(_feed_records, reference, records)
        ends: Offsets = {}
    else:
        ends = await asyncio.to_thread(_feed_topic, reference, settings)
    auditor = Auditor(reference.people, limit_differences=limit_differences)
    await _scan(store, auditor, check)
    if ends and await asyncio.to_thread(_ends, settings) != ends:
        raise UsageError(f"topic {settings.topic('events')} grew during the audit: stop producers")
    return AuditReport(
        **msgspec.structs.asdict(auditor.comparison()),
        records=reference.outcomes.total(),
        outcomes=dict(reference.outcomes.most_common()),
        lost=check.lost if check else None,
        duplicated=check.duplicated if check else None,
    )


def wait_until_consumed(settings: Settings, wait_s: float) -> None:
    """Return once the consumer group has committed the end of the topic of events.

    Raises
    ------
    UsageError
        If it has not after `wait_s`.
    """
    deadline_s = time.monotonic() + wait_s
    with _consumer(settings) as consumer, _faults(settings):
        admin = KafkaAdminClient(
            bootstrap_servers=settings.brokers.split(","), bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS
        )
        try:
            while lag := _lag(settings, consumer, admin):
                if time.monotonic() >= deadline_s:
                    raise UsageError(
                        f"group {settings.group} is {lag} records behind the end of "
                        f"{settings.topic('events')}: let a worker catch up, then audit"
                    )
                time.sleep(LAG_INTERVAL_S)
        finally:
            admin.close()


def read_ledger(path: Path, pid: Any) -> dict[str, dict[str, int]]:
    """Counts by type and pid of a ledger, whose lines name subjects as ``kind:id``.

    Raises
    ------
    UsageError
        If a line is not one of a ledger.
    """
    counts: dict[str, dict[str, int]] = {}
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                entry = msgspec.json.decode(line, type=_LedgerLine)
                kind, _, subject_id = entry.subject.partition(":")
                if kind not in KINDS or entry.counts.keys() - set(BEHAVIOUR_TYPES):
                    raise UsageError(f"{path}:{number}: unknown kind of subject or type of event")
                counts[pid(kind, subject_id)] = entry.counts
    except OSError as fault:
        raise UsageError(f"{path}: {fault.strerror}") from fault
    except msgspec.DecodeError as fault:
        raise UsageError(f"{path}:{number} is not a line of a ledger: {fault}") from fault
    return counts


class _LedgerLine(Struct, frozen=True):
    subject: str
    counts: dict[str, int]


async def _scan(store: Store, auditor: Auditor, check: LedgerCheck | None) -> None:
    layouts: dict[str, Layout] = {}
    async for chunk in store.scan():
        values = [value for _, value in chunk]
        for spec_hash in unknown_specs(values, DEFAULT_SPEC, layouts):
            layout = await store.spec(spec_hash)
            if layout is None:
                raise UnknownSpec(spec_hash)
            layouts[spec_hash] = msgspec.json.decode(layout)
        stored = decode_states(values, DEFAULT_SPEC, layouts)
        counts = stored.rows["activity.count"].tolist()
        for k, (pid, _) in enumerate(chunk):
            is_erased = bool(stored.erased[k])
            is_new = auditor.see(pid, None if is_erased else stored.rows[k])
            if check is not None and is_new:
                check.see(pid, None if is_erased else counts[k])


def _feed_records(reference: Reference, records: Iterable[Converted]) -> None:
    for row, record in enumerate(records):
        reference.feed(record.value, "file", 0, row)


def _feed_topic(reference: Reference, settings: Settings) -> Offsets:
    """Feed the topic from its beginning to its present end, and return that end."""
    with _consumer(settings) as consumer, _faults(settings):
        partitions = _partitions(settings, consumer)
        ends: Offsets = consumer.end_offsets(partitions)
        if lost := [p.partition for p, o in consumer.beginning_offsets(partitions).items() if o]:
            raise UsageError(
                f"partitions {lost} of {settings.topic('events')} no longer begin at offset 0: "
                "profiles cannot be recomputed from them; audit against the original files"
            )
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        for record in _records_until(settings, consumer, ends):
            reference.feed(
                record.value, record.topic, record.partition, record.offset, record.timestamp
            )
        return ends


def _records_until(settings: Settings, consumer: Any, ends: Offsets) -> Iterator[Any]:
    progress_s = time.monotonic()
    while any(consumer.position(p) < end for p, end in ends.items()):
        found = consumer.poll(timeout_ms=POLL_TIMEOUT_MS, max_records=POLL_RECORDS_MAX)
        for partition, records in found.items():
            yield from (r for r in records if r.offset < ends[partition])
        if found:
            progress_s = time.monotonic()
        elif time.monotonic() - progress_s > STALL_TIMEOUT_S:
            raise BrokerUnavailable(
                f"{settings.brokers} gave no records of {settings.topic('events')} "
                f"for {STALL_TIMEOUT_S:.0f} s"
            )


def _lag(settings: Settings, consumer: Any, admin: Any) -> int:
    ends = consumer.end_offsets(_partitions(settings, consumer))
    committed = admin.list_group_offsets({settings.group: list(ends)})[settings.group]
    known = {p: max(0, found.offset) for p, found in committed.items()}
    return sum(end - known.get(p, 0) for p, end in ends.items())


def _ends(settings: Settings) -> Offsets:
    with _consumer(settings) as consumer, _faults(settings):
        ends: Offsets = consumer.end_offsets(_partitions(settings, consumer))
        return ends


def _partitions(settings: Settings, consumer: Any) -> list[Any]:
    topic = settings.topic("events")
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise UsageError(f"there is no topic {topic}; `profiler topics create` makes it")
    return [TopicPartition(topic, n) for n in sorted(numbers)]


@contextmanager
def _consumer(settings: Settings) -> Iterator[Any]:
    """A reader that belongs to no group and leaves no trace."""
    with _faults(settings):
        consumer = KafkaConsumer(
            bootstrap_servers=settings.brokers.split(","),
            bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            check_crcs=False,  # in Python it costs more than all else; contents are compared anyway
        )
    try:
        yield consumer
    finally:
        consumer.close()


@contextmanager
def _faults(settings: Settings) -> Iterator[None]:
    try:
        yield
    except KafkaError as fault:
        raise BrokerUnavailable(f"{settings.brokers}: {fault}") from fault

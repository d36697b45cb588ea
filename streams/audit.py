"""The audit: every profile in the store against one that is recomputed from the log.

The log is the topic of events from its beginning, or the records of files that were replayed. It is
read by the reference implementation, one event after another; then the store is scanned, and what
readers see of each profile is held against its state. An audit is of a system at rest: what is
still on its way would be reported as a difference, so it can wait until the consumer group has read
everything, and it notices when the topic grows meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from profiler.audit import Auditor, Difference
from profiler.errors import UnknownSpec, UsageError
from profiler.events import BEHAVIOUR_TYPES, TS_MAX_MS
from profiler.guard import BATCH_HEADERS
from profiler.identity import NO_LINKS
from profiler.ledger import LedgerCheck
from profiler.peers import Peers
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.recompute import Reference
from profiler.reference_cleaning import ReferenceCleaning
from profiler.reference_quarantine import ReferenceGuard
from profiler.sources import Converted
from profiler.spec import DEFAULT_SPEC
from profiler.staleness import stale, stale_traits
from profiler.state import Layout, Stored, decode_states, unknown_specs
from profiler.traits import TraitRules
from streams.eventlog import Ends, ends_of, records_until, wait_until_consumed
from streams.references import feed_items, reference_cleaning, reference_of
from streams.settings import Settings
from streams.store import Store

KINDS: Final = ("user", "device", "anonymous")

Counts = dict[str, dict[str, int]]
"""Events by type, by pid."""


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
    stale
        Profiles of which readers see something else than what is stored.
    unordered
        Profiles with events from several partitions: their sequential columns were only held
        against bounds.
    records, outcomes
        Records of the log, and what became of their events by the reference.
    lost, duplicated
        By the ledger, if there is one: acknowledged but not counted, and counted too often.
    differences
        The first few.
    """

    profiles: int
    mismatched: int
    missing: int
    unexpected: int
    stale: int
    unordered: int
    records: int
    outcomes: dict[str, int]
    lost: int | None
    duplicated: int | None
    differences: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        """Whether everything is as it must be."""
        return not (self.mismatched or self.stale or self.lost or self.duplicated)


async def audit(
    settings: Settings,
    store: Store,
    *,
    records: Iterable[Converted] | None = None,
    history: Iterable[Converted] | None = None,
    history_until_ms: int = TS_MAX_MS + 1,
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
    history
        What was loaded besides (`streams.backfill`), in the order of its times: its events before
        `history_until_ms`.
    ledger
        File that `streams.ledger` wrote.
    wait_s
        Wait at most so long until the consumer group has read all of the topic.

    Raises
    ------
    UsageError
        If the group lags after `wait_s`, the topic grew, its beginning is gone, the ledger is
        none, or records of files would have to be completed from the catalogue.
    BrokerUnavailable, StoreUnavailable
        If they are.
    UnknownSpec
        If a state was written under a spec whose layout is not in the store.
    """
    pid = Pseudonymiser(settings.pseudonym_key.reveal().encode()).pid
    cleaning = reference_cleaning(settings)
    reference = reference_of(settings, pid, cleaning)
    check = LedgerCheck(*read_ledger(ledger, pid)) if ledger is not None else None
    if wait_s is not None:
        await asyncio.to_thread(wait_until_consumed, settings, wait_s)
    with _no_cycle_collection():
        if history is not None:
            await asyncio.to_thread(_feed_history, reference, history, history_until_ms)
        ends = await asyncio.to_thread(_feed, reference, cleaning, settings, records)
        auditor = _auditor(reference, limit_differences)
        await _scan(store, auditor, check, settings.trait_rules())
    if ends and await asyncio.to_thread(ends_of, settings) != ends:
        raise UsageError(f"topic {settings.topic('events')} grew during the audit: stop producers")
    return AuditReport(
        **msgspec.structs.asdict(auditor.comparison()),
        records=reference.n_records,
        outcomes=dict(reference.outcomes.most_common()),
        lost=check.lost if check else None,
        duplicated=check.duplicated if check else None,
    )


def _auditor(reference: Reference, limit_differences: int) -> Auditor:
    return Auditor(
        reference.people,
        reference.finish(),
        reference.ties,
        reference.kept_traits(),
        limit_differences=limit_differences,
    )


def read_ledger(path: Path, pid: Callable[[str, str], str]) -> tuple[Counts, Counts]:
    """Known and unknown counts of a ledger, whose lines name subjects as ``kind:id``.

    Raises
    ------
    UsageError
        If a line is not one of a ledger.
    """
    known: Counts = {}
    unknown: Counts = {}
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                entry = msgspec.json.decode(line, type=_LedgerLine)
                kind, _, subject_id = entry.subject.partition(":")
                names = entry.counts.keys() | entry.unknown.keys()
                if kind not in KINDS or names - set(BEHAVIOUR_TYPES):
                    raise UsageError(f"{path}:{number}: unknown kind of subject or type of event")
                known[pid(kind, subject_id)] = entry.counts
                unknown[pid(kind, subject_id)] = entry.unknown
    except OSError as fault:
        raise UsageError(f"{path}: {fault.strerror}") from fault
    except msgspec.DecodeError as fault:
        raise UsageError(f"{path}:{number} is not a line of a ledger: {fault}") from fault
    return known, unknown


class _LedgerLine(Struct, frozen=True):
    subject: str
    counts: dict[str, int]
    unknown: dict[str, int] = {}


async def _scan(
    store: Store, auditor: Auditor, check: LedgerCheck | None, rules: TraitRules
) -> None:
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
            links = stored.links.get(k, NO_LINKS)
            owner = links.owner.owner if links.owner else None
            row = None if is_erased else stored.rows[k]
            is_new = auditor.see(pid, row, owner, links.ties, links.traits)
            if check is not None and is_new:
                check.see(pid, None if is_erased else counts[k])
        pids = [pid for pid, _ in chunk]
        peers = await _peers(store, stored, layouts)
        views, shown = await store.views(pids), await store.traits(pids)
        fields = dict(stale(DEFAULT_SPEC, pids, values, stored, views, peers))
        others = dict.fromkeys(stale_traits(rules, pids, stored, shown, peers), "traits")
        for k, field in (others | fields).items():
            auditor.see_stale(pids[k], field)


async def _peers(store: Store, stored: Stored, layouts: Mapping[str, Layout]) -> Peers:
    """All who belong to these people."""
    values: dict[str, bytes | None] = {}
    peers = Peers.of(values, DEFAULT_SPEC, layouts)
    while missing := peers.missing(stored.links):
        values.update(zip(missing, await store.load(missing), strict=True))
        peers = Peers.of(values, DEFAULT_SPEC, layouts)
    return peers


def _feed(
    reference: Reference,
    cleaning: ReferenceCleaning,
    settings: Settings,
    records: Iterable[Converted] | None,
) -> Ends | None:
    """Feed the records or, if there are none, the topic to its present end; return that end."""
    reference.from_ms = settings.live_from_ms
    if records is not None:
        if settings.items:
            raise UsageError(
                "with PROFILER_ITEMS it counts when records arrived, and files do not know: "
                "audit the topic"
            )
        for row, record in enumerate(records):
            reference.feed(record.value, "file", 0, row, headers=BATCH_HEADERS)
        return None
    ends = ends_of(settings)
    # After the ends of the events, so that all versions that they have met are among these.
    feed_items(cleaning, settings)
    for r in records_until(settings, ends):
        reference.feed(r.value, r.topic, r.partition, r.offset, r.timestamp, r.headers)
    return ends


def _feed_history(reference: Reference, history: Iterable[Converted], until_ms: int) -> None:
    reference.until_ms = until_ms
    # What is loaded is not judged.
    guard, reference.guard = reference.guard, ReferenceGuard(events_max=0, rhythm=False)
    for row, record in enumerate(history):
        reference.feed(record.value, "history", 0, row)
    reference.until_ms, reference.guard = TS_MAX_MS + 1, guard


@contextmanager
def _no_cycle_collection() -> Iterator[None]:
    """Keep the collector from passing over millions of lists again and again; none is in a cycle.

    Measured on 66,000 people: it takes more time than everything else.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()

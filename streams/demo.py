"""The demo: everything of its own, from broker to worker, fed, watched, audited and stopped.

First a backlog that waits in the topic, which a worker that starts works off: that gives the rate.
Then live traffic at a steady pace: that gives the time from event to readable. Both are read off
the worker's own metrics.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NoReturn

from msgspec import Struct
from tqdm import tqdm

from profiler.errors import ProfilerError, UsageError
from profiler.sources import Converted, Source
from streams.assembly import open_store
from streams.audit import AuditReport, audit
from streams.cast import Cast, Moment, Watch, choose
from streams.client import ProfileClient
from streams.producer import EventProducer
from streams.reader import Profile
from streams.replay import ReplayOptions, Speed, load, paced
from streams.scrape import Scrape
from streams.settings import Settings
from streams.stage import Stage
from streams.traffic import ending_at

LIVE_SHARE: Final = 4
LIVE_EVENTS_PER_S: Final = 1_500
LIVE_S: Final = 10
LOOK_INTERVAL_S: Final = 0.25
POLL_INTERVAL_S: Final = 0.02
STALL_S: Final = 20.0
MOMENTS_SHOWN: Final = 6
AUDIT_WAIT_S: Final = 20.0

Tell = Callable[[str], None]


class DemoOptions(Struct, frozen=True, kw_only=True):
    """What to send.

    Parameters
    ----------
    users, events, seed
        Of the simulation; of a file at most so many events are sent.
    file, source
        A data file instead of the simulation, and its format.
    """

    users: int = 2_000
    events: int = 60_000
    seed: int = 0
    file: Path | None = None
    source: Source | None = None


class DemoReport(Struct, frozen=True, kw_only=True):
    """What was seen.

    Parameters
    ----------
    events
        Records that were sent and worked on.
    profiles
        Expected or stored, by the audit.
    events_per_s
        At which a backlog was worked off.
    live_events_per_s
        At which live events were sent.
    fresh_ms_p50, fresh_ms_p99
        From a live record's Kafka timestamp to its profile being readable; NaN without live events.
    outcomes, dead_letters
        Records by what became of them, and by the reason why they could not be applied.
    accepted_unused, duplicates
        Two of the outcomes.
    model
        Prequential quality of the purchase model.
    audit
        Every profile against one recomputed from the topic.
    shown
        Profiles of three people.
    history
        One of them while it ran.
    seconds
        Length of the whole.
    """

    events: int
    profiles: int
    events_per_s: float
    live_events_per_s: float
    fresh_ms_p50: float
    fresh_ms_p99: float
    outcomes: dict[str, int]
    dead_letters: dict[str, int]
    accepted_unused: int
    duplicates: int
    model: dict[str, float]
    audit: AuditReport
    shown: dict[str, Profile]
    history: list[Moment]
    seconds: float


def run_demo(stage: Stage, options: DemoOptions, tell: Tell) -> DemoReport:
    """Play on a stage that is up.

    Raises
    ------
    ProfilerError
        If the worker ends or gets stuck.
    """
    started_s = time.monotonic()
    tell("simulating people" if options.file is None else f"reading {options.file}")
    records = _records(options)
    n_live = min(len(records) // LIVE_SHARE, LIVE_S * LIVE_EVENTS_PER_S)
    backlog, live = records[: len(records) - n_live], records[len(records) - n_live :]
    cast = choose(backlog, live)
    key = stage.settings.pseudonym_key.reveal()
    with ProfileClient(stage.settings.store_url, key) as client:
        play = _Play(stage, tell, Watch(client, cast.watched))
        events_per_s = play.work_off(backlog)
        before, live_per_s = play.scrape, play.live(live)
        found = asyncio.run(_audit(stage.settings))
        tell(f"audit: {found.profiles:,} profiles recomputed, {found.mismatched} differ")
        return _report(
            play,
            before,
            found,
            events_per_s=events_per_s,
            live_events_per_s=live_per_s,
            shown=_profiles(client, cast),
            seconds=time.monotonic() - started_s,
        )


class _Play:
    """The acts of the demo, one after another."""

    def __init__(self, stage: Stage, tell: Tell, watch: Watch) -> None:
        self.scrape = NOTHING
        self.watch = watch
        self._stage = stage
        self._tell = tell
        self.n_sent = 0

    def work_off(self, records: Sequence[Converted]) -> float:
        """Send a backlog, start the worker, and give the rate at which it works it off."""
        self._send("sending", records, len(records))
        self._tell(f"{len(records):,} events wait in the topic; starting a worker")
        worker = self._stage.worker
        worker.start()
        worker.wait_until_ready()
        started_s = time.time()
        with _bar("working off", len(records)) as bar:
            self._until_done(bar)
        seconds = self.scrape.last_commit_s - started_s
        rate = len(records) / seconds if seconds > 0 else float("nan")
        self._tell(f"worked off in {seconds:.1f} s: {rate:,.0f} events/s")
        return rate

    def live(self, records: Sequence[Converted]) -> float:
        """Send live traffic, and give the rate at which it was sent."""
        self._tell(f"{len(records):,} live events at {LIVE_EVENTS_PER_S:,} a second")
        started_s = time.monotonic()
        pace = Speed(events_per_s=LIVE_EVENTS_PER_S)
        self._send("live", paced(records, pace), len(records))
        seconds = time.monotonic() - started_s
        with _bar("last events", self.n_sent - self.scrape.n_records) as bar:
            self._until_done(bar)
        return len(records) / seconds

    def _send(self, label: str, records: Iterable[Converted], n: int) -> None:
        settings = self._stage.settings
        looked_s = time.monotonic()
        producer = EventProducer.of(settings)
        with producer, _bar(label, n) as bar:
            for record in records:
                producer.send_raw(record.key, record.value)
                bar.update()
                if time.monotonic() - looked_s > LOOK_INTERVAL_S:
                    self.watch.look()
                    looked_s = time.monotonic()
        self.n_sent += producer.n_acknowledged

    def _until_done(self, bar: tqdm[NoReturn]) -> None:
        """Watch until everything sent is worked on."""
        n_at_start = n_seen = self.scrape.n_records
        moved_s = time.monotonic()
        while True:
            self.scrape = self._stage.worker.scrape()
            self.watch.look()
            if self.scrape.n_records != n_seen:
                moved_s, n_seen = time.monotonic(), self.scrape.n_records
                bar.update(n_seen - n_at_start - bar.n)
            if n_seen >= self.n_sent:
                return
            if time.monotonic() - moved_s > STALL_S:
                raise ProfilerError(f"the worker is stuck at {n_seen:,} of {self.n_sent:,} records")
            time.sleep(POLL_INTERVAL_S)


def _records(options: DemoOptions) -> list[Converted]:
    if options.file is not None:
        assert options.source is not None
        records = list(load([options.file], options.source, ReplayOptions(limit=options.events)))
        if not records:
            raise UsageError(f"there is nothing in {options.file}")
        return records
    now_ms = time.time_ns() // 1_000_000
    return ending_at(now_ms, events=options.events, users=options.users, seed=options.seed)


async def _audit(settings: Settings) -> AuditReport:
    store = open_store(settings)
    try:
        return await audit(settings, store, wait_s=AUDIT_WAIT_S)
    finally:
        await store.close()


def _profiles(client: ProfileClient, cast: Cast) -> dict[str, Profile]:
    found = zip(cast.shown, client.get_many(cast.shown), strict=True) if cast.shown else ()
    return {subject: profile for subject, profile in found if profile is not None}


def _report(
    play: _Play,
    before: Scrape,
    found: AuditReport,
    *,
    events_per_s: float,
    live_events_per_s: float,
    shown: dict[str, Profile],
    seconds: float,
) -> DemoReport:
    end = play.scrape
    return DemoReport(
        events=play.n_sent,
        profiles=found.profiles,
        events_per_s=events_per_s,
        live_events_per_s=live_events_per_s,
        fresh_ms_p50=end.readable_ms(0.5, before),
        fresh_ms_p99=end.readable_ms(0.99, before),
        outcomes=dict(end.outcomes),
        dead_letters=dict(end.dead_letters),
        accepted_unused=end.outcomes.get("accepted_unused", 0),
        duplicates=end.outcomes.get("duplicate", 0),
        model=dict(end.quality),
        audit=found,
        shown=shown,
        history=play.watch.some(MOMENTS_SHOWN),
        seconds=seconds,
    )


def _bar(label: str, n: int) -> tqdm[NoReturn]:
    # disable=None: shown only where standard error is a terminal.
    return tqdm(total=n, desc=label, unit=" events", unit_scale=True, leave=False, disable=None)


NOTHING: Final = Scrape(outcomes={}, dead_letters={}, readable={}, last_commit_s=0.0, quality={})
"""What a worker's metrics say before it has begun."""

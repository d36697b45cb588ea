"""Follows the topic of items into the worker's catalogue, and says how far it has come.

Every worker reads all of the topic, from its beginning, before it takes part in the group, and then
goes on. An event may only be worked on once all versions that may count for it have been read: the
reader notes a time, finds the ends of the partitions, reads to them, and so knows that it has seen
what had been appended by that time. Whoever brings records waits until that time is late enough.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from profiler.catalogue import Catalogue, read_item
from profiler.currency import Rates
from profiler.errors import BrokerUnavailable, UsageError
from profiler.records import Record
from streams.broker import security_of
from streams.committer import DeadLetters
from streams.deadletter import DeadLetter
from streams.eventlog import places_of
from streams.log import get_logger
from streams.metrics import Metrics
from streams.patience import Patience
from streams.settings import Settings

READ_TIMEOUT_S: Final = 30.0
FETCH_MAX_WAIT_MS: Final = 100
INTERVAL_MAX_S: Final = 1.0
SLACK: Final = 0.5
"""Share of the grace by which the clocks of producers, brokers and workers may differ. The rest is
for what is being appended, so that nobody waits while the reader keeps up."""
BEHIND_S_MIN: Final = 5.0
"""A shorter grace would make readiness flicker: whoever has to wait then waits a moment only."""

_log = get_logger(component="items")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class CatalogueReader:
    """Fills a catalogue from its topic.

    Parameters
    ----------
    settings
        Brokers, topic, group.
    catalogue
        To be filled.
    rates
        Where amounts are converted: prices in currencies that it does not know are refused.
    dead_letters
        Where records go that are no items. Who has sent them notes that as the committed offset of
        the group ``<group>.items``, so that they are not sent at every start.
    metrics
        Told of all this.
    now_ms
        The clock.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        rates: Rates | None,
        dead_letters: DeadLetters,
        metrics: Metrics,
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._settings = settings
        self._topic = settings.topic("items")
        self._catalogue = catalogue
        self._rates = rates
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._now_ms = now_ms
        self._patience = Patience(metrics)
        self._slack_ms = round(SLACK * catalogue.grace_ms)
        self._interval_s = min(INTERVAL_MAX_S, self._slack_ms / 4_000)
        self._positions: dict[TopicPartition, int] = {}
        self._read_through_ms = 0
        self._advanced = asyncio.Condition()
        self._hurry = asyncio.Event()
        self._n_evicted = 0

    @property
    def is_behind(self) -> bool:
        """Whether the topic has not been read for so long that events have to wait."""
        silence_ms = self._now_ms() - self._read_through_ms
        return silence_ms > max(self._slack_ms, BEHIND_S_MIN * 1_000)

    async def load(self) -> None:
        """Return once the catalogue holds what the topic holds now; waits for a broker.

        Raises
        ------
        UsageError
            The topic does not exist.
        """
        await self._patience.until_done(partial(self._follow, once=True))
        _log.info("items_read", items=self._catalogue.n_items, versions=self._catalogue.n_versions)

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        await self._patience.until_done(self._follow)

    async def reach(self, records: Sequence[Record]) -> None:
        """Return once all is read that may count for these records.

        Records from clocks that run ahead are not waited for longer than others.
        """
        newest_ms = max([r.timestamp or 0 for r in records], default=0)
        needed_ms = min(newest_ms, self._now_ms()) - self._slack_ms
        if self._read_through_ms >= needed_ms:
            return
        self._metrics.count_pause("items")
        self._metrics.set_paused("items", True)
        _log.warning("paused", waiting_for="items")
        try:
            async with self._advanced:
                self._hurry.set()
                await self._advanced.wait_for(lambda: self._read_through_ms >= needed_ms)
        finally:
            self._metrics.set_paused("items", False)
        _log.info("resumed", waited_for="items")

    async def _follow(self, *, once: bool = False) -> None:
        async with self._consumer() as consumer:
            while True:
                started_ms = self._now_ms()
                async with asyncio.timeout(READ_TIMEOUT_S):
                    ends = await consumer.end_offsets(await self._assign(consumer))
                await self._read(consumer, ends)
                await self._note(started_ms)
                if once:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._interval_s):
                        await self._hurry.wait()
                self._hurry.clear()

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[Any]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.brokers.split(","),
            group_id=f"{self._settings.group}.items",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            **security_of(self._settings).options(),
        )
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                await consumer.start()
            yield consumer
        except (KafkaError, OSError, TimeoutError) as fault:
            raise BrokerUnavailable(f"items could not be read: {fault!r}") from fault
        finally:
            await consumer.stop()

    async def _assign(self, consumer: Any) -> list[TopicPartition]:
        """Partitions of the topic, each read from where it was left."""
        numbers = consumer.partitions_for_topic(self._topic)
        if not numbers:
            # aiokafka knows nothing of a topic before it reads it.
            found = await asyncio.to_thread(places_of, self._settings, [self._topic])
            numbers = {number for _, number in found}
        if not numbers:
            raise UsageError(f"no topic {self._topic}: run `profiler topics create`")
        places = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        if set(places) != consumer.assignment():
            consumer.assign(places)
            beginnings = await consumer.beginning_offsets(places)
            for place in places:
                consumer.seek(place, self._positions.get(place, beginnings[place]))
        return places

    async def _read(self, consumer: Any, ends: dict[TopicPartition, int]) -> None:
        """Read to these ends at least."""
        now_s = asyncio.get_running_loop().time
        async with asyncio.timeout(READ_TIMEOUT_S) as limit:
            while True:
                # Not what was found last: behind it may lie markers, which nobody is given.
                for place in ends:
                    self._positions[place] = await consumer.position(place)
                if all(self._positions[place] >= end for place, end in ends.items()):
                    return
                found = await consumer.getmany(timeout_ms=FETCH_MAX_WAIT_MS)
                if found:
                    await self._take(consumer, [r for records in found.values() for r in records])
                    limit.reschedule(now_s() + READ_TIMEOUT_S)

    async def _take(self, consumer: Any, records: Sequence[Record]) -> None:
        said = [read_item(record.key, record.value, self._rates) for record in records]
        # Before anything is noted: after a failure all of these are read again.
        letters = [
            DeadLetter(record, one)
            for record, one in zip(records, said, strict=True)
            if isinstance(one, str)
        ]
        await self._send(consumer, letters)
        for record, one in zip(records, said, strict=True):
            if not isinstance(one, str):
                self._catalogue.put(*one, max(0, record.timestamp or 0))
            self._positions[TopicPartition(self._topic, record.partition)] = record.offset + 1

    async def _send(self, consumer: Any, letters: Sequence[DeadLetter]) -> None:
        """Send the letters of records that nobody is known to have sent before."""
        by_place: dict[TopicPartition, list[DeadLetter]] = {}
        for letter in letters:
            self._metrics.count_refused_item(letter.reason)
            place = TopicPartition(self._topic, letter.record.partition)
            by_place.setdefault(place, []).append(letter)
        for place, some in by_place.items():
            sent_before = await consumer.committed(place) or 0
            if new := [letter for letter in some if letter.record.offset >= sent_before]:
                await self._dead_letters.send(new)
                await consumer.commit({place: new[-1].record.offset + 1})

    async def _note(self, started_ms: int) -> None:
        """All that had been appended by this time has been read."""
        catalogue = self._catalogue
        if catalogue.n_evicted > self._n_evicted:
            if not self._n_evicted:
                _log.warning("items_max", hint="raise PROFILER_ITEMS_MAX: versions are dropped")
            self._n_evicted = catalogue.n_evicted
        self._metrics.set_items(
            n_items=catalogue.n_items,
            n_versions=catalogue.n_versions,
            n_evicted=catalogue.n_evicted,
            read_through_s=started_ms / 1_000,
        )
        async with self._advanced:
            self._read_through_ms = max(self._read_through_ms, started_ms)
            self._advanced.notify_all()

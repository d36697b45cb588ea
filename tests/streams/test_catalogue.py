"""How long records wait for the catalogue, and when a worker is behind. No broker is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from profiler.records import RawRecord
from streams.catalogue import CatalogueReader
from streams.cleaning import catalogue_of
from streams.deadletter import KafkaDeadLetters
from streams.metrics import Metrics
from streams.settings import Secret, Settings

NOW_MS = 1_700_000_000_000
GRACE_MS = 10_000
SLACK_MS = GRACE_MS // 2


class Bench:
    """A reader whose clock and progress a test decides."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.metrics = Metrics()
        settings = Settings(pseudonym_key=Secret("k" * 32), items=True)
        catalogue = catalogue_of(settings)
        assert catalogue is not None
        letters = KafkaDeadLetters(settings.brokers, "deadletter", lambda: self.now_ms)
        self.reader = CatalogueReader(
            settings, catalogue, None, letters, self.metrics, lambda: self.now_ms
        )

    async def reached(self, record_ms: int | None) -> bool:
        """Whether a record of this timestamp may pass now."""
        waiting = asyncio.create_task(self.reader.reach([_record(record_ms)]))
        for _ in range(5):
            await asyncio.sleep(0)
        is_done = waiting.done()
        assert self.metrics.value("profiler_paused", waiting_for="items") == (not is_done)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return is_done


def _record(timestamp: int | None) -> RawRecord:
    return RawRecord("profiler.events", 0, 0, timestamp, None, b"{}")


def _run(test: Callable[[Bench], Awaitable[None]]) -> None:
    asyncio.run(_within(test))


async def _within(test: Callable[[Bench], Awaitable[None]]) -> None:
    await test(Bench())


def test_nothing_passes_before_the_topic_was_read() -> None:
    async def test(bench: Bench) -> None:
        assert not await bench.reached(NOW_MS)
        assert bench.reader.is_behind

    _run(test)


def test_records_pass_once_all_that_may_count_for_them_is_read() -> None:
    async def test(bench: Bench) -> None:
        await bench.reader._note(NOW_MS - SLACK_MS - 1)
        assert not await bench.reached(NOW_MS)

        waiting = asyncio.create_task(bench.reader.reach([_record(NOW_MS)]))
        await asyncio.sleep(0)
        await bench.reader._note(NOW_MS - SLACK_MS)

        await asyncio.wait_for(waiting, 10)
        assert await bench.reached(NOW_MS)

    _run(test)


def test_old_records_pass_at_once() -> None:
    async def test(bench: Bench) -> None:
        await bench.reader._note(NOW_MS - 1_000_000)

        assert await bench.reached(NOW_MS - 1_000_000)
        assert await bench.reached(None)

    _run(test)


def test_a_producer_whose_clock_runs_ahead_holds_up_nobody() -> None:
    async def test(bench: Bench) -> None:
        await bench.reader._note(NOW_MS)

        assert await bench.reached(NOW_MS + 3_600_000)

    _run(test)


def test_a_reader_that_hears_nothing_is_behind() -> None:
    async def test(bench: Bench) -> None:
        await bench.reader._note(NOW_MS)
        assert not bench.reader.is_behind

        bench.now_ms += SLACK_MS + 1

        assert bench.reader.is_behind

    _run(test)

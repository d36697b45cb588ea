"""The same file by `profiler replay` and a worker, and by `profiler backfill`: records a second.

``python -m benchmarks.backfill [FILE] [--source NAME] [--rounds N]`` on the embedded broker and
store. The way of the worker is measured from the first record sent to the last offset committed.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from profiler.events import TS_MAX_MS
from streams.backfill import BackfillOptions, backfill
from streams.backfill_origins import file_origins, load_id_of
from streams.embedded import EmbeddedBroker, EmbeddedStore
from streams.eventlog import wait_until_consumed
from streams.formats import source_of
from streams.replay import ReplayOptions, replay
from streams.settings import Secret, Settings
from streams.spawn import free_port
from streams.topics import create_topics
from streams.worker_process import WorkerProcess

RETAIL = Path(__file__).parents[2] / "shared" / "data" / "online_retail.csv.gz"
WAIT_S = 600.0
PROCESSES = 2


def live(path: Path, source: str, directory: Path) -> tuple[int, float]:
    """Records and seconds of one worker."""
    with EmbeddedBroker() as broker, EmbeddedStore() as store:
        settings = Settings(
            pseudonym_key=Secret("k" * 32),
            brokers=broker.address,
            store_url=store.url,
            web_port=free_port(),
            commit_interval_s=0.1,
        )
        create_topics(settings)
        worker = WorkerProcess(settings, directory / "worker.log")
        try:
            worker.start()
            worker.wait_until_ready()
            started_s = time.monotonic()
            options = ReplayOptions(progress=False)
            report = replay([path], source_of(source, None), settings, options)
            wait_until_consumed(settings, WAIT_S)
            return report.events, time.monotonic() - started_s
        finally:
            worker.kill()


def history(path: Path, source: str, directory: Path) -> tuple[int, float]:
    """Records and seconds of a backfill, its processes' start included."""
    with EmbeddedStore() as store:
        settings = Settings(pseudonym_key=Secret("k" * 32), store_url=store.url)
        started_s = time.monotonic()
        origins, records = file_origins([path], source, None, ReplayOptions(), PROCESSES)
        options = BackfillOptions(
            until_ms=TS_MAX_MS + 1,
            records=records,
            processes=PROCESSES,
            folder=directory / "folder",
            progress=False,
        )
        load_id = load_id_of(origins, options.until_ms)
        report = asyncio.run(backfill(settings, origins, load_id, options))
        return report.records, time.monotonic() - started_s


def main() -> None:
    """Measure both in turn, and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=RETAIL)
    parser.add_argument("--source", default="online-retail")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rates: dict[str, list[float]] = {"live": [], "backfill": []}
    for _ in range(arguments.rounds):
        for name, way in (("live", live), ("backfill", history)):
            with tempfile.TemporaryDirectory() as directory:
                records, seconds = way(arguments.file, arguments.source, Path(directory))
            rates[name].append(records / seconds)
            print(f"{name:8}  {records:,} records in {seconds:.1f} s: {records / seconds:,.0f}/s")
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ratio = medians["backfill"] / medians["live"]
    figures = {name: round(rate) for name, rate in medians.items()} | {"ratio": round(ratio, 2)}
    print(msgspec.json.encode(figures).decode())


if __name__ == "__main__":
    main()

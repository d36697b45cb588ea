"""The same file by a worker, by `profiler replay` and a worker, and by `profiler backfill`.

``python -m benchmarks.backfill [FILE] [--source NAME] [--rounds N]``, in records a second of the
file, on the embedded broker and store:

* ``backlog``: a worker that finds all of it in the topic, from its start to the last offset
  committed. What sending costs is left out.
* ``live``: a worker that is ready, from the first record sent to the last offset committed.
* ``backfill``: from the file, the start of its processes included.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from profiler.events import TS_MAX_MS
from streams.backfill import BackfillOptions, backfill
from streams.backfill_origins import file_origins, load_id_of
from streams.embedded import EmbeddedBroker, EmbeddedStore
from streams.eventlog import wait_until_consumed
from streams.formats import source_of
from streams.replay import ReplayOptions, ReplayReport, replay
from streams.settings import Secret, Settings
from streams.spawn import free_port
from streams.topics import create_topics
from streams.worker_process import WorkerProcess

RETAIL = Path(__file__).parents[2] / "shared" / "data" / "online_retail.csv.gz"
WAIT_S = 600.0
PROCESSES = 2


def backlog(path: Path, source: str, directory: Path) -> tuple[int, float]:
    """Records and seconds of one worker that finds everything sent, its start included."""
    with _broker_and_store() as settings:
        report = _send(path, source, settings)
        started_s = time.monotonic()
        with _worker(settings, directory):
            wait_until_consumed(settings, WAIT_S)
            return report.events, time.monotonic() - started_s


def live(path: Path, source: str, directory: Path) -> tuple[int, float]:
    """Records and seconds of one worker that is ready, sending included."""
    with _broker_and_store() as settings, _worker(settings, directory) as worker:
        worker.wait_until_ready()
        started_s = time.monotonic()
        report = _send(path, source, settings)
        wait_until_consumed(settings, WAIT_S)
        return report.events, time.monotonic() - started_s


@contextmanager
def _broker_and_store() -> Iterator[Settings]:
    with EmbeddedBroker() as broker, EmbeddedStore() as store:
        settings = Settings(
            pseudonym_key=Secret("k" * 32),
            brokers=broker.address,
            store_url=store.url,
            web_port=free_port(),
            commit_interval_s=0.1,
        )
        create_topics(settings)
        yield settings


def _send(path: Path, source: str, settings: Settings) -> ReplayReport:
    return replay([path], source_of(source, None), settings, ReplayOptions(progress=False))


@contextmanager
def _worker(settings: Settings, directory: Path) -> Iterator[WorkerProcess]:
    worker = WorkerProcess(settings, directory / "worker.log")
    try:
        worker.start()
        yield worker
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
    ways = {"backlog": backlog, "live": live, "backfill": history}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory() as directory:
                records, seconds = way(arguments.file, arguments.source, Path(directory))
            rates[name].append(records / seconds)
            print(f"{name:8}  {records:,} records in {seconds:.1f} s: {records / seconds:,.0f}/s")
    medians = {name: statistics.median(found) for name, found in rates.items()}
    figures: dict[str, float] = {name: round(rate) for name, rate in medians.items()}
    for name in ("backlog", "live"):
        figures[f"backfill_to_{name}"] = round(medians["backfill"] / medians[name], 2)
    print(msgspec.json.encode(figures).decode())


if __name__ == "__main__":
    main()

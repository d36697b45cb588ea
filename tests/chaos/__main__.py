"""``python -m tests.chaos`` (``make chaos``): faults of every kind under load, then an audit."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, cast

from profiler.errors import ProfilerError
from tests.chaos.result import EVENTS_PER_S
from tests.chaos.rig import Options
from tests.chaos.run import run
from tests.servers.redis_server import Kind

STORES: Final[tuple[Kind, ...]] = ("redis", "valkey")


def main() -> int:
    """Run, print what happens, and give the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    directory = Path(tempfile.mkdtemp(prefix="profiler-chaos-"))
    started_s = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - started_s:7.1f} s  {text}", flush=True)

    tell(
        f"seed {options.seed}: {options.n_brokers} broker(s), {options.store}, logs in {directory}"
    )
    try:
        result = run(options, directory, tell)
    except ProfilerError as fault:
        print(f"FAILED seed={options.seed}: {fault}; logs are in {directory}", flush=True)
        return 1
    for reason in result.failures():
        print(f"FAILED: {reason}")
    if not result.passed:
        print(f"logs are in {directory}")
    elif not options.keep_logs:
        shutil.rmtree(directory)
    print(result.line(options.seed), flush=True)
    return 0 if result.passed else 1


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--duration-s", type=float, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--brokers", type=int, choices=tuple(EVENTS_PER_S), default=1)
    parser.add_argument("--store", choices=STORES, help="by default the seed chooses")
    parser.add_argument("--events-per-s", type=float, help=f"by default {EVENTS_PER_S}, by brokers")
    parser.add_argument("--keep-logs", action="store_true", help="also of a run that passes")
    given = parser.parse_args()
    return Options(
        seed=given.seed,
        duration_s=given.duration_s,
        n_brokers=given.brokers,
        store=cast(Kind, given.store or STORES[given.seed % len(STORES)]),
        events_per_s=given.events_per_s or EVENTS_PER_S[given.brokers],
        keep_logs=given.keep_logs,
    )


if __name__ == "__main__":
    sys.exit(main())

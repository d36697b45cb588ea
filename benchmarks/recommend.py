"""How long a recommendation takes, and what it costs the store: real events, worker and server.

``python -m benchmarks.recommend [--events N] [--requests N]`` replays the start of the Taobao file
through broker and worker, waits for the statistics, and asks for k = 20, one after another.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from profiler.sources import source_named
from streams.client import ProfileClient
from streams.replay import ReplayOptions, load, replay
from streams.stage import Stage

DATA = Path(os.environ.get("PROFILER_DATA_DIR", "../shared/data"))


def main() -> None:
    """Print the quantiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--requests", type=int, default=3_000)
    wanted = parser.parse_args()
    source, path = source_named("taobao"), DATA / "taobao_burst.csv.gz"
    options = ReplayOptions(limit=wanted.events, sort=True, progress=False)
    people = [record.key for record in load([path], source, options) if record.key]
    with Stage() as stage:
        stage.worker.start()
        stage.worker.wait_until_ready()
        report = replay([path], source, stage.settings, options)
        key = stage.settings.pseudonym_key.reveal()
        with ProfileClient(stage.settings.store_url, key) as client:
            started_s = time.monotonic()
            while client.get(people[-1].decode()) is None:
                time.sleep(0.1)
            time.sleep(10)
            seconds, n_empty = [], 0
            chosen = np.random.default_rng(1).choice(len(people), wanted.requests)
            for k in tqdm(chosen.tolist(), disable=None):
                begun_s = time.perf_counter()
                found = client.recommend(people[k].decode())
                seconds.append(time.perf_counter() - begun_s)
                n_empty += not found
            info = client._redis.info("memory")
            n_items = sum(1 for _ in client._redis.scan_iter("item:*", count=5_000))
    ms = np.array(seconds) * 1_000
    print(
        f"events replayed {report.events:,}; items with statistics {n_items:,}; "
        f"store {info['used_memory_human']}; waited {time.monotonic() - started_s:.0f} s"
    )
    p50, p99 = np.quantile(ms, [0.5, 0.99])
    print(
        f"recommend k=20: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {ms.max():.2f} ms, "
        f"{len(ms):,} requests, {n_empty} empty"
    )


if __name__ == "__main__":
    main()

"""Follow who joins whom: what a warehouse or a search index needs to move rows of its own.

    python examples/read_updates.py 127.0.0.1:9092 redis://127.0.0.1:6379/0

A record says that somebody changed; the profile says how they stand now. So each record is answered
by one look at `profile:{pid}`, and neither a repeated nor a late one does any harm.
"""

from __future__ import annotations

import sys

import msgspec
import redis
from kafka import KafkaConsumer

from profiler.updates import Update
from streams.store import profile_key


def main(brokers: str = "127.0.0.1:9092", store: str = "redis://127.0.0.1:6379/0") -> None:
    """Print one line for each update, from the first that is kept."""
    consumer = KafkaConsumer(
        "profiler.updates", bootstrap_servers=brokers, auto_offset_reset="earliest"
    )
    decode = msgspec.json.Decoder(Update).decode
    with redis.Redis.from_url(store) as profiles:
        for record in consumer:
            update = decode(record.value)
            moved_to, rev = profiles.hmget(profile_key(update.pid), "moved_to", "rev")
            stands = f"belongs to {moved_to.decode()}" if moved_to else "stands alone"
            now = stands if rev else "is gone"
            print(f"{update.change:<9}{update.pid}  rev {update.rev}: {now}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Sends a few typed events of one person, waits until they are safe, and shows what was sent.

    python examples/send_events.py 127.0.0.1:9092 alice

Then ask for the profile: ``profiler get alice``.
"""

from __future__ import annotations

import sys
import time

from profiler.errors import BrokerUnavailable
from profiler.events import Browse, Cart, Click, Purchase, Search
from streams.producer import EventProducer


def main(brokers: str = "127.0.0.1:9092", user_id: str = "alice") -> int:
    """Send one short visit to a shop that sells teapots."""
    now_ms = time.time_ns() // 1_000_000
    item, title, category = "teapot-7", "Blue teapot", "teapots"
    visit = (
        Search(ts=now_ms - 90_000, user_id=user_id, query="teapot blue", n_results=12),
        Click(ts=now_ms - 60_000, user_id=user_id, item_id=item, title=title, category=category),
        Browse(ts=now_ms - 55_000, user_id=user_id, item_id=item, dwell_ms=20_000),
        Cart(ts=now_ms - 30_000, user_id=user_id, item_id=item, category=category),
        Purchase(ts=now_ms, user_id=user_id, item_id=item, price=29.5, currency="EUR", quantity=1),
    )
    try:
        with EventProducer(brokers, "profiler.events") as producer:
            for event in visit:
                producer.send(event)
            producer.flush()  # returns once the broker has them all, or raises
    except BrokerUnavailable as fault:
        print(fault, file=sys.stderr)
        return 1
    print(f"{producer.n_acknowledged} events of {user_id} are acknowledged")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

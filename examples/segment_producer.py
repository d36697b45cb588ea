"""A visit, told by Segment's own library to the collector: first nobody's, then a user's.

    COLLECTOR_WRITE_KEY=... python examples/segment_producer.py http://127.0.0.1:8080 alice

The library (``pip install segment-analytics-python``) is used as its documentation says; only the
host is another. Then ask for the profile: ``profiler get alice`` has what the cookie did, too.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from segment import analytics

LAMP = {"product_id": "lamp-7", "name": "Desk lamp", "category": "lighting", "brand": "Lumen"}


def main(host: str = "http://127.0.0.1:8080", user_id: str = "alice") -> int:
    """Look at a lamp, sign in, buy two; 1 if the library gave something up."""
    given_up: list[Any] = []
    cookie = f"cookie-of-{user_id}"
    client = analytics.Client(
        os.environ["COLLECTOR_WRITE_KEY"],
        host=host,
        gzip=True,
        on_error=lambda fault, calls: given_up.append(fault),
    )
    client.page(anonymous_id=cookie, category="lighting", name="Lamps")
    client.track(anonymous_id=cookie, event="Product Viewed", properties=dict(LAMP))
    client.track(anonymous_id=cookie, event="Product Added", properties={**LAMP, "price": 34.5})
    client.identify(user_id, {"plan": "gold"}, anonymous_id=cookie)
    client.alias(f"app-of-{user_id}", user_id)
    lamps = {**LAMP, "price": 34.5, "quantity": 2}
    order = {"order_id": "o-17", "currency": "EUR", "products": [lamps]}
    client.track(user_id, "Order Completed", order)
    client.track(anonymous_id=f"app-of-{user_id}", event="Product Clicked", properties=dict(LAMP))
    client.shutdown()  # returns once all calls are answered, or given up
    for fault in given_up:
        print(fault, file=sys.stderr)
    return 1 if given_up else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

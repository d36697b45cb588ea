"""One or more example events of every type, and items. They stand in schemas and tests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from profiler.catalogue import Item
from profiler.events import (
    EVENT_TYPES,
    Browse,
    Cart,
    Checkin,
    Click,
    Consent,
    Erase,
    Event,
    Feedback,
    Follow,
    Identify,
    Media,
    Message,
    Purchase,
    Refund,
    Search,
    Transaction,
    Verdict,
)
from profiler.updates import Update

_TS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z

EXAMPLES: Final[Sequence[Event]] = (
    Click(ts=_TS, event_id="c-1", user_id="alice", item_id="lamp-7", category="lighting"),
    Click(
        ts=dt.datetime(2026, 1, 1, 9, 30, tzinfo=dt.timezone(dt.timedelta(hours=8))),
        anonymous_id="cookie-51f0",
        item_id="lamp-7",
    ),
    Browse(
        ts=_TS + 1_000,
        event_id="b-1",
        user_id="alice",
        session_id="s-9",
        source="web",
        item_id="lamp-7",
        title="White metal lantern",
        category="lighting",
        brand="Lumen",
        price=34.5,
        currency="EUR",
        dwell_ms=12_400,
    ),
    Purchase(
        ts=_TS + 2_000,
        event_id="p-1",
        user_id="alice",
        item_id="lamp-7",
        price=34.5,
        currency="EUR",
        quantity=2,
    ),
    Refund(ts=_TS + 3_000, event_id="r-1", user_id="alice", item_id="lamp-7", price=34.5),
    Cart(ts=_TS + 4_000, event_id="k-1", device_id="phone-3", item_id="lamp-7", action="remove"),
    Search(ts=_TS + 5_000, event_id="q-1", user_id="alice", query="metal lantern", n_results=18),
    Message(
        ts=_TS + 6_000,
        event_id="m-1",
        user_id="alice",
        text="Bright, and arrived on time.",
        channel="review",
        rating=4.5,
    ),
    Media(
        ts=_TS + 7_000,
        event_id="i-1",
        user_id="alice",
        kind="image",
        uri="s3://pictures/41.jpg",
        content_type="image/jpeg",
    ),
    Media(ts=_TS + 7_500, event_id="i-2", user_id="alice", kind="audio", data="UklGRiQAAABXQVZF"),
    Checkin(
        ts=_TS + 8_000,
        event_id="l-1",
        user_id="alice",
        latitude=52.52,
        longitude=13.405,
        accuracy_m=20.0,
        place_id="berlin-mitte",
    ),
    Transaction(
        ts=_TS + 9_000,
        event_id="t-1",
        user_id="alice",
        amount=69.0,
        currency="EUR",
        merchant_id="shop-12",
        merchant_category="5712",
        is_fraud=False,
    ),
    Feedback(
        ts=_TS + 10_000,
        event_id="f-1",
        user_id="alice",
        item_id="lamp-8",
        action="clicked",
        recommendation_id="rec-77",
        propensity=0.25,
    ),
    Identify(
        ts=_TS + 11_000,
        event_id="n-1",
        user_id="alice",
        anonymous_id="cookie-51f0",
        traits={"plan": "gold", "age": 34, "newsletter": True, "tags": ["new"], "referrer": None},
    ),
    Consent(
        ts=_TS + 12_000,
        event_id="o-1",
        user_id="alice",
        purposes={"personalisation": True, "advertising": False},
    ),
    Erase(ts=_TS + 13_000, event_id="x-1", user_id="alice"),
    Follow(
        ts=_TS + 14_000,
        event_id="w-1",
        user_id="alice",
        target_id="bob",
        relation="friend",
        weight=2.0,
    ),
    Verdict(ts=_TS + 15_000, event_id="v-1", user_id="alice", automated=False, reason="a reseller"),
)

ITEM_EXAMPLES: Final[Sequence[Item]] = (
    Item(
        item_id="lamp-7",
        title="White metal lantern",
        category="lighting",
        brand="Lumen",
        price=34.5,
        currency="EUR",
        tags=("garden", "metal"),
    ),
    Item(item_id="lamp-8", category="lighting"),
)


UPDATES: Final[Sequence[Update]] = (
    Update(
        pid="u5qj-P9fpDHEvJF-5XzSfA",
        change="moved",
        rev=7,
        ts=_TS + 11_000,
        moved_to="IK9u7qVJ5BvLkXSbKX1YjQ",
    ),
    Update(pid="u5qj-P9fpDHEvJF-5XzSfA", change="returned", rev=9, ts=_TS + 12_000),
    Update(pid="IK9u7qVJ5BvLkXSbKX1YjQ", change="erased", rev=12, ts=_TS + 13_000),
)
"""Examples of what is told of profiles."""


def examples_of(event_type: type[Event]) -> list[Event]:
    """Examples of one type, at least one."""
    found = [example for example in EXAMPLES if isinstance(example, event_type)]
    assert found, f"{event_type.__name__} needs an example"
    return found


assert all(examples_of(event_type) for event_type in EVENT_TYPES)

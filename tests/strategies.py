"""Batches of events as hypothesis strategies: few people and items, times that clash."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st

from profiler.columns import DAY_MS, HOUR_MS
from profiler.events import BEHAVIOUR_TYPES
from profiler.records import RawRecord

START_MS = 1_700_000_000_000
TEN_YEARS_MS = 3_650 * DAY_MS
_REQUIRED: dict[str, dict[str, object]] = {
    "search": {"query": "red shoes"},
    "message": {"text": "hello"},
    "media": {"kind": "image"},
    "checkin": {"latitude": 1.0, "longitude": 2.0},
    "transaction": {"amount": 5.0},
    "feedback": {"action": "clicked"},
    "follow": {"target_id": "u9", "weight": 2.5},
}
_COMMERCE = ("click", "browse", "purchase", "refund", "cart", "feedback")

times_ms = st.one_of(
    st.integers(0, 40 * 60_000).map(lambda d: START_MS + d),
    st.integers(0, 20).map(lambda d: START_MS + d * HOUR_MS),
    st.integers(0, 80).map(lambda d: START_MS + d * DAY_MS),
    st.integers(0, TEN_YEARS_MS).map(lambda d: START_MS - TEN_YEARS_MS + d),
)


@st.composite
def events(draw: st.DrawFn, n_users: int = 3) -> dict[str, object]:
    """One behaviour event; ids repeat now and then."""
    kind = draw(st.sampled_from(BEHAVIOUR_TYPES))
    event: dict[str, object] = {
        "type": kind,
        "ts": draw(times_ms),
        "user_id": f"u{draw(st.integers(0, n_users - 1))}",
        **_REQUIRED.get(kind, {}),
    }
    if kind == "follow":
        event |= {"target_id": f"u{draw(st.integers(n_users - 1, 30))}", "user_id": "u0"}
        event["action"] = draw(st.sampled_from(("add", "add", "remove")))
    if draw(st.booleans()):
        event["event_id"] = f"e{draw(st.integers(0, 200))}"
    if kind in _COMMERCE:
        item = draw(st.integers(0, 40))
        event |= {"item_id": f"i{item}", "category": f"c{item % 23}", "brand": f"b{item % 19}"}
        event |= {"price": float(item), "title": f"thing number {item % 7}"}
        event["quantity"] = draw(st.integers(1, 5))
    return event


def event_lists(
    min_size: int = 0, max_size: int = 80
) -> st.SearchStrategy[list[dict[str, object]]]:
    """Lists of events in arrival order."""
    return st.lists(events(), min_size=min_size, max_size=max_size)


def record(event: dict[str, object], offset: int) -> RawRecord:
    """A record of partition 0 that holds an event; without a timestamp, so never screened."""
    key = str(event.get("user_id", "")).encode()
    return RawRecord("profiler.events", 0, offset, None, key, msgspec.json.encode(event))

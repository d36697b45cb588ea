"""Records of foreign formats: the columnar core and the reference must agree on them too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from profiler.audit import Auditor
from profiler.batch import Screen
from profiler.recompute import Reference
from profiler.records import RawRecord
from profiler.state import decode_states
from tests.folding import Fold

TS_MS = 1_772_355_600_000
SKEW_MS = 60_000
AGE_MS = 3_600_000

PRODUCTS = [
    {"product_id": f"p{k}", "category": "Games", "brand": "Hasbro", "price": 2.5, "quantity": k + 1}
    for k in range(3)
]
CE = [("ce_specversion", b"1.0"), ("ce_type", b"com.shop.click"), ("ce_source", b"web")]


def call(kind: str, user: str, ts: int, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "userId": user, "timestamp": ts, **fields}


def order(user: str, ts: int, **fields: Any) -> dict[str, Any]:
    properties = {"products": PRODUCTS, "currency": "EUR"}
    return call("track", user, ts, event="Order Completed", properties=properties, **fields)


def messages(user: str, other: str, ts: int) -> list[tuple[Any, Sequence[tuple[str, bytes]]]]:
    """One of each kind: with and without ids, of one person and of two, refused and unused."""
    native = {"type": "browse", "ts": ts, "user_id": user, "item_id": "p1"}
    structured = {"specversion": "1.0", "type": "a.cart", "source": "web", "id": "9"}
    return [
        (native, ()),
        (order(user, ts), ()),
        (order(user, ts, messageId="order-1"), ()),
        ({"batch": [order(user, ts), call("page", other, ts), order(other, ts)]}, ()),
        ({"batch": [call("page", user, ts), call("page", user, ts - 2 * AGE_MS)]}, ()),
        ({"batch": [call("page", user, ts), call("page", user, 0)]}, ()),
        (call("identify", user, ts, traits={"plan": "gold"}), ()),
        (call("track", user, ts, event="Unknown"), ()),
        ({"user_id": user, "ts": ts}, [*CE, ("ce_id", b"7")]),
        (native, [*CE, ("ce_id", user.encode())]),
        ([structured | {"data": native}, structured | {"id": "10", "data": native}], ()),
        (
            {
                **structured,
                "type": "com.shop.erase",
                "time": "2026-03-01T09:00:00Z",
                "subject": other,
            },
            (),
        ),
        ({"nothing": "known"}, ()),
    ]


KINDS = len(messages("a", "b", TS_MS))


def records_of(picks: Sequence[tuple[int, str, str, int]]) -> list[RawRecord]:
    offsets = [0, 0]
    records: list[RawRecord] = []
    for kind, user, other, step_ms in picks:
        value, headers = messages(user, other, TS_MS + step_ms)[kind]
        partition = len(records) % 2
        origin = "events", partition, offsets[partition]
        records.append(
            RawRecord(*origin, TS_MS, None, msgspec.json.encode(value), list(headers)),
        )
        offsets[partition] += 1
    return sorted(records, key=lambda record: record.partition)


def reference_of(fold: Fold) -> Reference:
    return Reference(fold.pseudonymiser.pid, clock_skew_max_ms=SKEW_MS, event_age_max_ms=AGE_MS)


@given(
    picks=st.lists(
        st.tuples(
            st.integers(0, KINDS - 1),
            st.sampled_from("abc"),
            st.sampled_from("abc"),
            st.sampled_from([0, 1_000, -5_000, SKEW_MS + 1]),
        ),
        max_size=25,
    ),
    cuts=st.lists(st.integers(1, 24), max_size=3),
)
def test_profiles_are_those_of_the_reference(
    picks: list[tuple[int, str, str, int]], cuts: list[int]
) -> None:
    records = records_of(picks)
    fold = Fold(screen=Screen(SKEW_MS, AGE_MS))
    reference = reference_of(fold)

    fold.apply_in_parts(records, cuts)
    for r in records:
        reference.feed(r.value, r.topic, r.partition, r.offset, r.timestamp, r.headers)

    auditor = Auditor(reference.people)
    stored = decode_states(list(fold.states.values()), fold.spec, {})
    for pid, row, erased in zip(fold.states, stored.rows, stored.erased, strict=True):
        auditor.see(pid, None if erased else row)
    assert auditor.comparison().mismatched == 0
    assert reference.n_records == len(records)


def test_outcomes_count_events() -> None:
    reference = reference_of(Fold())
    value, _ = messages("a", "b", TS_MS)[3]

    outcomes = reference.feed(msgspec.json.encode(value), "events", 0, 0, TS_MS)

    assert outcomes == ["applied"] * 7
    assert (reference.outcomes, reference.n_records) == ({"applied": 7}, 1)


def test_a_redelivered_call_is_a_duplicate_event_by_event() -> None:
    reference = reference_of(Fold())
    value = msgspec.json.encode(order("a", TS_MS, messageId="order-1"))
    reference.feed(value, "events", 0, 0, TS_MS)

    again = reference.feed(value, "events", 0, 1, TS_MS)

    assert again == ["duplicate"] * 3


def test_a_record_with_one_refused_event_is_refused_once() -> None:
    reference = reference_of(Fold())
    value, _ = messages("a", "b", TS_MS)[4]

    assert reference.feed(msgspec.json.encode(value), "events", 0, 0, TS_MS) == ["too_old"]
    assert reference.people == {}

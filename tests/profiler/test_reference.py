"""The reference against closed forms: numbers worked out by hand from docs/facets.md."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.events import AnyEvent, decode_batch
from profiler.recompute import Reference
from profiler.reference import (
    DAY_MS,
    HOUR_MS,
    MONTH_MS,
    SESSION_GAP_MS,
    SUMS,
    ReferencePerson,
    apply,
    stored_weight,
    value_at,
)
from profiler.reference_interest import TopList, content_direction, token_direction, token_hash

CLICK = 0
NOW = 1_700_000_000_000
MONDAY_NOON = 1_699_876_800_000  # 2023-11-13T12:00:00Z


def event(type_name: str = "click", ts: int = NOW, **fields: Any) -> AnyEvent:
    given_fields = {"type": type_name, "ts": ts, "user_id": "u"} | fields
    (decoded,), rejected = decode_batch([msgspec.json.encode(given_fields)])
    assert decoded is not None, rejected
    return decoded


def person_after(*events: AnyEvent) -> ReferencePerson:
    person = ReferencePerson()
    for offset, e in enumerate(events):
        apply(person, e, f"t:0:{offset}")
    return person


def value(person: ReferencePerson, column: str, k: int = 0, at_ms: int | None = None) -> float:
    half_life_ms = SUMS[column][1]
    assert half_life_ms is not None
    at_ms = person.as_of if at_ms is None else at_ms
    return value_at(person.sums[column][k], person.as_of, half_life_ms, at_ms)


def reference() -> Reference:
    return Reference(
        lambda kind, subject: f"{kind}/{subject}",
        clock_skew_max_ms=HOUR_MS,
        event_age_max_ms=DAY_MS,
        historical_sources=frozenset({"taobao"}),
    )


def feed(people: Reference, e: AnyEvent, offset: int, **where: Any) -> str:
    (outcome,) = people.feed(
        msgspec.json.encode(e),
        "t",
        where.get("partition", 0),
        offset,
        where.get("timestamp"),
    )
    return outcome


@pytest.mark.parametrize(
    ("column", "half_life_ms"),
    [("activity.hour", HOUR_MS), ("activity.day", DAY_MS), ("activity.month", MONTH_MS)],
)
def test_a_click_counts_half_after_a_half_life(column: str, half_life_ms: int) -> None:
    person = person_after(event(ts=NOW))

    later = value(person, column, CLICK, at_ms=NOW + half_life_ms)

    assert later == pytest.approx(0.5)
    assert value(person, column, CLICK) == pytest.approx(1.0)


def test_a_late_click_counts_as_if_it_had_been_in_time() -> None:
    person = person_after(event(ts=NOW), event(ts=NOW - 2 * HOUR_MS))

    assert value(person, "activity.hour", CLICK) == pytest.approx(1.25)
    assert person.count[CLICK] == 2


def test_crossing_a_landmark_changes_no_value() -> None:
    before = 64 * HOUR_MS * 7 - 1
    person = person_after(event(ts=before))
    alone = value(person, "activity.hour", CLICK, at_ms=before + 2)

    apply(person, event("checkin", before + 2, latitude=0, longitude=0), "t:0:9")

    assert person.sums["activity.hour"][CLICK] < 1.0
    assert value(person, "activity.hour", CLICK) == pytest.approx(alone, rel=1e-15)


def test_moving_the_landmark_is_exact_to_the_last_bit() -> None:
    ts = NOW + 1
    ahead = ts + 64 * HOUR_MS

    moved = math.ldexp(stored_weight(ts, ts, HOUR_MS), -64)

    assert stored_weight(ts, ahead, HOUR_MS) == moved


def test_the_fresh_weight_of_any_event_lies_between_1_and_2_to_the_64() -> None:
    span = 64 * DAY_MS

    assert stored_weight(span, span, DAY_MS) == 1.0
    assert 2.0**63 < stored_weight(span - 1, span - 1, DAY_MS) < 2.0**64


def test_money_is_price_times_quantity_of_purchases() -> None:
    person = person_after(
        event("purchase", NOW - MONTH_MS, price=10.0, quantity=3),
        event("purchase", NOW, price=2.5, quantity=2),
        event("refund", NOW, price=2.5),
        event("purchase", NOW),
        event("cart", NOW, price=99.0),
    )

    assert person.sums["value.spent"] == [35.0]
    assert person.sums["value.refunded"] == [2.5]
    assert value(person, "value.money") == pytest.approx(20.0)
    assert value(person, "value.money_back") == pytest.approx(2.5)
    assert value(person, "value.orders") == pytest.approx(2.5)
    assert value(person, "value.units") == pytest.approx(1.5 + 2 + 1)
    assert person.last_purchase == NOW


def test_rhythm_of_noon_on_a_monday() -> None:
    person = person_after(event(ts=MONDAY_NOON))
    week = 2 * math.pi * 0.5 / 7

    of_day = [value(person, "rhythm.of_day", k) for k in range(4)]
    of_week = [value(person, "rhythm.of_week", k) for k in range(4)]

    assert of_day == pytest.approx([-1.0, 0.0, 1.0, 0.0], abs=1e-12)
    expected = [math.cos(week), math.sin(week), math.cos(2 * week), math.sin(2 * week)]
    assert of_week == pytest.approx(expected)


def test_interest_is_weighed_by_type_and_words_share_one_token() -> None:
    person = person_after(event("purchase", item_id="i1", title="Blue LAMP"))

    item, blue, lamp = (
        token_direction(token_hash(kind, text))
        for kind, text in (("item", "i1"), ("word", "blue"), ("word", "lamp"))
    )
    expected = [5 * (a + (b + c) / 2) for a, b, c in zip(item, blue, lamp, strict=True)]
    found = [value(person, "interest.short", k) for k in range(32)]
    assert found == pytest.approx(expected)


def test_a_refund_is_no_interest() -> None:
    person = person_after(event("refund", item_id="i1", category="c", title="Blue lamp"))

    assert person.sums["interest.long"] == [0.0] * 32
    assert person.tops["item"].weights == {}


def test_only_the_first_16_words_count() -> None:
    text = " ".join(f"w{k}" for k in range(16))

    assert content_direction(None, None, None, f"{text} more") == content_direction(
        None, None, None, text
    )


def test_space_saving_replaces_the_least_and_inherits_its_weight() -> None:
    top = TopList()
    for token in range(1, 17):
        top.add(token, 2.0 if token > 2 else 1.0)

    top.add(99, 0.5)

    assert 1 not in top.weights, "among equals the least hash goes"
    assert top.weights[99] == 1.5
    assert len(top.weights) == 16
    assert sum(top.weights.values()) == top.mass


def test_the_top_list_holds_whoever_has_more_than_a_sixteenth() -> None:
    events = [event(item_id=f"i{k}" if k % 3 else "mine") for k in range(300)]

    person = person_after(*events)

    top = person.tops["item"]
    true_weight = 100 * stored_weight(NOW, NOW, MONTH_MS)
    found = top.weights[token_hash("item", "mine")]
    assert true_weight <= found * (1 + 1e-12)
    assert found <= (true_weight + top.mass / 16) * (1 + 1e-12)


def test_sessions_by_gaps_of_more_than_30_minutes() -> None:
    times = [0, SESSION_GAP_MS, 2 * SESSION_GAP_MS + 1, 2 * SESSION_GAP_MS + 11]
    person = person_after(*(event(ts=NOW + t) for t in times))

    assert person.sessions() == {
        "sessions.n_sessions": 2,
        "sessions.depth": 2,
        "sessions.n_late": 0,
        "sessions.started": NOW + 2 * SESSION_GAP_MS + 1,
        "sessions.length_sum": SESSION_GAP_MS,
        "sessions.gap_sum": SESSION_GAP_MS + 1,
    }


def test_a_late_event_joins_the_current_session_however_late() -> None:
    person = person_after(event(ts=NOW), event(ts=NOW - DAY_MS), event(ts=NOW + 1))

    assert (person.n_sessions, person.depth, person.n_late) == (1, 3, 1)
    assert (person.started, person.last, person.first_ts) == (NOW, NOW + 1, NOW - DAY_MS)


def test_an_id_is_a_duplicate_among_the_last_32_and_new_again_after_them() -> None:
    person = person_after(event(event_id="x"), *(event() for _ in range(31)))

    within = apply(person, event(event_id="x"), "t:0:90")
    apply(person, event(), "t:0:91")
    beyond = apply(person, event(event_id="x"), "t:0:92")

    assert (within, beyond) == (False, True)
    assert person.n_accepted == 34


def test_an_event_without_an_id_has_that_of_its_origin() -> None:
    person = person_after(event(), event())

    again = apply(person, event(event_id="t:0:1"), "t:0:7")

    assert not again


def test_the_erased_stay_erased() -> None:
    people = reference()
    feed(people, event(), 0)
    feed(people, event("erase"), 1)

    outcome = feed(people, event(), 2)

    assert outcome == "erased"
    assert people.people["user/u"].erased
    assert people.people["user/u"].n_accepted == 0


def test_what_is_unused_or_rejected_makes_no_profile() -> None:
    people = reference()
    feed(people, event("identify"), 0)
    feed(people, event("consent", purposes={}), 1)
    people.feed(b"{", "t", 0, 2)
    people.feed(None, "t", 0, 3)

    assert people.people == {}
    assert people.outcomes == {"accepted_unused": 2, "malformed": 2}


@pytest.mark.parametrize(
    ("ts", "source", "outcome"),
    [
        (NOW + HOUR_MS, None, "applied"),
        (NOW + HOUR_MS + 1, None, "clock_skew"),
        (NOW - DAY_MS, None, "applied"),
        (NOW - DAY_MS - 1, None, "too_old"),
        (NOW - DAY_MS - 1, "taobao", "applied"),
    ],
)
def test_event_times_are_screened_against_the_records(
    ts: int, source: str | None, outcome: str
) -> None:
    found = feed(reference(), event(ts=ts, source=source), 0, timestamp=NOW)

    assert found == outcome


def test_order_is_unknown_once_events_come_from_two_partitions() -> None:
    people = reference()
    feed(people, event(), 0)
    feed(people, event(user_id="v"), 1)

    feed(people, event(), 0, partition=1)

    assert not people.people["user/u"].ordered
    assert people.people["user/v"].ordered


events_of_any_time = st.lists(
    st.builds(
        event,
        st.sampled_from(["click", "cart", "purchase", "refund"]),
        st.integers(NOW - 3_650 * DAY_MS, NOW),
        item_id=st.sampled_from(["i1", "i2", None]),
        price=st.floats(0, 1e6),
        quantity=st.integers(1, 9),
    ),
    min_size=1,
    max_size=12,
)


@given(events_of_any_time, st.randoms(use_true_random=False))
def test_linear_columns_do_not_depend_on_order(events: list[AnyEvent], rng: Any) -> None:
    shuffled = rng.sample(events, len(events))

    a, b = person_after(*events), person_after(*shuffled)

    assert a.exact() == b.exact()
    for name in SUMS:
        for x, y in zip(a.sums[name], b.sums[name], strict=True):
            size = a.sums["rhythm.mass"][0] if name.startswith("rhythm") else x
            # Denormals have few bits: below any weight that matters, the relative error is large.
            assert abs(x - y) <= 1e-9 * a.lengths.get(name, size) + 1e-300

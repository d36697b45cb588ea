"""Who is held: bursts, those who never rest, and verdicts, in whatever batches they come."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.batch import Screen
from profiler.columns import DAY_MS, HOUR_MS, Snapshot
from profiler.facets.quarantine import (
    HOURS,
    REASONS,
    RESTLESS_HOURS,
    Guard,
    held,
    since_ms,
)
from profiler.guard import BATCH_HEADER
from profiler.models import TASKS
from profiler.recompute import Reference
from profiler.records import RawRecord
from profiler.reference_quarantine import ReferenceGuard
from profiler.spec import DEFAULT_SPEC, guarded_spec
from profiler.state import is_tombstone, merge_rows
from tests import strategies
from tests.folding import Fold
from tests.strategies import START_MS

MINUTE_MS = 60_000
FEW = Guard(events_max=5, window_ms=MINUTE_MS)
MIDNIGHT_MS = START_MS // HOUR_MS * HOUR_MS
EXEMPT = frozenset({"robot"})
COLUMNS = [c.name for c in DEFAULT_SPEC.columns if c.name.startswith("quarantine.")]


def click(ts: int, user: str = "u", **more: Any) -> dict[str, Any]:
    return {"type": "click", "ts": ts, "user_id": user, **more}


def verdict(ts: int, *, automated: bool, user: str = "u") -> dict[str, Any]:
    return {"type": "verdict", "ts": ts, "user_id": user, "automated": automated}


def record(event: dict[str, Any], offset: int) -> RawRecord:
    """A record; one whose event bears the source "file" was read from one."""
    headers = [("other", b""), (BATCH_HEADER, b"1")] if event.get("source") == "file" else []
    return strategies.record(event, offset)._replace(headers=headers)


def folded(events: Sequence[dict[str, Any]], cuts: Sequence[int] = (), guard: Guard = FEW) -> Fold:
    fold = Fold(guarded_spec(guard), Screen(exempt_sources=EXEMPT))
    return fold.apply_in_parts([record(e, k) for k, e in enumerate(events)], cuts)


def state(fold: Fold, user: str = "u") -> tuple[str, int]:
    """Why somebody is held, and since when."""
    row = fold.row("user", user)
    code = held(row)[0]
    return REASONS[code], int(since_ms(row)[0]) if code else 0


def reference_of(fold: Fold, records: Sequence[RawRecord], guard: Guard) -> Reference:
    reference = Reference(
        fold.pseudonymiser.pid,
        clock_skew_max_ms=0,
        event_age_max_ms=0,
        guard=ReferenceGuard(guard.events_max, guard.window_ms, guard.rhythm, EXEMPT),
    )
    for r in records:
        reference.feed(r.value, r.topic, r.partition, r.offset, headers=r.headers)
    return reference


# Clustered, so that windows fill; now and then hours and days apart, early, and long ago.
steps_ms = st.sampled_from(
    (
        *(0, 0, 0, 0, 1, 4_000, 9_000, 29_999, 30_000, 45_000, 10 * MINUTE_MS, HOUR_MS),
        *(-1, -20_000, -31_000, -70_000, -130_000, -HOUR_MS, 70 * HOUR_MS, -70 * HOUR_MS),
    )
)


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    ts = draw(st.sampled_from((START_MS, 1, 100_000)))
    events = []
    for step_ms in draw(st.lists(steps_ms, min_size=1, max_size=60)):
        ts = max(1, ts + step_ms)
        kind = draw(st.sampled_from(("click",) * 9 + ("checkin", "hold", "release")))
        user = draw(st.sampled_from("uuuv"))
        if kind == "click":
            events.append(
                click(
                    ts,
                    user,
                    **draw(st.sampled_from(({}, {}, {"source": "robot"}, {"source": "file"}))),
                )
            )
        elif kind == "checkin":
            place = {"latitude": 1.0, "longitude": 2.0}
            events.append({"type": "checkin", "ts": ts, "user_id": user, **place})
        else:
            events.append(verdict(ts, automated=kind == "hold", user=user))
    return events


@st.composite
def nights(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Something in most hours of some days, in almost the right order."""
    hours = draw(st.lists(st.integers(0, 70), min_size=40, max_size=110))
    jitter = draw(st.lists(st.integers(-20, 20), min_size=len(hours), max_size=len(hours)))
    whole = range(draw(st.integers(0, 20)), draw(st.integers(40, 90)))
    order = sorted([*zip(hours, jitter, strict=True), *((h, 0) for h in whole)], key=sum)
    kinds = draw(st.lists(st.sampled_from(("click",) * 30 + ("refund",)), min_size=200))
    return [
        {"type": kind, "ts": MIDNIGHT_MS + hour * HOUR_MS, "user_id": "u"}
        for (hour, _), kind in zip(order, itertools.cycle(kinds), strict=False)
    ]


cuts_of = st.lists(st.integers(0, 120), max_size=8)


@settings(deadline=None, max_examples=300)
@given(histories(), cuts_of, st.sampled_from((2, 5, 9, 0)), st.sampled_from((2_000, MINUTE_MS)))
def test_any_history_in_any_batches_is_judged_as_one_event_after_another(
    events: list[dict[str, Any]], cuts: list[int], events_max: int, window_ms: int
) -> None:
    guard = Guard(events_max=events_max, window_ms=window_ms)

    assert_as_the_reference(events, cuts, guard)


@settings(deadline=None, max_examples=100)
@given(nights(), cuts_of)
def test_any_nights_in_any_batches_are_judged_as_one_event_after_another(
    events: list[dict[str, Any]], cuts: list[int]
) -> None:
    assert_as_the_reference(events, cuts, FEW)


def assert_as_the_reference(events: list[dict[str, Any]], cuts: list[int], guard: Guard) -> None:
    fold = folded(events, cuts, guard)
    records = [record(e, k) for k, e in enumerate(events)]

    people = reference_of(fold, records, guard).people

    assert people.keys() == fold.states.keys()
    for pid, row in fold.rows().items():
        found = {name: row[name][0].tolist() for name in COLUMNS}
        assert found == people[pid].quarantine.columns()


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(0, 40 * 60), min_size=1, max_size=60), st.randoms(use_true_random=False)
)
def test_who_is_held_does_not_depend_on_the_order_of_events_less_than_a_window_late(
    seconds: list[int], chance: Any
) -> None:
    times = sorted(START_MS + s * 1_000 for s in seconds)
    # Whoever comes at most this much later than their time is less than a window late.
    late = sorted(times, key=lambda ts: ts + chance.randrange(MINUTE_MS))

    in_order, shuffled = folded([click(t) for t in times]), folded([click(t) for t in late])

    for name in COLUMNS:
        a, b = in_order.row("user", "u")[name], shuffled.row("user", "u")[name]
        np.testing.assert_array_equal(a, b, name)


def test_a_full_window_is_held_since_it_began_and_one_event_less_is_not() -> None:
    start = START_MS // MINUTE_MS * MINUTE_MS
    minute = [click(start + k * 40) for k in range(1_500)]

    assert state(folded(minute, guard=Guard())) == ("rate", start)
    assert state(folded(minute[1:], guard=Guard())) == ("", 0)


@pytest.mark.parametrize("offset_ms", range(0, MINUTE_MS, 7_000))
def test_two_thousand_events_in_a_minute_are_held_wherever_the_minute_begins(
    offset_ms: int,
) -> None:
    start = START_MS // MINUTE_MS * MINUTE_MS + offset_ms

    fold = folded([click(start + k * 30) for k in range(2_000)], [700, 1_300], Guard())

    assert state(fold)[0] == "rate"


def test_events_of_exempt_and_of_historical_sources_and_of_files_are_never_too_many() -> None:
    events = [click(START_MS, source=("robot", "taobao", "file")[k % 3]) for k in range(20)]
    fold = Fold(
        guarded_spec(FEW), Screen(historical_sources=frozenset({"taobao"}), exempt_sources=EXEMPT)
    )

    fold.apply([record(e, k) for k, e in enumerate(events)])
    fold.apply([record(click(START_MS), 20)])

    assert state(fold) == ("", 0)
    assert fold.row("user", "u")["core.n_accepted"][0] == 21
    assert fold.row("user", "u")["quarantine.windows"][0].max() == 1


def test_a_guard_that_is_off_holds_nobody_but_by_a_verdict() -> None:
    off = Guard(events_max=0, rhythm=False)
    events = [click(MIDNIGHT_MS + k // 10 * HOUR_MS) for k in range(1_000)]

    assert state(folded(events, guard=off)) == ("", 0)
    assert state(folded([*events, verdict(9, automated=True)], guard=off)) == ("operator", 9)


def test_two_days_and_nights_without_rest_are_held_and_one_hour_of_rest_is_believed() -> None:
    awake = [click(MIDNIGHT_MS + k * HOUR_MS) for k in range(RESTLESS_HOURS)]
    rested = [click(MIDNIGHT_MS + k * HOUR_MS) for k in range(100) if k % RESTLESS_HOURS != 40]

    assert state(folded(awake)) == ("rhythm", MIDNIGHT_MS)
    assert state(folded(awake[1:])) == ("", 0)
    assert state(folded(rested)) == ("", 0)


def test_an_hour_that_comes_too_late_completes_no_run() -> None:
    hours = [*range(1, RESTLESS_HOURS), HOURS - 1, HOURS]
    in_time, too_late = [*hours[:-1], 0, hours[-1]], [*hours, 0]

    assert state(folded([click(MIDNIGHT_MS + h * HOUR_MS) for h in in_time]))[0] == "rhythm"
    assert state(folded([click(MIDNIGHT_MS + h * HOUR_MS) for h in too_late])) == ("", 0)


def test_what_apps_send_by_themselves_at_night_is_believed() -> None:
    place = {"latitude": 1.0, "longitude": 2.0}
    events = [click(MIDNIGHT_MS + k * HOUR_MS) | place | {"type": "checkin"} for k in range(HOURS)]

    assert state(folded(events)) == ("", 0)


def test_a_release_forgives_what_began_before_it_and_a_later_burst_holds_again() -> None:
    bursts = [[click(START_MS + d * DAY_MS) for _ in range(5)] for d in (0, 1)]
    release = verdict(START_MS + HOUR_MS, automated=False)

    released = folded([*bursts[0], release], [5])
    again = folded([*bursts[0], release, *bursts[1]], [5, 6])

    assert state(folded(bursts[0]))[0] == "rate"
    assert state(released) == ("", 0)
    assert state(again) == ("rate", (START_MS + DAY_MS) // 30_000 * 30_000)


@given(st.permutations(range(12)), cuts_of)
@settings(deadline=None, max_examples=50)
def test_the_latest_verdict_counts_in_whatever_order_they_arrive(
    order: list[int], cuts: list[int]
) -> None:
    burst = [click(START_MS) for _ in range(6)]
    times = [START_MS + HOUR_MS + k for k in range(6)]
    said = [verdict(ts, automated=k % 2 == 1) for k, ts in enumerate(times)]
    events = [*burst, *said]

    fold = folded([events[k] for k in order], cuts)

    assert state(fold) == ("operator", times[-1])
    assert fold.row("user", "u")["core.n_accepted"][0] == 6


def test_a_verdict_is_no_activity_and_waits_for_somebody_of_whom_nothing_is_known() -> None:
    alone = folded([verdict(START_MS + DAY_MS, automated=True)])
    later = folded([verdict(START_MS + DAY_MS, automated=True), click(START_MS)], [1])

    assert alone.row("user", "u")["core.as_of"][0] == 0
    assert state(later) == ("operator", START_MS + DAY_MS)
    assert later.row("user", "u")["core.as_of"][0] == START_MS
    assert later.row("user", "u")["activity.count"].sum() == 1


def test_a_verdict_on_somebody_who_is_erased_brings_nothing_back() -> None:
    erase = {"type": "erase", "ts": START_MS, "user_id": "u"}

    for events in ([erase, verdict(START_MS, automated=True)], [click(START_MS), erase]):
        fold = folded([*events, verdict(START_MS + 1, automated=True)], [1, 2])
        assert is_tombstone(fold.states[fold.pseudonymiser.pid("user", "u")])
        assert not any(fold.row("user", "u")[name].any() for name in COLUMNS)


def test_a_summary_says_why_and_since_when_and_nothing_of_all_others() -> None:
    fold = folded([*(click(MINUTE_MS * 100) for _ in range(5)), click(1, "v")])

    said = [
        msgspec.json.encode(DEFAULT_SPEC.describe(Snapshot(fold.row("user", user)))[0])
        for user in "uv"
    ]

    assert b'"quarantine":{"reason":"rate","since":5970000}' in said[0]
    assert b'"quarantine":{}' in said[1]


@given(histories(), histories())
@settings(deadline=None, max_examples=60)
def test_merging_keeps_what_either_is_held_for_and_does_not_depend_on_the_order(
    one: list[dict[str, Any]], other: list[dict[str, Any]]
) -> None:
    a, b = (
        folded([e | {"user_id": "u"} for e in events]).row("user", "u") for events in (one, other)
    )

    merged, reverse = merge_rows(DEFAULT_SPEC, a, b), merge_rows(DEFAULT_SPEC, b, a)

    for name in COLUMNS:
        np.testing.assert_array_equal(merged[name], reverse[name])
    assert merged["quarantine.last"][0] == max(a["quarantine.last"][0], b["quarantine.last"][0])
    assert merged["quarantine.hours"][0].bit_count() <= HOURS


def test_the_hours_of_two_identities_stand_side_by_side() -> None:
    a = folded([click(MIDNIGHT_MS), click(MIDNIGHT_MS + 2 * HOUR_MS)]).row("user", "u")
    b = folded([click(MIDNIGHT_MS + 3 * HOUR_MS)]).row("user", "u")

    assert merge_rows(DEFAULT_SPEC, a, b)["quarantine.hours"][0] == 0b1011


def test_models_learn_nothing_of_whom_is_held_and_again_when_released() -> None:
    shopping = [
        click(START_MS + k) | {"type": ("click", "purchase")[k % 2], "price": 1.0}
        for k in range(40)
    ]
    fold = folded([*shopping, click(START_MS + 40)])
    kept = waited_for(fold)
    fold.apply([record(verdict(START_MS + HOUR_MS, automated=False), 41)])

    again = [record(e | {"ts": e["ts"] + DAY_MS}, 42 + k) for k, e in enumerate(shopping[:4])]
    _, processed = fold.apply(again)

    assert kept == []
    assert sum(map(len, processed.labels)) > 0


def test_a_verdict_takes_back_what_was_kept_to_be_learnt() -> None:
    fold = folded([click(START_MS)])
    before = waited_for(fold)

    fold.apply([record(verdict(START_MS, automated=True), 1)])

    assert (before, waited_for(fold)) == (["purchase", "back", "spend"], [])


def waited_for(fold: Fold) -> list[str]:
    """Tasks of which the row of the test's person keeps a prediction."""
    row = fold.row("user", "u")
    return [task.key for task in TASKS if row[f"intent.{task.key}_due"][0] > 0]


def test_transitions_are_told_once_with_their_reason() -> None:
    fold = folded([])

    told = [
        fold.apply([record(e, k) for k, e in part])[1].guarded
        for part in (
            [(k, click(START_MS)) for k in range(3)],
            [(k, click(START_MS)) for k in range(3, 6)],
            [(6, click(START_MS))],
            [(7, verdict(START_MS + 1, automated=False))],
        )
    ]

    assert [[t.reason for t in one.transitions] for one in told] == [[], ["rate"], [], [""]]
    assert [dict(one.n_events) for one in told] == [{}, {"rate": 3}, {"rate": 1}, {}]

"""Figures of the crowd, against numbers that follow from how the stream was made."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.behaviour.crowd import Crowd, crowd_from, crowd_of
from profiler.behaviour.layout import COHORTS, EPOCH_MS, SEASON_MS, WEEK_MS, WIDTH
from profiler.behaviour.report import Behaviour, behaviour_of
from profiler.columns import DAY_MS, HOUR_MS, EventColumns
from profiler.errors import UsageError
from profiler.prepared import event_columns
from profiler.records import Chunk
from profiler.spec import DEFAULT_SPEC
from tests.folding import Fold
from tests.profiler.behaviour.slow import slow_counts
from tests.strategies import START_MS, event_lists, record

MONDAY_MS = 1_699_833_600_000
"""2023-11-13T00:00:00Z"""
SESSIONS = 200
DAY_OF_A_SHOP = (
    # Of 200 sessions half go to the cart, after 4 minutes, and half of those buy, after 1 more.
    ("browse", 0, 1),
    ("cart", 240_000, 2),
    ("purchase", 300_000, 4),
)


def a_shop(n: int = SESSIONS, start_ms: int = MONDAY_MS) -> list[dict[str, object]]:
    events: list[dict[str, object]] = [
        {"type": name, "ts": start_ms + k + after_ms, "user_id": f"u{k}"}
        for k in range(n)
        for name, after_ms, every in DAY_OF_A_SHOP
        if k % every == 0
    ]
    return sorted(events, key=lambda event: int(str(event["ts"])))


def crowd_after(events: Sequence[dict[str, object]], cuts: Sequence[int] = ()) -> Crowd:
    records, fold, crowd = [record(event, k) for k, event in enumerate(events)], Fold(), Crowd()
    places = sorted({0, len(records), *(cut % (len(records) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(places):
        _, processed = fold.apply(records[start:end])
        for one in processed.crowds:
            crowd.add(one)
    return crowd


def batch_of(events: Sequence[dict[str, object]]) -> EventColumns:
    """A first batch, of people of whom nothing is known."""
    records = [record(event, k) for k, event in enumerate(events)]
    prepared = Fold().preparer.prepare([Chunk(0, 0, records)])
    order = np.argsort(prepared.row, kind="stable")
    rows = DEFAULT_SPEC.empty(len(prepared.pids))
    return event_columns(prepared, order, prepared.row[order], rows)


def seen(events: Sequence[dict[str, object]], cohort: str = "all") -> Behaviour:
    return behaviour_of(crowd_after(events), cohort)


def assert_same(a: Crowd, b: Crowd) -> None:
    assert a.as_of_ms == b.as_of_ms
    for name in COHORTS:
        for part, counts in a.cohort(name).items():
            other = b.cohort(name)[part]
            np.testing.assert_allclose(counts, other, rtol=1e-9, atol=1e-12, err_msg=part)


def test_a_funnel_has_the_conversion_and_the_times_that_the_stream_was_made_with() -> None:
    funnel = seen(a_shop()).funnel

    assert [s.sessions for s in funnel.stages] == pytest.approx([200, 200, 100, 50], rel=1e-3)
    assert [s.left for s in funnel.stages] == pytest.approx([0, 0.5, 0.5, 1], abs=1e-3)
    assert [list(s.to) for s in funnel.stages] == [["look"], ["cart"], ["purchase"], []]
    assert funnel.conversion == pytest.approx(0.25, rel=1e-3)
    to_cart, to_purchase, direct = funnel.passages
    assert to_cart.median_s == pytest.approx(240, rel=0.19)
    assert to_purchase.median_s == pytest.approx(60, rel=0.19)
    assert (direct.passages, direct.median_s) == (0, None)


def test_whoever_buys_at_once_or_without_a_cart_was_not_at_the_stages_between() -> None:
    ways = {
        "a": ["browse", "purchase"],
        "b": ["purchase", "browse", "cart"],
        "c": ["cart", "purchase"],
        "d": ["message", "cart"],
        "e": ["message"],
        "f": ["browse", "cart"],
    }
    events: list[dict[str, object]] = [
        {"type": name, "ts": START_MS + k, "user_id": user, "text": "hello"}
        for user, way in ways.items()
        for k, name in enumerate(way)
    ]
    none, look, cart, purchase = seen(events).funnel.stages

    numbers = [stage.sessions for stage in (none, look, cart, purchase)]
    assert numbers == pytest.approx([6, 2, 3, 3], rel=1e-3)
    thirds = {"look": 1 / 3, "cart": 1 / 3, "purchase": 1 / 6}
    assert none.to == pytest.approx(thirds, rel=1e-3)
    assert look.to == pytest.approx({"cart": 0.5, "purchase": 0.5}, rel=1e-3)
    assert cart.to == pytest.approx({"purchase": 1 / 3}, rel=1e-3)
    assert [s.left for s in (none, look, cart)] == pytest.approx([1 / 6, 0, 2 / 3], abs=1e-3)


def test_what_follows_each_step_and_where_sessions_end() -> None:
    steps = seen(a_shop()).next_steps

    assert steps.starts == pytest.approx((1, 0, 0, 0))
    assert steps.probability[0] == pytest.approx((0, 0, 0.5, 0, 0.5), abs=1e-3)
    assert steps.probability[2] == pytest.approx((0, 0, 0, 0.5, 0.5), abs=1e-3)
    assert steps.probability[3] == pytest.approx((0, 0, 0, 0, 1), abs=1e-3)
    assert steps.probability[1] == (0, 0, 0, 0, 0)


def test_a_session_begins_anew_and_follows_from_nothing_of_the_one_before() -> None:
    steps = seen([*a_shop(1), *a_shop(1, MONDAY_MS + HOUR_MS)]).next_steps

    assert steps.starts == pytest.approx((1, 0, 0, 0))
    assert steps.visits == pytest.approx((2, 0, 2, 2), rel=0.01)
    assert steps.probability[3] == pytest.approx((0, 0, 0, 0, 1), abs=0.01)


def test_counts_fade_by_their_half_lives() -> None:
    week, month = ((*a_shop(),), [*a_shop()])
    later = {"type": "checkin", "latitude": 1.0, "longitude": 1.0, "user_id": "x"}

    after_a_week = seen([*week, later | {"ts": MONDAY_MS + WEEK_MS}])
    after_a_season = seen([*month, later | {"ts": MONDAY_MS + SEASON_MS}])

    assert after_a_week.next_steps.visits[0] == pytest.approx(100, rel=1e-3)
    assert after_a_season.funnel.stages[3].sessions == pytest.approx(25, rel=1e-3)


def test_hours_of_the_week_are_counted_from_monday_midnight() -> None:
    busy = MONDAY_MS + 2 * DAY_MS + 13 * HOUR_MS
    crowd = crowd_after([*a_shop(100, busy), *a_shop(4, MONDAY_MS)])

    events = crowd.cohort()["events"]

    assert np.flatnonzero(events > 1).tolist() == [0, 2 * 24 + 13]
    seasons = behaviour_of(crowd).seasons
    assert max(range(168), key=seasons.events_index.__getitem__) == 61
    assert np.mean(seasons.events_index) == pytest.approx(1)
    assert seasons.purchases == pytest.approx(26, rel=0.01)


def test_people_move_to_another_cohort_as_they_buy() -> None:
    steps = [("browse", 0), ("purchase", 1), ("browse", 2), ("purchase", 3), ("click", 4)]
    events: list[dict[str, object]] = [
        {"type": name, "ts": START_MS + 1_000 * k, "user_id": "u"} for name, k in steps
    ]
    crowd = crowd_after(events)

    purchases = [crowd.cohort(name)["purchases"].sum() for name in ("never", "once", "often")]
    assert purchases == pytest.approx([1, 1, 0], rel=1e-3)
    for name in ("never", "once", "often"):
        counts = crowd.cohort(name)
        moves = counts["moves"].reshape(4, 4).sum(axis=1)
        assert (moves <= counts["visits"] * (1 + 1e-5)).all(), "nobody leaves who has not come"
    assert crowd.cohorts() == ["all", "never", "once", "often"]


def test_segments_are_counted_where_the_caller_knows_them() -> None:
    events = batch_of(a_shop(8))
    segment = np.arange(events.n_rows) % 3 - 1

    crowd = crowd_of(DEFAULT_SPEC.empty(events.n_rows), events, segment)

    assert crowd.cohorts() == ["all", "never", "segment-0", "segment-1"]
    everybody = crowd.cohort()["events"].sum()
    of_segments = [crowd.cohort(f"segment-{k}")["events"].sum() for k in (0, 1)]
    n_of = np.bincount(segment[events.row] + 1, minlength=3)
    assert of_segments == pytest.approx((everybody * n_of[1:] / n_of.sum()).tolist(), rel=1e-3)


def test_whoever_is_held_as_a_machine_is_not_the_crowd() -> None:
    machine: list[dict[str, object]] = [
        {"type": "click", "ts": START_MS + k, "user_id": "machine"} for k in range(3_000)
    ]
    crowd = crowd_after([*machine, *a_shop(8, START_MS + 4_000)], cuts=[2_000])

    assert crowd.cohort()["visits"][0] == pytest.approx(2_000 + 8, rel=0.01)


@given(events=event_lists(min_size=1), cuts=st.lists(st.integers(0, 80), max_size=6))
@settings(deadline=None, max_examples=100)
def test_counts_in_any_batches_are_those_of_one_event_after_another(
    events: list[dict[str, object]], cuts: list[int]
) -> None:
    # What others say of somebody is no behaviour, and an id that comes again is no event.
    events = [{**e, "event_id": f"e{k}"} for k, e in enumerate(events) if e["type"] != "follow"]
    if not events:
        return
    crowd, expected = crowd_after(events, cuts), slow_counts(events)

    found = {
        (name, part, place): float(counts[place])
        for name in ("never", "once", "often")
        for part, counts in crowd.cohort(name).items()
        for place in np.flatnonzero(counts).tolist()
    }

    expected = {place: count for place, count in expected.items() if count > 0}
    assert found == pytest.approx(expected, rel=1e-9)


@given(events=event_lists(min_size=1), cuts=st.lists(st.integers(0, 80), max_size=6))
@settings(deadline=None, max_examples=60)
def test_batch_cuts_do_not_matter(events: list[dict[str, object]], cuts: list[int]) -> None:
    assert_same(crowd_after(events), crowd_after(events, cuts))


counts_of_workers = st.builds(
    lambda as_of_ms, seed: Crowd(
        as_of_ms, np.random.default_rng(seed).integers(0, 9, (len(COHORTS), WIDTH)).astype(float)
    ),
    st.integers(1, 4 * EPOCH_MS),
    st.integers(0, 2**32),
)


def total(*crowds: Crowd) -> Crowd:
    everything = Crowd()
    for crowd in crowds:
        everything.add(crowd)
    return everything


@given(counts_of_workers, counts_of_workers, counts_of_workers)
@settings(deadline=None, max_examples=40)
def test_adding_commutes_and_associates(a: Crowd, b: Crowd, c: Crowd) -> None:
    assert_same(total(a, b, c), total(c, b, a))
    assert_same(total(total(a, b), c), total(a, total(b, c)))


@given(event_lists(min_size=1), st.integers(0, 80))
@settings(deadline=None, max_examples=30)
def test_what_workers_wrote_piece_by_piece_is_what_one_has_counted(
    events: list[dict[str, object]], cut: int
) -> None:
    whole = crowd_after(events)
    fields: dict[int, dict[str, float]] = {}
    records, fold = [record(event, k) for k, event in enumerate(events)], Fold()
    for part in (records[:cut], records[cut:]):
        for one in fold.apply(part)[1].crowds if part else []:
            known = fields.setdefault(one.epoch, {})
            for name, value in one.fields().items():
                known[name] = known.get(name, 0.0) + value

    assert_same(crowd_from(fields, whole.as_of_ms), whole)


def test_names_of_newer_workers_and_later_landmarks_are_left_out() -> None:
    unknown = {"new:visits:1": 5.0, "never:visits:9": 1.0, "never:thing:1": 1.0}
    crowd = crowd_from({0: unknown, 7: {"never:visits:1": 1.0}}, 5)

    assert crowd.cohorts() == []


def test_a_cohort_that_is_none_is_named() -> None:
    with pytest.raises(UsageError, match="everyone"):
        behaviour_of(Crowd(), "everyone")


def test_nothing_known_and_all_known_are_plain_json() -> None:
    for events in ([], a_shop(4)):
        text = msgspec.json.encode(behaviour_of(crowd_after(events) if events else Crowd()))

        assert b"NaN" not in text
        assert msgspec.json.decode(text, type=Behaviour).cohort == "all"

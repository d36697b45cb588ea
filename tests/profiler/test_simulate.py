"""The simulated shop: repeatable, in order, with every fault it announces, and worth learning."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from profiler.events import BEHAVIOUR_TYPES, REASONS, AnyEvent, Cart, Erase, Purchase, decode_batch
from profiler.faults import FAULTS
from profiler.shop import DAY_MS, MINUTE_MS
from profiler.simulate import (
    DUPLICATE,
    LATE,
    SimulatedRecord,
    SimulationParams,
    simulate,
    zipf_events,
    zipf_ranks,
)

START_MS = 1_700_000_000_000
PARAMS = SimulationParams(start_ms=START_MS, users=150, duplicates=0.03, late=0.03, broken=0.05)


@pytest.fixture(scope="module")
def records() -> list[SimulatedRecord]:
    return list(simulate(PARAMS, seed=7))


def events_of(records: list[SimulatedRecord]) -> list[AnyEvent]:
    events, _ = decode_batch([record.value for record in records])
    return [event for event in events if event is not None]


def test_one_seed_gives_the_same_records_and_another_gives_others(
    records: list[SimulatedRecord],
) -> None:
    assert list(simulate(PARAMS, seed=7)) == records
    assert list(simulate(PARAMS, seed=8)) != records


def test_records_arrive_in_order_and_within_the_span(records: list[SimulatedRecord]) -> None:
    arrivals_ms = [record.ts_ms for record in records]

    assert arrivals_ms == sorted(arrivals_ms)
    assert arrivals_ms[0] >= START_MS
    assert arrivals_ms[-1] < START_MS + PARAMS.span_ms


def test_broken_records_are_refused_for_the_reason_they_announce(
    records: list[SimulatedRecord],
) -> None:
    _, rejected = decode_batch([record.value for record in records])

    announced = {
        index: record.fault
        for index, record in enumerate(records)
        if record.fault in REASONS and record.fault != "clock_skew"
    }
    assert {r.index: r.reason for r in rejected} == announced


def test_every_kind_of_fault_occurs(records: list[SimulatedRecord]) -> None:
    found = {record.fault for record in records}

    assert found == {None, DUPLICATE, LATE, *(reason for reason, _ in FAULTS)}


def test_events_from_the_future_are_far_after_their_record(records: list[SimulatedRecord]) -> None:
    skewed = [record for record in records if record.fault == "clock_skew"]

    for record, event in zip(skewed, events_of(skewed), strict=True):
        assert isinstance(event.ts, int)
        assert event.ts > record.ts_ms + 300 * DAY_MS


def test_a_duplicate_repeats_an_earlier_record_exactly(records: list[SimulatedRecord]) -> None:
    seen: set[tuple[bytes, bytes]] = set()

    for record in records:
        is_repetition = (record.key, record.value) in seen
        assert is_repetition == (record.fault == DUPLICATE)
        seen.add((record.key, record.value))


def test_late_events_happened_minutes_to_days_before(records: list[SimulatedRecord]) -> None:
    late = [record for record in records if record.fault == LATE]

    for record, event in zip(late, events_of(late), strict=True):
        assert isinstance(event.ts, int)
        assert 5 * MINUTE_MS <= record.ts_ms - event.ts <= 2 * DAY_MS + MINUTE_MS


def test_all_types_of_behaviour_occur(records: list[SimulatedRecord]) -> None:
    types = {event.__struct_config__.tag for event in events_of(records)}

    assert types == set(BEHAVIOUR_TYPES)


def test_whoever_is_erased_does_not_come_back() -> None:
    params = msgspec.structs.replace(PARAMS, erasures=0.2, late=0.0, duplicates=0.0, broken=0.0)

    records = list(simulate(params, seed=3))

    erased_ms: dict[str | None, int] = {}
    for event in events_of(records):
        if isinstance(event, Erase) and isinstance(event.ts, int):
            erased_ms[event.user_id] = event.ts
    assert len(erased_ms) > 10
    late_sessions = [
        event
        for event in events_of(records)
        if event.session_id
        and event.user_id in erased_ms
        and isinstance(event.ts, int)
        # Refunds and reviews of what was bought before may still come.
        and event.__struct_config__.tag not in ("refund", "message", "erase")
        and event.ts > erased_ms[event.user_id]
        and event.user_id is not None
    ]
    assert late_sessions == []


def test_carts_of_a_session_tell_whether_it_ends_in_a_purchase(
    records: list[SimulatedRecord],
) -> None:
    sessions: dict[str, list[AnyEvent]] = defaultdict(list)
    for event in events_of([r for r in records if r.fault in (None, LATE)]):
        if event.session_id is not None:
            sessions[event.session_id].append(event)
    carted, bought = [], []
    for events in sessions.values():
        carted.append(sum(1 for e in events if isinstance(e, Cart) and e.action == "add"))
        bought.append(any(isinstance(e, Purchase) for e in events))

    auc = auc_of(np.array(carted), np.array(bought))

    assert 0.03 < np.mean(bought) < 0.4
    assert auc > 0.7


def auc_of(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of pairs of a positive and a negative that the score has in order; ties count half."""
    differences = scores[labels][:, None] - scores[~labels][None, :]
    return float(np.mean(differences > 0) + 0.5 * np.mean(differences == 0))


def test_people_are_awake_by_day() -> None:
    quiet = msgspec.structs.replace(PARAMS, late=0.0)
    hours = Counter(record.ts_ms // 3_600_000 % 24 for record in simulate(quiet, seed=1))

    assert sum(hours[h] for h in (18, 19, 20)) > 3 * sum(hours[h] for h in (2, 3, 4))


def test_tastes_change_over_time() -> None:
    params = SimulationParams(start_ms=START_MS, users=40, span_ms=60 * DAY_MS, drift=0.3, broken=0)
    favourites: dict[bytes, list[Counter[str]]] = defaultdict(lambda: [Counter(), Counter()])
    for record in simulate(params, seed=5):
        for event in events_of([record]):
            if event.category:
                is_second_half = record.ts_ms > START_MS + params.span_ms // 2
                favourites[record.key][is_second_half][event.category] += 1

    changed = [
        first.most_common(1)[0][0] != second.most_common(1)[0][0]
        for first, second in favourites.values()
        if first and second
    ]
    assert sum(changed) > len(changed) / 2


def test_zipf_shares_follow_the_power_law() -> None:
    ranks = zipf_ranks(200_000, 1_000, 1.1, np.random.default_rng(1))

    weights = np.arange(1, 1_001) ** -1.1
    expected = weights / weights.sum()
    shares = np.bincount(ranks, minlength=1_000) / len(ranks)
    assert np.allclose(shares[:20], expected[:20], atol=5 * np.sqrt(expected[0] / len(ranks)))


def test_zipf_with_exponent_zero_is_uniform() -> None:
    counts = np.bincount(zipf_ranks(100_000, 10, 0.0, np.random.default_rng(2)), minlength=10)

    assert counts.min() > 9_500
    assert counts.max() < 10_500


def test_zipf_events_are_accepted_keyed_ordered_and_repeatable() -> None:
    pairs = zipf_events(5_000, 100, 1.1, 4, START_MS, DAY_MS)

    events, rejected = decode_batch([value for _, value in pairs])
    assert not rejected
    known = [event for event in events if event is not None]
    assert [event.user_id for event in known] == [key.decode() for key, _ in pairs]
    assert all(a.ts <= b.ts for a, b in pairwise(known))  # type: ignore[operator]  # both are numbers
    assert len({event.event_id for event in known}) == 5_000
    assert zipf_events(5_000, 100, 1.1, 4, START_MS, DAY_MS) == pairs

"""Simulated traffic: as much as was asked for, ending at the present, and the same every time."""

from __future__ import annotations

from itertools import islice

import msgspec

from streams.cast import choose
from streams.traffic import DAY_MS, PAST_MS, ending_at, without_end

NOW_MS = 1_700_000_000_000


def test_it_gives_as_many_records_as_asked_for() -> None:
    assert len(ending_at(NOW_MS, events=500, users=20, seed=1)) == 500


def test_few_people_can_make_many_events() -> None:
    assert len(ending_at(NOW_MS, events=2_000, users=2, seed=1)) == 2_000


def test_its_last_records_arrive_at_the_present() -> None:
    last = ending_at(NOW_MS, events=500, users=20, seed=1)[-1]

    assert last.ts_ms is not None
    assert NOW_MS - DAY_MS < last.ts_ms <= NOW_MS


def test_a_seed_gives_the_same_records() -> None:
    first, second = (ending_at(NOW_MS, events=300, users=20, seed=7) for _ in range(2))

    assert first == second


def test_some_people_say_who_they_are() -> None:
    records = ending_at(NOW_MS, events=1_000, users=100, seed=1)

    types = {msgspec.json.decode(r.value)["type"] for r in records if b'"plan"' in r.value}
    assert types == {"identify"}


def test_without_end_it_begins_a_year_ago() -> None:
    records = list(islice(without_end(NOW_MS, users=50, seed=1), 100))

    assert records[0].ts_ms is not None
    assert 0 <= records[0].ts_ms - (NOW_MS - PAST_MS) < DAY_MS


def test_the_watched_person_is_busy_in_both_parts() -> None:
    records = ending_at(NOW_MS, events=1_000, users=50, seed=1)
    backlog, live = records[:700], records[700:]

    cast = choose(backlog, live)

    assert cast.watched == cast.shown[0]
    assert len(set(cast.shown)) == 3
    subject_id = cast.shown[0].partition(":")[2].encode()
    assert sum(r.key == subject_id for r in live) >= 5
    assert sum(r.key == subject_id for r in backlog) >= 1


def test_records_that_cannot_be_read_have_nobody_to_show() -> None:
    assert choose([], []).shown == ()

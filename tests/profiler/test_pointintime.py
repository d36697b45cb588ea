"""People as they were: nothing of the future is seen, and all of the past."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from profiler.batch import Preparer, Screen
from profiler.columns import DAY_MS, HOUR_MS, Floats, Rows, Snapshot
from profiler.fold import Fold
from profiler.pointintime import features_at, look_back, vectors_at
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Chunk, RawRecord
from profiler.spec import DEFAULT_SPEC
from streams.reader import Layout, Profile
from tests import folding
from tests.strategies import START_MS, events

MINUTE_MS = 60_000
Event = dict[str, object]


def record(event: Event, offset: int, arrived_ms: int | None) -> RawRecord:
    value = msgspec.json.encode(event)
    return RawRecord("profiler.events", 0, offset, arrived_ms, None, value)


def seen(
    records: Sequence[RawRecord], subject: tuple[str, str], *times_ms: int
) -> tuple[Rows, Rows, Floats]:
    """Own rows, shown rows and features of a subject at these times."""
    pseudonymiser = Pseudonymiser(folding.KEY)
    preparer = Preparer(pseudonymiser, Screen())
    fold = Fold(DEFAULT_SPEC, preparer)
    prepared = preparer.prepare([Chunk(0, 0, records)])
    pids = [pseudonymiser.pid(*subject)] * len(times_ms)
    at = np.array(times_ms, dtype=np.int64)
    is_historical = np.array([not r.timestamp for r in records], dtype=bool)
    own, shown = DEFAULT_SPEC.empty(len(at)), DEFAULT_SPEC.empty(len(at))
    for places in look_back(fold, prepared, is_historical, pids, at):
        chosen = [pids[k] for k in places.tolist()]
        own[places] = fold.stored(chosen).rows
        shown[places] = fold.shown(chosen)[1]
    return own, shown, features_at(DEFAULT_SPEC, own, at)


def n_events(rows: Rows) -> list[int]:
    found: list[int] = rows["core.n_accepted"].tolist()
    return found


def click(at_ms: int, **subject: str) -> Event:
    return {"type": "click", "ts": at_ms, "item_id": "cup", **(subject or {"user_id": "ann"})}


ANN = ("user", "ann")


def test_an_event_at_the_very_moment_is_not_seen() -> None:
    records = [record(click(START_MS), 0, START_MS)]

    own, _, _ = seen(records, ANN, START_MS - 1, START_MS, START_MS + 1)

    assert n_events(own) == [0, 0, 1]


def test_an_event_that_came_late_is_not_seen_before_it_came() -> None:
    records = [
        record(click(START_MS), 0, START_MS),
        record(click(START_MS + 1), 1, START_MS + DAY_MS),
    ]

    own, _, _ = seen(records, ANN, START_MS + HOUR_MS, START_MS + DAY_MS, START_MS + DAY_MS + 1)

    assert n_events(own) == [1, 1, 2]


def test_an_event_whose_clock_runs_ahead_is_not_seen_before_its_time() -> None:
    records = [record(click(START_MS + MINUTE_MS), 0, START_MS)]

    own, _, _ = seen(records, ANN, START_MS + 1, START_MS + MINUTE_MS + 1)

    assert n_events(own) == [0, 1]


def test_what_was_put_down_later_counts_from_its_own_time() -> None:
    records = [record(click(START_MS + k), k, None) for k in range(3)]

    own, _, _ = seen(records, ANN, START_MS + 1, START_MS + 3)

    assert n_events(own) == [1, 3]


def test_a_link_shows_the_other_history_from_when_it_was_known_and_not_before() -> None:
    link = {"type": "identify", "ts": START_MS + 5, "user_id": "ann", "anonymous_id": "a"}
    records = [
        record(click(START_MS, anonymous_id="a"), 0, START_MS),
        record(click(START_MS + 1), 1, START_MS + 1),
        record(link, 2, START_MS + DAY_MS),
    ]

    own, shown, _ = seen(records, ANN, START_MS + HOUR_MS, START_MS + DAY_MS + 1)

    assert n_events(own) == [1, 1]
    assert n_events(shown) == [1, 2]


def test_an_unlink_parts_them_from_when_it_was_known() -> None:
    both = {"type": "identify", "user_id": "ann", "anonymous_id": "a"}
    records = [
        record(click(START_MS, anonymous_id="a"), 0, START_MS),
        record(both | {"ts": START_MS + 1}, 1, START_MS + 1),
        record(both | {"ts": START_MS + 5, "unlink": True}, 2, START_MS + 5),
    ]

    _, shown, _ = seen(records, ("anonymous", "a"), START_MS + 5, START_MS + 6)
    _, of_ann, _ = seen(records, ANN, START_MS + 5, START_MS + 6)

    assert n_events(shown) == [1, 1]
    assert n_events(of_ann) == [1, 0]


def test_the_order_in_which_partitions_are_read_does_not_matter() -> None:
    late = record(click(START_MS, user_id="ann"), 0, START_MS + 1)
    early = record(click(START_MS + 9, user_id="ann"), 1, START_MS + 9)

    for records in ([late, early], [early._replace(offset=0), late._replace(offset=1)]):
        own, _, _ = seen(records, ANN, START_MS + 5, START_MS + 20)

        assert n_events(own) == [1, 2]


def test_a_thousand_times_of_one_person_are_all_answered() -> None:
    records = [record(click(START_MS + 10 * k), k, START_MS + 10 * k) for k in range(1_000)]

    own, _, _ = seen(records, ANN, *[START_MS + 10 * k for k in reversed(range(1_000))])

    assert n_events(own) == list(reversed(range(1_000)))


LINKS: list[Event] = [
    {"user_id": "u0", "anonymous_id": "a"},
    {"user_id": "u1", "device_id": "d"},
    {"device_id": "d", "anonymous_id": "a"},
]


@st.composite
def histories(draw: st.DrawFn) -> list[RawRecord]:
    """Events, links and unlinks in the order of their arrival, some late, some without a stamp."""
    found, arrived_ms = [], START_MS
    for offset in range(draw(st.integers(1, 25))):
        arrived_ms += draw(st.integers(0, 40)) * MINUTE_MS
        event = draw(events(n_users=2))
        if draw(st.integers(0, 3)) == 0:
            link = draw(st.sampled_from(LINKS))
            event = {"type": "identify", "unlink": draw(st.booleans()), **link}
        elif draw(st.integers(0, 3)) == 0:
            event.pop("user_id")
            event["anonymous_id"] = "a"
        delay_ms = draw(st.sampled_from([-30, 0, 0, 0, 5, 600])) * MINUTE_MS
        event["ts"] = arrived_ms - delay_ms
        stamp = None if draw(st.integers(0, 5)) == 0 else arrived_ms
        found.append(record(event, offset, stamp))
    return found


def known_ms(one: RawRecord) -> int:
    ts: int = msgspec.json.decode(one.value or b"")["ts"]
    return max(ts, one.timestamp or 0)


@settings(max_examples=100)
@given(
    histories(),
    st.sampled_from([("user", "u0"), ("user", "u1"), ("anonymous", "a"), ("device", "d")]),
    st.lists(st.integers(0, 1_500), min_size=1, max_size=4),
)
def test_a_look_back_is_the_live_pipeline_stopped_there(
    records: list[RawRecord], subject: tuple[str, str], minutes: list[int]
) -> None:
    times = [START_MS + k * MINUTE_MS for k in minutes]

    own, shown, features = seen(records, subject, *times)

    for k, at_ms in enumerate(times):
        live = folding.Fold()
        # One after another, where the look back has them in batches.
        known = sorted((r for r in records if known_ms(r) < at_ms), key=known_ms)
        for place, one in enumerate(known):
            live.apply([one._replace(offset=place)])
            live.settle()
        pid = live.pseudonymiser.pid(*subject)
        expected = live.rows().get(pid, DEFAULT_SPEC.empty(1))
        folding.assert_equal(own[k : k + 1], without_ring(expected, own[k : k + 1]))
        moved = live.moved.get(pid, pid)
        vector = live.vectors.get(live.moved.get(moved, moved), np.zeros(DEFAULT_SPEC.dims))
        if n_events(shown)[k]:
            found = DEFAULT_SPEC.project(Snapshot(shown[k : k + 1]))[0]
            is_output = slice_named("intent")
            vector[is_output] = found[is_output]
            np.testing.assert_allclose(found, vector, 0, 1e-5 * float(np.linalg.norm(vector)))
        at = np.array([at_ms])
        met = features_at(DEFAULT_SPEC, expected, at)[0]
        # People who are asked for at once share a running sum, which rounds what is tiny.
        np.testing.assert_allclose(features[k], met, rtol=1e-9, atol=1e-12)


def without_ring(rows: Rows, other: Rows) -> Rows:
    """Rows with the ring of others: it is not compared."""
    rows = rows.copy()
    rows["core.recent"] = other["core.recent"]
    return rows


def slice_named(name: str) -> slice:
    (part,) = [one for one in DEFAULT_SPEC.slices if one.name == name]
    return slice(part.offset, part.offset + part.length)


@settings(max_examples=100)
@given(st.lists(events(n_users=1), min_size=1, max_size=30))
def test_features_are_those_that_an_event_at_that_time_meets(given_events: list[Event]) -> None:
    """Online against offline: what the pipeline hands the models is what an export says."""
    met: list[tuple[int, Floats]] = []
    live = folding.Fold()
    observe = live.bank.predict

    def predict(known: Floats, rows: Rows, columns: object) -> object:
        met.extend(zip(columns.ts.tolist(), known.copy(), strict=True))  # type: ignore[attr-defined]
        return observe(known, rows, columns)  # type: ignore[arg-type]

    live.bank.predict = predict  # type: ignore[method-assign,assignment]
    ordered = sorted(given_events, key=lambda event: int(str(event["ts"])))
    # At different times, so that what an event meets does not depend on ties.
    records = [
        record(event | {"ts": int(str(event["ts"])) + k, "event_id": f"e{k}"}, k, None)
        for k, event in enumerate(ordered)
    ]
    live.apply(records)
    assume(met)  # nobody can be tied to themselves

    _, _, features = seen(records, ("user", "u0"), *[at_ms for at_ms, _ in met])

    np.testing.assert_allclose(features, [known for _, known in met], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("elapsed_ms", [0, 1, HOUR_MS, 40 * DAY_MS])
def test_vectors_are_brought_to_a_time_as_a_reader_brings_them(elapsed_ms: int) -> None:
    records = [record(click(START_MS + k * HOUR_MS), k, None) for k in range(5)]
    own, _, _ = seen(records, ANN, START_MS + DAY_MS)
    as_of = int(own["core.as_of"][0])
    read = Profile(
        pid="",
        as_of_ms=as_of,
        rev=1,
        spec="",
        vector=DEFAULT_SPEC.project(Snapshot(own))[0],
        summary={},
        layout=msgspec.convert(DEFAULT_SPEC.layout(), Layout, strict=False),
    )

    found = vectors_at(DEFAULT_SPEC, own, np.array([as_of + elapsed_ms]))[0]

    np.testing.assert_allclose(found, read.at(as_of + elapsed_ms).vector, rtol=2e-7, atol=0)

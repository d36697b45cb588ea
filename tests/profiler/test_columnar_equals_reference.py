"""The columnar core against the reference: the key correctness test of the project.

Whatever the events and however their stream was cut into batches, every profile must be what one
event after another gives.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.audit import Auditor, Comparison
from profiler.batch import Preparer, Screen
from profiler.events import BEHAVIOUR_TYPES
from profiler.identity import NO_LINKS
from profiler.models.bank import ModelBank
from profiler.pipeline import process
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.recompute import Reference
from profiler.records import Chunk, RawRecord
from profiler.reference import SUMS, TOP_LISTS, TRAILS, ReferencePerson
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states, encode_states, encode_tombstone

TOPIC = "profiler.events"
SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000
MONTH, YEAR, START = 30 * DAY, 365 * DAY, 1_600_000_000_000
LATEST = START + 30 * YEAR  # beyond 88 years a month's weights leave the range of float64
SKEW_MS, AGE_MS = HOUR, 10 * YEAR

STEPS_MS = (
    *(0, 0, 0, 1, SECOND, 30 * SECOND, 1_800_000, 1_800_001, 2 * HOUR, DAY, 9 * DAY, MONTH),
    *(-1, -SECOND, -1_800_000, -1_800_001, -DAY, -2 * MONTH),
)
JUMPS_MS = (64 * HOUR, 64 * DAY, -64 * DAY, YEAR, -YEAR, 64 * MONTH, 10 * YEAR, -10 * YEAR)
EXTRA: dict[str, dict[str, Any]] = {
    "search": {"query": "Grüne Lampe lamp LAMP 2x"},
    "message": {"text": "hello"},
    "media": {"kind": "image"},
    "checkin": {"latitude": 1.0, "longitude": 2.0},
    "transaction": {"amount": 3.5},
    "feedback": {"action": "shown"},
    "consent": {"purposes": {"ads": True}},
    "follow": {"target_id": "z"},
}
TARGETS = tuple(f"t{k}" for k in range(12))
COMMERCE = ("click", "browse", "purchase", "refund", "cart", "feedback")
EVERYTHING = ("identify", "consent", "follow", "follow")
Pick = Callable[[Sequence[Any]], Any]


def make_event(pick: Pick, type_name: str, ts: int) -> dict[str, Any]:
    """An event whose fields are picked from small pools, so that they collide."""
    event: dict[str, Any] = {"type": type_name, "ts": ts} | EXTRA.get(type_name, {})
    event[pick(("user_id", "user_id", "user_id", "device_id"))] = pick(("a", "a", "a", "b", "c"))
    if type_name == "follow":
        if "b" in event.values():  # alone on another partition: the order would be unknown
            event["user_id"] = "a"
        event |= {"target_kind": pick(("user", "device")), "target_id": pick((*"cz", *TARGETS))}
        event |= {"action": pick(("add", "add", "remove")), "weight": pick((0.5, 1.0, 7.0))}
        event["relation"] = pick(("follow", "friend"))
        if event.get(f"{event['target_kind']}_id") == event["target_id"]:
            event["target_id"] = "y"
    if type_name == "consent":
        event["purposes"] = {"ties": pick((True, False))}
    if number := pick((*(None,) * 60, *range(60))):
        event["event_id"] = f"e{number}"
    if type_name in COMMERCE:
        for field, size in (("item_id", 40), ("category", 25), ("brand", 4), ("title", 6)):
            if number := pick((None, *range(size))):
                event[field] = f"{field} {number}, the {number % 3}"
        event |= pick(({}, {"price": 0.1}, {"price": 19.99, "quantity": 3}, {"price": 1e9}))
    return event


def make_times(pick: Pick, n: int, steps_ms: Sequence[int]) -> list[int]:
    times, ts = [], START
    for _ in range(n):
        ts = min(max(ts + pick(steps_ms), 1), LATEST)
        times.append(ts)
    return times


def records_of(events: Iterable[dict[str, Any]], stamped: bool = False) -> list[RawRecord]:
    """Records on two partitions, all of a subject on one, in the order of the events."""
    offsets, records = [0, 0], []
    for event in events:
        partition = (event.get("user_id") or event["device_id"]) == "b"
        record = RawRecord(
            TOPIC,
            int(partition),
            offsets[partition],
            START + YEAR if stamped else None,
            None,
            msgspec.json.encode(event),
        )
        offsets[partition] += 1
        records.append(record)
    return records


class Columnar:
    """The core with a store of plain bytes, as a worker drives it."""

    def __init__(self) -> None:
        self.states: dict[str, bytes] = {}
        self.bank = ModelBank(DEFAULT_SPEC)
        screen = Screen(SKEW_MS, AGE_MS, frozenset({"taobao"}))
        self.preparer = Preparer(Pseudonymiser(b"k" * 32), screen)

    def feed(self, records: Sequence[RawRecord]) -> None:
        partitions = sorted({r.partition for r in records})
        prepared = self.preparer.prepare(
            [Chunk(0, p, [r for r in records if r.partition == p]) for p in partitions]
        )
        stored = decode_states([self.states.get(pid) for pid in prepared.pids], DEFAULT_SPEC, {})
        done = process(DEFAULT_SPEC, prepared, stored, self.bank)
        rev = stored.rev[done.place] + 1
        encoded = encode_states(DEFAULT_SPEC, done.rows, rev, done.fences, done.links())
        for place, state in zip(done.place.tolist(), encoded, strict=True):
            self.states[prepared.pids[place]] = state
        for place, ts in done.erased.items():
            self.states[prepared.pids[place]] = encode_tombstone(int(stored.rev[place]) + 1, ts)


def recompute(records: Sequence[RawRecord]) -> Reference:
    reference = Reference(
        Pseudonymiser(b"k" * 32).pid,
        clock_skew_max_ms=SKEW_MS,
        event_age_max_ms=AGE_MS,
        historical_sources=frozenset({"taobao"}),
    )
    for r in records:
        reference.feed(r.value, r.topic, r.partition, r.offset, r.timestamp, r.headers)
    return reference


def compare_all(columnar: Columnar, records: Sequence[RawRecord]) -> Comparison:
    reference = recompute(records)
    auditor = Auditor(reference.people, reference.finish(), reference.ties)
    pids = list(columnar.states)
    stored = decode_states([columnar.states[pid] for pid in pids], DEFAULT_SPEC, {})
    for k, pid in enumerate(pids):
        links = stored.links.get(k, NO_LINKS)
        row = None if stored.erased[k] else stored.rows[k]
        auditor.see(pid, row, links.owner.owner if links.owner else None, links.ties)
    return auditor.comparison()


def cut(records: list[RawRecord], places: Iterable[int]) -> list[list[RawRecord]]:
    edges = sorted({0, len(records), *(p % (len(records) + 1) for p in places)})
    return [records[a:b] for a, b in itertools.pairwise(edges)]


@st.composite
def histories(draw: st.DrawFn, steps_ms: Sequence[int] = STEPS_MS + JUMPS_MS) -> list[RawRecord]:
    def pick(choices: Sequence[Any]) -> Any:
        return draw(st.sampled_from(choices))

    types = draw(
        st.lists(
            st.sampled_from((*BEHAVIOUR_TYPES, *COMMERCE, *COMMERCE, *EVERYTHING)),
            min_size=1,
            max_size=40,
        )
    )
    times = make_times(pick, len(types), steps_ms)
    return records_of(make_event(pick, t, ts) for t, ts in zip(types, times, strict=True))


def random_history(seed: int, n: int, *, jumps: bool = False) -> list[RawRecord]:
    rng = random.Random(seed)
    times = make_times(rng.choice, n, STEPS_MS + (JUMPS_MS if jumps else ()))
    types = rng.choices((*BEHAVIOUR_TYPES, *COMMERCE * 4, *EVERYTHING), k=n)
    return records_of(make_event(rng.choice, t, ts) for t, ts in zip(types, times, strict=True))


cuts = st.lists(st.integers(0, 1_000), max_size=8)


@settings(deadline=None, max_examples=100)
@given(histories(), cuts)
def test_any_history_in_any_batches_equals_one_event_after_another(
    records: list[RawRecord], places: list[int]
) -> None:
    columnar = Columnar()

    for batch in cut(records, places):
        columnar.feed(batch)

    assert compare_all(columnar, records).differences == ()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), cuts, st.booleans())
def test_hot_people_with_hundreds_of_events_and_evictions_equal_the_reference(
    seed: int, places: list[int], jumps: bool
) -> None:
    records, columnar = random_history(seed, 500, jumps=jumps), Columnar()

    for batch in cut(records, places):
        columnar.feed(batch)

    assert compare_all(columnar, records).differences == ()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), cuts, st.integers(0, 7))
def test_batches_that_come_again_after_a_crash_change_nothing(
    seed: int, places: list[int], again: int
) -> None:
    records, columnar = random_history(seed, 200), Columnar()
    batches = cut(records, places)

    for k, batch in enumerate(batches):
        columnar.feed(batch)
        for seen in batches[max(0, k - again) : k + 1]:
            columnar.feed(seen)

    assert compare_all(columnar, records).differences == ()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), cuts, st.integers(0, 199))
def test_erased_people_stay_erased_whatever_comes_after(
    seed: int, places: list[int], at: int
) -> None:
    history = [msgspec.json.decode(r.value or b"") for r in random_history(seed, 200)]
    history.insert(at, {"type": "erase", "ts": START, "user_id": "a"})
    records, columnar = records_of(history), Columnar()

    for batch in cut(records, places):
        columnar.feed(batch)

    assert compare_all(columnar, records).differences == ()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), cuts)
def test_what_is_screened_out_changes_nobody(seed: int, places: list[int]) -> None:
    rng = random.Random(seed)
    offsets_ms = (0, -YEAR, HOUR, HOUR + 1, -10 * YEAR, -10 * YEAR - 1, DAY)
    history = [
        make_event(rng.choice, rng.choice(COMMERCE), START + YEAR + rng.choice(offsets_ms))
        | rng.choice(({}, {"source": "taobao"}))
        for _ in range(100)
    ]
    records, columnar = records_of(history, stamped=True), Columnar()

    for batch in cut(records, places):
        columnar.feed(batch)

    assert compare_all(columnar, records).differences == ()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), cuts)
def test_events_that_crossed_partitions_stay_within_the_bounds(
    seed: int, places: list[int]
) -> None:
    rng, offsets = random.Random(seed), [0, 0]
    records: list[RawRecord] = []
    for original in random_history(seed, 300):
        event = msgspec.json.decode(original.value or b"") | {"event_id": f"e{len(records)}"}
        partition = rng.randrange(2)
        value = msgspec.json.encode(event)
        records.append(RawRecord(TOPIC, partition, offsets[partition], None, None, value))
        offsets[partition] += 1
    columnar = Columnar()

    for batch in cut(records, places):
        columnar.feed(batch)

    by_partition = sorted(records, key=lambda r: r.partition)
    comparison = compare_all(columnar, by_partition)
    assert comparison.differences == ()
    assert comparison.unordered > 0


@pytest.mark.parametrize("places", [(), (17,), range(60)])
def test_among_equal_weights_the_same_token_is_evicted(places: Iterable[int]) -> None:
    # An audit lets tied tokens at the end of a list differ: the rule needs a test of its own.
    records = records_of(
        {"type": "click", "ts": START, "user_id": "a", "item_id": f"i{k * 7 % 37}"}
        for k in range(60)
    )
    columnar = Columnar()

    for batch in cut(records, places):
        columnar.feed(batch)

    stored = decode_states(list(columnar.states.values()), DEFAULT_SPEC, {})
    (person,) = recompute(records).people.values()
    assert set(stored.rows["interest.item_id"][0].tolist()) == person.tops["item"].weights.keys()


def test_the_reference_defines_every_column_that_is_audited() -> None:
    person = ReferencePerson()
    tops = {f"interest.{kind}_{part}" for kind in TOP_LISTS for part in ("id", "weight")}

    known = person.exact() | person.sessions() | person.quarantine.columns()
    journey = {*person.journey.exact(), *person.journey.sums}
    trails = {f"trail.{kind}" for kind in TRAILS}
    defined = {*known, *SUMS, *tops, *trails, *journey}

    derived = {c.name for c in DEFAULT_SPEC.columns if c.kind == "derived"}
    assert defined | derived | {"core.recent"} == {c.name for c in DEFAULT_SPEC.columns}
    assert not defined & derived


@pytest.mark.parametrize("column", [c for c in DEFAULT_SPEC.columns if c.kind != "derived"])
def test_a_change_of_any_audited_column_is_found(column: Any) -> None:
    records, columnar = random_history(1, 300), Columnar()
    columnar.feed(records)
    pids = list(columnar.states)
    stored = decode_states([columnar.states[pid] for pid in pids], DEFAULT_SPEC, {})
    place = int(stored.rows["core.n_accepted"].argmax())

    field = stored.rows[column.name].reshape(len(pids), -1)
    change = max(1.0, abs(float(field[place, 0])) / 100)
    field[place, 0] += np.array(change, dtype=field.dtype)
    states = encode_states(DEFAULT_SPEC, stored.rows, stored.rev, stored.fences, stored.links)
    columnar.states = dict(zip(pids, states, strict=True))

    found = {d.column for d in compare_all(columnar, records).differences}
    assert found == (set() if column.name == "core.recent" else {column.name})

"""What comes to the wrong partition goes home once, however often it is sent."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.batch import Prepared, Preparer, Screen
from profiler.dedupe import EVENTS, FORWARDED, Fences, partition_code, topic_code
from profiler.forwarding import (
    METADATA_BYTES_MAX,
    ORIGIN_HEADER,
    ORIGINS_MAX,
    Seen,
    origin_header,
    origin_of,
    without_origin,
)
from profiler.partitioning import partition_of
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Chunk, Forward, RawRecord, Record
from profiler.tying import TieSaid
from tests.folding import KEY
from tests.strategies import START_MS, record

TOPIC = "profiler.events"
HOMES = 4
codes = st.builds(partition_code, st.sampled_from([0, 2, 4]), st.integers(0, 300))
vectors = st.dictionaries(codes, st.integers(0, 2**50), max_size=60)


@given(highest=vectors)
def test_what_has_been_seen_survives_the_metadata_of_a_commit(highest: dict[int, int]) -> None:
    assert Seen.decode(TOPIC, Seen(TOPIC, highest).encode()).highest == highest


def test_four_hundred_partitions_with_ten_billion_records_each_fit() -> None:
    seen = Seen(TOPIC, {partition: 10**10 + partition for partition in range(ORIGINS_MAX)})

    assert len(seen.encode()) <= METADATA_BYTES_MAX


def test_a_topic_that_was_made_anew_takes_the_place_of_the_former_one() -> None:
    seen = Seen(TOPIC)
    for incarnation in range(50):
        seen.admit([forwarded(2 * incarnation << 24 | p, 5, p) for p in (0, 1)])

    assert seen.highest == {98 << 24: 5, 98 << 24 | 1: 5}


def test_origins_that_cannot_be_are_none() -> None:
    claims = [b"-5:3:1", b"0:-3:1", b"0", b"x:1:2", b"\xff"]

    assert [origin_of(record({}, 0)._replace(headers=[(ORIGIN_HEADER, c)])) for c in claims] == (
        [None] * len(claims)
    )


def test_of_two_origins_the_last_counts_and_a_sender_drops_those_it_finds() -> None:
    copied = record({}, 7)._replace(headers=[("a", b"b"), (ORIGIN_HEADER, b"0:999:1")])

    sent = [*without_origin(copied.headers), origin_header(Forward(3, 1, copied))]

    assert [name for name, _ in sent] == ["a", ORIGIN_HEADER]
    twice = copied._replace(headers=[*copied.headers, origin_header(Forward(3, 1, copied))])
    assert origin_of(twice) == (1, 7, copied.timestamp)


@pytest.mark.parametrize("text", ["", "1!", "1gA", "2ABE", "consumed by hand"])
def test_a_text_of_somebody_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no vector of origins"):
        Seen.decode(TOPIC, text)


@given(
    senders=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 30), st.integers(0, 30)), max_size=12
    ),
    cuts=st.lists(st.integers(1, 40), max_size=5),
)
def test_each_origin_is_admitted_once_and_in_order(
    senders: list[tuple[int, int, int]], cuts: list[int]
) -> None:
    """Senders start at or below what has been sent, and send in order; they may stop anywhere."""
    sent: dict[int, int] = {}
    log: list[RawRecord] = []
    for partition, back, n in senders:
        start = max(0, sent.get(partition, 0) - back)
        for offset in range(start, start + n):
            log.append(forwarded(partition, offset, len(log)))
        sent[partition] = max(sent.get(partition, 0), start + n)

    seen = Seen(TOPIC)
    admitted: list[Record] = []
    n_repeated = 0
    while log:
        size = cuts.pop() if cuts else len(log)
        found = seen.admit(log[:size])
        seen = Seen.decode(TOPIC, seen.encode())
        admitted += found.records
        n_repeated += found.n_repeated
        log = log[size:]

    for partition, n in sent.items():
        offsets = [r.offset for r in admitted if r.partition == partition]
        assert offsets == list(range(n))
    assert len(admitted) == sum(sent.values())


def test_a_record_that_nobody_here_sent_on_is_its_own_origin() -> None:
    foreign = record({"type": "click", "ts": START_MS, "user_id": "u"}, 7)

    found = Seen(TOPIC).admit([foreign, foreign])

    assert list(found.records) == [foreign, foreign]
    assert found.offsets == [7, 7]


def test_an_event_away_from_home_is_sent_there_and_changes_nothing_here() -> None:
    records = [click(f"u{k}", k) for k in range(40)]

    here = prepared([Chunk(EVENTS, 0, records)], homes=HOMES)

    at_home = [r for r in records if home_of(r) == 0]
    assert [here.records[i] for i in here.record.tolist()] == at_home
    assert len(here.pids) == len(at_home) > 0
    assert here.forwards == [Forward(home_of(r), 0, r) for r in records if home_of(r) != 0]


def test_it_is_the_same_event_at_home() -> None:
    records = [click("someone", k) for k in range(3)]
    direct = prepared([Chunk(EVENTS, 0, records)], homes=None)
    code = partition_code(topic_code(EVENTS), 0)
    on_their_way = [
        records[k]._replace(
            topic="profiler.forwarded",
            offset=100 + k,
            timestamp=1,
            headers=[origin_header(Forward(2, code, records[k]))],
        )
        for k in range(3)
    ]

    found = Seen(TOPIC).admit(on_their_way)
    chunk = Chunk(topic_code(FORWARDED), 2, found.records, found.offsets, found.origins)
    at_home = prepared([chunk], homes=HOMES)

    assert at_home.forwards == []
    assert at_home.pids == direct.pids
    assert at_home.records == [r._replace(headers=[]) for r in records]
    assert at_home.offset.tolist() == [100, 101, 102]
    for column in dataclasses.fields(Prepared):
        if column.name not in ("records", "pids", "forwards", "offset", "partition", "home"):
            np.testing.assert_array_equal(
                getattr(at_home, column.name), getattr(direct, column.name)
            )


def test_a_topic_that_was_made_anew_starts_its_fences_and_its_ids_afresh() -> None:
    first, second = partition_code(topic_code(EVENTS), 3), partition_code(topic_code(EVENTS, 1), 3)
    fences = Fences.empty(1)
    fences.raise_to(*columns(first, 500))
    assert fences.fenced(*columns(first, 500)).all()

    assert not fences.fenced(*columns(second, 0)).any()
    fences.raise_to(*columns(second, 0))
    assert fences.fenced(*columns(second, 0)).all()
    assert (fences.partition.tolist(), fences.more) == ([second], {})
    before = prepared([Chunk(topic_code(EVENTS), 3, [click("u", 5)])], homes=None)
    after = prepared([Chunk(topic_code(EVENTS, 1), 3, [click("u", 5)])], homes=None)
    assert before.id_hash != after.id_hash


def test_a_tie_is_applied_once_at_each_of_both_homes() -> None:
    one, other = (next(f"u{k}" for k in range(99) if home(f"u{k}") == h) for h in (1, 2))
    follow = {"type": "follow", "ts": START_MS, "user_id": one, "target_id": other}
    r = record(follow, 7)._replace(partition=0)

    astray, first, second = everywhere(r)

    assert [forward.home for forward in astray.forwards] == [1, 2]
    assert astray.pids == []
    pid = Pseudonymiser(KEY).pid
    assert (first.pids, second.pids) == ([pid("user", one)], [pid("user", other)])
    assert [p.said_of_ties[int(p.tie[0])] for p in (first, second)] == [
        TieSaid(pid("user", other), "follow", 1.0, is_received) for is_received in (False, True)
    ]
    assert first.id_hash == second.id_hash


def test_a_record_of_several_people_is_applied_at_each_home_for_those_who_live_there() -> None:
    one, other = (next(f"u{k}" for k in range(99) if home(f"u{k}") == h) for h in (1, 2))
    calls = [
        {"type": "track", "userId": user, "event": "Product Viewed", "messageId": f"m{k}"}
        | {"properties": {"product_id": "p"}, "timestamp": "2026-01-01T00:00:00Z"}
        for k, user in enumerate((one, other, one))
    ]
    value = msgspec.json.encode({"batch": calls})
    r = RawRecord("profiler.events", 0, 7, None, None, value)

    astray, first, second = everywhere(r)

    assert [forward.home for forward in astray.forwards] == [1, 2]
    assert [len(p.row) for p in (astray, first, second)] == [0, 2, 1]
    pid = Pseudonymiser(KEY).pid
    assert (first.pids, second.pids) == ([pid("user", one)], [pid("user", other)])


def home(user_id: str) -> int:
    return partition_of(user_id.encode(), HOMES)


def everywhere(r: RawRecord) -> list[Prepared]:
    """A record in partition 0 of events, and forwarded to partitions 1 and 2."""
    found = [prepared([Chunk(EVENTS, 0, [r])], homes=HOMES)]
    for forward in found[0].forwards:
        sent = r._replace(topic="profiler.forwarded", headers=[origin_header(forward)], offset=3)
        admitted = Seen(TOPIC).admit([sent])
        came = Chunk(FORWARDED, forward.home, admitted.records, admitted.offsets, admitted.origins)
        found.append(prepared([came], homes=HOMES))
    return found


def click(user_id: str, offset: int) -> RawRecord:
    event: dict[str, object] = {"type": "click", "ts": START_MS, "user_id": user_id}
    return record(event | {"item_id": f"i{offset}"}, offset)


def home_of(r: RawRecord) -> int:
    assert r.key is not None
    return partition_of(r.key, HOMES)


def forwarded(partition: int, offset: int, at: int) -> RawRecord:
    origin = click("u", offset)._replace(partition=partition)
    header = origin_header(Forward(0, partition, origin))
    assert origin_of(origin._replace(headers=[header])) == (partition, offset, None)
    return origin._replace(topic="profiler.forwarded", partition=0, offset=at, headers=[header])


def prepared(chunks: Sequence[Chunk], homes: int | None) -> Prepared:
    return Preparer(Pseudonymiser(KEY), Screen(), homes).prepare(chunks)


def columns(code: int, offset: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], ...]:
    return np.array([0]), np.array([code]), np.array([offset])

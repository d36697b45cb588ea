"""What the producer of a run sends, and where to."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import islice

from msgspec.json import decode

from profiler.partitioning import partition_of
from tests.chaos.producer import Aim
from tests.chaos.traffic import traffic

N_PARTITIONS = 4
N_RECORDS = 60_000


def test_a_third_is_sent_by_other_partitioners_and_most_people_come_in_one_partition() -> None:
    aim = Aim(N_PARTITIONS)
    partitions: defaultdict[bytes, set[int]] = defaultdict(set)
    partitioners: Counter[str] = Counter()
    for record in islice(traffic(3, lambda: 1_700_000_000_000), N_RECORDS):
        partitions[record.key].add(aim.partition_of(record))
        partitioners[record.partitioner] += 1

    n_others = N_RECORDS - partitioners["murmur2"]
    n_ordered = sum(len(found) == 1 for found in partitions.values())
    n_elsewhere = sum(
        found != {partition_of(key, N_PARTITIONS)} for key, found in partitions.items()
    )
    assert 0.3 < n_others / N_RECORDS < 0.37
    assert n_ordered > 0.8 * len(partitions)
    assert len(partitions) - n_ordered < n_elsewhere
    assert 0.22 * N_RECORDS < aim.n_astray < 0.28 * N_RECORDS


def test_only_of_people_who_come_in_one_partition_is_anything_repeated() -> None:
    seen: set[str] = set()
    n_repeated = 0
    for record in islice(traffic(3, lambda: 1_700_000_000_000), N_RECORDS):
        if record.fault is None:
            event_id = decode(record.value)["event_id"]
            assert event_id not in seen or record.partitioner != "in turn"
            n_repeated += event_id in seen
            seen.add(event_id)
    assert n_repeated > 0.01 * N_RECORDS

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafka_murmur2

from profiler.partitioning import murmur2, partition_of, partitions_of


@given(key=st.binary(max_size=300))
def test_the_hash_is_that_of_kafkas_own_clients(key: bytes) -> None:
    assert murmur2(key) == kafka_murmur2(key) & 0xFFFFFFFF


@given(key=st.binary(max_size=300), n_partitions=st.integers(1, 1_000))
def test_a_partition_exists(key: bytes, n_partitions: int) -> None:
    assert 0 <= partition_of(key, n_partitions) < n_partitions


@given(keys=st.lists(st.binary(max_size=70), max_size=20), n_partitions=st.integers(1, 1_000))
def test_many_keys_have_the_partitions_that_each_has(keys: list[bytes], n_partitions: int) -> None:
    expected = [partition_of(key, n_partitions) for key in keys]
    assert partitions_of(keys, n_partitions).tolist() == expected

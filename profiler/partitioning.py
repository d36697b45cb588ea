"""Which partition a key belongs to, as Kafka's default partitioners have it.

Murmur2 (Appleby 2008, public domain) with Kafka's seed. Java, kafka-python and aiokafka choose
``(murmur2(key) & 0x7fffffff) % partitions``; a producer with the subject as key therefore sends
every event of a person to the same partition.
"""

from __future__ import annotations

from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def partition_of(key: bytes, n_partitions: int) -> int:
    """Partition of a key.

    Examples
    --------
    >>> partition_of(b"alice", 4)
    1
    """
    return (murmur2(key) & 0x7FFFFFFF) % n_partitions


def murmur2(data: bytes) -> int:
    """Hash of `data`, an unsigned number of 32 bits."""
    h = _SEED ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15

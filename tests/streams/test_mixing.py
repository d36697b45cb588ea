"""What ties are interested in: mixed in one more round trip, by strength, if they agree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
import redis

from profiler.columns import MONTH_MS
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.spec import DEFAULT_SPEC
from profiler.state import revision_bytes
from profiler.ties import TIES_MAX
from streams.client import AsyncProfileClient, Profile, ProfileClient
from streams.embedded import EmbeddedStore
from streams.reader import ProfileReader
from streams.redis_store import RedisStore
from streams.store import ProfileWrite, profile_key

KEY = "k" * 32
PIDS = Pseudonymiser(KEY.encode())
AS_OF_MS = 1_700_000_000_000
pytestmark = pytest.mark.integration
Read = Callable[[str], Profile]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedStore]:
    with EmbeddedStore() as running:
        yield running


def pid(name: str) -> str:
    return PIDS.pid("user", name)


def written(
    name: str, ties: Sequence[tuple[str, str, float]] = (), **fields: Any
) -> tuple[str, dict[str, Any], int]:
    """Somebody whose interests are a category named after them, and one dimension of the vector."""
    place = int.from_bytes(name.encode(), "big") % 32
    interest = {"category": {name[0] * 16: 8.0}, "brand": {}, "item": {}}
    summary = {"interest": interest, "ties": [[pid(n), how, w] for n, how, w in ties], **fields}
    return pid(name), summary, place


def fill(url: str, *people: tuple[str, dict[str, Any], int]) -> None:
    async def work() -> None:
        store = RedisStore(url, spec_hash=DEFAULT_SPEC.hash, state_ttl_s=1_000, timeout_s=5)
        await store.put_spec(DEFAULT_SPEC.hash, msgspec.json.encode(DEFAULT_SPEC.layout()))
        await store.commit([write(*one) for one in people])
        await store.close()

    with redis.Redis.from_url(url) as admin:
        admin.flushall()
    asyncio.run(work())


def write(one: str, summary: dict[str, Any], place: int) -> ProfileWrite:
    state = b"\1" + bytes.fromhex(DEFAULT_SPEC.hash) + revision_bytes(1)
    vector = np.zeros(DEFAULT_SPEC.dims, dtype=np.float32)
    vector[[place, 32 + place]] = 50.0, 3.0
    return ProfileWrite(one, 1, state, vector.tobytes(), msgspec.json.encode(summary), AS_OF_MS)


def get(url: str) -> Profile:
    with ProfileClient(url, KEY) as client:
        profile = client.get("alice", ties=True)
    assert profile is not None
    return profile


def get_async(url: str) -> Profile:
    async def read() -> Profile | None:
        async with AsyncProfileClient(url, KEY) as client:
            return await client.get("alice", ties=True)

    profile = asyncio.run(read())
    assert profile is not None
    return profile


@pytest.mark.parametrize("read", [get, get_async], ids=["sync", "async"])
def test_each_counts_by_the_strength_of_the_tie_however_active_they_are(
    server: EmbeddedStore, read: Read
) -> None:
    ties = [("bob", "friend", 2.0), ("cid", "follow", 1.0), ("bob", "share", 1.0)]
    fill(server.url, written("alice", ties), written("bob"), written("cid"))

    alice = read(server.url)

    assert [(tie.pid, tie.relation) for tie in alice.ties][:1] == [(pid("bob"), "friend")]
    assert alice.tie_interests["category"] == [("b" * 16, 0.75), ("c" * 16, 0.25)]
    assert alice.tie_vector is not None
    assert sorted(alice.tie_vector[alice.tie_vector > 0].tolist()) == [0.25, 0.25, 0.75, 0.75]
    # Nothing of it is in the profile itself.
    assert alice.summary["interest"]["category"] == {"a" * 16: 8.0}


def test_nobody_takes_part_who_said_no_is_erased_or_is_oneself(server: EmbeddedStore) -> None:
    names = ("bob", "cid", "dan", "eve")
    fill(
        server.url,
        written("alice", [(name, "friend", 1.0) for name in (*names, "alice")]),
        written("bob", consent={"ties": False}),
        written("cid", consent={"ties": True}),
        written("eve"),
    )
    with redis.Redis.from_url(server.url) as admin:  # eve turned out to be somebody else
        admin.delete(profile_key(pid("eve")))
        admin.hset(profile_key(pid("eve")), "moved_to", pid("alice"))

    alice = get(server.url)

    assert alice.tie_interests["category"] == [("c" * 16, 1.0)]
    assert len(alice.ties) == len(names) + 1


def test_whom_they_joined_is_read_instead_and_counts_once(server: EmbeddedStore) -> None:
    fill(
        server.url,
        written("alice", [("bob", "friend", 1.0), ("phone", "friend", 1.0), ("cid", "share", 2.0)]),
        written("bob"),
        written("cid"),
    )
    with redis.Redis.from_url(server.url) as admin:
        admin.hset(profile_key(pid("phone")), "moved_to", pid("bob"))

    assert get(server.url).tie_interests["category"] == [("b" * 16, 0.5), ("c" * 16, 0.5)]


def test_without_ties_or_without_asking_nothing_is_mixed(server: EmbeddedStore) -> None:
    fill(server.url, written("alice"), written("bob", [("alice", "friend", 4.0)]))

    alice = get(server.url)
    with ProfileClient(server.url, KEY) as client:
        bob = client.get("bob")

    assert (alice.ties, alice.tie_interests, alice.tie_vector) == ([], {}, None)
    assert bob is not None
    assert (bob.tie_interests, bob.tie_vector) == ({}, None)
    assert bob.at(AS_OF_MS + MONTH_MS).ties == [(pid("alice"), "friend", 2.0)]


def test_all_ties_are_read_in_one_round_trip() -> None:
    tied = sorted(f"p{k}" for k in range(TIES_MAX))
    ties = [[other, "friend", 1.0] for other in tied]
    summary = msgspec.json.encode({"interest": {}, "ties": ties})
    entry = {b"summary": summary, b"vector": b"", b"as_of": b"1", b"rev": b"1", b"spec": b"s"}
    steps = ProfileReader(KEY).profiles(["alice"], with_names=True, with_ties=True)

    next(steps)
    asked = steps.send([entry])

    assert asked == [("HGETALL", profile_key(other)) for other in tied]

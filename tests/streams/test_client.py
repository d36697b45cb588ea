"""Readers see what workers wrote: by subject, by slice, by name, and brought to now."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
import redis

from profiler.columns import DAY_MS, HOUR_MS, MONTH_MS, Snapshot
from profiler.errors import ConfigurationError, CorruptState, StoreUnavailable, UnknownSpec
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.spec import DEFAULT_SPEC
from profiler.state import revision_bytes
from profiler.traits import Value
from streams.client import AsyncProfileClient, Profile, ProfileClient
from streams.embedded import EmbeddedStore
from streams.reader import Layout
from streams.redis_store import RedisStore
from streams.store import ProfileWrite, profile_key, spec_key, traits_key
from tests.servers.valkey_cluster import ValkeyCluster

KEY = "k" * 32
PIDS = Pseudonymiser(KEY.encode())
AS_OF_MS = 1_700_000_000_000
VECTOR = (np.arange(DEFAULT_SPEC.dims, dtype=np.float32) + 1) / 16
TEA, MUG, UNNAMED = 2**63 + 5, 17, 99
SUMMARY = {
    "activity": {"click": 3},
    "interest": {
        "category": {f"{TEA:016x}": 4.0, f"{UNNAMED:016x}": 0.5},
        "item": {f"{MUG:016x}": 2.0},
    },
}

GetMany = Callable[[str, Sequence[str]], list[Profile | None]]


def get_many(url: str, subjects: Sequence[str]) -> list[Profile | None]:
    with ProfileClient(url, KEY) as client:
        return client.get_many(subjects)


def get_many_async(url: str, subjects: Sequence[str]) -> list[Profile | None]:
    async def read() -> list[Profile | None]:
        async with AsyncProfileClient(url, KEY) as client:
            return await client.get_many(subjects)

    return asyncio.run(read())


both_clients = pytest.mark.parametrize("read", [get_many, get_many_async], ids=["sync", "async"])
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedStore]:
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def url(server: EmbeddedStore) -> str:
    with redis.Redis.from_url(server.url) as admin:
        admin.flushall()
    return filled(server.url)


def filled(url: str) -> str:
    """Have a worker write alice and a device into the store at that address."""
    pids = [PIDS.pid("user", "alice"), PIDS.pid("device", "d1")]
    layout = msgspec.json.encode(DEFAULT_SPEC.layout())

    async def work() -> None:
        store = RedisStore(url, spec_hash=DEFAULT_SPEC.hash, state_ttl_s=1_000, timeout_s=5)
        await store.put_spec(DEFAULT_SPEC.hash, layout)
        await store.put_names({"category": {TEA: "Tee & Öl"}, "item": {MUG: "mug"}})
        await store.commit([write(pid) for pid in pids])
        await store.close()

    asyncio.run(work())
    return url


def write(pid: str) -> ProfileWrite:
    state = b"\1" + bytes.fromhex(DEFAULT_SPEC.hash) + revision_bytes(1)
    return ProfileWrite(pid, 1, state, VECTOR.tobytes(), msgspec.json.encode(SUMMARY), AS_OF_MS)


def profile_of(url: str, subject: str = "alice") -> Profile:
    (profile,) = get_many(url, [subject])
    assert profile is not None
    return profile


def change(url: str, key: str, fields: Mapping[str, Any]) -> None:
    with redis.Redis.from_url(url) as admin:
        admin.hset(key, mapping={**fields})


@both_clients
def test_profiles_come_in_the_order_asked_with_none_for_the_unknown(
    url: str, read: GetMany
) -> None:
    found = read(url, ["device:d1", "nobody", "alice", "user:alice"])

    assert [profile and profile.pid for profile in found] == [
        PIDS.pid("device", "d1"),
        None,
        PIDS.pid("user", "alice"),
        PIDS.pid("user", "alice"),
    ]


@both_clients
def test_a_profile_holds_what_the_worker_wrote(url: str, read: GetMany) -> None:
    (profile,) = read(url, ["alice"])

    assert profile is not None
    assert (profile.as_of_ms, profile.rev, profile.spec) == (AS_OF_MS, 1, DEFAULT_SPEC.hash)
    assert profile.summary == SUMMARY
    assert profile.vector.tolist() == VECTOR.tolist()
    assert not profile.vector.flags.writeable


@both_clients
def test_favourites_have_names_and_a_hash_where_there_is_none(url: str, read: GetMany) -> None:
    (profile,) = read(url, ["alice"])

    assert profile is not None
    assert profile.top("category") == [("Tee & Öl", 4.0), (f"{UNNAMED:016x}", 0.5)]
    assert profile.top("item") == [("mug", 2.0)]
    assert profile.top("brand") == []


@both_clients
def test_a_joined_subject_is_followed_once(url: str, read: GetMany) -> None:
    change(url, profile_key(PIDS.pid("anonymous", "a1")), {"moved_to": PIDS.pid("user", "alice")})

    (profile,) = read(url, ["anonymous:a1"])

    assert profile is not None
    assert profile.pid == PIDS.pid("user", "alice")
    assert profile.rev == 1


def test_one_profile_can_be_asked_for_by_any_id_of_an_event(url: str) -> None:
    with ProfileClient(url, KEY) as client:
        found = [
            client.get("alice"),
            client.get(user_id="alice", device_id="d9"),
            client.get(device_id="d1"),
            client.get(f"pid:{PIDS.pid('user', 'alice')}"),
            client.get(anonymous_id="alice"),
            client.get("shop:alice"),
        ]
        with pytest.raises(ValueError, match="user_id"):
            client.get()

    alice, device = PIDS.pid("user", "alice"), PIDS.pid("device", "d1")
    assert [p and p.pid for p in found] == [alice, alice, device, alice, None, None]


@both_clients
def test_traits_come_only_if_asked_for_and_also_of_whoever_has_joined(
    url: str, read: GetMany
) -> None:
    told = {"plan": [["gold", "crm", 7]], "tags": [["b", "", 9], ["a", "", 8]]}
    alice = PIDS.pid("user", "alice")
    with redis.Redis.from_url(url) as admin:
        admin.set(traits_key(alice), msgspec.json.encode(told))
    change(url, profile_key(PIDS.pid("anonymous", "a1")), {"moved_to": alice})

    (without,) = read(url, ["alice"])
    with ProfileClient(url, KEY) as client:
        joined, device = client.get_many(["anonymous:a1", "device:d1"], traits=True)
        one = client.get("alice", traits=True)

    assert without is not None
    assert without.traits == {}
    assert joined is not None
    assert joined.traits == {
        "plan": (Value("gold", "crm", 7),),
        "tags": (Value("b", "", 9), Value("a", "", 8)),
    }
    assert one is not None
    assert one.traits == joined.traits
    assert device is not None
    assert device.traits == {}


def test_a_reader_finds_an_e_mail_address_by_its_hash(url: str) -> None:
    with ProfileClient(url, KEY) as client:
        found, same = client.digest("email", " Ann@X.org"), client.digest("E-Mail", "ann@x.org")

    assert found == same == PIDS.pid("trait:email", "ann@x.org")


def test_traits_that_no_worker_writes_are_refused(url: str) -> None:
    with redis.Redis.from_url(url) as admin, ProfileClient(url, KEY) as client:
        admin.set(traits_key(PIDS.pid("user", "alice")), b'{"plan":"gold"}')

        with pytest.raises(CorruptState, match="profile:"):
            client.get("alice", traits=True)


def test_slices_have_the_names_of_the_spec(url: str) -> None:
    profile = profile_of(url)

    parts = [profile.vector_slice(part.name) for part in DEFAULT_SPEC.slices]

    assert np.concatenate(parts).tolist() == VECTOR.tolist()
    with pytest.raises(KeyError, match="no_such_slice"):
        profile.vector_slice("no_such_slice")


def test_a_half_life_later_the_slice_and_the_favourites_have_half(url: str) -> None:
    profile = profile_of(url)

    day, month = profile.at(AS_OF_MS + DAY_MS), profile.at(AS_OF_MS + MONTH_MS)

    assert day.as_of_ms == AS_OF_MS + DAY_MS
    expected = profile.vector_slice("interest_short") / 2
    np.testing.assert_allclose(day.vector_slice("interest_short"), expected, rtol=1e-6)
    assert month.top("item") == [("mug", 1.0)]
    assert day.vector_slice("sessions").tolist() == profile.vector_slice("sessions").tolist()
    assert profile.top("item") == [("mug", 2.0)]


def test_an_earlier_moment_changes_nothing(url: str) -> None:
    profile = profile_of(url)

    before = profile.at(AS_OF_MS - DAY_MS)

    assert before.as_of_ms == AS_OF_MS
    np.testing.assert_allclose(before.vector, profile.vector, rtol=1e-6)


@pytest.mark.parametrize("elapsed_ms", [1, HOUR_MS, 3 * DAY_MS, 100 * DAY_MS])
def test_a_reader_brings_a_vector_to_where_the_worker_would_project_it(elapsed_ms: int) -> None:
    rows = DEFAULT_SPEC.empty(1)
    rows["core.as_of"] = AS_OF_MS
    for seed, column in enumerate(c for c in DEFAULT_SPEC.columns if c.half_life_ms is not None):
        values = np.random.default_rng(seed).uniform(0.0, 9.0, rows[column.name].shape)
        rows[column.name] = values.astype(column.dtype)
    profile = Profile(
        pid="p",
        as_of_ms=AS_OF_MS,
        rev=1,
        spec=DEFAULT_SPEC.hash,
        vector=DEFAULT_SPEC.project(Snapshot(rows))[0],
        summary={},
        layout=msgspec.json.decode(msgspec.json.encode(DEFAULT_SPEC.layout()), type=Layout),
    )

    later = profile.at(AS_OF_MS + elapsed_ms)

    DEFAULT_SPEC.advance(rows, np.array([AS_OF_MS + elapsed_ms]))
    projected = DEFAULT_SPEC.project(Snapshot(rows))[0]
    for part in DEFAULT_SPEC.slices:
        if part.half_life_ms is not None:
            place = slice(part.offset, part.offset + part.length)
            np.testing.assert_allclose(later.vector[place], projected[place], rtol=1e-5, atol=1e-6)


def test_without_its_layout_a_profile_still_has_its_values(url: str) -> None:
    with redis.Redis.from_url(url) as admin:
        admin.delete(spec_key(DEFAULT_SPEC.hash))

    profile = profile_of(url)

    assert profile.top("item") == [("mug", 2.0)]
    with pytest.raises(UnknownSpec, match=DEFAULT_SPEC.hash):
        profile.vector_slice("interest_short")


def test_names_and_layouts_are_asked_for_once(url: str) -> None:
    with ProfileClient(url, KEY) as client, redis.Redis.from_url(url) as admin:
        client.get("alice")
        admin.delete("profiler:names:item", spec_key(DEFAULT_SPEC.hash))

        profile = client.get("alice")

    assert profile is not None
    assert profile.top("item") == [("mug", 2.0)]
    assert profile.layout is not None


@pytest.mark.parametrize(
    "broken", [{"summary": "{"}, {"as_of": "soon"}, {"vector": b"abc"}, {"summary": "[]"}]
)
def test_what_no_worker_writes_is_refused(url: str, broken: dict[str, Any]) -> None:
    change(url, profile_key(PIDS.pid("user", "alice")), broken)

    with pytest.raises(CorruptState, match="profile:"):
        get_many(url, ["alice"])


@both_clients
def test_readers_find_everyone_in_a_cluster(read: GetMany) -> None:
    with ValkeyCluster() as cluster:
        alice, nobody, device = read(filled(cluster.url), ["alice", "nobody", "device:d1"])

    assert alice is not None
    assert device is not None
    assert nobody is None
    assert device.pid == PIDS.pid("device", "d1")
    assert alice.top("category") == [("Tee & Öl", 4.0), (f"{UNNAMED:016x}", 0.5)]


@both_clients
def test_a_store_that_is_away_is_unavailable(server: EmbeddedStore, read: GetMany) -> None:
    nowhere = server.url.replace(server.address, "127.0.0.1:1")

    with pytest.raises(StoreUnavailable):
        read(nowhere, ["alice"])


@pytest.mark.parametrize("key", ["", "short", b""])
def test_a_reader_without_the_key_is_told_which_setting_is_missing(key: str | bytes) -> None:
    with pytest.raises(ConfigurationError, match="PROFILER_PSEUDONYM_KEY"):
        ProfileClient("redis://127.0.0.1:6379/0", key)


def test_the_client_needs_no_stream_processor() -> None:
    heavy = ("faust", "river", "aiokafka", "kafka", "pandas", "profiler.pipeline", "streams.worker")
    code = f"import sys, streams.client; print([m for m in {heavy!r} if m in sys.modules])"

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "[]"

"""What every store promises. A store takes part by its line in `STORES`."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from profiler.state import encode_tombstone, revision_bytes
from streams.store import Erasure, Move, ProfileWrite
from tests.contracts.store_rig import SPEC, Play, Rig


def encoded(rev: int, row: bytes = b"row") -> bytes:
    return b"\1" + bytes.fromhex(SPEC) + revision_bytes(rev) + row


def write(pid: str, rev: int, row: bytes = b"row") -> ProfileWrite:
    return ProfileWrite(pid, rev, encoded(rev, row), b"vector" + row, b'{"row":1}', 1_700_000 + rev)


def told(write: ProfileWrite, traits: bytes) -> ProfileWrite:
    return msgspec.structs.replace(write, traits=traits)


def erasure(pid: str, rev: int) -> Erasure:
    return Erasure(pid, rev, encode_tombstone(rev, erased_at_ms=1_700_000))


def test_states_come_back_in_the_order_asked_with_none_for_the_missing(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.commit([write("a", 1, b"A"), write("b", 1, b"B")])

        found = await rig.store.load(["b", "missing", "a", "b"])

        assert found == [encoded(1, b"B"), None, encoded(1, b"A"), encoded(1, b"B")]

    play(scenario)


def test_readers_see_the_fields_of_the_last_write(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.commit([write("a", 1, b"old")])

        await rig.store.commit([write("a", 2, b"new")])

        assert rig.profile("a") == {
            "vector": b"vectornew",
            "summary": b'{"row":1}',
            "as_of": b"1700002",
            "spec": SPEC.encode(),
            "rev": b"2",
        }

    play(scenario)


def test_views_are_what_readers_see_in_the_order_asked(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        pids = [f"p{n}" for n in range(1_500)]
        await rig.store.commit([write(pid, 1, pid.encode()) for pid in pids])
        await rig.store.commit([erasure("p3", 2)])

        found = await rig.store.views(["missing", *reversed(pids)])

        assert await rig.store.views([]) == []
        assert found == [rig.profile("missing"), *(view(pid) for pid in reversed(pids))]
        assert found[-1] == rig.profile("p0")

    def view(pid: str) -> dict[str, bytes]:
        fields = {"vector": b"vector" + pid.encode(), "summary": b'{"row":1}'}
        times = {"as_of": b"1700001", "rev": b"1", "spec": SPEC.encode()}
        return {} if pid == "p3" else fields | times

    play(scenario)


@pytest.mark.parametrize("rev", [1, 2, 4, 5, 2**40])
def test_a_write_that_does_not_follow_the_stored_revision_changes_nothing(
    play: Play, rev: int
) -> None:
    async def scenario(rig: Rig) -> None:
        for earlier in (1, 2):
            await rig.store.commit([write("a", earlier)])
        before = rig.profile("a")

        written = await rig.store.commit([write("a", rev, b"stale"), write("b", 1)])

        assert written == [False, True]
        assert await rig.store.load(["a"]) == [encoded(2)]
        assert rig.profile("a") == before

    play(scenario)


def test_a_first_write_needs_revision_one(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        written = await rig.store.commit([write("a", 2), write("b", 1)])

        assert written == [False, True]
        assert await rig.store.load(["a", "b"]) == [None, encoded(1)]
        assert rig.profile("a") == {}

    play(scenario)


def test_revisions_beyond_one_byte_are_compared_whole(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        for rev in range(1, 259):
            assert await rig.store.commit([write("a", rev)]) == [True]

        written = await rig.store.commit([write("a", 3)])  # 258 = 0x0102 shares its low byte with 2

        assert written == [False]

    play(scenario)


def test_of_two_writers_that_race_one_wins_each_profile_whole(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        pids = [f"p{n}" for n in range(300)]

        ours, theirs = await asyncio.gather(
            rig.store.commit([write(pid, 1, b"ours") for pid in pids]),
            rig.store.commit([write(pid, 1, b"theirs") for pid in pids]),
        )

        assert all(a != b for a, b in zip(ours, theirs, strict=True))
        winners = [b"ours" if won else b"theirs" for won in ours]
        assert await rig.store.load(pids) == [encoded(1, row) for row in winners]
        assert rig.profile("p0")["vector"] == b"vector" + winners[0]

    play(scenario)


def test_an_erased_profile_is_gone_for_readers_and_its_tombstone_stays(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.commit([write("a", 1)])
        tombstone = erasure("a", 2)

        written = await rig.store.commit([tombstone, write("b", 1)])

        assert written == [True, True]
        assert await rig.store.load(["a"]) == [tombstone.state]
        assert rig.profile("a") == {}
        assert await rig.store.commit([write("a", 2)]) == [False]
        assert await rig.store.load(["a"]) == [tombstone.state]

    play(scenario)


def test_traits_come_and_go_with_the_profile_that_shows_them(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        pids = ["kept", "changed", "taken", "erased", "moved", "returned", "none"]
        first = [told(write(pid, 1), b'{"plan":[]}') for pid in pids[:-1]]
        await rig.store.commit([*first, write("none", 1)])

        written = await rig.store.commit(
            [
                write("kept", 2),
                told(write("changed", 2), b'{"city":[]}'),
                told(write("taken", 2), b""),
                erasure("erased", 2),
                Move("moved", 2, encoded(2), "kept"),
                msgspec.structs.replace(
                    told(write("returned", 2), b"{}"), returns=True, mark="m" * 16
                ),
                told(write("none", 1), b'{"stale":[]}'),
            ]
        )

        assert written == [True] * 6 + [False]
        assert await rig.store.traits(["missing", *pids]) == [
            *(None, b'{"plan":[]}', b'{"city":[]}', None, None, None, b"{}", None)
        ]
        assert await rig.store.traits([]) == []

    play(scenario)


def test_an_erasure_that_comes_too_late_is_refused(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.commit([write("a", 1)])
        await rig.store.commit([write("a", 2)])

        written = await rig.store.commit([erasure("a", 2)])

        assert written == [False]
        assert rig.profile("a")["rev"] == b"2"

    play(scenario)


def test_someone_never_seen_can_be_erased(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        written = await rig.store.commit([erasure("a", 1)])

        assert written == [True]
        assert await rig.store.load(["a"]) == [erasure("a", 1).state]

    play(scenario)


def test_five_thousand_profiles_fit_in_one_commit_and_one_load(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        pids = [f"pid-{n:018d}" for n in range(5_000)]
        rows = {pid: pid.encode() * 80 for pid in pids}

        written = await rig.store.commit([write(pid, 1, rows[pid]) for pid in pids])

        assert written == [True] * 5_000
        assert await rig.store.load(pids) == [encoded(1, rows[pid]) for pid in pids]

    play(scenario)


def test_an_empty_batch_is_no_work(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        assert await rig.store.commit([]) == []
        assert await rig.store.load([]) == []
        assert await rig.store.names("item", []) == []

    play(scenario)


def test_names_are_kept_by_kind_and_hash(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.put_names({"item": {1: "tea", 2**64 - 1: "Öl"}, "brand": {1: "Acme"}})

        assert await rig.store.names("item", [2**64 - 1, 1, 7]) == ["Öl", "tea", None]
        assert await rig.store.names("brand", [1]) == ["Acme"]

    play(scenario)


def test_names_beyond_their_bound_are_counted_and_dropped(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.put_names({"item": {n: f"item {n}" for n in range(1, 5)}})

        await rig.store.put_names({"item": {n: f"item {n}" for n in range(3, 9)}})

        found = await rig.store.names("item", range(1, 9))
        assert found == [f"item {n}" for n in range(1, 6)] + [None] * 3
        assert rig.store.names_dropped == 3

    play(scenario)


def test_layouts_and_figures_come_back(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.put_spec(SPEC, b'{"dims":128}')
        await rig.store.put_figures("profiler:metrics:w1", {"events": "12", "lag": b"3"})
        await rig.store.put_figures("profiler:metrics:w1", {"lag": "0"})

        assert await rig.store.spec(SPEC) == b'{"dims":128}'
        assert await rig.store.spec("unknown") is None
        assert await rig.store.figures("profiler:metrics:w1") == {"events": b"12", "lag": b"0"}
        assert await rig.store.figures("profiler:metrics:w2") == {}

    play(scenario)


def test_how_far_states_know_a_topic_never_goes_back(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.put_reached("blue.events", {0: 7, 3: 2**40})
        await rig.store.put_reached("blue.events", {0: 5, 3: 2**40 + 1, 4: 1})

        assert await rig.store.reached("blue.events") == {0: 7, 3: 2**40 + 1, 4: 1}
        assert await rig.store.reached("green.events") == {}

    play(scenario)


def test_a_scan_finds_every_state_once_and_nothing_else(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        pids = [f"p{n}" for n in range(2_500)]
        await rig.store.commit([write(pid, 1) for pid in pids])
        await rig.store.put_spec(SPEC, b"{}")

        found = [entry async for chunk in rig.store.scan() for entry in chunk]

        assert sorted(found) == sorted((pid, encoded(1)) for pid in pids)

    play(scenario)


def test_a_store_that_runs_answers_a_ping_and_knows_its_durability(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.ping()

        assert await rig.store.durability() == "none"

    play(scenario)


def test_a_store_that_keeps_nothing_on_disk_says_at_once_that_it_cannot_tell(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.commit([write("a", 1)])

        assert not await rig.store.until_durable()

    play(scenario)


def test_rejoining_a_store_that_did_not_restart_loses_nothing(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.commit([write("a", 1)])

        rig.store.rejoin()

        assert await rig.store.load(["a"]) == [encoded(1)]
        assert await rig.store.commit([write("a", 2)]) == [True]

    play(scenario)


def marked_write(pid: str, rev: int, mark: str) -> ProfileWrite:
    return msgspec.structs.replace(write(pid, rev), mark=mark)


def test_a_write_with_a_mark_is_taken_once(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.commit([write("a", 1)])
        move = Move("c", 1, encoded(1), "a", mark="history")

        first = await rig.store.commit(
            [marked_write("a", 2, "history"), marked_write("b", 1, "history"), move]
        )
        second = await rig.store.commit(
            [marked_write("a", 3, "history"), marked_write("d", 2, "history")]
        )
        other = await rig.store.commit([marked_write("a", 3, "other")])

        assert (first, second, other) == ([True] * 3, [False] * 2, [True])
        assert await rig.store.marked("history", ["a", "b", "c", "d", "e"]) == {"a", "b", "c"}
        assert await rig.store.marked("other", ["a", "b"]) == {"a"}
        assert await rig.store.marked("other", []) == set()
        assert rig.profile("a")["rev"] == b"3"

    play(scenario)


def test_a_return_with_a_mark_leads_readers_back(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.commit([Move("a", 1, encoded(1), "b")])

        back = msgspec.structs.replace(write("a", 2), returns=True, mark="history")

        assert await rig.store.commit([back]) == [True]
        assert "moved_to" not in rig.profile("a")
        assert await rig.store.marked("history", ["a"]) == {"a"}

    play(scenario)


def test_how_far_loads_are_comes_back(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.store.put_load("a", b"half")
        await rig.store.put_load("a", b"done")

        assert await rig.store.loads() == {"a": b"done"}

    play(scenario)

"""What every store promises of the statistics that all workers share."""

from __future__ import annotations

import asyncio

from profiler.behaviour.layout import EPOCH_MS
from streams.store import RowWrite
from tests.contracts.store_rig import Play, Rig


def test_figures_of_the_crowd_add_up_whoever_adds_and_in_whatever_order(play: Play) -> None:
    async def scenario(rig: Rig) -> None:
        assert await rig.store.behaviour() == (0, {0: {}})
        as_of_ms = 40 * EPOCH_MS + 5
        adding = [
            rig.store.add_behaviour(40, as_of_ms, {"never:visits:0": 2.0**63, "once:starts:1": 1}),
            rig.store.add_behaviour(39, as_of_ms - 9, {"never:visits:0": 0.25}),
            rig.store.add_behaviour(40, as_of_ms - 1, {"never:visits:0": 2.0**62}),
            rig.store.add_behaviour(17, 17 * EPOCH_MS, {"never:visits:0": 1.0}),
        ]
        await asyncio.gather(*adding)

        found_ms, counts = await rig.store.behaviour()

        assert found_ms == as_of_ms
        assert counts == {
            40: {"never:visits:0": 2.0**63 + 2.0**62, "once:starts:1": 1.0},
            39: {"never:visits:0": 0.25},
        }

    play(scenario)


def test_a_row_of_statistics_is_taken_if_nobody_was_there_first(play: Play) -> None:
    def row(rev: int, text: bytes = b"x") -> bytes:
        return rev.to_bytes(8, "little") + text

    async def scenario(rig: Rig) -> None:
        names = ["00000000000000ff", "0000000000000001"]
        first = [RowWrite("item", name, row(1)) for name in names]

        assert await rig.store.put_rows(first) == [True, True]
        assert await rig.store.put_rows([RowWrite("item", names[0], row(2, b"y"))]) == [True]
        late = [RowWrite("item", names[0], row(2)), RowWrite("category", names[0], row(1))]
        assert await rig.store.put_rows(late) == [False, True]

        assert await rig.store.rows("item", [*names, "absent"]) == [row(2, b"y"), row(1), None]
        assert await rig.store.rows("category", names[:1]) == [row(1)]
        assert await rig.store.rows("item", []) == []
        assert await rig.store.put_rows([]) == []

    play(scenario)

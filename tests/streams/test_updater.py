"""Batches that are computed and not written yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from profiler.batch import Preparer, Screen
from profiler.columns import DAY_MS
from profiler.dedupe import EVENTS, topic_code
from profiler.events import Rejected
from profiler.models.bank import ModelBank
from profiler.models.labels import Labels
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Chunk
from profiler.spec import DEFAULT_SPEC
from streams.arena import Arena
from streams.memory_store import MemoryStore
from streams.updater import Updater, Work
from tests.folding import KEY
from tests.strategies import START_MS, record


def computed(users: Sequence[str]) -> Work:
    """One click of each."""
    pseudonymiser = Pseudonymiser(KEY)
    updater = Updater(
        DEFAULT_SPEC,
        Preparer(pseudonymiser, Screen()),
        ModelBank(DEFAULT_SPEC),
        Arena(DEFAULT_SPEC, 100),
        store := MemoryStore(spec_hash=DEFAULT_SPEC.hash),
    )
    records = [
        record({"type": "click", "ts": START_MS, "user_id": user}, 7 + k)
        for k, user in enumerate(users)
    ]
    return asyncio.run(updater.compute([Chunk(topic_code(EVENTS), 0, records)], store.load))


def test_what_was_computed_on_refused_rows_is_taken_back_with_its_letters() -> None:
    work = computed(["ann", "bob"])
    ann, bob = work.prepared.pids
    # As if both events had failed on rows that another worker has written meanwhile.
    failed = [Rejected(0, "update_failed"), Rejected(1, "update_failed"), Rejected(0, "malformed")]
    work.processed.rejected = list(failed)

    work.retract({ann})

    assert work.writes.keys() == {bob}
    assert work.processed.rejected == failed[1:]


def test_a_batch_tells_how_far_it_goes() -> None:
    assert computed(["ann", "bob", "ann"]).reached() == {0: 10}
    assert computed([]).reached() == {}


def test_those_who_stay_away_are_told_though_their_rows_have_left_memory() -> None:
    """Who is away longest leaves memory first: without them, everybody would seem to return."""
    bank, store = ModelBank(DEFAULT_SPEC), MemoryStore(spec_hash=DEFAULT_SPEC.hash)
    arena = Arena(DEFAULT_SPEC, 100)
    updater = Updater(DEFAULT_SPEC, Preparer(Pseudonymiser(KEY), Screen()), bank, arena, store)
    learnt: list[Labels] = []
    learn = bank.learn

    def noted(labels: Sequence[Labels]) -> None:
        learnt.extend(labels)
        learn(labels)

    bank.learn = noted  # type: ignore[method-assign]

    async def day(n: int, user: str) -> None:
        event = {"type": "click", "ts": START_MS + n * DAY_MS, "user_id": user}
        chunk = Chunk(topic_code(EVENTS), 0, [record(event, n)])
        work = await updater.compute([chunk], store.load)
        await store.commit(list(work.writes.values()))

    async def weeks() -> None:
        await day(0, "away")
        arena.clear()
        for n in range(1, 10):
            await day(n, "faithful")

    asyncio.run(weeks())

    back = Labels.joined(learnt).of(1)
    away = back.only(back.asked_ms == START_MS)
    assert away.label.tolist() == [0.0]
    assert away.known_ms.tolist() == [START_MS + 7 * DAY_MS]
    assert back.label.sum() == 8

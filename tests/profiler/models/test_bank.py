"""The bank: who is waited for, when labels may be learnt, and what outlives it."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.columns import DAY_MS
from profiler.evaluation.labels import Recorder, recorded
from profiler.models.bank import ModelBank
from profiler.models.federation import merged
from profiler.models.labels import Labels
from profiler.models.ripening import Ripening
from profiler.models.scoring import Probabilities
from profiler.models.waiting import LOTS, DueIndex, Waiting
from profiler.openings import GAP_MS
from profiler.records import RawRecord
from profiler.spec import DEFAULT_SPEC
from tests.folding import Fold
from tests.profiler.models.labelling import labels_of
from tests.strategies import START_MS, record

MINUTE_MS = 60_000


def shopping(seed: int, n_sessions: int = 1_500) -> list[RawRecord]:
    """Sessions in which nine carts in ten are followed by a purchase, and one click in twenty."""
    rng = random.Random(seed)
    print("seed", seed)
    records: list[RawRecord] = []
    ts = START_MS
    for session in range(n_sessions):
        ts += 2 * GAP_MS
        is_buyer = rng.random() < 0.4
        kinds = ["click", "cart"] if is_buyer else ["click", "click"]
        if rng.random() < (0.9 if is_buyer else 0.05):
            kinds.append("purchase")
        for k, kind in enumerate(kinds):
            event = {
                "type": kind,
                "ts": ts + k * MINUTE_MS,
                "user_id": f"u{session % 50}",
                "price": 5.0,
            }
            records.append(record(event, len(records)))
    return records


def filled(seed: int, n_sessions: int = 1_500) -> ModelBank:
    fold = Fold()
    records = shopping(seed, n_sessions)
    fold.apply_in_parts(records, range(100, len(records), 100))
    return fold.bank


def test_the_model_learns_who_buys() -> None:
    figures = filled(3, 2_500).competitions["purchase_in_session"].served

    assert isinstance(figures, Probabilities)
    print(figures.figures())
    base = figures.base_rate()
    entropy = -base * np.log(base) - (1 - base) * np.log(1 - base)
    assert figures.roc_auc() > 0.75
    assert figures.log_loss() < 0.95 * entropy


def test_what_was_learnt_survives_an_export() -> None:
    bank, successor = filled(3, 600), ModelBank(DEFAULT_SPEC)

    reason = successor.restore(bank.export())

    x = np.random.default_rng(1).normal(size=(20, len(bank.feature_names))).astype(np.float32)
    assert reason == ""
    for name, competition in bank.competitions.items():
        said = competition.predict(x)
        assert np.allclose(successor.competitions[name].predict(x), said, rtol=1e-4, atol=1e-9)
    assert close(msgspec.json.decode(successor.export()), msgspec.json.decode(bank.export()))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"{", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'{"version":2}', "cannot be read"),
        (b'{"version":2,"tasks":{"back_within_7_days":{"serving":"prior"}}}', "cannot be read"),
        (b'{"version":3,"tasks":{}}', "version 3"),
        (b'{"purchase_in_session":{}}', "version 1"),
    ],
)
def test_what_cannot_be_read_changes_nothing_and_says_why(data: bytes, reason: str) -> None:
    bank = filled(3, 100)
    before = bank.export()

    assert reason in bank.restore(data)
    assert bank.export() == before


def test_numbers_that_are_none_are_refused() -> None:
    bank = filled(3, 300)
    state = msgspec.json.decode(bank.export())
    learnt = state["tasks"]["purchase_in_session"]["candidates"]["bayesian"]["learnt"]
    learnt["posterior"]["natural_mean"][0] = None

    assert "cannot be read" in bank.restore(msgspec.json.encode(state))


def test_an_export_fits_its_place_in_the_store() -> None:
    assert len(filled(3).export()) < 1_048_576


def test_merging_equal_banks_changes_nothing() -> None:
    bank = filled(3, 400)
    export = bank.export()

    together = msgspec.json.decode(bank.merge([export, export]))

    assert close(together, msgspec.json.decode(export))


EXPORTS = [filled(seed, n).export() for seed, n in ((1, 200), (2, 400), (3, 300))]


@given(st.permutations(range(3)))
@settings(max_examples=6, deadline=None)
def test_the_order_in_which_banks_are_merged_does_not_matter(order: list[int]) -> None:
    assert merged([EXPORTS[k] for k in order]) == merged(EXPORTS)


def test_what_was_merged_can_be_restored_and_knows_of_all() -> None:
    bank = ModelBank(DEFAULT_SPEC)

    assert bank.restore(merged(EXPORTS)) == ""

    card = next(c for c in bank.cards() if c.candidate == "bayesian" and "purchase" in c.task)
    assert card.n_labels > 0


def test_exports_of_another_version_are_left_out_of_a_merge() -> None:
    assert merged([EXPORTS[0], b'{"version":3}']) == merged([EXPORTS[0]])


def test_a_yes_is_learnt_when_a_no_would_be() -> None:
    ripening = Ripening()
    x = np.arange(6, dtype=np.float32)[:, None]
    labels = labels_of(x, np.ones(6), due_ms=np.array([50, 10, 40, 20, 60, 30]))

    first = ripening.ripe(labels, now_ms=25)
    second = ripening.ripe(labels.only(np.zeros(0, dtype=np.intp)), now_ms=50)

    assert sorted(first.x[:, 0].tolist()) == [1.0, 3.0]
    assert second.x[:, 0].tolist() == [5.0, 2.0, 0.0]
    assert len(ripening) == 1


@given(st.lists(st.lists(st.integers(0, 50), max_size=8), max_size=8))
def test_no_label_is_lost_or_learnt_twice_while_it_ripens(batches: list[list[int]]) -> None:
    ripening, found, n = Ripening(n_max=10), [], 0
    for now, dues in enumerate(batches):
        x = np.arange(n, n + len(dues), dtype=np.float32)[:, None]
        n += len(dues)
        given_labels = labels_of(x, np.ones(len(dues)), due_ms=np.array(dues, dtype=np.int64))
        found += ripening.ripe(given_labels, now * 5).x[:, 0].tolist()
        assert len(ripening) <= 10
    found += ripening.ripe(labels_of(np.zeros((0, 1)), np.zeros(0)), 10_000).x[:, 0].tolist()

    assert sorted(found) == list(range(n))


def test_of_too_many_a_fair_share_is_waited_for() -> None:
    rng = np.random.default_rng(5)
    lots = rng.integers(1, LOTS + 1, 10_000).tolist()
    waiting = Waiting(1_000)

    waiting.add(0, [f"p{k}" for k in range(10_000)], list(range(10_000)), lots)

    share = waiting.lot_max / LOTS
    kept = waiting.due(0, 20_000)
    print("share", share, "kept", len(kept))
    assert {one.pid for one in kept} == {f"p{k}" for k in range(10_000) if lots[k] / LOTS <= share}
    assert len(kept) <= 1_000
    # As many of the late as of the early: within four standard deviations.
    n_late = sum(one.due_ms >= 5_000 for one in kept)
    assert abs(n_late - len(kept) / 2) < 4 * np.sqrt(len(kept) / 4)


def test_of_people_who_are_left_out_neither_yes_nor_no_is_learnt() -> None:
    fold = Fold()
    fold.bank.waiting.lot_max = LOTS // 2
    events = [
        {"type": "click", "ts": START_MS + k * DAY_MS, "user_id": f"u{u}"}
        for k in range(3)
        for u in range(40)
    ]

    _, processed = fold.apply([record(e, k) for k, e in enumerate(events)])

    lots = {u: int(fold.row("user", f"u{u}")["intent.lot"][0]) for u in range(40)}
    n_in = sum(lot <= LOTS // 2 for lot in lots.values())
    back = Labels.joined(processed.labels).of(1)
    assert 0 < n_in < 40
    assert len(back) == 2 * n_in


def test_an_earlier_deadline_replaces_a_later_one_and_the_reverse() -> None:
    index = DueIndex()

    index.add(["a", "b"], [30, 10], [1, 1])
    index.add(["a", "b"], [5, 40], [1, 1])

    assert [one.pid for one in index.pop(20)] == ["a"]
    assert [one.pid for one in index.pop(50)] == ["b"]
    assert index.pop(100) == []


def labels_by_cut(n_batch: int) -> Labels:
    bank = ModelBank(DEFAULT_SPEC)
    values = [r.value for r in shopping(7, 400) if r.value is not None]
    return recorded(Recorder(bank), values, n_batch)


def test_labels_do_not_depend_on_how_the_stream_is_cut() -> None:
    one, other = labels_by_cut(37), labels_by_cut(500)

    def told(labels: Labels) -> list[tuple[Any, ...]]:
        columns = (labels.task, labels.asked_ms, labels.due_ms, labels.label, labels.weight)
        return sorted(zip(*(c.tolist() for c in columns), strict=True))

    assert told(one) == told(other)


def close(a: object, b: object) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, str) or (isinstance(a, list) and a and isinstance(a[0], str)):
        return a == b
    return bool(np.allclose(np.array(a, dtype=float), np.array(b, dtype=float), rtol=1e-9))


def test_one_deadline_that_has_passed_does_not_make_the_next_forgotten() -> None:
    bank = ModelBank(DEFAULT_SPEC)
    recorder = Recorder(bank)
    clicks = [
        {"type": "click", "ts": START_MS, "user_id": "once"},
        *(
            {"type": "click", "ts": START_MS + day * DAY_MS, "user_id": "daily"}
            for day in range(1, 40)
        ),
    ]

    for k, click in enumerate(clicks):
        recorder.apply([record(click, k)])

    labels = recorder.labels()
    of_once = labels.only(labels.asked_ms == START_MS)
    assert of_once.task.tolist() == [0, 1, 2]
    assert of_once.known_ms.tolist() == [
        START_MS + GAP_MS,
        START_MS + 7 * DAY_MS,
        START_MS + 30 * DAY_MS,
    ]
    assert of_once.label.tolist() == [0.0, 0.0, 0.0]

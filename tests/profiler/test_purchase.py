"""The purchase model: what is kept to be learnt, when its label comes, and that it learns."""

from __future__ import annotations

import itertools
import random
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from river import linear_model, optim, preprocessing

from profiler.facets.sessions import GAP_MS
from profiler.models.bank import ModelBank
from profiler.models.purchase import Labels, PurchaseInSession
from profiler.records import RawRecord
from profiler.spec import DEFAULT_SPEC
from tests.folding import Fold
from tests.strategies import START_MS, record

MINUTE_MS = 60_000


def labels_of(types: list[str], minutes: list[int], cuts: list[int]) -> list[tuple[bool, float]]:
    """Labels of one person's events, with the weight of each."""
    fold = Fold()
    records = [
        record({"type": t, "ts": START_MS + m * MINUTE_MS, "user_id": "u"}, k)
        for k, (t, m) in enumerate(zip(types, minutes, strict=True))
    ]
    found = []
    places = sorted({0, len(records), *(c for c in cuts if c < len(records))})
    for start, end in itertools.pairwise(places):
        _, processed = fold.apply(records[start:end])
        for labels in processed.labels:
            found += list(zip(labels.bought.tolist(), labels.weight.tolist(), strict=True))
    return found


def slow_labels(types: list[str], minutes: list[int]) -> list[tuple[bool, float]]:
    found, kept, last = [], 0, None
    for kind, minute in zip(types, minutes, strict=True):
        if last is not None and minute - last > GAP_MS // MINUTE_MS:
            if kept:
                found.append((False, float(kept)))
            kept = 0
        last = minute if last is None else max(last, minute)
        if kind == "purchase":
            if kept:
                found.append((True, float(kept)))
            kept = 0
        else:
            kept += 1
    return found


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["click", "cart", "purchase"]), st.sampled_from([0, 1, 30, 31])),
        min_size=1,
        max_size=40,
    ),
    cuts=st.lists(st.integers(1, 39), max_size=5),
)
@settings(deadline=None, max_examples=150)
def test_a_window_ends_with_a_purchase_or_with_the_session(
    steps: list[tuple[str, int]], cuts: list[int]
) -> None:
    types = [kind for kind, _ in steps]
    minutes = np.cumsum([gap for _, gap in steps]).tolist()

    assert labels_of(types, minutes, cuts) == slow_labels(types, minutes)


def test_each_prediction_of_a_window_is_kept_equally_often() -> None:
    kept: list[int] = []
    for user in range(600):
        fold = Fold()
        events = [
            {
                "type": "click",
                "ts": START_MS + k,
                "user_id": f"u{user}",
                "event_id": f"{user}-{k}",
                "item_id": "i",
                "price": float(k),
            }
            for k in range(4)
        ]
        fold.apply_in_parts([record(e, k) for k, e in enumerate(events)], [2])
        x = fold.row("user", f"u{user}")["intent.pending_x"][0]
        kept.append(round(float(np.expm1(x[-1]))))

    shares = np.bincount(kept, minlength=4) / len(kept)

    print("shares", shares)
    # Four standard deviations of a share of a quarter among 600.
    assert np.all(np.abs(shares - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 600))


def test_scores_are_those_of_rivers_model() -> None:
    task = PurchaseInSession(DEFAULT_SPEC.feature_names)
    rng = np.random.default_rng(5)
    x = rng.normal(size=(50, 16)).astype(np.float32)
    for row in x:
        features = dict(zip(task.feature_names, row.tolist(), strict=True))
        task.scaler.learn_one(features)
        task.model.learn_one(task.scaler.transform_one(features), bool(row[0] > 0))

    found = task.score(x)

    pipeline = task.scaler | task.model
    expected = [
        pipeline.predict_proba_one(dict(zip(task.feature_names, row.tolist(), strict=True)))[True]
        for row in x
    ]
    assert np.allclose(found, expected, atol=1e-6)


def test_the_scale_is_learnt_as_rivers_scaler_learns_it() -> None:
    task = PurchaseInSession(DEFAULT_SPEC.feature_names)
    scaler = preprocessing.StandardScaler()
    x = np.random.default_rng(7).normal(3.0, 2.0, size=(40, 16))
    x[:, 3] = 1.0

    found = np.concatenate([task._learn_scale(part) for part in (x[:1], x[1:9], x[9:])])

    for row, got in zip(x.tolist(), found.tolist(), strict=True):
        features = dict(zip(task.feature_names, row, strict=True))
        scaler.learn_one(features)
        assert np.allclose(list(scaler.transform_one(features).values()), got, atol=1e-9)


def test_a_single_label_is_learnt_as_river_learns_it() -> None:
    task = PurchaseInSession(DEFAULT_SPEC.feature_names)
    river = linear_model.LogisticRegression(optim.AdaGrad(0.1), intercept_lr=0.05)
    rng = np.random.default_rng(11)

    for _ in range(30):
        x, weight = rng.normal(size=16), float(rng.integers(1, 16))
        task._step(x[None], np.array([float(x[2] > 0)]), np.array([weight]))
        river.learn_one(dict(zip(task.feature_names, x.tolist(), strict=True)), x[2] > 0, w=weight)

    found = [task.model.weights[name] for name in task.feature_names]
    assert np.allclose(found, [river.weights[name] for name in task.feature_names], atol=1e-12)
    assert np.isclose(task.model.intercept, river.intercept, atol=1e-12)


def test_several_labels_are_one_step_along_their_mean_gradient() -> None:
    task = PurchaseInSession(DEFAULT_SPEC.feature_names)
    rng = np.random.default_rng(13)
    x, bought, weight = rng.normal(size=(8, 16)), rng.integers(0, 2, 8), rng.integers(1, 5, 8)

    task._step(x, bought.astype(float), weight.astype(float))

    # At weights of zero every prediction is 0.5, and AdaGrad's first step has one size.
    gradient = ((0.5 - bought) * weight) @ x / len(x)
    found = [task.model.weights[name] for name in task.feature_names]
    assert np.allclose(found, -0.1 * np.sign(gradient), atol=1e-6)


def test_every_label_is_learnt_whatever_the_size_of_the_mini_batches() -> None:
    task = PurchaseInSession(DEFAULT_SPEC.feature_names)
    rng = np.random.default_rng(17)
    sizes = [1, 400, 9_000, 7]

    with mock.patch.object(task, "_step", wraps=task._step) as step:
        for n in sizes:
            x = rng.normal(size=(n, 16)).astype(np.float32)
            p, weight = np.full(n, 0.5, dtype=np.float32), np.ones(n)
            task.learn(Labels(x=x, probability=p, weight=weight, bought=x[:, 0] > 0))

    learnt = [len(call.args[0]) for call in step.call_args_list]
    assert sum(learnt) == sum(sizes) == sum(task.figures.n_labels)
    assert learnt[:250] == [1] * 250
    assert max(learnt) == 32


def test_a_session_nobody_returned_to_becomes_a_negative() -> None:
    fold = Fold()
    fold.apply([record({"type": "click", "ts": START_MS, "user_id": "u"}, 0)])
    rows = fold.row("user", "u").copy()
    bank = ModelBank(DEFAULT_SPEC)
    bank.wait_for(0, ["u"], rows["intent.pending_due"].tolist())

    early = bank.due(0, START_MS + GAP_MS)
    due = bank.due(0, START_MS + GAP_MS + 1)
    labels = bank.purchase.expire(rows, START_MS + GAP_MS + 1)

    assert (early, due) == ([], ["u"])
    assert labels.bought.tolist() == [False]
    assert rows["intent.pending_n"].tolist() == [0]


def test_the_sessions_waited_for_are_bounded_over_all_partitions() -> None:
    bank = ModelBank(DEFAULT_SPEC, waiting_max=4)

    bank.wait_for(0, ["early", "active", "late"], [10, 20, 40])
    bank.wait_for(0, ["active"], [50])
    bank.wait_for(1, ["a", "b", "c"], [10, 20, 30])

    assert sorted(bank.due(0, 1_000) + bank.due(1, 1_000)) == ["a", "active", "b", "c"]


def test_weights_survive_an_export() -> None:
    bank, successor = ModelBank(DEFAULT_SPEC), ModelBank(DEFAULT_SPEC)
    fill_with_buyers_and_browsers(bank)

    successor.restore(bank.export())

    x = np.random.default_rng(1).normal(size=(20, 16)).astype(np.float32)
    assert np.array_equal(bank.purchase.score(x), successor.purchase.score(x))
    assert successor.export() == bank.export()


def test_the_model_learns_who_buys() -> None:
    bank = ModelBank(DEFAULT_SPEC)

    fill_with_buyers_and_browsers(bank)

    figures = bank.purchase.figures
    print("AUC", figures.roc_auc(), "log loss", figures.log_loss())
    base = figures.base_rate()
    entropy = -base * np.log(base) - (1 - base) * np.log(1 - base)
    assert figures.roc_auc() > 0.75
    assert figures.log_loss() < 0.95 * entropy


def fill_with_buyers_and_browsers(bank: ModelBank, seed: int = 3) -> None:
    """Sessions in which nine carts in ten are followed by a purchase, and one click in twenty."""
    rng = random.Random(seed)
    print("seed", seed)
    records: list[RawRecord] = []
    ts = START_MS
    for session in range(1_500):
        ts += 2 * GAP_MS
        is_buyer = rng.random() < 0.4
        kinds = ["click", "cart"] if is_buyer else ["click", "click"]
        if rng.random() < (0.9 if is_buyer else 0.05):
            kinds.append("purchase")
        for k, kind in enumerate(kinds):
            event = {"type": kind, "ts": ts + k * MINUTE_MS, "user_id": f"u{session % 50}"}
            records.append(record(event, len(records)))
    fold = Fold()
    fold.bank = bank
    fold.apply_in_parts(records, range(100, len(records), 100))

"""Purchase in this session: what is kept to be learnt, and when its label comes."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from profiler.models import TASKS, PurchaseInSession
from profiler.openings import GAP_MS
from tests.folding import Fold
from tests.strategies import START_MS, record

MINUTE_MS = 60_000
TASK = TASKS[0]
PRICE = -2
"""Place of the price among the features."""


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
        for joined in processed.labels:
            labels = joined.of(0)
            found += list(zip((labels.label > 0).tolist(), labels.weight.tolist(), strict=True))
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
        x = fold.row("user", f"u{user}")["intent.purchase_x"][0]
        kept.append(round(float(np.expm1(x[PRICE]))))

    shares = np.bincount(kept, minlength=4) / len(kept)

    print("shares", shares)
    # Four standard deviations of a share of a quarter among 600.
    assert np.all(np.abs(shares - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 600))


def test_a_session_nobody_returned_to_becomes_a_negative() -> None:
    fold = Fold()
    fold.apply([record({"type": "click", "ts": START_MS, "user_id": "u"}, 0)])
    rows = fold.row("user", "u").copy()

    early = TASK.expire(rows, START_MS + GAP_MS)
    labels = TASK.expire(rows, START_MS + GAP_MS + 1)
    again = TASK.expire(rows, START_MS + GAP_MS + 1)

    assert (len(early), labels.label.tolist(), len(again)) == (0, [0.0], 0)
    assert (labels.asked_ms.tolist(), labels.known_ms.tolist()) == ([START_MS], [START_MS + GAP_MS])
    assert rows["intent.purchase_due"].tolist() == [0]


def test_the_task_is_listed() -> None:
    assert isinstance(TASK, PurchaseInSession)

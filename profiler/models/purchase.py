"""Purchase in this session: scored at every event, learnt when the session shows.

A River logistic regression on scaled features, shared by all profiles. At each event it predicts
whether a purchase follows in the same session. Of each window (from a session's start, or from a
purchase, to the next purchase or the session's end) one prediction is kept to be learnt, drawn by a
reservoir of one (Vitter 1985) seeded by the event ids, and weighted by the number it stands for.

Labels are learnt in mini-batches that grow with what has been learnt: single steps while everything
is new, then steps that are less noisy, and cheaper (Smith, Kindermans, Ying, Le, "Don't decay the
learning rate, increase the batch size", ICLR 2018).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from river import linear_model, optim, preprocessing
from river.utils import VectorDict

from profiler.columns import EventColumns, Floats, Hashes, Ints, Rows
from profiler.events import BEHAVIOUR_TYPES
from profiler.facets.intent import FEATURES
from profiler.facets.quarantine import held
from profiler.facets.sessions import GAP_MS, session_opens
from profiler.models.scoring import Prequential

NAME: Final = "purchase_in_session"
OWN_FEATURES: Final = ("is_cart", "is_search", "price")
WEIGHT_MAX: Final = 16.0
"""Bound on a kept prediction's weight in learning: one long session must not swing the model."""

VARIANCE_MIN: Final = 1e-12
"""Below it a feature has not varied yet, but for rounding."""

_PURCHASE: Final = BEHAVIOUR_TYPES.index("purchase")
_CART: Final = BEHAVIOUR_TYPES.index("cart")
_SEARCH: Final = BEHAVIOUR_TYPES.index("search")
_STEP: Final = 0.1
_INTERCEPT_STEP: Final = 0.05
_MINI_BATCH_MAX: Final = 32
_LABELS_PER_GROWTH: Final = 250


class Labels(Struct, frozen=True):
    """Kept predictions whose outcome is known.

    Parameters
    ----------
    x
        (L, 16) features at the time of the prediction.
    probability, weight
        (L,) what was predicted, and how many predictions it stands for.
    bought
        (L,) the outcome.
    """

    x: NDArray[np.float32]
    probability: NDArray[np.float32]
    weight: Floats
    bought: NDArray[np.bool_]

    @staticmethod
    def joined(parts: Sequence[Labels]) -> Labels:
        """Labels of at least one part, one after another."""
        return Labels(
            *(np.concatenate([getattr(p, f) for p in parts]) for f in Labels.__struct_fields__)
        )


class PurchaseInSession:
    """The task's model and its prequential figures.

    Parameters
    ----------
    spec_features
        Names of the features that the spec provides; three of the event itself follow them.
    """

    name = NAME

    def __init__(self, spec_features: tuple[str, ...]) -> None:
        self.feature_names = spec_features + OWN_FEATURES
        if len(self.feature_names) != FEATURES:
            raise ValueError(f"rows keep {FEATURES} features, not {len(self.feature_names)}")
        self.figures = Prequential()
        self.scaler = preprocessing.StandardScaler()
        self.model = linear_model.LogisticRegression(
            optimizer=optim.AdaGrad(_STEP), intercept_lr=_INTERCEPT_STEP
        )

    def inputs(self, known: Floats, events: EventColumns) -> NDArray[np.float32]:
        """(N, 16) features: what was known before each event, and the event itself."""
        x = np.empty((len(events), FEATURES), dtype=np.float32)
        x[:, : known.shape[1]] = known
        x[:, -3] = events.type_code == _CART
        x[:, -2] = events.type_code == _SEARCH
        x[:, -1] = np.log1p(events.price)
        return x

    def score(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N,) probabilities: River's scaler and regression on all events at once."""
        weights = self.model.weights
        mean, variance = self._scale()
        w = np.array([weights.get(name, 0.0) for name in self.feature_names])
        # A feature that has not varied yet is scaled to zero, as River does.
        w = np.divide(w, np.sqrt(variance), out=np.zeros_like(w), where=variance > 0)
        raw = x @ w + (self.model.intercept - mean @ w)
        p: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-np.clip(raw, -30.0, 30.0)))
        return p.astype(np.float32)

    def keep(
        self, rows: Rows, events: EventColumns, x: NDArray[np.float32], p: NDArray[np.float32]
    ) -> Labels:
        """Write scores and kept predictions into the rows; return what has become known.

        Parameters
        ----------
        rows
            (R,) rows after the batch, in place. Only their `intent` columns are touched. Nothing is
            kept or known of those that are held: a machine must not teach what people do.
        x, p
            Features and probabilities of the N events.
        """
        n = len(events)
        windows = _windows(events)
        candidate = events.type_code != _PURCHASE
        # A window that goes on from before the batch counts on from what its row has kept.
        pending = rows["intent.pending_n"].astype(np.int64)
        goes_on = windows.first_of_row & ~session_opens(events)[windows.start]
        prior = np.where(goes_on, pending[windows.row], 0)
        so_far = np.cumsum(candidate)
        before_window = (so_far - candidate)[windows.start]
        rank = so_far - before_window[windows.of_event] + prior[windows.of_event]
        drawn = candidate & (_uniform(events.id_hash) * rank < 1.0)
        kept = np.maximum.reduceat(np.where(drawn, np.arange(n), -1), windows.start)
        total = rank[windows.end]

        is_held = held(rows) > 0
        learns = ~is_held[windows.row] & (total > 0)
        expired = np.flatnonzero(session_opens(events)[events.starts] & (pending > 0) & ~is_held)
        ended = np.flatnonzero((windows.bought | windows.closed) & learns)
        labels = Labels.joined(
            [_from_rows(rows, expired), _from_windows(rows, windows, ended, kept, total, x, p)]
        )
        _write_pending(rows, events, windows, kept, total, x, p)
        rows["intent.pending_n"][is_held] = 0
        return labels

    def learn(self, labels: Labels) -> None:
        """Score the kept predictions, then learn from them."""
        n = len(labels.bought)
        if not n:
            return
        self.figures.update(labels.bought, labels.probability, labels.weight)
        n_before = self.scaler.counts[self.feature_names[0]]
        # Labels come sorted by how they became known: all that ended without a purchase first.
        chance = np.random.default_rng(n_before)
        order = chance.permutation(n)
        scaled = self._learn_scale(labels.x[order].astype(np.float64))
        weight = np.minimum(labels.weight[order], WEIGHT_MAX)
        bought = labels.bought[order].astype(np.float64)
        start = 0
        while start < n:
            size = min(_MINI_BATCH_MAX, 1 + (n_before + start) // _LABELS_PER_GROWTH)
            part = slice(start, start + size)
            self._step(scaled[part], bought[part], weight[part])
            start += size

    def _step(self, x: Floats, bought: Floats, weight: Floats) -> None:
        """One step along the mean gradient of (M, 16) scaled features: River's `learn_many`.

        Called below its surface, which takes data frames only and spends a millisecond on each.
        """
        model = self.model
        saved = model._enter_learn_mode(set(self.feature_names))
        try:
            gradient = functools.partial(model._eval_gradient_many, x)
            model._fit(x=self.feature_names, y=bought, w=weight, get_grad=gradient)
        finally:
            model._exit_learn_mode(saved)

    def _learn_scale(self, x: Floats) -> Floats:
        """(L, 16) what `learn_one` and `transform_one` of the scaler give, one label after another.

        Running means and variances are prefix sums; River's own loop costs as much as its model.
        """
        mean, variance = self._scale()
        n_before = self.scaler.counts[self.feature_names[0]]
        n = n_before + np.arange(1, len(x) + 1)[:, None]
        centred = x - mean
        shift = np.cumsum(centred, axis=0) / n
        variances = (n_before * variance + np.cumsum(centred * centred, axis=0)) / n - shift * shift
        varies = variances > VARIANCE_MIN
        deviation = np.sqrt(np.where(varies, variances, 1.0))
        scaled = np.where(varies, (centred - shift) / deviation, 0.0)
        for known, value in (
            (self.scaler.means, mean + shift[-1]),
            (self.scaler.vars, np.where(varies[-1], variances[-1], 0.0)),
        ):
            known.update(zip(self.feature_names, value.tolist(), strict=True))
        self.scaler.counts.update(dict.fromkeys(self.feature_names, len(x)))
        return scaled

    def _scale(self) -> tuple[Floats, Floats]:
        """Mean and variance of each feature, as the scaler has them."""
        scaler, names = self.scaler, self.feature_names
        mean = np.array([scaler.means.get(name, 0.0) for name in names])
        return mean, np.array([scaler.vars.get(name, 0.0) for name in names])

    def expire(self, rows: Rows | Mapping[str, NDArray[Any]], now_ms: Ints | int) -> Labels:
        """Labels of sessions that ended without a purchase before `now_ms`; cleared in the rows.

        Parameters
        ----------
        rows
            (R,) rows, or their `PENDING` columns by name.
        now_ms
            One time, or one per row.
        """
        due = np.flatnonzero((rows["intent.pending_n"] > 0) & (rows["intent.pending_due"] < now_ms))
        labels = _from_rows(rows, due)
        rows["intent.pending_n"][due] = 0
        return labels

    def export(self) -> dict[str, dict[str, float]]:
        """All that was learnt, by part and feature."""
        return {
            "intercept": {"": float(self.model.intercept)},
            "weights": {name: float(w) for name, w in self.model.weights.items()},
            "squared_gradients": {name: float(g) for name, g in self.model.optimizer.g2.items()},
            "means": dict(self.scaler.means),
            "variances": dict(self.scaler.vars),
            "counts": {name: float(n) for name, n in self.scaler.counts.items()},
        }

    def restore(self, learnt: dict[str, dict[str, float]]) -> None:
        """Go on from what was exported; features that are gone are left out."""

        def part(name: str) -> dict[str, float]:
            return {f: v for f, v in learnt.get(name, {}).items() if f in self.feature_names}

        self.model.intercept = learnt.get("intercept", {}).get("", 0.0)
        # River has no public way to set weights; a test pins this one.
        self.model._weights = VectorDict(part("weights"))
        self.model.optimizer.g2.update(part("squared_gradients"))
        self.scaler.means.update(part("means"))
        self.scaler.vars.update(part("variances"))
        self.scaler.counts.update({name: int(n) for name, n in part("counts").items()})


class _Windows(Struct, frozen=True):
    """W windows of a batch: runs of events that one label decides."""

    of_event: NDArray[np.intp]
    start: NDArray[np.intp]
    end: NDArray[np.intp]
    row: NDArray[np.intp]
    first_of_row: NDArray[np.bool_]
    bought: NDArray[np.bool_]
    closed: NDArray[np.bool_]


def _windows(events: EventColumns) -> _Windows:
    opens = session_opens(events)
    is_purchase = events.type_code == _PURCHASE
    begins = opens.copy()
    begins[events.starts] = True
    begins[1:] |= is_purchase[:-1]
    start = np.flatnonzero(begins)
    end = np.append(start[1:], len(events)) - 1
    row = events.row[start]
    next_in_row = np.append(row[1:] == row[:-1], False)
    next_opens = np.append(opens[start[1:]], False)
    return _Windows(
        of_event=np.cumsum(begins) - 1,
        start=start,
        end=end,
        row=row,
        first_of_row=start == events.starts[row],
        bought=is_purchase[end],
        closed=~is_purchase[end] & next_in_row & next_opens,
    )


def _uniform(hashes: Hashes) -> Floats:
    """Numbers in [0, 1) from the bits of hashes, remixed (splitmix64) so that they are fair."""
    z = hashes + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


def _from_rows(rows: Rows | Mapping[str, NDArray[Any]], index: NDArray[np.intp]) -> Labels:
    """Predictions kept in rows whose session ended without a purchase."""
    return Labels(
        x=rows["intent.pending_x"][index],
        probability=rows["intent.pending_p"][index],
        weight=rows["intent.pending_n"][index].astype(np.float64),
        bought=np.zeros(len(index), dtype=bool),
    )


def _from_windows(
    rows: Rows,
    windows: _Windows,
    index: NDArray[np.intp],
    kept: NDArray[np.intp],
    total: NDArray[np.intp],
    x: NDArray[np.float32],
    p: NDArray[np.float32],
) -> Labels:
    """Predictions of windows that ended in the batch; the row's own where none replaced it."""
    k, row = kept[index], windows.row[index]
    in_batch = k >= 0
    return Labels(
        x=np.where(in_batch[:, None], x[k], rows["intent.pending_x"][row]),
        probability=np.where(in_batch, p[k], rows["intent.pending_p"][row]),
        weight=total[index].astype(np.float64),
        bought=windows.bought[index],
    )


def _write_pending(
    rows: Rows,
    events: EventColumns,
    windows: _Windows,
    kept: NDArray[np.intp],
    total: NDArray[np.intp],
    x: NDArray[np.float32],
    p: NDArray[np.float32],
) -> None:
    """What the last window of each row keeps, and each row's latest score and due time."""
    last = windows.of_event[np.append(events.starts[1:], len(events)) - 1]
    k = kept[last]
    rows["intent.pending_n"] = np.where(windows.bought[last], 0, total[last])
    fresh = np.flatnonzero(k >= 0)
    rows["intent.pending_x"][fresh] = x[k[fresh]]
    rows["intent.pending_p"][fresh] = p[k[fresh]]
    rows["intent.pending_due"] = events.as_of + GAP_MS
    rows["intent.score"] = p[windows.end[last]]

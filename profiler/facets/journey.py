"""Journey: which steps follow one another in a person's sessions, and how far these come.

A *step* is to look, to search, to put into the cart or to buy; other events are none, and leave a
person where they are. A session's *stage* is the deepest of look, cart and purchase so far: whoever
buys has passed the cart, whether it was seen or not, so that no stage has more sessions than the
one before. `docs/facets.md` has the definition; `profiler.behaviour` makes figures of the crowd
from the same moves.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import (
    MONTH_MS,
    EventColumns,
    Floats,
    Ints,
    Rows,
    Snapshot,
    landmark_ms,
    landmark_weight,
)
from profiler.events import BEHAVIOUR_TYPES
from profiler.facets.contract import Column, Description, Slice, described
from profiler.openings import GAP_MS, session_opens

STEPS: Final = ("look", "search", "cart", "purchase")
"""By code − 1; code 0 is no step."""

STAGES: Final = ("none", "look", "cart", "purchase")
"""By code."""

END: Final = len(STEPS)
"""Place of a session's end among what may come next."""

_STEP_OF: Final = {"click": 1, "browse": 1, "media": 1, "search": 2, "cart": 3, "purchase": 4}
_STEP_BY_TYPE: Final = np.array([_STEP_OF.get(name, 0) for name in BEHAVIOUR_TYPES])
_STAGE_BY_STEP: Final = np.array([0, 1, 0, 2, 3])
_PASSAGES: Final = ((1, 2), (2, 3))
"""Stages between which time is taken."""
_PRIOR: Final = 1.0
"""What is not known about a person weighs as much as one session, or one step."""

Codes = NDArray[np.intp]


class Moves(NamedTuple):
    """What N events did to the sessions of their people, column by column.

    Parameters
    ----------
    opens
        (N,) whether the event opens a session.
    step
        (N,) code of the step that it is, 0: none.
    left
        (N,) code of the step at which the person was before, also if that session is over.
    at
        (N,) code of the step at which the person is now.
    stage_before, stage
        (N,) code of the session's stage before and after.
    entered_before, entered
        (N,) when the session had entered that stage, ms; 0 at stage *none*.
    """

    opens: NDArray[np.bool_]
    step: Codes
    left: Codes
    at: Codes
    stage_before: Codes
    stage: Codes
    entered_before: Ints
    entered: Ints


class Journey(Struct, frozen=True):
    """Step and stage of now; decayed passages between stages, and what follows each step."""

    name: str = "journey"
    columns: tuple[Column, ...] = (
        Column("journey.entered", "<i8", "sequential"),
        Column("journey.next", "<f4", "sequential", (len(STEPS), len(STEPS) + 1), MONTH_MS),
        Column("journey.reached", "<f4", "sequential", (len(STAGES) - 1,), MONTH_MS),
        Column("journey.passed", "<f4", "sequential", (len(_PASSAGES),), MONTH_MS),
        Column("journey.passed_s", "<f4", "sequential", (len(_PASSAGES),), MONTH_MS),
        Column("journey.step", "<u1", "sequential"),
        Column("journey.stage", "<u1", "sequential"),
    )
    slices: tuple[Slice, ...] = (
        Slice(
            "journey",
            8,
            "share of sessions; probability",
            labels=(
                *("look_to_cart", "cart_to_purchase", "look_to_purchase"),
                *(f"next_{step}" for step in (*STEPS, "end")),
            ),
        ),
    )
    feature_names: tuple[str, ...] = ()

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """No features yet."""
        return np.empty((len(events), 0))

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Follow the batch's events from step to step, and from stage to stage."""
        moves = moves_of(rows, events)
        weight = events.weight(MONTH_MS)
        self._count_next(rows, events, moves, weight)
        for k in range(1, len(STAGES)):
            raised = np.flatnonzero((moves.stage_before < k) & (moves.stage >= k))
            _add(rows, "journey.reached", events.row[raised], k - 1, weight[raised])
        elapsed_s = passage_s(events, moves)
        for k, (stage_before, stage) in enumerate(_PASSAGES):
            passed = np.flatnonzero((moves.stage_before == stage_before) & (moves.stage == stage))
            row, by_time = events.row[passed], weight[passed]
            _add(rows, "journey.passed", row, k, by_time)
            _add(rows, "journey.passed_s", row, k, elapsed_s[passed] * by_time)
        ends = np.append(events.starts[1:], len(events)) - 1
        rows["journey.step"] = moves.at[ends]
        rows["journey.stage"] = moves.stage[ends]
        rows["journey.entered"] = moves.entered[ends]

    def _count_next(self, rows: Rows, events: EventColumns, moves: Moves, weight: Floats) -> None:
        """Count what followed each step; that a session has ended shows when the next opens."""
        before_ms, _ = events.last_done
        counted = np.flatnonzero((moves.left > 0) & (moves.opens | (moves.step > 0)))
        row, is_end = events.row[counted], moves.opens[counted]
        by_time = weight[counted]
        landmarks = landmark_ms(events.as_of, MONTH_MS)[row[is_end]]
        by_time[is_end] = landmark_weight(before_ms[counted[is_end]], landmarks, MONTH_MS)
        following = np.where(is_end, END, moves.step[counted] - 1)
        place = (moves.left[counted] - 1) * (len(STEPS) + 1) + following
        _add(rows, "journey.next", row, place, by_time)

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Add what was counted; of current sessions the later counts, or both if they touch."""
        for name in ("next", "reached", "passed", "passed_s"):
            out[f"journey.{name}"] = a[f"journey.{name}"] + b[f"journey.{name}"]
        last_a, last_b = a["sessions.last"], b["sessions.last"]
        both = (a["sessions.n_sessions"] > 0) & (b["sessions.n_sessions"] > 0)
        started = np.where(last_a >= last_b, a["sessions.started"], b["sessions.started"])
        earlier_last = np.minimum(last_a, last_b)
        touch = both & (started - earlier_last <= GAP_MS)

        step_a, step_b = a["journey.step"], b["journey.step"]
        later_step = np.where(last_a > last_b, step_a, step_b)
        step = np.where(last_a == last_b, np.maximum(step_a, step_b), later_step)
        # A session that looks on from elsewhere is still where it was seen last.
        out["journey.step"] = np.where(touch & (step == 0), np.maximum(step_a, step_b), step)
        deeper_is_a = _is_deeper(a, b)
        from_a = np.where(touch, deeper_is_a, last_a >= last_b)
        for name in ("stage", "entered"):
            column = f"journey.{name}"
            out[column] = np.where(from_a, a[column], b[column])

        ended_step = np.where(last_a > last_b, step_b, step_a).astype(np.intp)
        closed = np.flatnonzero(both & ~touch & (ended_step > 0))
        landmarks = landmark_ms(a["core.as_of"][closed], MONTH_MS)
        by_time = landmark_weight(earlier_last[closed], landmarks, MONTH_MS)
        place = (ended_step[closed] - 1) * (len(STEPS) + 1) + END
        _add(out, "journey.next", closed, place, by_time)

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """Conversion, and what comes next: both as if one session or step more were known."""
        looked, _, bought = now.decayed("journey.reached", MONTH_MS).T
        from_cart = now.decayed("journey.passed", MONTH_MS)[:, 1]
        carts = _carts(now)
        out[:, 0] = carts / (looked + _PRIOR)
        out[:, 1] = from_cart / (carts + _PRIOR)
        out[:, 2] = bought / (looked + _PRIOR)
        following = _next_counts(now)
        prior = _PRIOR / following.shape[1]
        out[:, 3:8] = (following + prior) / (following.sum(axis=1, keepdims=True) + _PRIOR)

    def describe(self, now: Snapshot) -> list[Description]:
        """Step and stage of now and since when, ms; decayed counts, as `docs/behaviour.md` says."""
        reached, passed, passed_s, following = (
            now.decayed(f"journey.{name}", MONTH_MS)
            for name in ("reached", "passed", "passed_s", "next")
        )
        mean_s = passed_s / np.where(passed > 0, passed, 1.0)
        return described(
            step=[_NAMES[code] for code in now["journey.step"].tolist()],
            stage=[STAGES[code] for code in now["journey.stage"].tolist()],
            entered=now["journey.entered"].tolist(),
            reached=reached.round(3).tolist(),
            carts=_carts(now).round(3).tolist(),
            passed=passed.round(3).tolist(),
            mean_s=mean_s.round(1).tolist(),
            ended=following[:, :, END].round(3).tolist(),
            next=_next_counts(now).round(3).tolist(),
        )


_NAMES: Final = ("none", *STEPS)


def moves_of(rows: Rows, events: EventColumns) -> Moves:
    """Follow what people did themselves through their sessions; `rows` are as before the batch."""
    opens = session_opens(events)
    is_cut = opens.copy()
    is_cut[events.starts] = True
    first = np.maximum.accumulate(np.where(is_cut, np.arange(len(events)), 0))
    session = _Sessions(events, opens, first, ~opens[first])

    step = _STEP_BY_TYPE[events.type_code]
    known_step = rows["journey.step"].astype(np.intp)
    known_stage = rows["journey.stage"].astype(np.intp)
    at = session.latest(step > 0, step, known_step)
    level = _STAGE_BY_STEP[step]
    stage = session.greatest(level, known_stage)
    stage_before = np.where(opens, 0, session.previous(stage, known_stage))
    known_entered = rows["journey.entered"]
    entered = session.latest(stage > stage_before, events.ts, known_entered)
    return Moves(
        opens=opens,
        step=step,
        left=session.previous(at, known_step),
        at=at,
        stage_before=stage_before,
        stage=stage,
        entered_before=session.previous(entered, known_entered),
        entered=entered,
    )


def passage_s(events: EventColumns, moves: Moves) -> Floats:
    """(N,) how long the session had been at its stage when the event came, in s."""
    return np.asarray(np.maximum(events.ts - moves.entered_before, 0) / 1000)


class _Sessions(NamedTuple):
    """Sessions as they lie in a batch.

    Parameters
    ----------
    first
        (N,) the session's first event in the batch.
    goes_on
        (N,) whether the session began before the batch.
    """

    events: EventColumns
    opens: NDArray[np.bool_]
    first: Codes
    goes_on: NDArray[np.bool_]

    def latest(self, is_set: NDArray[np.bool_], values: Ints, known: Ints) -> Ints:
        """(N,) the value that the session has had last; `known` are those before the batch."""
        index = np.maximum.accumulate(np.where(is_set, np.arange(len(values)), -1))
        earlier = np.where(self.goes_on, known[self.events.row], 0)
        return np.asarray(np.where(index >= self.first, values[index], earlier))

    def greatest(self, values: Codes, known: Codes) -> Codes:
        """(N,) the greatest value so far in the session, of values below 4."""
        starts = self.events.starts
        values = values.copy()
        values[starts] = np.maximum(values[starts], np.where(self.opens[starts], 0, known))
        return np.maximum.accumulate(self.first * 4 + values) & 3

    def previous(self, values: Ints, known: Ints) -> Ints:
        """(N,) the value after the person's event before, whether the session is the same."""
        shifted = np.empty_like(values)
        shifted[1:] = values[:-1]
        shifted[self.events.starts] = known
        return shifted


def _add(rows: Rows, column: str, row: Codes, place: Codes | int, values: Floats) -> None:
    """Add one value after another, in the column's own precision: as if they came one by one."""
    sums = np.ascontiguousarray(rows[column])
    flat = sums.reshape(-1)
    np.add.at(flat, row * (flat.size // len(rows)) + place, values.astype(sums.dtype))
    rows[column] = sums


def _carts(now: Snapshot) -> Floats:
    """(R,) sessions that were seen at the cart: without those that passed it unseen."""
    reached = now.decayed("journey.reached", MONTH_MS)
    from_cart = now.decayed("journey.passed", MONTH_MS)[:, 1]
    # Rounding of float32 may leave a little less than nothing.
    return np.asarray(np.maximum(reached[:, 1] - reached[:, 2] + from_cart, 0.0))


def _next_counts(now: Snapshot) -> Floats:
    """(R, steps + 1) decayed counts of what followed the step at which people are; 0 if none."""
    step = now["journey.step"].astype(np.intp)
    following = now["journey.next"][np.arange(len(step)), np.maximum(step - 1, 0)]
    return np.asarray(following * (now.factor(MONTH_MS) * (step > 0))[:, None])


def _is_deeper(a: Rows, b: Rows) -> NDArray[np.bool_]:
    """(R,) whether `a` has come further, or as far and earlier."""
    stage_a, stage_b = a["journey.stage"], b["journey.stage"]
    return np.asarray(
        (stage_a > stage_b)
        | ((stage_a == stage_b) & (a["journey.entered"] <= b["journey.entered"]))
    )

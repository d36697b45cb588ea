"""How well tasks are answered on a data set, beside retrained trees on the very same rows.

The production code runs over the events, and the trees get the rows that it learnt: the same
features, each label when it was known.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import DAY_MS, EventColumns, Floats, Ints, Rows
from profiler.evaluation.baselines.boosting import Labelled, retrained
from profiler.evaluation.labels import Recorder, recorded
from profiler.evaluation.prequential import DAILY_FROM_DAYS, N_PARTS
from profiler.models import BackWithin, PurchaseInSession, SpendWithin
from profiler.models.bank import ModelBank
from profiler.models.labels import Labels
from profiler.models.scoring import Amounts, Figures, Probabilities, figures_of
from profiler.models.task import Kind, Task
from profiler.openings import GAP_MS
from profiler.sources import Converted
from profiler.spec import DEFAULT_SPEC

TASKS: Final[tuple[Task, ...]] = (
    PurchaseInSession(),
    BackWithin(horizon_ms=30 * DAY_MS, name="back_within_30_days"),
    SpendWithin(),
)
LABELS_MIN: Final = 500
YES_MIN: Final = 20
"""Fewer say nothing about how well a task is answered."""

_DRAWS: Final = 1_000
_WAITING_MAX: Final = 10_000_000


class Answered(Struct, frozen=True):
    """How well one task was answered.

    Parameters
    ----------
    task, kind
        Which.
    labels, yes
        Labels that were scored, and how many of them are above zero.
    ours, trees
        Figures by name; of the trees None where they were not run.
    ahead
        95 % interval of the difference, paired bootstrap: of AUC, ours minus theirs; of MAE the
        share by which ours is less.
    settings, trees_cpu_s
        Of the trees that were best, and what training and predicting took.
    """

    task: str
    kind: Kind
    labels: int
    yes: int
    ours: dict[str, float]
    trees: dict[str, float] | None = None
    ahead: tuple[float, float] | None = None
    settings: str = ""
    trees_cpu_s: float = 0.0


class Answers(Struct, frozen=True):
    """How well all tasks were answered.

    Parameters
    ----------
    events, cpu_s
        Events that were predicted for, and what the bank took for all tasks together.
    tasks
        Those with enough labels.
    """

    events: int
    cpu_s: float
    tasks: tuple[Answered, ...]


class Clocked(ModelBank):
    """A bank that counts the CPU time of predicting and learning."""

    def __init__(self) -> None:
        super().__init__(DEFAULT_SPEC, waiting_max=_WAITING_MAX, tasks=TASKS)
        self.cpu_s = 0.0

    def predict(self, known: Floats, rows: Rows, events: EventColumns) -> Labels:
        """See `ModelBank.predict`."""
        begun = time.process_time()
        labels = super().predict(known, rows, events)
        self.cpu_s += time.process_time() - begun
        return labels

    def learn(self, labels: Sequence[Labels]) -> None:
        """See `ModelBank.learn`."""
        begun = time.process_time()
        super().learn(labels)
        self.cpu_s += time.process_time() - begun


def answer(
    records: Sequence[Converted],
    source: str,
    *,
    skip: float = 0.1,
    baselines: bool = True,
    told: Callable[[int], object] = lambda n: None,
) -> Answers:
    """Run records, in the order of their times, and hold what was answered against what came.

    Parameters
    ----------
    skip
        Share of what was asked first that is not scored.
    baselines
        Whether to train LightGBM, too: daily, or at each further tenth of a short stream.
    told
        Told a number of records whenever so many more are done.
    """
    bank = Clocked()
    recorder = Recorder(bank, [source])
    try:
        labels = recorded(recorder, _counted((one.value for one in records), told))
    except ValueError:  # there are none
        return Answers(recorder.n_events, bank.cpu_s, ())
    end_ms = max((one.ts_ms or 0 for one in records), default=0)
    found = []
    for k, task in enumerate(TASKS):
        of_task = labels.of(k)
        # Of what was asked at the end only the yes is known.
        scored = of_task.due_ms <= end_ms + GAP_MS
        if len(of_task):
            scored &= of_task.asked_ms >= np.quantile(of_task.asked_ms, skip)
        y = of_task.label[scored]
        if len(y) >= LABELS_MIN and YES_MIN <= np.count_nonzero(y) < len(y):
            compare = _beside_trees if baselines else _alone
            found.append(compare(task, of_task, scored))
    return Answers(recorder.n_events, bank.cpu_s, tuple(found))


def _counted(values: Iterable[bytes], told: Callable[[int], object]) -> Iterable[bytes]:
    for value in values:
        told(1)
        yield value


def _alone(task: Task, labels: Labels, scored: NDArray[np.bool_]) -> Answered:
    y, ours = labels.label[scored], labels.prediction[scored]
    return Answered(task.name, task.kind, len(y), int(np.count_nonzero(y)), _told(task, y, ours))


def _beside_trees(task: Task, labels: Labels, scored: NDArray[np.bool_]) -> Answered:
    rows = Labelled(labels.x, labels.label, labels.asked_ms, labels.known_ms)
    moments = _moments(labels.asked_ms)
    if task.kind == "amount":
        trees = retrained(rows, moments, "regression", time.process_time)
    else:
        trees = retrained(rows, moments, "classification", time.process_time)
    scored = scored & ~np.isnan(trees.predictions)
    y, ours, theirs = (
        values[scored].astype(np.float64)
        for values in (labels.label, labels.prediction, trees.predictions)
    )
    return Answered(
        task=task.name,
        kind=task.kind,
        labels=len(y),
        yes=int(np.count_nonzero(y)),
        ours=_told(task, y, ours),
        trees=_told(task, y, theirs),
        ahead=_interval(task, y, ours, theirs),
        settings=trees.settings,
        trees_cpu_s=trees.cpu_s,
    )


def _moments(asked_ms: Ints) -> Ints:
    """When trees are retrained: daily, or at each tenth of what is asked."""
    first, last = int(asked_ms.min()), int(asked_ms.max())
    if last - first > DAILY_FROM_DAYS * DAY_MS:
        return np.arange(first // DAY_MS + 1, last // DAY_MS + 1) * DAY_MS
    tenths = np.quantile(asked_ms, np.arange(1, N_PARTS) / N_PARTS)
    return np.unique(tenths.astype(np.int64))


def _interval(task: Task, y: Floats, ours: Floats, theirs: Floats) -> tuple[float, float]:
    chance = np.random.default_rng(0)
    drawn = []
    for _ in range(_DRAWS):
        index = chance.integers(0, len(y), len(y))
        mine, other = (_figures(task, y[index], p[index]) for p in (ours, theirs))
        if isinstance(mine, Probabilities) and isinstance(other, Probabilities):
            drawn.append(mine.roc_auc() - other.roc_auc())
        else:
            drawn.append(1.0 - mine.loss() / other.loss())
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist()
    return low, high


def _figures(task: Task, y: Floats, p: NDArray[np.floating]) -> Figures:
    figures = figures_of(task.kind)
    figures.update(y, p, np.ones(len(y)))
    return figures


def _told(task: Task, y: Floats, p: NDArray[np.floating]) -> dict[str, float]:
    figures = _figures(task, y, p)
    if isinstance(figures, Amounts):
        return {"mae": figures.loss()}
    assert isinstance(figures, Probabilities)
    return {
        "roc_auc": figures.roc_auc(),
        "log_loss": figures.log_loss(),
        "calibration_error": figures.calibration_error(),
    }


def answer_lines(answers: Answers) -> list[str]:
    """Lines that show answers to people."""
    us = 1e6 * answers.cpu_s / max(answers.events, 1)
    head = f"tasks: {answers.events:,} events, all candidates {us:.1f} us of CPU per event"
    lines = [head]
    for one in answers.tasks:
        lines.append(f"{one.task}: {one.labels:,} labels, {one.yes:,} of them above zero")
        lines.append(f"  profiler  {_text(one.ours)}")
        if one.trees is not None and one.ahead is not None:
            what = "AUC" if one.kind == "binary" else "MAE, share less"
            low, high = one.ahead
            lines.append(
                f"  LightGBM  {_text(one.trees)}  ({one.settings}; {one.trees_cpu_s:.2f} s of CPU)"
            )
            lines.append(f"  ahead by {what} [{low:+.4f}, {high:+.4f}] (95 %)")
    if not answers.tasks:
        lines.append("too few labels of any task")
    return lines


def _text(figures: dict[str, float]) -> str:
    return "  ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items())

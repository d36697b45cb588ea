"""How well tasks are answered, beside retrained trees: docs/models.md has the table.

``python -m benchmarks.tasks [--only SET]``, with the data of ``PROFILER_DATA_DIR`` and LightGBM
(``pip install 'streaming-user-profiles[evaluate]'``). The production code runs over the events, and
the trees get the rows that it learnt: the same features, each label when it was known.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
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
from profiler.models.task import Task
from profiler.openings import GAP_MS
from profiler.sources import source_named
from profiler.spec import DEFAULT_SPEC
from streams.files import read_lines

DATA: Final = Path(os.environ.get("PROFILER_DATA_DIR", Path(__file__).parents[2] / "shared/data"))
SETS: Final = {
    "online_retail": "online-retail",
    "taobao_burst": "taobao",
    "taobao_long": "taobao",
}
TASKS: Final[tuple[Task, ...]] = (
    PurchaseInSession(),
    BackWithin(horizon_ms=30 * DAY_MS, name="back_within_30_days"),
    SpendWithin(),
)
SKIPPED: Final = 0.1
DRAWS: Final = 1_000
LABELS_MIN: Final = 1_000


class Run(Struct, frozen=True):
    """What a file gave.

    Parameters
    ----------
    labels
        What was learnt, with what had been answered.
    n_events, cpu_s
        Events that were predicted for, and what the bank took for them.
    end_ms
        Time of the last event.
    """

    labels: Labels
    n_events: int
    cpu_s: float
    end_ms: int


def run(name: str) -> Run:
    """Run the production code over a file, in the order of event times."""
    source = source_named(SETS[name])
    lines = read_lines(DATA / f"{name}.csv.gz", "csv")
    converted = sorted(source.convert(lines, name), key=lambda one: one.ts_ms or 0)
    bank = Clocked()
    recorder = Recorder(bank, [source.name])
    labels = recorded(recorder, (one.value for one in converted))
    return Run(labels, recorder.n_events, bank.cpu_s, converted[-1].ts_ms or 0)


class Clocked(ModelBank):
    """A bank that counts the CPU time of predicting and learning."""

    def __init__(self) -> None:
        super().__init__(DEFAULT_SPEC, waiting_max=10_000_000, tasks=TASKS)
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


def moments(asked_ms: Ints) -> Ints:
    """When trees are retrained: daily, or at each tenth of what is asked."""
    first, last = int(asked_ms.min()), int(asked_ms.max())
    if last - first > DAILY_FROM_DAYS * DAY_MS:
        begin = first + int(SKIPPED * (last - first))
        return np.arange(-(-begin // DAY_MS), last // DAY_MS + 1) * DAY_MS
    tenths = np.quantile(asked_ms, np.arange(1, N_PARTS) / N_PARTS)
    return np.unique(tenths.astype(np.int64))


def table(name: str) -> list[str]:
    """Lines of the table for one file."""
    found = run(name)
    lines = [f"{name}: {found.n_events:,} events, bank {found.cpu_s:.2f} s of CPU"]
    for k, task in enumerate(TASKS):
        labels = found.labels.of(k)
        # Of what was asked at the end only the yes is known.
        labels = labels.only(labels.due_ms <= found.end_ms + GAP_MS)
        if len(labels) >= LABELS_MIN and np.ptp(labels.label):
            lines.append(compared(task, found.labels.of(k), found.end_ms))
    return lines


def compared(task: Task, labels: Labels, end_ms: int) -> str:
    """One line: figures of both, and the interval of their difference."""
    kind = "regression" if task.kind == "amount" else "classification"
    rows = Labelled(labels.x, labels.label, labels.asked_ms, labels.known_ms)
    trees = retrained(rows, moments(labels.asked_ms), kind, time.process_time)  # type: ignore[arg-type]
    begin = np.quantile(labels.asked_ms, SKIPPED)
    scored = (labels.asked_ms >= begin) & (labels.due_ms <= end_ms + GAP_MS)
    scored &= ~np.isnan(trees.predictions)
    y, ours, theirs = (
        values[scored].astype(np.float64)
        for values in (labels.label, labels.prediction, trees.predictions)
    )
    low, high = interval(task, y, ours, theirs)
    return (
        f"  {task.name}: n={len(y):,} ours {_shown(task, y, ours)} "
        f"trees {_shown(task, y, theirs)} difference {low:+.4f} … {high:+.4f} "
        f"trees {trees.cpu_s:.2f} s of CPU ({trees.settings})"
    )


def interval(task: Task, y: Floats, ours: Floats, theirs: Floats) -> tuple[float, float]:
    """95 % of the paired bootstrap: AUC, ours minus theirs; of MAE the share that ours is less."""
    chance = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
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


def _shown(task: Task, y: Floats, p: Floats) -> str:
    figures = _figures(task, y, p)
    if isinstance(figures, Amounts):
        return f"MAE {figures.loss():.2f}"
    assert isinstance(figures, Probabilities)
    return (
        f"AUC {figures.roc_auc():.4f} log loss {figures.log_loss():.4f} "
        f"calibration error {figures.calibration_error():.4f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=SETS, action="append")
    for chosen in parser.parse_args().only or SETS:
        print("\n".join(table(chosen)), flush=True)

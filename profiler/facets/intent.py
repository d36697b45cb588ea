"""Intent: what the models expect this person to do, and the predictions kept to be learnt.

Its columns are *derived*: the model step of the pipeline writes them, audits leave them out. They
follow from `profiler.models.TASKS`, each task with columns of its own.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import EventColumns, Floats, Rows, Snapshot
from profiler.facets.contract import Column, Description, Slice, described
from profiler.models import TASKS
from profiler.models.inputs import OWN_FEATURES
from profiler.models.task import COMMON, RIVALS, Task, column, drop

LOT: Final = "intent.lot"
"""A number drawn for each person once, from 1 to 65,535: whose labels are learnt where not all can
be waited for. 0: not drawn yet."""

_LOG_ODDS_MAX: Final = 10.0


class Intent(Struct, frozen=True):
    """What is predicted of the person by each task, and what was predicted before.

    Parameters
    ----------
    n_known
        Number of features of all facets together.
    """

    n_known: int
    name: str = "intent"
    tasks: tuple[Task, ...] = TASKS
    feature_names: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those of each task, and the lot."""
        shapes = {"x": (self.n_known + len(OWN_FEATURES),), "said": (1 + RIVALS,)}
        return (
            *(
                Column(column(task, name), dtype, "derived", shapes.get(name, ()))
                for task in self.tasks
                for name, dtype in (*COMMON, *task.more)
            ),
            Column(LOT, "<u2", "derived"),
        )

    @property
    def slices(self) -> tuple[Slice, ...]:
        """The first task's probability and log-odds, then one number for each further task."""
        first, *others = self.tasks
        labels = (first.key, f"{first.key}_log_odds", *(task.key for task in others))
        return (
            Slice("intent", len(labels), "probability; log-odds; log1p of amounts", labels=labels),
        )

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """No features: a model does not feed on its own output."""
        return np.empty((len(events), 0))

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Nothing: the model step writes these columns."""

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Nothing: derived columns are taken from the later row."""

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """Probabilities, bounded log-odds, logarithms of amounts."""
        p = now[column(self.tasks[0], "score")].astype(np.float64)
        odds = np.clip(p, 1e-9, 1 - 1e-9)
        out[:, 0] = p
        out[:, 1] = np.clip(np.log(odds / (1 - odds)), -_LOG_ODDS_MAX, _LOG_ODDS_MAX)
        for k, task in enumerate(self.tasks[1:], 2):
            score = now[column(task, "score")]
            out[:, k] = score if task.kind == "binary" else np.log1p(score)

    def describe(self, now: Snapshot) -> list[Description]:
        """The latest score by task."""
        return described(
            **{
                task.name: now[column(task, "score")].astype(float).round(4).tolist()
                for task in self.tasks
            }
        )


def keep_nothing(rows: Rows, of: NDArray[np.bool_]) -> None:
    """Take back from these rows what was kept to be learnt."""
    for task in TASKS:
        drop(task, rows, of)

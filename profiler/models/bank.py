"""The model bank: what all profiles of a worker share, task by task, and when labels fall due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from profiler.columns import EventColumns, Floats, Ints, Rows
from profiler.facets.intent import LOT
from profiler.facets.quarantine import held
from profiler.models import TASKS
from profiler.models.cards import Card
from profiler.models.chance import uniform
from profiler.models.competition import Competition
from profiler.models.federation import VERSION, merged
from profiler.models.inputs import OWN_FEATURES, inputs
from profiler.models.labels import Labels
from profiler.models.numbers import require_numbers
from profiler.models.personal import KEPT
from profiler.models.ripening import Ripening
from profiler.models.task import RIVALS, Batch, Kept, Task, column
from profiler.models.waiting import LOTS, Due, Waiting
from profiler.spec import Spec

WAITING_MAX: Final = 100_000
"""Default number of people whose labels are waited for."""

_NEVER: Final = np.iinfo(np.int64).max
_TOLD: Final = ("due", "own", "evidence")


class ModelBank:
    """Competitions of candidates, one per task, and the labels that they wait for.

    Parameters
    ----------
    spec
        Provides the features.
    waiting_max
        People whose labels are waited for, of all partitions together; of more a share is drawn.
        More than the rows in memory are of no use: a label is taken from its row.
    tasks
        Those that the rows have columns for, or the same with other horizons.
    candidates
        Names of those that compete; by default the default ones.

    Attributes
    ----------
    competitions
        By the name of their task.
    waiting
        Who is waited for.
    no_labels
        What labels are where there are none.
    """

    def __init__(
        self,
        spec: Spec,
        waiting_max: int = WAITING_MAX,
        tasks: tuple[Task, ...] = TASKS,
        candidates: Sequence[str] | None = None,
    ) -> None:
        self.feature_names = spec.feature_names + OWN_FEATURES
        self._tasks = tasks
        self._candidates = candidates
        self.competitions = self._fresh()
        self.waiting = Waiting(waiting_max)
        self.no_labels = Labels.none(len(self.feature_names), RIVALS)
        self._ripening = [Ripening() for _ in tasks]
        self._now_ms = 0

    def _fresh(self) -> dict[str, Competition]:
        return {
            task.name: Competition(task, self.feature_names, self._candidates)
            for task in self._tasks
        }

    def predict(self, known: Floats, rows: Rows, events: EventColumns) -> Labels:
        """Score a batch; scores and kept predictions go into the rows' intent columns.

        Parameters
        ----------
        known
            (N, K) the spec's features of N events, see `Spec.features`.
        rows
            (R,) rows after the batch.

        Returns
        -------
        Labels that have become known, of those people whose labels are waited for.
        """
        self._now_ms = max(self._now_ms, int(events.ts.max()))
        x = inputs(known, events)
        _draw(rows, events)
        batch = Batch(events, x, held(rows) > 0, self.waiting.told_ms)
        end = np.append(events.starts[1:], len(events)) - 1
        parts = []
        for k, competition in enumerate(self.competitions.values()):
            task = competition.task
            said = competition.predict(x)
            parts.append(task.observe(rows, batch, said).numbered(k))
            own, evidence = rows[column(task, "own")], rows[column(task, "evidence")]
            rows[column(task, "score")] = competition.personal.served(said[end, 0], own, evidence)
        labels = Labels.joined(parts)
        labels = labels.only(rows[LOT][labels.row] <= self.waiting.lot_max)
        self._move_own(rows, labels)
        return labels

    def expire(self, rows: Kept, now_ms: Ints | int) -> Labels:
        """Labels that were due before `now_ms`, one time or one per row; noted in the rows.

        Parameters
        ----------
        rows
            (R,) rows, or their `kept_columns` by name; of these `told_columns` are changed.
        """
        labels = Labels.joined(
            [task.expire(rows, now_ms).numbered(k) for k, task in enumerate(self._tasks)]
        )
        self._move_own(rows, labels)
        return labels

    def _move_own(self, rows: Kept, labels: Labels) -> None:
        """Add what labels tell to people's own parts."""
        for k, competition in enumerate(self.competitions.values()):
            of_task = labels.of(k)
            if len(of_task):
                told = np.unique(of_task.row)
                both = competition.personal.evidence(of_task)
                for name, added in zip(("own", "evidence"), both, strict=True):
                    sums = rows[column(competition.task, name)]
                    sums[told] *= KEPT
                    np.add.at(sums, of_task.row, added)

    def served(self, labels: Labels) -> NDArray[np.float32]:
        """(L,) what was answered when it was asked, people's own parts included."""
        said = labels.prediction.copy()
        for k, competition in enumerate(self.competitions.values()):
            at = np.flatnonzero(labels.task == k)
            own, evidence = labels.own[at], labels.evidence[at]
            said[at] = competition.personal.served(said[at], own, evidence)
        return said

    def learn(self, labels: Sequence[Labels]) -> None:
        """Score kept predictions whose outcome is known, then learn from them, when it is time."""
        if not labels:
            return
        joined = Labels.joined(labels)
        for k, competition in enumerate(self.competitions.values()):
            competition.learn(self._ripening[k].ripe(joined.of(k), self._now_ms))

    @property
    def kept_columns(self) -> tuple[str, ...]:
        """Columns of the row that `expire` and `wait_for` read."""
        names = ("x", "said", *_TOLD)
        return (
            LOT,
            *(
                column(task, name)
                for task in self._tasks
                for name in (*names, *(name for name, _ in task.more))
            ),
        )

    @property
    def told_columns(self) -> tuple[str, ...]:
        """Those that it changes."""
        return tuple(column(task, name) for task in self._tasks for name in _TOLD)

    def wait_for(self, partition: int, pids: Sequence[str], rows: Kept) -> None:
        """Note when the next label of each of these people is due, by the partition's time.

        Told again after each batch of theirs, and after `expire`: one task's label is not all.

        Parameters
        ----------
        rows
            (R,) theirs, or the `kept_columns` by name.
        """
        lots = rows[LOT]
        due = np.full(len(lots), _NEVER)
        for task in self._tasks:
            of_task = rows[column(task, "due")]
            due = np.where(of_task > 0, np.minimum(due, of_task), due)
        chosen = np.flatnonzero((due < _NEVER) & (lots > 0) & (lots <= self.waiting.lot_max))
        of_chosen = [pids[i] for i in chosen.tolist()]
        self.waiting.add(partition, of_chosen, due[chosen].tolist(), lots[chosen].tolist())

    def due(self, partition: int, watermark_ms: int) -> list[Due]:
        """People of a partition of whom a label is due by its watermark; waited for no longer."""
        self._now_ms = max(self._now_ms, watermark_ms)
        return self.waiting.due(partition, watermark_ms)

    def forget(self, partition: int) -> None:
        """Drop what is waited for in a partition that this worker no longer has."""
        self.waiting.forget(partition)

    def cards(self) -> list[Card]:
        """What is known by now of each candidate of each task."""
        return [card for c in self.competitions.values() for card in c.cards()]

    def figures(self) -> dict[str, dict[str, float]]:
        """Prequential figures of what was answered, by task."""
        return {name: c.served.figures() for name, c in self.competitions.items()}

    def export(self) -> bytes:
        """All that was learnt, as JSON for the store; never a pickle."""
        tasks = {name: c.export() for name, c in self.competitions.items()}
        return msgspec.json.encode({"version": VERSION, "tasks": tasks})

    def restore(self, data: bytes) -> str:
        """Go on from what was exported, or say why not; then nothing has changed.

        Features, tasks and candidates that are gone are left out, new ones start afresh.
        """
        competitions = self._fresh()
        try:
            learnt: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
            version = learnt.get("version", 1)
            if version != VERSION:
                return f"weights of version {version}, this is version {VERSION}"
            require_numbers(learnt["tasks"])
            for name, state in learnt["tasks"].items():
                if name in competitions:
                    competitions[name].restore(state)
        except (msgspec.DecodeError, LookupError, TypeError, ValueError, ArithmeticError) as fault:
            return f"weights cannot be read: {fault}"
        for name, before in self.competitions.items():
            competitions[name].served = before.served
        self.competitions = competitions
        return ""

    def merge(self, others: Sequence[bytes]) -> bytes:
        """What this and other exports give together, by the number of labels behind each."""
        return merged([self.export(), *others])


def _draw(rows: Rows, events: EventColumns) -> None:
    """Draw lots for people who have none, by their first event."""
    new = np.flatnonzero(rows[LOT] == 0)
    if len(new):
        chance = uniform(~events.id_hash[events.starts[new]])
        rows[LOT][new] = 1 + (chance * LOTS).astype(np.uint16)

"""The competition of a task's candidates: all are scored on the same labels, and the best answers.

Each candidate is scored by what it had predicted when it was asked, which the row has kept, or for
want of a place by what it says before it learns the label. A challenger takes over when it has been
better than the one that serves on the same labels: by a margin, by more than chance, for a number
of labels, after enough of them in the shadow. So answers do not flicker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import stats

from profiler.columns import Floats
from profiler.models.calibration import Calibration
from profiler.models.candidates import CANDIDATES
from profiler.models.candidates.contract import Listed, Question, Selecting, X
from profiler.models.cards import Card
from profiler.models.chance import uniform
from profiler.models.labels import Labels
from profiler.models.lead import Lead
from profiler.models.personal import Personal
from profiler.models.scoring import Probabilities, figures_of
from profiler.models.task import RIVALS, Task

HALF_LIFE: Final = 5_000.0
"""Labels after which one counts half in the losses that candidates are compared by."""

SHADOW_MIN: Final = 200
"""Labels that a candidate must have been scored on before it may serve."""

MARGIN: Final = 0.005
"""Share of the serving candidate's loss by which a challenger must lead."""

ERRORS: Final = 1.5
"""Standard errors by which it must lead, too: a few lucky labels are no lead."""

PATIENCE: Final = 100
"""Labels for which it must lead."""

BATCH: Final = 512
"""Labels that are scored together, before any of them is learnt."""

GATHERED: Final = 64
GROWTH: Final = 32
"""Labels are gathered until there are so many, or a 32nd part of all so far: steps have a price."""

WEIGHT_MAX: Final = 16.0
"""Bound on a label's weight in learning: one long session must not swing the model."""

ALL_UNTIL: Final = 2_000
NO_PER_YES: Final = 10.0
NO_MIN: Final = 0.1
"""After so many labels about ten "no" are learnt for a "yes", but at least a tenth of them. Each
counts for those left out, so that probabilities stay what they are."""


class Entry:
    """A candidate in the competition."""

    def __init__(self, listed: Listed, question: Question) -> None:
        self.listed = listed
        self.candidate = listed.make(question)
        self.calibration = Calibration() if question.kind == "binary" else None
        self.figures = figures_of(question.kind, HALF_LIFE)
        self.n_learnt = 0
        self.lead = Lead()
        self.n_leading = 0

    def score(self, labels: Labels, said: NDArray[np.float32] | None) -> Floats:
        """(M,) losses on labels that have not been learnt yet.

        Parameters
        ----------
        said
            (M,) what the candidate had predicted; None if nobody kept it.
        """
        raw = self.candidate.predict(labels.x) if said is None else said.astype(np.float64)
        return self.figures.update(labels.label, self.calibrated(raw), labels.weight)

    def learn(self, x: X, y: Floats, w: Floats) -> None:
        """Learn (M,) labels."""
        if self.calibration is not None:
            # By what it would say now: what it said when it knew less is not said any more.
            self.calibration.learn(self.candidate.predict(x), y, w)
        self.candidate.learn(x, y, w)
        self.n_learnt += len(y)

    def calibrated(self, raw: Floats) -> Floats:
        """(N,) predictions put right by what they have turned out to mean."""
        return raw if self.calibration is None else self.calibration.of(raw)

    def export(self) -> dict[str, Any]:
        """All that was learnt."""
        state = {"n": float(self.n_learnt), "learnt": self.candidate.export()}
        if self.calibration is not None:
            state["calibration"] = self.calibration.export()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was exported."""
        self.candidate.restore(state["learnt"])
        self.n_learnt = int(state["n"])
        if self.calibration is not None:
            self.calibration.restore(state["calibration"])


class Competition:
    """Who answers a task.

    Parameters
    ----------
    task
        What is asked.
    feature_names
        Columns of what candidates see.
    names
        Candidates that take part, of those that can; by default the default ones.

    Attributes
    ----------
    entries
        Candidates by name, in the order of the list.
    serving
        Name of the one that answers.
    served
        Figures of what was answered.
    personal
        People's own parts.
    """

    def __init__(
        self, task: Task, feature_names: tuple[str, ...], names: Sequence[str] | None = None
    ) -> None:
        self.task = task
        question = Question(task.kind, feature_names, task.prior)
        self.entries = {
            listed.name: Entry(listed, question)
            for listed in CANDIDATES
            if task.kind in listed.kinds
            and (listed.is_default if names is None else listed.name in names)
        }
        self.serving = next(iter(self.entries))
        self.served = figures_of(task.kind)
        self.personal = Personal(task.kind)
        self._waiting: list[Labels] = []
        self._n_waiting = 0
        self._weight = stats.Mean()

    def predict(self, x: X) -> NDArray[np.float32]:
        """(N, 1 + S) what the serving candidate says, calibrated, and what the rivals say."""
        out = np.zeros((len(x), 1 + RIVALS), dtype=np.float32)
        for k, (name, entry) in enumerate(self.entries.items(), 1):
            if k > RIVALS and name != self.serving:
                continue
            raw = entry.candidate.predict(x)
            if k <= RIVALS:
                out[:, k] = raw
            if name == self.serving:
                out[:, 0] = entry.calibrated(raw)
        return out

    def learn(self, labels: Labels) -> None:
        """Score labels of this task, and learn them once there are enough to be worth a step."""
        if len(labels):
            said = self.personal.served(labels.prediction, labels.own, labels.evidence)
            self.served.update(labels.label, said, labels.weight)
            self.personal.learn(labels)
            self._waiting.append(labels)
            self._n_waiting += len(labels)
        if self._n_waiting > min(self.served.n // GROWTH, GATHERED):
            self.flush()

    def flush(self) -> None:
        """Learn what has been gathered."""
        if not self._n_waiting:
            return
        labels = Labels.joined(self._waiting)
        self._waiting, self._n_waiting = [], 0
        # Labels come sorted by how they became known: all that ended without a purchase first.
        chance = np.random.default_rng(self.served.n)
        labels = labels.only(chance.permutation(len(labels)))
        for start in range(0, len(labels), BATCH):
            place = np.arange(start, min(start + BATCH, len(labels)))
            self._learn(labels.only(place))
            self._choose(len(place))

    def _learn(self, labels: Labels) -> None:
        lots = lots_of(labels)
        share = self._share_of_no()
        # Of another bit of the lot, so that the two samples have nothing to do with each other.
        is_learnt = (labels.label > 0) | (lots * 1024 % 1.0 < share)
        scale = np.where(labels.label > 0, 1.0, 1.0 / share)
        weight = np.minimum(labels.weight, WEIGHT_MAX) * scale
        if is_learnt.any():
            self._weight.update(float(weight[is_learnt].mean()), int(is_learnt.sum()))
        # One label that stands for ten is not as good as ten: on average each counts once.
        weight = weight / max(self._weight.get(), 1.0)
        losses: dict[str, Floats] = {}
        for k, (name, entry) in enumerate(self.entries.items()):
            sampled = np.flatnonzero(lots < entry.listed.share)
            some = labels if len(sampled) == len(labels) else labels.only(sampled)
            losses[name] = np.full(len(labels), np.nan)
            losses[name][sampled] = entry.score(some, some.rivals[:, k] if k < RIVALS else None)
            learnt = sampled[is_learnt[sampled]]
            if len(learnt):
                entry.learn(labels.x[learnt], labels.label[learnt], weight[learnt])
        self._compare(losses, labels.weight)

    def _compare(self, losses: dict[str, Floats], weight: Floats) -> None:
        """Hold the others against the one that serves, on the labels that both were scored by."""
        serving = losses[self.serving]
        for name, entry in self.entries.items():
            both = np.flatnonzero(~np.isnan(losses[name]) & ~np.isnan(serving))
            entry.lead.update(losses[name][both], serving[both], weight[both])

    def _share_of_no(self) -> float:
        """Share of the labels "no" that are learnt: of many where yes is rare, each for several."""
        if not isinstance(self.served, Probabilities) or self.served.n < ALL_UNTIL:
            return 1.0
        no, yes = self.served.n_labels
        return min(max(NO_PER_YES * yes / max(no, 1), NO_MIN), 1.0)

    def _choose(self, n: int) -> None:
        bound = MARGIN * self.entries[self.serving].figures.loss()
        best, most = self.serving, 0.0
        for name, entry in self.entries.items():
            lead = entry.lead
            ahead = lead.n >= SHADOW_MIN and lead.mean() > bound and lead.surely(ERRORS) > 0
            entry.n_leading = entry.n_leading + n if ahead else 0
            if entry.n_leading >= PATIENCE and lead.mean() > most:
                best, most = name, lead.mean()
        if best != self.serving:
            self.serving = best
            self.personal.start_again()
            for entry in self.entries.values():
                entry.lead, entry.n_leading = Lead(), 0

    def cards(self) -> list[Card]:
        """What is known of each candidate by now."""
        return [
            Card(
                task=self.task.name,
                candidate=name,
                is_serving=name == self.serving,
                n_labels=entry.n_learnt,
                share=entry.listed.share,
                figures=entry.figures.figures(),
                features=tuple(entry.candidate.report())
                if isinstance(entry.candidate, Selecting)
                else (),
            )
            for name, entry in self.entries.items()
        ]

    def export(self) -> dict[str, Any]:
        """All that was learnt."""
        self.flush()
        return {
            "serving": self.serving,
            "personal": self.personal.export(),
            "candidates": {name: entry.export() for name, entry in self.entries.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was exported; candidates that do not take part are left out."""
        for name, entry in self.entries.items():
            if name in state["candidates"]:
                entry.restore(state["candidates"][name])
        if state["serving"] in self.entries:
            self.serving = state["serving"]
        self.personal.restore(state["personal"])


def lots_of(labels: Labels) -> Floats:
    """(L,) numbers in [0, 1) that depend on each label alone: who is in a sample of them."""
    bits = labels.x.view(np.uint32).sum(axis=1, dtype=np.uint64) if labels.x.size else 0
    return uniform(labels.asked_ms.astype(np.uint64) + np.uint64(1 << 42) * bits)

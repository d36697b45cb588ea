"""Drift: noticed in a task's loss and features, confirmed, told, reacted to; docs/drift.md.

The seam for the model bank, per task and once per mini-batch of labels, before they are learnt::

    watch = DriftWatch(task, feature_names)
    for drift in watch.update(losses, x, ts, weights):     # prequential losses of what was served
        alert(sentence(drift))
        if drift.on == ERROR and response is None:
            response = Response(drift, serving, loss)      # `serving` follows `Learner`

    if response is not None:                               # it learns the serving model as well
        report = response.learn(x, y, weights)             # None until enough labels have come
        serving = response.serving
        if report is not None:
            response = None

`watch.export()` is plain data for the checkpoint, `watch.restore(data)` goes on from it. A response
is not kept over a restart: what served then is in the model's own checkpoint and serves on.
"""

from __future__ import annotations

from profiler.drift.reaction import Learner, Plan, Reaction, Response
from profiler.drift.series import Drift
from profiler.drift.watch import ERROR, DriftWatch
from profiler.drift.words import reaction_sentence, sentence

__all__ = [
    "ERROR",
    "Drift",
    "DriftWatch",
    "Learner",
    "Plan",
    "Reaction",
    "Response",
    "reaction_sentence",
    "sentence",
]

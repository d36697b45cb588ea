"""Model cards: what is known of a candidate, as plain values for whoever shows them."""

from __future__ import annotations

from msgspec import Struct

from profiler.models.selection import Verdict


class Card(Struct, frozen=True, kw_only=True):
    """A candidate of a task by now.

    Parameters
    ----------
    task, candidate
        Their names.
    is_serving
        Whether it answers.
    n_labels
        Labels that it has learnt.
    share
        Of all labels, which it is scored by and learns.
    figures
        Prequential figures by name, in which labels fade; NaN where nothing is known.
    features
        Which features it uses and why, where it chooses.
    """

    task: str
    candidate: str
    is_serving: bool
    n_labels: int
    share: float
    figures: dict[str, float]
    features: tuple[Verdict, ...] = ()

"""Figures into the tools that people follow experiments with; one file each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from profiler.errors import UsageError
from streams.tracking.background import Background
from streams.tracking.contract import Tracker
from streams.tracking.mlflow import Mlflow
from streams.tracking.tensorboard import TensorBoard
from streams.tracking.wandb import WandB

TRACKERS: Final[dict[str, Callable[[str], Tracker]]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": Mlflow,
}
"""By what stands before the colon; each is given what stands behind it."""


def open_tracker(target: str) -> Tracker:
    """Open the tracker that a ``--track`` names. Nobody waits for it afterwards.

    Parameters
    ----------
    target
        ``tensorboard:DIR``, ``wandb[:PROJECT]`` or ``mlflow[:URI]``.

    Raises
    ------
    UsageError
        If there is no such tool, it is not installed, or cannot write there.
    """
    tool, _, where = target.partition(":")
    if tool not in TRACKERS:
        # What was given is not repeated: it may be an address with a password.
        raise UsageError("--track takes tensorboard:DIR, wandb[:PROJECT] or mlflow[:URI]")
    return Background(TRACKERS[tool](where))


def track_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option ``--track``; the command is given `track`, targets of `open_tracker`."""
    return click.option(
        "--track",
        multiple=True,
        metavar="TOOL[:WHERE]",
        help="Log figures to tensorboard:DIR, wandb[:PROJECT] (offline) or mlflow[:URI]; can be "
        "repeated. See docs/evaluation.md.",
    )(command)


__all__ = ["TRACKERS", "Tracker", "open_tracker", "track_option"]

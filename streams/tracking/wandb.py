"""Curves for Weights & Biases, kept on this machine until `wandb sync` sends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from profiler.extras import of_extra
from streams.tracking.contract import known

PROJECT: Final = "streaming-user-profiles"


class WandB:
    """An offline run in the folder ``wandb`` (or where ``WANDB_DIR`` says).

    Nothing leaves the machine, and no key is needed. Neither the program, nor what it prints, nor
    figures of the machine are recorded: only what is logged.

    Parameters
    ----------
    target
        The project; by default ours.

    Raises
    ------
    UsageError
        If wandb is not installed.
    """

    def __init__(self, target: str) -> None:
        library = of_extra("wandb", "wandb")
        self._run = library.init(
            project=target or PROJECT,
            mode="offline",
            settings=library.Settings(
                console="off",
                silent=True,
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add a point to each of these curves."""
        self._run.log(known(metrics), step=step)

    def log_params(self, params: Mapping[str, str | float]) -> None:
        """Tell what the run was made with."""
        self._run.config.update(dict(params))

    def log_text(self, name: str, text: str) -> None:
        """Keep a page in the run's summary."""
        self._run.summary[name] = text

    def close(self) -> None:
        """Write what is left, and end the run."""
        self._run.finish()

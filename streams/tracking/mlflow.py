"""Curves for MLflow: on a server, or in a local database."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Final

from profiler.errors import UsageError
from profiler.extras import of_extra
from streams.tracking.contract import known

EXPERIMENT: Final = "streaming-user-profiles"
_REFUSED: Final = re.compile(r"[^\w\-. :/]")
"""Characters that MLflow does not take in a name, such as the one in ``recall@20``."""


class Mlflow:
    """A run of the experiment ``streaming-user-profiles``.

    Parameters
    ----------
    target
        A tracking URI such as ``http://host:5000`` or ``sqlite:///runs.db``. By default that of
        ``MLFLOW_TRACKING_URI``, else MLflow's own, the database ``mlflow.db`` in this folder.
        Passwords belong into ``MLFLOW_TRACKING_USERNAME`` and ``MLFLOW_TRACKING_PASSWORD``.

    Raises
    ------
    UsageError
        If MLflow is not installed or cannot use the place. Says nothing of the URI, which may
        contain a password.
    """

    def __init__(self, target: str) -> None:
        library = of_extra("mlflow", "mlflow")
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        self._metric = import_module("mlflow.entities").Metric
        self._param = import_module("mlflow.entities").Param
        try:
            self._client = library.MlflowClient(target or None)
            found = self._client.get_experiment_by_name(EXPERIMENT)
            experiment = (
                found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
            )
            self._run_id = self._client.create_run(experiment).info.run_id
        except ModuleNotFoundError as missing:
            raise UsageError(
                f"{missing.name} is not installed, which MLflow wants for this place: "
                "pip install 'streaming-user-profiles[mlflow]'"
            ) from None
        except library.MlflowException as fault:
            raise UsageError(
                f"MLflow cannot use this place ({fault.error_code}); "
                "see --track mlflow:URI and MLFLOW_TRACKING_URI"
            ) from None

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add a point to each of these curves."""
        now_ms = int(time.time() * 1000)
        points = [
            self._metric(_REFUSED.sub("_", name), value, now_ms, step)
            for name, value in known(metrics).items()
        ]
        self._client.log_batch(self._run_id, metrics=points)

    def log_params(self, params: Mapping[str, str | float]) -> None:
        """Tell what the run was made with."""
        named = [self._param(_REFUSED.sub("_", name), str(v)) for name, v in params.items()]
        self._client.log_batch(self._run_id, params=named)

    def log_text(self, name: str, text: str) -> None:
        """Keep a page as an artefact of the run."""
        self._client.log_text(self._run_id, text, f"{_REFUSED.sub('_', name)}.md")

    def close(self) -> None:
        """End the run."""
        self._client.set_terminated(self._run_id)

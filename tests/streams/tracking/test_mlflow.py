"""What MLflow's own client finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from profiler.errors import UsageError
from streams.tracking.mlflow import EXPERIMENT, Mlflow

# MLflow and what it imports warn of their own deprecations.
pytestmark = pytest.mark.filterwarnings("ignore")
pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
pytest.importorskip("sqlalchemy", reason="the extra `mlflow` is not installed")


def test_its_own_client_finds_curves_parameters_and_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client_of = pytest.importorskip("mlflow").MlflowClient
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/runs.db"
    tracker = Mlflow(uri)
    tracker.log_params({"seed": 7})
    for step, value in ((10, 0.5), (20, 0.25)):
        tracker.log({"task/recall@20": value, "task/roc_auc": float("nan")}, step)
    tracker.log_text("card", "# Card")
    tracker.close()

    client = client_of(uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    (run,) = client.search_runs([experiment.experiment_id])
    points = client.get_metric_history(run.info.run_id, "task/recall_20")

    assert [(point.step, point.value) for point in points] == [(10, 0.5), (20, 0.25)]
    assert set(run.data.metrics) == {"task/recall_20"}
    assert run.data.params == {"seed": "7"}
    assert run.info.status == "FINISHED"
    (artefact,) = client.list_artifacts(run.info.run_id)
    assert Path(client.download_artifacts(run.info.run_id, artefact.path)).read_text() == "# Card"


def test_a_place_that_cannot_be_used_is_told_without_its_password() -> None:
    with pytest.raises(UsageError, match="MLflow cannot use this place") as caught:
        Mlflow("nothing://me:secret@host")

    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__

"""What TensorBoard's own reader finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from profiler.errors import UsageError
from streams.tracking.tensorboard import TensorBoard

ACCUMULATOR = "tensorboard.backend.event_processing.event_accumulator"

pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")


def test_its_own_reader_finds_curves_parameters_and_texts(tmp_path: Path) -> None:
    tracker = TensorBoard(str(tmp_path / "new"))
    tracker.log_params({"seed": 7})
    for step, value in ((10, 0.5), (20, 0.25)):
        tracker.log({"task/log_loss": value, "task/roc_auc": float("nan")}, step)
    tracker.log_text("card", "# Card")
    tracker.close()

    found = pytest.importorskip(ACCUMULATOR).EventAccumulator(str(tmp_path / "new"))
    found.Reload()

    assert found.Tags()["scalars"] == ["task/log_loss"]
    points = [(point.step, point.value) for point in found.Scalars("task/log_loss")]
    assert points == [(10, 0.5), (20, 0.25)]
    texts = {
        tag: found.Tensors(tag)[0].tensor_proto.string_val[0] for tag in found.Tags()["tensors"]
    }
    assert texts["card/text_summary"] == b"# Card"
    assert b"| seed | 7 |" in texts["parameters/text_summary"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="tensorboard:"):
        TensorBoard(str(tmp_path / "file" / "runs"))


def test_neither_tensorflow_nor_torch_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from streams.tracking.tensorboard import TensorBoard;"
        f"t = TensorBoard({str(tmp_path)!r}); t.log({{'a': 1.0}}, 1); t.close();"
        "print(sorted({'tensorflow', 'torch'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"

"""Nobody waits for a tracker, and its faults reach nobody."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import click
import pytest
from click.testing import CliRunner

from profiler.errors import UsageError
from streams.tracking import open_tracker, track_option
from streams.tracking.background import Background


class Told:
    """Remembers calls; waits or fails when it is told to."""

    def __init__(self, go_on: threading.Event | None = None, fault: Exception | None = None):
        self.calls: list[object] = []
        self.thread = ""
        self._go_on, self._fault = go_on, fault

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.thread = threading.current_thread().name
        if self._go_on:
            self._go_on.wait()
        if self._fault:
            raise self._fault
        self.calls.append((dict(metrics), step))

    def log_params(self, params: Mapping[str, str | float]) -> None:
        self.calls.append(dict(params))

    def log_text(self, name: str, text: str) -> None:
        self.calls.append((name, text))

    def close(self) -> None:
        self.calls.append("closed")


def test_everything_arrives_in_order_from_another_thread() -> None:
    told = Told()
    tracker = Background(told)
    metrics = {"a": 1.0}
    tracker.log_params({"seed": 1})
    tracker.log(metrics, 1)
    metrics["a"] = 9.0
    tracker.log_text("card", "# Card")

    tracker.close()

    assert told.calls == [{"seed": 1}, ({"a": 1.0}, 1), ("card", "# Card"), "closed"]
    assert told.thread == "tracking"


def test_a_slow_tool_loses_points_and_holds_nobody_up() -> None:
    go_on = threading.Event()
    told = Told(go_on)
    tracker = Background(told, waiting_max=2)

    for step in range(50):
        tracker.log({"a": 1.0}, step)

    assert tracker.dropped >= 47
    go_on.set()
    tracker.close()
    assert told.calls[-1] == "closed"
    assert len(told.calls) == 50 - tracker.dropped + 1


def test_a_fault_is_told_once_without_its_words(capfd: pytest.CaptureFixture[str]) -> None:
    tracker = Background(Told(fault=ConnectionError("http://me:secret@host refused")))

    for step in range(3):
        tracker.log({"a": 1.0}, step)
    tracker.close()

    said = "".join(capfd.readouterr())
    assert tracker.failed == 3
    assert said.count("tracking_failed") == 1
    assert "ConnectionError" in said
    assert "secret" not in said


@pytest.mark.parametrize("target", ["", "comet", "https://me:secret@host"])
def test_an_unknown_tool_is_refused_without_repeating_what_was_given(target: str) -> None:
    with pytest.raises(UsageError, match=r"tensorboard:DIR, wandb\[:PROJECT\]") as caught:
        open_tracker(target)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "extra"),
    [("tensorboard:runs", "tensorboard"), ("wandb", "wandb"), ("mlflow", "mlflow")],
)
def test_a_missing_tool_is_told_with_what_to_install(
    target: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("profiler.extras.import_module", absent)

    with pytest.raises(UsageError, match=rf"{extra} is not installed: pip install .*\[{extra}\]"):
        open_tracker(target)


def test_tensorboard_wants_a_folder() -> None:
    with pytest.raises(UsageError, match="tensorboard:DIR"):
        open_tracker("tensorboard")


def test_commands_take_several_targets() -> None:
    @click.command()
    @track_option
    def command(track: tuple[str, ...]) -> None:
        click.echo(track)

    result = CliRunner().invoke(command, ["--track", "wandb", "--track", "mlflow:sqlite:///x.db"])

    assert result.output == "('wandb', 'mlflow:sqlite:///x.db')\n"

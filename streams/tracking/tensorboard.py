"""Curves for TensorBoard, by its own writer of event files: neither TensorFlow nor PyTorch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from profiler.errors import UsageError
from profiler.extras import of_extra
from streams.tracking.contract import known

_PROTO: Final = "tensorboard.compat.proto"


class TensorBoard:
    """A run as event files in a folder.

    Parameters
    ----------
    target
        The folder; made if it does not exist.

    Raises
    ------
    UsageError
        If no folder is named or it cannot be written, or TensorBoard is not installed.
    """

    def __init__(self, target: str) -> None:
        if not target:
            raise UsageError("name a folder: --track tensorboard:DIR")
        writers = of_extra("tensorboard", "tensorboard.summary.writer.event_file_writer")
        self._event = import_module(f"{_PROTO}.event_pb2").Event
        summary = import_module(f"{_PROTO}.summary_pb2")
        self._summary, self._metadata = summary.Summary, summary.SummaryMetadata
        self._tensor = import_module(f"{_PROTO}.tensor_pb2").TensorProto
        self._string = import_module(f"{_PROTO}.types_pb2").DT_STRING
        try:
            self._writer = writers.EventFileWriter(target)
        except OSError as fault:
            raise UsageError(f"--track tensorboard:{target}: {fault.strerror}") from fault

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Add a point to each of these curves."""
        points = [
            self._summary.Value(tag=name, simple_value=value)
            for name, value in known(metrics).items()
        ]
        self._write(points, step)
        self._writer.flush()

    def log_params(self, params: Mapping[str, str | float]) -> None:
        """Tell what the run was made with, as a table."""
        rows = [f"| {name} | {value} |" for name, value in params.items()]
        self.log_text("parameters", "\n".join(["| parameter | value |", "| --- | --- |", *rows]))

    def log_text(self, name: str, text: str) -> None:
        """Add a page of Markdown."""
        tensor = self._tensor(dtype=self._string, string_val=[text.encode()])
        metadata = self._metadata(plugin_data={"plugin_name": "text"})
        value = self._summary.Value(tag=f"{name}/text_summary", tensor=tensor, metadata=metadata)
        self._write([value], 0)

    def _write(self, values: list[Any], step: int) -> None:
        summary = self._summary(value=values)
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

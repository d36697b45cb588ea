"""What all commands share: how results are printed, how progress is told."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

import click
import msgspec

from profiler.errors import UsageError

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on standard output."
)
"""The option that every command has which prints results."""


def show_json(result: object) -> None:
    """Print a result as one JSON object; NaN becomes null."""
    click.echo(msgspec.json.encode(result))


def tell(line: str) -> None:
    """Tell people something that is not the result."""
    click.echo(line, err=True)


def require_files(paths: Iterable[Path]) -> None:
    """Refuse files that are not there, before anything is connected or started."""
    paths = list(paths)
    if folders := [str(path) for path in paths if path.is_dir()]:
        raise UsageError(f"{', '.join(folders)}: a directory; name the files in it")
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise UsageError(f"no such file: {', '.join(missing)}")


def require_other(path: Path, inputs: Iterable[Path]) -> None:
    """Refuse a file for the result that is also one of those to be read."""
    if path.exists() and any(path.samefile(one) for one in inputs if one.exists()):
        raise UsageError(f"{path} is to be read: it would be overwritten")


def require_writable(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse a file that cannot be written or is to be read, before the work that fills it."""
    require_other(path, inputs)
    try:
        path.open("ab").close()
    except OSError as fault:
        raise UsageError(f"{path}: {fault.strerror}") from fault


def end_on_sigterm() -> None:
    """Let a terminated command take the same way out as an interrupted one."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt

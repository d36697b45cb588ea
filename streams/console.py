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
    if missing := [str(path) for path in paths if not path.is_file()]:
        raise UsageError(f"no such file: {', '.join(missing)}")


def require_writable(path: Path) -> None:
    """Refuse a file that cannot be written, before the work whose result it is to hold."""
    try:
        path.open("ab").close()
    except OSError as fault:
        raise UsageError(f"{path}: {fault.strerror}") from fault


def end_on_sigterm() -> None:
    """Let a terminated command take the same way out as an interrupted one."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt

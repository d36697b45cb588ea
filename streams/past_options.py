"""Options of the commands that read the past."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from profiler.errors import UsageError
from profiler.sources import SOURCE_NAMES
from streams.formats import NATIVE

_OPTIONS = (
    click.option(
        "--file",
        "files",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Read this file, as `profiler replay` would send it, instead of the topic; can be "
        "repeated.",
    ),
    click.option(
        "--source",
        type=click.Choice(SOURCE_NAMES),
        default=NATIVE,
        show_default=True,
        help="With --file: its format.",
    ),
    click.option(
        "--mapping",
        type=click.Path(dir_okay=False, path_type=Path),
        help="With --file: TOML file that says what the rows are, instead of --source.",
    ),
    click.option("--with-topic", is_flag=True, help="With --file: the topic of events as well."),
    click.option(
        "--force",
        is_flag=True,
        help="Also if the topic has lost its beginning: what was before does not count.",
    ),
)


class PastOptions(Struct, frozen=True, kw_only=True):
    """What the past is read from.

    Parameters
    ----------
    files, source, mapping
        Data files and what they are; without any, the topic of events is read.
    with_topic
        Read the topic after the files.
    force
        Whether the topic may have lost its beginning to retention.

    Raises
    ------
    UsageError
        If something is given that only has a meaning beside files, and there are none.
    """

    files: tuple[Path, ...] = ()
    source: str = NATIVE
    mapping: Path | None = None
    with_topic: bool = False
    force: bool = False

    def __post_init__(self) -> None:
        given = {
            "--source": self.source != NATIVE,
            "--mapping": self.mapping is not None,
            "--with-topic": self.with_topic,
        }
        if not self.files and (names := [name for name, is_given in given.items() if is_given]):
            raise UsageError(f"{', '.join(names)}: only with --file")


def past_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of `PastOptions`, by the names of its fields."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command

"""Folder for what tests fetch once: servers that come neither as wheels nor with the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from profiler.errors import ProfilerError

FETCH_TIMEOUT_S: Final = 600


def cached(name: str, fetch: Callable[[Path], None]) -> Path:
    """Give the folder of this name, filled by `fetch` if it is not there yet.

    Parameters
    ----------
    name
        With the version in it: what is there once is never looked at again.
    fetch
        Fills an empty folder. What it leaves unfinished is thrown away.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = root / "streaming-user-profiles" / name
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=place.parent))
    try:
        unfinished.chmod(0o755)  # apt fetches as a user of its own
        fetch(unfinished)
        unfinished.rename(place)
    except OSError:
        if not place.exists():  # else another process was quicker
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return place


def run_tool(command: Sequence[str], hint: str, directory: Path | None = None) -> None:
    """Run a program to its end.

    Parameters
    ----------
    hint
        What to do if it cannot be run, or fails.

    Raises
    ------
    ProfilerError
        With the hint, and with what it said.
    """
    program = shutil.which(command[0])
    if program is None:
        raise ProfilerError(f"{command[0]} is needed and not installed: {hint}")
    done = subprocess.run(
        [program, *command[1:]],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=FETCH_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip()[-2_000:]
        raise ProfilerError(f"{' '.join(command)} failed ({hint}); it said: {said}")

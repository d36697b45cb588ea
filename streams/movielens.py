"""MovieLens-100k for evaluations: ``python -m streams.movielens`` fetches, checks and unpacks it.

GroupLens allows the use of its data for research, and neither redistribution without permission nor
commercial use; so the ratings are never committed or shipped. They are taken from where they are
already published: the wheel of RecBole, which has them as an example. Cite Harper and Konstan, "The
MovieLens datasets: history and context", ACM TiiS 2015.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from profiler.errors import UsageError

REQUIREMENT: Final = "recbole==1.2.1"
WHEEL_SHA256: Final = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
MEMBER: Final = "recbole/dataset_example/ml-100k/ml-100k.inter"
RATINGS: Final = 100_000
NAME: Final = "u.data"
"""As GroupLens call the file: user, item, rating and Unix seconds, separated by tabs."""

TIMEOUT_S: Final = 300


def ratings_file(folder: Path, fetch: Callable[[Path], None] | None = None) -> Path:
    """Give the file of ratings in a folder, fetched if it is not there yet.

    Parameters
    ----------
    folder
        Made if it does not exist.
    fetch
        Puts the wheel into a folder; by default pip does.

    Raises
    ------
    UsageError
        If it cannot be fetched, or is not what was published.
    """
    path = folder / NAME
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        place = Path(temporary)
        (fetch or _pip)(place)
        text = _ratings(_wheel(place))
        unfinished = place / NAME
        unfinished.write_bytes(text)
        unfinished.rename(path)
    return path


def _pip(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    try:
        done = subprocess.run(
            [*command, "--only-binary", ":all:", "--dest", str(folder), REQUIREMENT],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as fault:
        raise UsageError(f"pip did not fetch {REQUIREMENT} within {TIMEOUT_S} s") from fault
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UsageError(f"pip could not fetch {REQUIREMENT}: {' '.join(said)}")


def _wheel(folder: Path) -> Path:
    found = sorted(folder.glob("*.whl"))
    if len(found) != 1:
        raise UsageError(f"{REQUIREMENT} came as {len(found)} wheels instead of one")
    digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise UsageError(f"{found[0].name} is not what was published: its SHA-256 is {digest}")
    return found[0]


def _ratings(wheel: Path) -> bytes:
    """Unpack the one file, without its header."""
    with zipfile.ZipFile(wheel) as archive:
        header, _, rows = archive.read(MEMBER).partition(b"\n")
    if not header.startswith(b"user_id:token\titem_id:token\trating:float\ttimestamp:float"):
        raise UsageError(f"{MEMBER} has other columns than it had: {header[:80]!r}")
    if rows.count(b"\n") + (not rows.endswith(b"\n")) != RATINGS:
        raise UsageError(f"{MEMBER} has not {RATINGS:,} ratings")
    return rows


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Fetch MovieLens-100k into FOLDER and print where it is."""
    try:
        click.echo(ratings_file(folder))
    except UsageError as fault:
        raise click.ClickException(str(fault)) from fault


if __name__ == "__main__":
    main()

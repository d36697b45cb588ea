"""``python -m tests.matrix`` (``make matrix``): every cell in turn, and the table in the docs."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.matrix.cells import CELLS
from tests.matrix.page import row_of, write_rows
from tests.matrix.run import Result, run


def main() -> int:
    """Run the cells, print a line for each, rewrite their rows, and give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--only", choices=CELLS, action="append", metavar="NAME")
    names = parser.parse_args().only or list(CELLS)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    failed = []
    for name in names:
        directory = Path(tempfile.mkdtemp(prefix=f"profiler-matrix-{name}-"))
        result: Result | Exception
        try:
            result = run(CELLS[name], directory)
        # Whatever goes wrong in one cell says nothing of the others.
        except Exception as fault:
            result = fault
        if isinstance(result, Result) and result.passed:
            shutil.rmtree(directory)
        else:
            failed.append(name)
        print(_line(name, result, directory), flush=True)
        write_rows({name: row_of(name, result)})
    print(f"{len(names) - len(failed)} of {len(names)} cells passed", *failed)
    return 1 if failed else 0


def _line(name: str, result: Result | Exception, directory: Path) -> str:
    if isinstance(result, Exception):
        return f"{name:20} FAILED: {result!r}; logs are in {directory}"
    figures = {
        "mismatched": result.mismatched,
        "stale": result.stale,
        "lost": result.lost,
        "duplicated": result.duplicated,
        "letters_missing": result.letters_missing,
        "letters_unexpected": result.letters_unexpected,
        "durability": result.durability,
        "slots_moved": result.n_moved,
    }
    told = " ".join(f"{key}={figure}" for key, figure in figures.items())
    verdict = "" if result.passed else f" FAILED; logs are in {directory}"
    return f"{name:20} {result.events} events {result.seconds:5.1f} s {told}{verdict}"


if __name__ == "__main__":
    sys.exit(main())

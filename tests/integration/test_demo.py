"""The demo, run as people run it: what it prints, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from profiler.events import REASONS

pytestmark = pytest.mark.integration

DEMO = [sys.executable, "-m", "streams.cli", "demo"]
SMALL = ["--users", "150", "--events", "6000", "--seed", "1"]


def start(directory: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*DEMO, *SMALL, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(directory)},
    )


def said_until(process: subprocess.Popen[str], pattern: str) -> list[str]:
    """Lines on standard error up to the first that matches."""
    assert process.stderr is not None
    lines: list[str] = []
    while not lines or not re.search(pattern, lines[-1]):
        line = process.stderr.readline()
        assert line, f"it ended without saying {pattern}; it said {lines}"
        lines.append(line)
    return lines


def children_of(process: subprocess.Popen[str]) -> list[int]:
    stats = Path("/proc").glob("[0-9]*/stat")
    return [int(p.parent.name) for p in stats if parent_in(p) == process.pid]


def parent_in(path: Path) -> int | None:
    try:
        return int(path.read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended since it was listed
        return None


def wait_until_gone(pids: list[int], timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline_s, f"still there: {pids}"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[dict[str, object], list[str], subprocess.Popen[str]]]:
    """A demo that has shown its result and serves: the result, what it said, and the process."""
    process = start(tmp_path_factory.mktemp("demo"), "--serve", "--json")
    assert process.stdout is not None
    try:
        said = said_until(process, "Ctrl-C stops it all")
        yield json.loads(process.stdout.readline()), said, process
    finally:
        process.kill()
        process.communicate()


Served = tuple[dict[str, object], list[str], subprocess.Popen[str]]


def test_its_json_has_the_figures(served: Served) -> None:
    found, _, _ = served

    assert found["events"] == 6_000
    for name in ("profiles", "events_per_s", "fresh_ms_p50", "fresh_ms_p99", "accepted_unused"):
        figure = found[name]
        assert isinstance(figure, int | float), name
        assert figure > 0, name
    dead_letters = found["dead_letters"]
    assert isinstance(dead_letters, dict)
    assert set(dead_letters) <= set(REASONS)
    assert sum(dead_letters.values()) > 0


def test_its_audit_finds_nothing(served: Served) -> None:
    found, _, _ = served

    audit = found["audit"]
    assert isinstance(audit, dict)
    assert audit["mismatched"] == 0
    assert audit["profiles"] == found["profiles"]


def test_it_shows_three_people_and_one_over_time(served: Served) -> None:
    found, _, _ = served

    shown, history = found["shown"], found["history"]
    assert isinstance(shown, dict)
    assert len(shown) == 3
    assert isinstance(history, list)
    events = [moment["events"] for moment in history]
    assert len(events) > 1
    assert events == sorted(set(events))


def test_while_it_serves_other_commands_can_use_it(served: Served) -> None:
    found, said, _ = served
    environment = Path(re.findall(r"\. (/\S+demo\.env)", "".join(said))[0])
    shown = found["shown"]
    assert isinstance(shown, dict)
    subject = next(iter(shown))

    got = subprocess.run(
        ["sh", "-c", f'. {environment}; exec "$0" -m streams.cli get {subject}', sys.executable],
        capture_output=True,
        text=True,
        check=True,
    )

    assert stat.S_IMODE(environment.stat().st_mode) == 0o600
    assert got.stdout.startswith("profile    ")


def test_ctrl_c_ends_it_with_all_its_servers(served: Served) -> None:
    _, said, process = served
    directory = Path(re.findall(r"\. (/\S+)/demo\.env", "".join(said))[0])
    children = children_of(process)

    process.send_signal(signal.SIGINT)
    code = process.wait(20)

    assert len(children) == 3
    assert code == 0
    wait_until_gone(children)
    assert not directory.exists()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_interrupted_on_the_way_it_leaves_no_server(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    with start(tmp_path) as process:
        said_until(process, "simulating people")
        children = children_of(process)

        process.send_signal(number)
        _, said = process.communicate(timeout=20)

    assert len(children) == 2
    assert process.returncode == code
    assert "Traceback" not in said
    wait_until_gone(children)

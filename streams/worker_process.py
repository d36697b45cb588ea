"""A worker as a child process: for the demo, and for tests that kill it."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from profiler.errors import ProfilerError
from streams.scrape import Scrape, parse
from streams.settings import SECRETS, Settings, variable
from streams.spawn import spawn

READY_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 12.0
REQUEST_TIMEOUT_S: Final = 5.0
PROBE_INTERVAL_S: Final = 0.02
LOG_TAIL_LINES: Final = 3
ENDED: Final = ("crashed", "not_started")
"""What `streams.app` logs, with the reason, when a worker ends by itself."""


class WorkerProcess:
    """``profiler worker`` with exactly these settings: a real process, logs in a file.

    Parameters
    ----------
    settings
        All of them; our own environment does not count.
    log
        File to which it logs; appended to.
    """

    def __init__(self, settings: Settings, log: Path) -> None:
        self.log = log
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def process_id(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it; returns at once, see `wait_until_ready`."""
        assert self._process is None, "it runs already"
        command = [sys.executable, "-m", "streams.cli", "worker"]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            # What it leaves in its temporary directory, when killed, goes with its log.
            places = {"TMPDIR": str(self.log.parent)}
            self._process = spawn(command, log, environment_of(self._settings) | places)

    def wait_until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return once it has partitions and the store answers.

        Raises
        ------
        ProfilerError
            If it ends before, or is not ready in time; says what it logged last.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self._is_ready():
            self.check()
            if time.monotonic() >= deadline_s:
                raise ProfilerError(
                    f"the worker is not ready after {timeout_s:.0f} s{self._said()}"
                )
            time.sleep(PROBE_INTERVAL_S)

    def check(self) -> None:
        """Raise a `ProfilerError` if it has ended by itself."""
        code = self._process.poll() if self._process else None
        if code is not None:
            raise ProfilerError(f"the worker ended with {code}{self._said()}")

    def scrape(self) -> Scrape:
        """Read its ``/metrics``.

        Raises
        ------
        ProfilerError
            If it has ended, or does not answer.
        """
        try:
            _, page = self._get("/metrics")
        except OSError as fault:
            self.check()
            raise ProfilerError(f"the worker does not answer: {fault}{self._said()}") from fault
        return parse(page)

    def stop(self) -> int | None:
        """Ask it to finish and end; gives its exit code. Harmless when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _is_ready(self) -> bool:
        try:
            status, _ = self._get("/readyz")
        except (OSError, http.client.HTTPException):
            return False
        return status == http.client.OK

    def _get(self, path: str) -> tuple[int, str]:
        host, port = self._settings.web_host, self._settings.web_port
        connection = http.client.HTTPConnection(host, port, timeout=REQUEST_TIMEOUT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def _said(self) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        # After the reason asyncio says more of Faust's tasks, in any number of lines.
        reasons = [k for k in lines if "reason" in k and any(word in k for word in ENDED)]
        said = reasons[-1:] or lines[-LOG_TAIL_LINES:]
        return "".join(["; it said: ", " | ".join(said)]) if said else ""


def environment_of(settings: Settings) -> dict[str, str]:
    """Environment that gives a process these settings, the secrets in the clear, and no others."""
    named = {variable(name): text for name, text in settings.public().items() if text}
    for name in SECRETS:
        named.pop(variable(f"{name}_file"), None)
        named[variable(name)] = getattr(settings, name).reveal()
    named[variable("store_url")] = settings.store_url
    return named

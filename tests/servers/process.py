"""A server program as a child process that tests kill, freeze and start again."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from profiler.errors import ProfilerError
from streams.spawn import HOST, spawn

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
PROBE_TIMEOUT_S: Final = 1.0
PROBE_INTERVAL_S: Final = 0.02
LOG_TAIL_BYTES: Final = 2_000


class ServerProcess:
    """One program that serves on loopback; its command, and so its ports, stay over restarts.

    Start it from a thread that lives as long as it should (see `streams.spawn`).

    Parameters
    ----------
    name
        What it is called in messages.
    command
        Full path of the program, and its arguments.
    answers
        Whether it serves requests already.
    log
        File for what it says; appended to.
    environ
        Added to our environment.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        answers: Callable[[], bool],
        log: Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._name = name
        self._command = command
        self._answers = answers
        self._log = log
        self._environ = {**os.environ, **(environ or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and not ended, by us or by itself."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start it and return at once."""
        assert self._process is None, f"{self._name} runs already"
        with self._log.open("ab") as log:
            self._process = spawn(self._command, log, self._environ)

    def wait(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return once it answers.

        Raises
        ------
        ProfilerError
            If it ends before, or does not answer in time; with what it said last.
        """
        assert self._process is not None, f"{self._name} is not launched"
        deadline_s = time.monotonic() + timeout_s
        while not self._answers():
            code = self._process.poll()
            if code is not None or time.monotonic() >= deadline_s:
                what = f"did not answer in {timeout_s:.0f} s" if code is None else f"ended: {code}"
                self.kill()
                raise ProfilerError(f"{self._name} {what}; {self._log} ends: {self._said()}")
            time.sleep(PROBE_INTERVAL_S)

    def start(self) -> None:
        """Start it and return once it answers."""
        self.launch()
        self.wait()

    def ask_to_end(self) -> None:
        """Send SIGTERM, also to one that is frozen, and return at once; see `stop`."""
        if self._process is not None:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ask it to end, and make it end in time. Harmless when it does not run."""
        self.ask_to_end()
        if self._process is not None:
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def freeze(self) -> None:
        """Let it stand still (SIGSTOP); its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _said(self) -> str:
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace").strip()


def exchange(port: int, request: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send a request to a loopback port and give the beginning of the answer; empty if none."""
    try:
        with socket.create_connection((HOST, port), PROBE_TIMEOUT_S) as bare:
            bare.settimeout(PROBE_TIMEOUT_S)
            with tls.wrap_socket(bare, server_hostname=HOST) if tls else bare as connection:
                connection.sendall(request)
                return connection.recv(64)
    except OSError:
        return b""

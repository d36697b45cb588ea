"""A server that runs as our child process, on a loopback port, and never outlives us."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import Final

from profiler.errors import UsageError
from streams.spawn import HOST, free_port, spawn

START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 4.0
PROBE_INTERVAL_S: Final = 0.01
PORT_ATTEMPTS: Final = 5
LOG_TAIL_BYTES: Final = 2_000


class ChildServer:
    """One server process on a port of the loopback interface.

    Parameters
    ----------
    name
        What it is called in messages.
    command
        Its command line, for a port.
    answers
        Whether it serves requests on that port already.
    port
        By default a free one, which it keeps over restarts.
    """

    def __init__(
        self,
        name: str,
        command: Callable[[int], list[str]],
        answers: Callable[[int], bool],
        port: int | None,
    ) -> None:
        self._name = name
        self._command = command
        self._answers = answers
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Its port, from the first start on."""
        if self._port is None:
            raise UsageError(f"the embedded {self._name} has no port before its first start")
        return self._port

    @property
    def process_id(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it and return once it answers; again on the same port.

        Raises
        ------
        UsageError
            It runs already, its port is taken, or it does not come up; with what it said.
        """
        if self._process is not None:
            raise UsageError(f"the embedded {self._name} runs already")
        if self._port is not None:
            self._start_on(self._port)
            return
        for attempt in range(PORT_ATTEMPTS):
            port = free_port()
            try:
                self._start_on(port)
            except UsageError:
                # Between our look and the server's bind someone else may have taken the port.
                if _is_free(port) or attempt == PORT_ATTEMPTS - 1:
                    raise
            else:
                self._port = port
                return

    def stop(self) -> None:
        """Ask it to end, and make it end in `STOP_TIMEOUT_S`. Harmless when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _start_on(self, port: int) -> None:
        if not _is_free(port):
            raise UsageError(f"the embedded {self._name} cannot have port {port}: it is in use")
        with tempfile.TemporaryFile() as log:
            self._process = spawn(self._command(port), log)
            deadline_s = time.monotonic() + START_TIMEOUT_S
            while self._process.poll() is None and time.monotonic() < deadline_s:
                if self._answers(port):
                    return
                time.sleep(PROBE_INTERVAL_S)
            code = self._process.poll()
            self.kill()
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            said = log.read().decode(errors="replace").strip()
        what = (
            f"did not answer in {START_TIMEOUT_S:.0f} s" if code is None else f"ended with {code}"
        )
        raise UsageError(f"the embedded {self._name} on port {port} {what}; it said: {said}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers bind: connections of a predecessor that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True

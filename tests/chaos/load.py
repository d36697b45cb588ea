"""The producer of a run as a child process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from profiler.errors import ProfilerError
from streams.settings import Settings
from streams.spawn import spawn
from streams.worker_process import environment_of
from tests.chaos.producer import ACCOUNT, LEDGER, Account

STOP_TIMEOUT_S: Final = 180.0


class Load:
    """A steady load from its start to its end.

    Parameters
    ----------
    directory
        For its ledger, its account and its log.
    seed
        Of what it sends.
    events_per_s
        Its rate.

    Attributes
    ----------
    ledger
        File that is there after `stop`.
    """

    def __init__(self, directory: Path, *, seed: int, events_per_s: float) -> None:
        self.ledger = directory / LEDGER
        self._directory = directory
        self._options = {"directory": directory, "seed": seed, "rate": events_per_s}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, settings: Settings) -> None:
        """Let events flow."""
        command = [sys.executable, "-m", "tests.chaos.producer"]
        options = [w for name, value in self._options.items() for w in (f"--{name}", str(value))]
        with self._log.open("ab") as log:
            self._process = spawn([*command, *options], log, environment_of(settings))

    def stop(self) -> Account:
        """Let it wait until what it has sent is acknowledged, and end.

        Raises
        ------
        ProfilerError
            If it has failed.
        """
        assert self._process is not None
        self._process.terminate()
        if code := self._process.wait(STOP_TIMEOUT_S):
            raise ProfilerError(f"the producer ended with {code}: {self._log.read_text()[-500:]}")
        return msgspec.json.decode((self._directory / ACCOUNT).read_bytes(), type=Account)

    def kill(self) -> None:
        """End it at once. Harmless when it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def _log(self) -> Path:
        return self._directory / "producer.log"

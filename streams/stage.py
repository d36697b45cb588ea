"""The demo's stage: a broker, a store and a worker of its own, all gone when it is over."""

from __future__ import annotations

import secrets
import shlex
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streams.embedded import EmbeddedBroker, EmbeddedStore
from streams.settings import Secret, Settings
from streams.spawn import free_port
from streams.topics import create_topics
from streams.worker_process import WorkerProcess, environment_of

SESSION_TIMEOUT_S: Final = 3.0
"""The embedded broker lets a group wait for its members for half of this."""

COMMIT_INTERVAL_S: Final = 0.5
FIGURES_INTERVAL_S: Final = 1.0
EXPORTED: Final = ("brokers", "store_url", "pseudonym_key", "web_port", "session_timeout_s")


class Stage:
    """Broker and store that run, topics that exist, a worker that can be started.

    Everything is on loopback ports and under a key of its own; the environment's settings do not
    count. Leaving it stops all that it started, whatever happened.

    Attributes
    ----------
    settings
        For whoever wants to reach them.
    worker
        Not started yet.
    """

    settings: Settings
    worker: WorkerProcess

    def __init__(self) -> None:
        self._held = ExitStack()
        self._directory = Path()

    def __enter__(self) -> Self:
        with ExitStack() as held:
            name = tempfile.TemporaryDirectory(prefix="profiler-demo-")
            self._directory = Path(held.enter_context(name))
            broker = held.enter_context(EmbeddedBroker())
            store = held.enter_context(EmbeddedStore())
            self.settings = Settings(
                pseudonym_key=Secret(secrets.token_hex(32)),
                brokers=broker.address,
                store_url=store.url,
                web_port=free_port(),
                session_timeout_s=SESSION_TIMEOUT_S,
                commit_interval_s=COMMIT_INTERVAL_S,
                figures_interval_s=FIGURES_INTERVAL_S,
            )
            create_topics(self.settings)
            self.worker = WorkerProcess(self.settings, self._directory / "worker.log")
            held.callback(self.worker.stop)
            self._held = held.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._held.close()

    def write_environment(self) -> Path:
        """Write a file, readable by its owner alone, that a shell sources to use other commands."""
        path = self._directory / "demo.env"
        path.touch(mode=0o600)
        wanted = environment_of(self.settings)
        names = [f"PROFILER_{name.upper()}" for name in EXPORTED]
        path.write_text(
            "".join(f"export {name}={shlex.quote(wanted[name])}\n" for name in names), "utf-8"
        )
        return path

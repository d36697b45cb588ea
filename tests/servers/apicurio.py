"""Apicurio Registry, from Maven Central: a real registry that speaks Confluent's protocol.

The last version that runs on Java 17. It keeps everything in memory.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from profiler.errors import ProfilerError
from streams.spawn import HOST, free_port
from tests.servers.cache import FETCH_TIMEOUT_S, cached
from tests.servers.process import ServerProcess

VERSION: Final = "3.0.9"
NAME: Final = "apicurio-registry-app"
ADDRESS: Final = (
    f"https://repo1.maven.org/maven2/io/apicurio/{NAME}/{VERSION}/{NAME}-{VERSION}-all.tar.gz"
)
HEAP_MB: Final = 400
PROBE_TIMEOUT_S: Final = 1.0
HINT: Final = "Apicurio Registry is fetched from Maven Central and runs on Java 17"


class Apicurio:
    """A registry on a loopback port, for as long as the context lasts."""

    def __init__(self) -> None:
        place = cached(f"apicurio-{VERSION}", _fetch)
        self._origin = f"http://{HOST}:{free_port()}"
        self._directory = tempfile.TemporaryDirectory(prefix="apicurio-")
        port = self._origin.rpartition(":")[2]
        self._process = ServerProcess(
            "Apicurio Registry",
            [
                _java(),
                f"-Xmx{HEAP_MB}m",
                f"-Dquarkus.http.port={port}",
                f"-Dquarkus.http.host={HOST}",
                *("-jar", str(place / f"{NAME}-{VERSION}-runner.jar")),
            ],
            self._answers,
            Path(self._directory.name) / "log",
        )

    @property
    def url(self) -> str:
        """Where it speaks Confluent's protocol."""
        return f"{self._origin}/apis/ccompat/v7"

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._origin}/health/ready", timeout=PROBE_TIMEOUT_S):
                return True
        except OSError:
            return False

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._directory.cleanup()


def _fetch(place: Path) -> None:
    try:
        with (
            urllib.request.urlopen(ADDRESS, timeout=FETCH_TIMEOUT_S) as answer,
            tarfile.open(fileobj=answer, mode="r|gz") as archive,
        ):
            archive.extractall(place, filter="data")
    except (OSError, tarfile.TarError) as fault:
        raise ProfilerError(f"{HINT}: {fault}") from fault


def _java() -> str:
    found = shutil.which("java")
    if found is None:
        raise ProfilerError(HINT)
    return found

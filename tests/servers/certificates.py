"""A certificate authority of one's own, and what it signed for servers on the loopback address."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from streams.spawn import HOST
from tests.servers.cache import run_tool

HINT: Final = "apt install openssl"
NEW: Final = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
DAYS: Final = ("-days", "2")


class Certificates:
    """Files in PEM: the authority's certificate, the server's, its key, and these two in one.

    Parameters
    ----------
    directory
        For them; made if it is not there.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory.resolve()
        self.authority = self._directory / "ca.crt"
        self.server = self._directory / "server.crt"
        self.key = self._directory / "server.key"
        self.server_and_key = self._directory / "server.pem"
        ca = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial")
        name = ("-subj", "/CN=server", "-addext", f"subjectAltName=IP:{HOST}")
        self._openssl(
            *NEW, "-x509", *DAYS, "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.crt"
        )
        self._openssl(*NEW, *name, "-keyout", "server.key", "-out", "server.csr")
        sign = ("x509", "-req", *DAYS, *ca, "-copy_extensions", "copy")
        self._openssl(*sign, "-in", "server.csr", "-out", "server.crt")
        self.server_and_key.write_bytes(self.key.read_bytes() + self.server.read_bytes())

    def _openssl(self, *words: str) -> None:
        run_tool(["openssl", *words], HINT, self._directory)

"""A store behind TLS, with a certificate authority of one's own and a user with a password."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from profiler.errors import ConfigurationError, StoreUnavailable
from streams.redis_store import RedisStore
from streams.spawn import HOST
from tests.servers.installed_redis import RedisServer, needs_redis
from tests.stores import play, write

pytestmark = [
    pytest.mark.integration,
    needs_redis,
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed"),
]

PASSWORD = "pa55:w@rd/"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority (ca) and what it signed for the loopback address (server)."""
    directory = tmp_path_factory.mktemp("certificates")

    def openssl(command: str) -> None:
        subprocess.run(
            ["openssl", *command.split()], cwd=directory, check=True, capture_output=True
        )

    new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    openssl(f"{new} -x509 -days 2 -subj /CN=authority -keyout ca.key -out ca.crt")
    openssl(f"{new} -subj /CN=store -addext subjectAltName=IP:{HOST} -keyout server.key -out csr")
    sign = "x509 -req -days 2 -CA ca.crt -CAkey ca.key -CAcreateserial -copy_extensions copy"
    openssl(f"{sign} -in csr -out server.crt")
    return directory


@pytest.fixture(scope="module")
def server(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    directory = tmp_path_factory.mktemp("data")
    users = directory / "users.acl"
    users.write_text(f"user profiler on >{PASSWORD} ~profile:* ~state:* ~profiler:* +@all\n")
    with RedisServer(
        directory,
        port_option="tls-port",
        tls_cert_file=str(certificates / "server.crt"),
        tls_key_file=str(certificates / "server.key"),
        tls_ca_cert_file=str(certificates / "ca.crt"),
        tls_auth_clients="no",
        aclfile=str(users),
    ) as running:
        yield running


def url(server: RedisServer, password: str, options: str) -> str:
    return f"rediss://profiler:{quote(password, safe='')}@{HOST}:{server.port}/0?{options}"


def test_a_store_is_reached_by_tls_under_an_authority_of_ones_own(
    server: RedisServer, certificates: Path
) -> None:
    async def scenario(store: RedisStore) -> None:
        assert await store.commit([write("a")]) == [True]
        assert await store.load(["a"]) == [write("a").state]
        assert await store.durability() == "aof"

    play(url(server, PASSWORD, f"ssl_ca_certs={certificates / 'ca.crt'}"), scenario)


def test_a_server_whose_certificate_nobody_vouches_for_is_not_talked_to(
    server: RedisServer,
) -> None:
    async def scenario(store: RedisStore) -> None:
        with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await store.ping()

    play(url(server, PASSWORD, "ssl_cert_reqs=required"), scenario)


def test_a_wrong_password_is_refused_over_tls_too(server: RedisServer, certificates: Path) -> None:
    async def scenario(store: RedisStore) -> None:
        with pytest.raises(ConfigurationError, match="PROFILER_STORE_URL"):
            await store.ping()

    play(url(server, "guessed", f"ssl_ca_certs={certificates / 'ca.crt'}"), scenario)

"""A store behind TLS, with a certificate authority of one's own and a user with a password."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from profiler.errors import ConfigurationError, StoreUnavailable
from streams.redis_store import RedisStore
from streams.spawn import HOST
from tests.servers.certificates import Certificates
from tests.servers.redis_server import USER, Kind, RedisServer
from tests.stores import play, write

pytestmark = pytest.mark.integration

PASSWORD = "pa55:w@rd/"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory, redis_7: Kind
) -> Iterator[RedisServer]:
    directory = tmp_path_factory.mktemp("data")
    with RedisServer(redis_7, directory, certificates=certificates, password=PASSWORD) as running:
        yield running


def url(server: RedisServer, password: str, options: str) -> str:
    return f"rediss://{USER}:{quote(password, safe='')}@{HOST}:{server.port}/0?{options}"


def test_a_store_is_reached_by_tls_under_an_authority_of_ones_own(
    server: RedisServer,
) -> None:
    async def scenario(store: RedisStore) -> None:
        assert await store.commit([write("a")]) == [True]
        assert await store.load(["a"]) == [write("a").state]
        assert await store.durability() == "aof"

    play(server.url, scenario)


def test_a_server_whose_certificate_nobody_vouches_for_is_not_talked_to(
    server: RedisServer,
) -> None:
    async def scenario(store: RedisStore) -> None:
        with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await store.ping()

    play(url(server, PASSWORD, "ssl_cert_reqs=required"), scenario)


def test_a_wrong_password_is_refused_over_tls_too(
    server: RedisServer, certificates: Certificates
) -> None:
    async def scenario(store: RedisStore) -> None:
        with pytest.raises(ConfigurationError, match="PROFILER_STORE_URL"):
            await store.ping()

    play(url(server, "guessed", f"ssl_ca_certs={certificates.authority}"), scenario)

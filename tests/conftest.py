from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from profiler.errors import ProfilerError
from tests.servers.redis_server import Kind, command_of

# The machines that run this are shared and slow at times: speed is `make bench`'s matter.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


@pytest.fixture(scope="session")
def redis_7() -> Kind:
    """Redis without WAITAOF and with TLS; a test is skipped only if it cannot be fetched."""
    try:
        command_of("redis")
    except ProfilerError as fault:
        pytest.skip(str(fault))
    return "redis"

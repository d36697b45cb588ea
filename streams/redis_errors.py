"""What the Redis client raises, as errors of our own tree. No message holds a password.

"Unavailable" is all that passes by itself (a restart, a failover, a full disk): wait and try again.
What a person must change is a `ConfigurationError`; anything else is a `StoreError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import redis
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)

from profiler.errors import ConfigurationError, StoreError, StoreUnavailable

SETTING: Final = "PROFILER_STORE_URL"
_EXAMPLE: Final = "redis://127.0.0.1:6379/0, or rediss:// for TLS, or unix://"

_REFUSED: Final = (AuthenticationError, AuthorizationError, NoPermissionError)
_PASSING: Final = (
    redis.ConnectionError,
    redis.TimeoutError,
    OSError,
    AskError,  # among them MOVED: a cluster that is being changed
    ClusterDownError,
    NoScriptError,  # scripts were flushed within the very batch that had loaded them
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
_PASSING_CODES: Final = ("BUSY", "MISCONF", "NOREPLICAS", "UNBLOCKED")


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn errors of the Redis client into ours."""
    try:
        yield
    except _REFUSED as refused:
        raise ConfigurationError(SETTING, f"the store refused us: {refused}") from refused
    except _PASSING as away:
        raise StoreUnavailable(str(away)) from away
    except RedisError as fault:
        passing = str(fault).startswith(_PASSING_CODES)
        raise (StoreUnavailable if passing else StoreError)(str(fault)) from fault


def checked_url(url: str) -> str:
    """Return the address as it is, if it is one."""
    try:
        # Connects to nothing, but takes all options in the address.
        redis.ConnectionPool.from_url(url).make_connection()
    except (TypeError, ValueError, redis.RedisError):
        # Not chained: the cause's message may quote a part of it.
        raise ConfigurationError(SETTING, f"is no address of a store, e.g. {_EXAMPLE}") from None
    return url

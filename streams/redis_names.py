"""Readable names of tokens in Redis: hashes that grow up to a bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from streams.redis_commands import chunks
from streams.store import name_field, names_key

NAMES_PER_COMMAND: Final = 1_000


def put_names(
    commands: Any, names: Mapping[str, Mapping[int, str]], names_max: int, ttl_s: int
) -> int:
    """Keep names by kind and token hash; return how many did not fit.

    The bound is checked before, so two round trips.

    Parameters
    ----------
    commands
        A client of redis-py.
    names_max
        Names kept per kind, give or take what workers add at the same moment.
    """
    n_dropped = 0
    pipeline = commands.pipeline(transaction=False)
    for kind in names:
        pipeline.hlen(names_key(kind))
    for (kind, new), n_known in zip(names.items(), pipeline.execute(), strict=True):
        key = names_key(kind)
        fields = [(name_field(token_hash), name) for token_hash, name in new.items()]
        room = max(0, names_max - n_known)
        if room < len(fields):
            known = commands.hmget(key, [field for field, _ in fields])
            fields = [f for f, old in zip(fields, known, strict=True) if old is None]
            n_dropped += max(0, len(fields) - room)
        for chunk in chunks(fields[:room], NAMES_PER_COMMAND):
            pipeline.hset(key, mapping=dict(chunk))
        pipeline.expire(key, ttl_s)
    pipeline.execute()
    return n_dropped

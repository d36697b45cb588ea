"""What the producer of a run sends: people at random, some records broken, some sent twice.

A third of the people have producers with another partitioner than the usual one: half of these
hash as librdkafka does, so that all events of a person come in one partition, which is seldom their
home; the others take the partitions in turn, so that nobody knows the order of a person's events.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec
from msgspec import Struct

from profiler.faults import FAULTS, Fields

USERS: Final = 5_000
BROKEN: Final = 0.004
REPEATED: Final = 0.02
REPEATED_AFTER_MAX: Final = 500
"""A row remembers 32 ids: a repetition must come before its person has done so many new things."""

Partitioner = Literal["murmur2", "crc32", "in turn"]
PARTITIONERS: Final[tuple[Partitioner, ...]] = (*("murmur2",) * 4, "crc32", "in turn")
"""By number of the person, over and over."""

TYPES: Final = ("browse", "click", "cart", "purchase", "search")
WEIGHTS: Final = (50, 30, 10, 6, 4)


class Sent(Struct, frozen=True, kw_only=True):
    """One record.

    Parameters
    ----------
    key, value
        As they are sent.
    fault
        The reason that its dead letter must carry, if it is broken.
    partitioner
        What chooses its partition.
    """

    key: bytes
    value: bytes
    fault: str | None = None
    partitioner: Partitioner = "murmur2"


def traffic(seed: int, now_ms: Callable[[], int]) -> Iterator[Sent]:
    """Give records without end; the event ids are distinct but for the repetitions."""
    rng = random.Random(seed)
    recent: deque[Sent] = deque(maxlen=REPEATED_AFTER_MAX)
    number = 0
    while True:
        if recent and rng.random() < REPEATED:
            yield rng.choice(recent)
            continue
        number += 1
        user = rng.randrange(USERS)
        fields = _fields(rng, f"{seed}-{number}", now_ms(), user)
        key = str(fields["user_id"]).encode()
        by = PARTITIONERS[user % len(PARTITIONERS)]
        if rng.random() < BROKEN:
            reason, spoil = rng.choice(FAULTS)
            yield Sent(key=key, value=spoil(fields), fault=reason, partitioner=by)
        else:
            sent = Sent(key=key, value=msgspec.json.encode(fields), partitioner=by)
            # In another partition a repetition may come much later.
            if by != "in turn":
                recent.append(sent)
            yield sent


def _fields(rng: random.Random, event_id: str, ts: int, user: int) -> Fields:
    kind = rng.choices(TYPES, WEIGHTS)[0]
    fields: Fields = {
        "event_id": event_id,
        "type": kind,
        "ts": ts,
        "user_id": f"user-{user}",
    }
    if kind == "search":
        return {**fields, "query": f"word{rng.randrange(300)} word{rng.randrange(300)}"}
    item = rng.randrange(2_000)
    fields |= {"item_id": f"item-{item}", "category": f"category-{item % 40}"}
    if kind in ("cart", "purchase"):
        fields |= {"price": 1.0 + item % 90, "currency": "EUR", "quantity": 1 + item % 3}
    return fields

"""The topic of updates: who moved to another profile, returned from one, or was erased.

Sent after the profiles are written and before what led to it is acknowledged: at least once. Who
reads a record and then the profile sees what it tells, or what is newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.pipeline import Processed
from profiler.updates import Told, Update, encode_update, updates_of
from streams.arena import Arena
from streams.broker import PLAINTEXT, BrokerSecurity
from streams.sender import Sender

BATCH_BYTES: Final = 65_536
REQUEST_BYTES_MAX: Final = 1_048_576
AS_OF: Final = "core.as_of"


def tell(
    told: Told,
    pids: Sequence[str],
    processed: Processed,
    erased: NDArray[np.bool_],
    arena: Arena,
    slots: NDArray[np.intp],
) -> dict[str, Update]:
    """Updates of a computed batch, whose rows are in the arena again, by pid.

    Parameters
    ----------
    pids, slots
        The batch's people, and where they are in the arena.
    erased
        (R,) whether a tombstone stood for them before.
    """
    relinked = processed.relinked
    if told == "none" or (told == "links" and not relinked.shifted):
        return {}
    as_of = arena.columns(slots, [AS_OF])[AS_OF]
    return updates_of(told, pids, relinked, erased, arena.revisions(slots), as_of)


class KafkaUpdates:
    """Sends updates, keyed by profile id; connects at the first one.

    Parameters
    ----------
    brokers
        Bootstrap addresses, separated by commas.
    topic
        Full name of the topic of updates.
    told
        Which changes are told.
    security
        Of the brokers.
    """

    def __init__(
        self, brokers: str, topic: str, told: Told, security: BrokerSecurity = PLAINTEXT
    ) -> None:
        self.told = told
        self._topic = topic
        self._sender = Sender(
            brokers, security, batch_bytes=BATCH_BYTES, request_bytes_max=REQUEST_BYTES_MAX
        )

    async def send(self, updates: Sequence[Update]) -> None:
        """See `streams.committer.Updates`.

        Raises
        ------
        BrokerUnavailable
            Some may not be kept; send all of them again.
        """
        await self._sender.send(self._topic, ((u.pid.encode(), encode_update(u)) for u in updates))

    async def close(self) -> None:
        """Close the connection; a later `send` opens it again."""
        await self._sender.close()

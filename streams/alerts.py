"""The topic of alerts: who is held from now on, or no longer.

Sent before the profile is written, which once written no longer tells what it was: at least once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from profiler.guard import Alert
from streams.broker import PLAINTEXT, BrokerSecurity
from streams.sender import Sender

BATCH_BYTES: Final = 16_384
REQUEST_BYTES_MAX: Final = 1_048_576


class KafkaAlerts:
    """Sends alerts, keyed by profile id; connects at the first one.

    Parameters
    ----------
    brokers
        Bootstrap addresses, separated by commas.
    topic
        Full name of the topic of alerts.
    security
        Of the brokers.
    """

    def __init__(self, brokers: str, topic: str, security: BrokerSecurity = PLAINTEXT) -> None:
        self._topic = topic
        self._sender = Sender(
            brokers, security, batch_bytes=BATCH_BYTES, request_bytes_max=REQUEST_BYTES_MAX
        )

    async def send(self, alerts: Sequence[Alert]) -> None:
        """Send alerts, and return once all are acknowledged by all replicas.

        Raises
        ------
        BrokerUnavailable
            Some may not be kept; send all of them again.
        """
        encode = msgspec.json.encode
        await self._sender.send(self._topic, ((a.pid.encode(), encode(a)) for a in alerts))

    async def close(self) -> None:
        """Close the connection; a later `send` opens it again."""
        await self._sender.close()

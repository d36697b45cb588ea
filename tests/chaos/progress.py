"""How a consumer group gets on while things break: its lag, and its longest standstill."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.eventlog import READ
from streams.settings import Settings

SAMPLE_INTERVAL_S: Final = 0.2
ANSWER_TIMEOUT_S: Final = 2.0
STALL_TOLD_S: Final = 5.0


class Progress:
    """Watches the committed offsets of a group in a thread of its own.

    While the brokers do not answer nothing can be committed: that is a standstill as well.

    Attributes
    ----------
    lag
        Records between the committed offsets and the ends of the partitions of events and of
        forwarded events, as last seen.
    n_forwarded
        Records in the topic of forwarded events, as last seen.
    n_looks
        How often it was seen.
    longest_stall_s
        Longest time in which there was a lag, and no committed offset moved.
    """

    def __init__(self, settings: Settings, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self.lag = self.n_forwarded = self.n_looks = 0
        self.longest_stall_s = 0.0
        self._forwarded = settings.topic("forwarded")
        self._partitions = [
            TopicPartition(topic, n)
            for topic in map(settings.topic, READ)
            for n in range(settings.partitions)
        ]
        # It asks about the group and never joins it.
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.brokers,
                "group.id": settings.group,
                "enable.auto.commit": False,
                # What it believes of a broker that went away must not blind it for long.
                "coordinator.query.interval.ms": 1_000,
                "topic.metadata.refresh.interval.ms": 1_000,
                "reconnect.backoff.max.ms": 500,
                "socket.timeout.ms": 3_000,
                "log_level": 0,
            }
        )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End; the figures stay."""
        self._over.set()
        self._thread.join()
        self._consumer.close()

    def _watch(self) -> None:
        moved_s = time.monotonic()
        committed: list[int] = []
        while not self._over.wait(SAMPLE_INTERVAL_S):
            try:
                now, self.lag, self.n_forwarded = self._look()
            except KafkaException:
                continue
            self.n_looks += 1
            # Looked at after a blackout, it may have moved long ago: so this is an upper bound.
            stall_s = time.monotonic() - moved_s
            self.longest_stall_s = max(self.longest_stall_s, stall_s)
            if now != committed or self.lag == 0:
                if stall_s > STALL_TOLD_S:
                    self._tell(f"  no offset was committed for {stall_s:.1f} s")
                moved_s, committed = time.monotonic(), now

    def _look(self) -> tuple[list[int], int, int]:
        # In this order: what an offset of an event stands for has been forwarded.
        found = self._consumer.committed(self._partitions, timeout=ANSWER_TIMEOUT_S)
        committed = [max(0, partition.offset) for partition in found]
        ends = [
            self._consumer.get_watermark_offsets(p, timeout=ANSWER_TIMEOUT_S)[1]
            for p in self._partitions
        ]
        lag = sum(end - at for end, at in zip(ends, committed, strict=True))
        n_forwarded = sum(
            end for p, end in zip(self._partitions, ends, strict=True) if p.topic == self._forwarded
        )
        return committed, lag, n_forwarded

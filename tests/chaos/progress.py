"""How a consumer group gets on while things break: its lag, and its longest standstill."""

from __future__ import annotations

import threading
import time
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from streams.settings import Settings

SAMPLE_INTERVAL_S: Final = 0.2
ANSWER_TIMEOUT_S: Final = 2.0


class Progress:
    """Watches the committed offsets of a group in a thread of its own.

    While the brokers do not answer nothing can be committed: that is a standstill as well.

    Attributes
    ----------
    lag
        Records between the committed offsets and the ends of the partitions, as last seen.
    n_looks
        How often it was seen.
    longest_stall_s
        Longest time in which there was a lag, and no committed offset moved.
    """

    def __init__(self, settings: Settings) -> None:
        self.lag = self.n_looks = 0
        self.longest_stall_s = 0.0
        topic = settings.topic("events")
        self._partitions = [TopicPartition(topic, n) for n in range(settings.partitions)]
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
                now, self.lag = self._look()
            except KafkaException:
                continue
            self.n_looks += 1
            # Looked at after a blackout, it may have moved long ago: so this is an upper bound.
            self.longest_stall_s = max(self.longest_stall_s, time.monotonic() - moved_s)
            if now != committed or self.lag == 0:
                moved_s, committed = time.monotonic(), now

    def _look(self) -> tuple[list[int], int]:
        found = self._consumer.committed(self._partitions, timeout=ANSWER_TIMEOUT_S)
        committed = [max(0, partition.offset) for partition in found]
        ends = [
            self._consumer.get_watermark_offsets(p, timeout=ANSWER_TIMEOUT_S)[1]
            for p in self._partitions
        ]
        return committed, sum(end - at for end, at in zip(ends, committed, strict=True))

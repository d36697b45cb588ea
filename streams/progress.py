"""How far a partition has come: delivered, acknowledged, committed."""

from __future__ import annotations

from collections import deque
from typing import Any

from faust.types.tuples import ConsumerMessage, Message

from profiler.errors import TopicReplaced


class Progress:
    """What of one partition was delivered, acknowledged and committed in this assignment.

    Parameters
    ----------
    begins
        Offset from which it is to be delivered: what is committed.
    """

    __slots__ = ("acknowledged", "committed", "delivered", "outstanding", "texts")

    def __init__(self, begins: int = 0) -> None:
        self.outstanding: deque[tuple[int, ConsumerMessage]] = deque()
        self.texts: dict[int, str] = {}
        self.delivered = begins
        self.acknowledged: int | None = None
        self.committed: int | None = None

    def deliver(self, message: ConsumerMessage, first_offset: int) -> None:
        """Take note of a batch that is about to be delivered.

        Raises
        ------
        TopicReplaced
            It begins before the end of the last one, or before what is committed: aiokafka starts
            a partition afresh whose end lies before what it asks for.
        """
        if first_offset < self.delivered:
            raise TopicReplaced(
                f"partition {message.partition} of {message.topic} goes on at offset "
                f"{first_offset} after {self.delivered}: it lost its end or was made anew"
            )
        self.delivered = message.offset + 1
        self.outstanding.append((first_offset, message))

    def to_commit(self) -> int | None:
        """Offset after the acknowledged prefix, where it is not committed yet."""
        # Asked of the messages themselves: a late acknowledgement from an earlier assignment is of
        # a message in no queue, and vouches for nothing even where a new batch ends alike.
        while self.outstanding and self.outstanding[0][1].acked:
            message: Any = self.outstanding.popleft()[1]
            self.acknowledged = message.offset + 1
            self.texts[self.acknowledged] = message.value
        return None if self.acknowledged == self.committed else self.acknowledged

    def note_committed(self, offset: int) -> None:
        """Note that an offset which `to_commit` gave is committed."""
        self.committed = offset
        self.texts = {at: text for at, text in self.texts.items() if at > offset}

    def lag(self, highwater: int | None) -> int:
        """Records of the partition that are not acknowledged."""
        left = next((first for first, message in self.outstanding if not message.acked), None)
        return 0 if left is None or highwater is None else highwater - left

    def is_outstanding(self, message: Message) -> bool:
        """Whether a batch was delivered in this assignment, and has not been counted since."""
        return any(known is message for _, known in self.outstanding)

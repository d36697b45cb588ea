"""Decisions that wait for feedback, which comes late, in any order, twice, or never.

The reward of a decision is that of its best result, so neither order nor repetition matters: each
piece of feedback adds what it is worth more than what was known. That a decision was shown and
nothing came is what the impression says that was counted when it was shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from profiler.columns import DAY_MS
from profiler.events import Feedback, timestamp_ms
from profiler.optimisation.decision import Decision, Lesson, Rewards

DECISIONS_MAX: Final = 65_536
HORIZON_MS: Final = 7 * DAY_MS

OUTCOMES: Final = ("learnt", "repeated", "unknown", "late", "other_item")
"""What becomes of feedback, for counters."""


class Waiting(Struct):
    """A decision, and the best reward that was heard of; None before anything was."""

    decision: Decision
    reward: float | None = None


class Pending:
    """A bounded buffer of decisions.

    Parameters
    ----------
    rewards
        What results are worth.
    decisions_max
        Beyond it the decision that was added first is dropped; its feedback counts no more.
    horizon_ms
        Feedback that comes later than this after the decision is not due to it.

    Attributes
    ----------
    counts
        Number of feedback events by `OUTCOMES`.

    Examples
    --------
    >>> pending = Pending(Rewards())
    >>> pending.add(Decision("d1", 0, (), ("a", "b"), (0.5, 0.5), "a", ("a", "b"), "v1"))
    >>> say = {"ts": 1000, "user_id": "u", "recommendation_id": "d1"}
    >>> [bought] = pending.join([Feedback(action="bought", **say)])
    >>> pending.join([Feedback(action="shown", **say)]), bought.after, bought.is_first
    ([], 1.0, True)
    """

    def __init__(
        self,
        rewards: Rewards,
        decisions_max: int = DECISIONS_MAX,
        horizon_ms: int = HORIZON_MS,
    ) -> None:
        self.rewards = rewards
        self.counts: Counter[str] = Counter()
        self._decisions_max = decisions_max
        self._horizon_ms = horizon_ms
        self._waiting: dict[str, Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, decision: Decision) -> None:
        """Wait for feedback on a decision; one that is known already stays as it is."""
        if decision.decision_id in self._waiting:
            return
        self._waiting[decision.decision_id] = Waiting(decision)
        self._drop_oldest()

    def join(self, events: Iterable[Feedback]) -> list[Lesson]:
        """What these events teach of the decisions that they name.

        An event that also names an item is about the decision only if that was what was chosen.
        """
        lessons = []
        for event in events:
            outcome, lesson = self._joined(event)
            self.counts[outcome] += 1
            if lesson is not None:
                lessons.append(lesson)
        return lessons

    def _joined(self, event: Feedback) -> tuple[str, Lesson | None]:
        waiting = self._waiting.get(event.recommendation_id or "")
        if waiting is None:
            return "unknown", None
        decision, known = waiting.decision, waiting.reward
        if event.item_id is not None and event.item_id != decision.chosen:
            return "other_item", None
        if timestamp_ms(event.ts) - decision.at_ms > self._horizon_ms:
            return "late", None
        reward = self.rewards.of(event.action)
        if known is not None and reward <= known:
            return "repeated", None
        waiting.reward = reward
        return "learnt", Lesson(decision, known or 0.0, reward, is_first=known is None)

    def export(self) -> list[Waiting]:
        """All that waits, as plain data for JSON."""
        return list(self._waiting.values())

    def restore(self, waiting: Iterable[Waiting]) -> None:
        """Go on from what was exported, in the place of what waits now."""
        self._waiting = {one.decision.decision_id: one for one in waiting}
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        while len(self._waiting) > self._decisions_max:
            del self._waiting[next(iter(self._waiting))]

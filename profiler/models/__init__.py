"""Models: what is asked (a task per file), who answers (`candidates/`), and the bank of both.

A new task is a new file and its line in `TASKS`.
"""

from __future__ import annotations

from typing import Final

from profiler.models.back import BackWithin
from profiler.models.purchase import PurchaseInSession
from profiler.models.spend import SpendWithin
from profiler.models.task import Task

__all__ = ["TASKS", "BackWithin", "PurchaseInSession", "SpendWithin", "Task"]

TASKS: Final[tuple[Task, ...]] = (
    PurchaseInSession(),
    BackWithin(),
    SpendWithin(),
)
"""What is asked at every event. Their order fixes the slice *intent* of the vector."""

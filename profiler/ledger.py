"""Lost and duplicated events, by a ledger: what a producer knows was acknowledged."""

from __future__ import annotations

from collections.abc import Mapping

from profiler.events import BEHAVIOUR_TYPES


class LedgerCheck:
    """Events lost and duplicated, by what a producer knows was acknowledged.

    Parameters
    ----------
    ledger
        Events by type, by pid.

    Examples
    --------
    >>> check = LedgerCheck({"a": {"click": 3}, "b": {"cart": 1}})
    >>> check.see("a", [5] + [0] * 10)
    >>> check.lost, check.duplicated
    (1, 2)
    """

    def __init__(self, ledger: Mapping[str, Mapping[str, int]]) -> None:
        self._expected = {
            pid: [counts.get(name, 0) for name in BEHAVIOUR_TYPES] for pid, counts in ledger.items()
        }
        self._lost = self._duplicated = 0

    def see(self, pid: str, counts: list[int] | None) -> None:
        """Compare a stored profile's plain counts; None is a tombstone, which holds nothing."""
        expected = self._expected.pop(pid, [0] * len(BEHAVIOUR_TYPES))
        if counts is not None:
            pairs = list(zip(expected, counts, strict=True))
            self._lost += sum(max(0, e - a) for e, a in pairs)
            self._duplicated += sum(max(0, a - e) for e, a in pairs)

    @property
    def lost(self) -> int:
        """Acknowledged events that no profile seen so far counts."""
        return self._lost + sum(map(sum, self._expected.values()))

    @property
    def duplicated(self) -> int:
        """Events counted that were never acknowledged."""
        return self._duplicated

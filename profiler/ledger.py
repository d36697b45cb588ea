"""Lost and duplicated events, by a ledger: what a producer knows was acknowledged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from profiler.events import BEHAVIOUR_TYPES

EMPTY: Final[Mapping[str, Mapping[str, int]]] = {}
NOTHING: Final = [0] * len(BEHAVIOUR_TYPES)


class LedgerCheck:
    """Events lost and duplicated, by what a producer knows was acknowledged.

    Parameters
    ----------
    ledger
        Events by type, by pid.
    unknown
        The same of events that may have been acknowledged or not: neither lost nor duplicated.

    Examples
    --------
    >>> check = LedgerCheck({"a": {"click": 3}, "b": {"cart": 1}})
    >>> check.see("a", [5] + [0] * 11)
    >>> check.lost, check.duplicated
    (1, 2)
    """

    def __init__(
        self,
        ledger: Mapping[str, Mapping[str, int]],
        unknown: Mapping[str, Mapping[str, int]] = EMPTY,
    ) -> None:
        self._expected = _lists(ledger)
        self._unknown = _lists(unknown)
        self._lost = self._duplicated = 0

    def see(self, pid: str, counts: list[int] | None) -> None:
        """Compare a stored profile's plain counts; None is a tombstone, which holds nothing."""
        expected = self._expected.pop(pid, NOTHING)
        unknown = self._unknown.get(pid, NOTHING)
        if counts is not None:
            self._lost += sum(max(0, e - a) for e, a in zip(expected, counts, strict=True))
            triples = zip(expected, unknown, counts, strict=True)
            self._duplicated += sum(max(0, a - e - u) for e, u, a in triples)

    @property
    def lost(self) -> int:
        """Acknowledged events that no profile seen so far counts."""
        return self._lost + sum(map(sum, self._expected.values()))

    @property
    def duplicated(self) -> int:
        """Events counted that were never acknowledged."""
        return self._duplicated


def _lists(ledger: Mapping[str, Mapping[str, int]]) -> dict[str, list[int]]:
    return {pid: [counts.get(n, 0) for n in BEHAVIOUR_TYPES] for pid, counts in ledger.items()}

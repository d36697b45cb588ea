"""What should be the same each time and is not: one item under several titles, and the like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from profiler.columns import Floats
from profiler.quality.facts import Facts, Problem
from profiler.tokens import normal

KEYS_MAX: Final = 65_536
"""Keys that are remembered of each relation, with their first value: some 20 MiB at worst."""

VALUES_MAX: Final = 4
"""Values that are told of one key."""

PRICE_RATIO_MIN: Final = 50.0
"""From here on the prices of an item are hardly in one unit: cents and units differ by 100."""

_OF_ITEM: Final = ("title", "category", "brand", "currency")
_SPELT: Final = ("category", "brand")


class Conflict(NamedTuple):
    """A key with several values."""

    key: str
    values: tuple[str, ...]


class Steady:
    """Finds keys that come with more than one value; remembers the first `KEYS_MAX` of them.

    Examples
    --------
    >>> steady = Steady()
    >>> steady.add(["cup", "hat", "cup"], ["Mug", "Hat", "Cup"])
    >>> steady.n_keys, steady.conflicts
    (2, {'cup': {'Mug': None, 'Cup': None}})
    """

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._first: dict[str, str] = {}
        self.conflicts: dict[str, dict[str, None]] = {}
        self.is_full = False

    @property
    def n_keys(self) -> int:
        """Number of keys that were compared."""
        return len(self._first)

    def add(self, keys: Iterable[Any], values: Iterable[Any]) -> None:
        """Compare the values of these keys; what is missing, or is no text, says nothing."""
        for key, value in dict.fromkeys(_pairs(keys, values)):
            first = self._first.get(key)
            if first == value:
                continue
            if first is not None:
                several = self.conflicts.setdefault(key, {first: None})
                if len(several) < VALUES_MAX:
                    several[value] = None
            elif len(self._first) < self._keys_max:
                self._first[key] = value
            else:
                self.is_full = True

    def worst(self, n_max: int) -> list[Conflict]:
        """Give the keys with the most values."""
        ordered = sorted(self.conflicts.items(), key=lambda pair: -len(pair[1]))
        return [Conflict(key, tuple(values)) for key, values in ordered[:n_max]]


class Spread:
    """Finds items whose prices differ by a factor that no sale explains."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._range: dict[tuple[str, str | None], tuple[float, float]] = {}
        self.is_full = False

    @property
    def n_keys(self) -> int:
        """Number of items, once per currency."""
        return len(self._range)

    def add(self, items: Sequence[Any], currencies: Sequence[Any], prices: Floats) -> None:
        """Compare the prices of these items that are above zero."""
        for item, currency, price in set(zip(items, currencies, prices.tolist(), strict=True)):
            if not (price > 0 and item and isinstance(item, str)):
                continue
            key = (item, currency)
            known = self._range.get(key)
            if known is not None:
                self._range[key] = (min(known[0], price), max(known[1], price))
            elif len(self._range) < self._keys_max:
                self._range[key] = (price, price)
            else:
                self.is_full = True

    @property
    def conflicts(self) -> list[tuple[float, str, float, float]]:
        """Ratio, item, lowest and highest price of those that differ so much, the worst first."""
        found = [
            (high / low, item, low, high)
            for (item, _), (low, high) in self._range.items()
            if high / low >= PRICE_RATIO_MIN
        ]
        return sorted(found, reverse=True)


class Relations:
    """All relations between the fields of events."""

    def __init__(self) -> None:
        self.steady: dict[Problem, Steady] = {
            **{Problem("consistency", name, "several_per_item"): Steady() for name in _OF_ITEM},
            **{Problem("consistency", name, "several_spellings"): Steady() for name in _SPELT},
        }
        self.prices = Spread()

    def add(self, facts: Facts) -> None:
        """Compare these facts with each other and with all before."""
        items = facts.column("item_id")
        for problem, steady in self.steady.items():
            values = facts.column(problem.field)
            if problem.name == "several_per_item":
                steady.add(items, values)
            else:
                steady.add([_folded(value) for value in values], values)
        currencies = [c if isinstance(c, str) else None for c in facts.column("currency")]
        self.prices.add([_text(i) for i in items], currencies, facts.numbers("price"))


def _pairs(keys: Iterable[Any], values: Iterable[Any]) -> Iterable[tuple[str, str]]:
    return (
        (key, value)
        for key, value in zip(keys, values, strict=True)
        if key and value and isinstance(key, str) and isinstance(value, str)
    )


def _folded(value: Any) -> str | None:
    return normal(value).casefold() if isinstance(value, str) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None

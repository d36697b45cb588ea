"""Repeat-last: people turn to what they turned to, the latest first, then to what is popular."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from functools import partial
from itertools import islice
from typing import Final

from profiler.evaluation.baselines.contract import Family, filled
from profiler.evaluation.baselines.popularity import Popularity


class Recent:
    """Each person's items, the latest first.

    Examples
    --------
    >>> recent = Recent()
    >>> for item in (3, 5, 3):
    ...     recent.add(0, item)
    >>> recent.last(0, 9), recent.last(1, 9)
    ([3, 5], [])
    """

    def __init__(self) -> None:
        self._items: defaultdict[int, dict[int, None]] = defaultdict(dict)

    def add(self, person: int, item: int) -> None:
        """Put an item in front."""
        items = self._items[person]
        items.pop(item, None)
        items[item] = None

    def last(self, person: int, n: int) -> list[int]:
        """Give the last `n` different ones."""
        return list(islice(reversed(self._items.get(person, {})), n))


class RepeatLast:
    """A person's own items, then popular ones.

    Parameters
    ----------
    fallback_ms
        Half-life of the popularity.
    but_one
        Whether the very last item comes after the others: where nobody turns to what is already
        before them, it only takes the first place from another.
    """

    def __init__(self, fallback_ms: float, *, but_one: bool = False) -> None:
        self.name = "repeat last but one" if but_one else "repeat last"
        self._but_one = but_one
        self._popularity = Popularity(fallback_ms)
        self._recent = Recent()

    def rank(self, person: int, k: int, exclude: Collection[int], ts: int) -> list[int]:
        """Give the person's items, the latest first, then popular ones."""
        own = self._recent.last(person, k + len(exclude))
        if self._but_one:
            own = own[1:] + own[:1]
        return filled(own, self._popularity.items(), k, exclude)

    def learn(self, person: int, item: int, ts: int) -> None:
        """Remember an event."""
        self._recent.add(person, item)
        self._popularity.learn(person, item, ts)


FAMILY: Final = Family("repeat last", (RepeatLast, partial(RepeatLast, but_one=True)))

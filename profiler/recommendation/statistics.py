"""Statistics of all people together: what goes with what, what belongs where, what is popular."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from profiler.columns import Hashes
from profiler.recommendation.associations import HEAD, Associations, Touched
from profiler.recommendation.recommender import Answer, Ranked, Steps, Wanted
from profiler.recommendation.seen import Seen
from profiler.recommendation.shelf import Shelf


class Statistics:
    """Tables of items, of categories, and of the items in each category, in memory."""

    def __init__(self) -> None:
        self.items = Associations()
        self.categories = Associations()
        self.members = Associations()

    def add(self, seen: Seen) -> None:
        """Count events."""
        of_item, of_category = np.flatnonzero(seen.item), np.flatnonzero(seen.category)
        both = of_item[seen.category[of_item] != 0]
        self.items.add(_touched(seen, seen.item, seen.items_before, of_item))
        self.categories.add(_touched(seen, seen.category, seen.categories_before, of_category))
        self.members.add(_touched(seen, seen.category, seen.item[:, None], both))

    def answer(self, wanted: Wanted) -> Answer:
        """What a recommendation wants to know."""
        return Answer(
            self.items.rows(wanted.rows),
            self.categories.rows(wanted.categories),
            self.members.rows(wanted.members),
            self.items.heads(wanted.heads),
        )

    def rank(self, steps: Steps) -> Ranked:
        """Answer all that a recommendation wants to know."""
        wanted = next(steps)
        while True:
            try:
                wanted = steps.send(self.answer(wanted))
            except StopIteration as done:
                ranked: Ranked = done.value
                return ranked

    def item_shelf(self, tokens: Sequence[int] | None = None) -> Shelf:
        """Shelf of all items, or of these."""
        return _shelf(self.items, tokens)

    def category_shelf(self, tokens: Sequence[int] | None = None) -> Shelf:
        """Shelf of all categories, or of these."""
        return _shelf(self.categories, tokens)


def _touched(seen: Seen, token: Hashes, before: Hashes, index: NDArray[np.intp]) -> Touched:
    return Touched(
        seen.ts[index], token[index], before[index], seen.category[index], seen.content[index]
    )


def _shelf(table: Associations, tokens: Sequence[int] | None) -> Shelf:
    heads = table.heads(table.tokens() if tokens is None else tokens)
    return Shelf(np.zeros(0, dtype=HEAD)).with_heads(heads)

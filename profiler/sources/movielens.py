"""MovieLens ratings, in the three layouts in which they have been published.

``userId,movieId,rating,timestamp`` with a header and commas (`ratings.csv` of ml-latest, ml-25m …),
with ``::`` (`ratings.dat` of ml-1m, ml-10m), or with tabs (`u.data` of ml-100k); the first line
tells which. Unix seconds. A rating is taken as a sign of interest: from 4 of 5 stars on it is a
click, below that a browse. Our events about items have no stars, so the number is not kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from msgspec import Struct

from profiler.sources.source import Converted, Form, See, Source
from profiler.sources.table import Fields, Table, real, seconds

_NAME: Final = "movielens"
_COLUMNS: Final = ("userId", "movieId", "rating", "timestamp")
_LIKED_MIN: Final = 4.0


class Movielens(Struct, frozen=True):
    """The three layouts in which the ratings have been published."""

    name: str = _NAME

    @property
    def form(self) -> Form:
        """Lines of separated fields."""
        return "csv"

    def convert(
        self, lines: Iterable[bytes], stem: str, see: See | None = None
    ) -> Iterator[Converted]:
        """Give the records of a file of ratings."""
        rest = iter(lines)
        first = next(rest, b"")
        whole = chain((first,), rest)
        table = _COLONS if b"::" in first else _TABS if b"\t" in first else _COMMAS
        return table.convert(whole, stem, see)


def _event(fields: Fields) -> dict[str, object]:
    user, movie, rating_text, timestamp = fields
    rating = real(rating_text)
    is_liked = isinstance(rating, float) and rating >= _LIKED_MIN
    return {
        "type": "click" if is_liked else "browse",
        "ts": seconds(timestamp),
        "user_id": user,
        "item_id": movie,
    }


_PEOPLE: Final = frozenset({"userId"})

_COMMAS: Final = Table(name=_NAME, columns=_COLUMNS, event=_event, people=_PEOPLE)
_COLONS: Final = Table(name=_NAME, columns=_COLUMNS, event=_event, people=_PEOPLE, delimiter="::")
_TABS: Final = Table(name=_NAME, columns=_COLUMNS, event=_event, people=_PEOPLE, delimiter="\t")

SOURCE: Final[Source] = Movielens()

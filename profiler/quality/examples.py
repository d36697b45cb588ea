"""Examples of problems: where they are, and what may be shown of them.

What identifies a person, and what a person typed, is never shown: fields and columns are shown by
name only if they are known to be about things. Texts that hold an e-mail address are hidden too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from profiler.columns import Floats
from profiler.events import FIELDS
from profiler.sources import Row

EXAMPLES_MAX: Final = 3
SHOWN_CHARS_MAX: Final = 80
HIDDEN: Final = "***"

SHOWN: Final = frozenset(
    {
        *("type", "ts", "source", "item_id", "title", "category", "brand", "price", "currency"),
        *("quantity", "amount", "action", "dwell_ms", "n_results", "channel", "kind", "rating"),
    }
)
"""Fields of events whose values are shown."""


class Example(Struct, frozen=True):
    """One place where a problem shows.

    Parameters
    ----------
    at
        File and row, or topic, partition and offset; of a key with several values the key.
    shows
        Fields or columns, with what stands there.
    """

    at: str
    shows: dict[str, str]


class Worst:
    """The worst few examples of one problem; of equally bad ones the first."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, Example]] = []

    def offer(
        self, places: Sequence[int], badness: Floats | None, example: Callable[[int], Example]
    ) -> None:
        """Keep those of these places that are worse than what is kept."""
        if badness is None:
            if len(self._kept) == EXAMPLES_MAX:
                return
            chosen = [(0.0, place) for place in places[: EXAMPLES_MAX - len(self._kept)]]
        else:
            order = (-badness).argsort(kind="stable")[:EXAMPLES_MAX].tolist()
            chosen = [(float(badness[k]), places[k]) for k in order]
        least = self._kept[-1][0] if len(self._kept) == EXAMPLES_MAX else -float("inf")
        self._kept += [(bad, example(place)) for bad, place in chosen if bad > least]
        self._kept.sort(key=lambda pair: -pair[0])
        del self._kept[EXAMPLES_MAX:]

    @property
    def examples(self) -> tuple[Example, ...]:
        """Those that are kept, the worst first."""
        return tuple(example for _, example in self._kept)


def shown_row(row: Row) -> dict[str, str]:
    """Show a row of a table, or whatever a line is taken for.

    Examples
    --------
    >>> shown_row(Row(1, b'{"type":"search","ts":5,"user_id":"bob","query":"cup"}'))
    {'type': 'search', 'query': '***', 'ts': '5', 'user_id': '***'}
    """
    if row.fields is not None and row.columns is not None:
        return {
            name: HIDDEN if name in row.columns.people and value else shown(value)
            for name, value in zip(row.columns.names, row.fields, strict=True)
        }
    try:
        document = msgspec.json.decode(row.value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        document = None
    found = (
        {
            name: shown(document[name]) if name in SHOWN else HIDDEN
            for name in ("type", *FIELDS)
            if name in document
        }
        if isinstance(document, dict)
        else {}
    )
    return found or {"bytes": str(len(row.value))}


def shown(value: Any) -> str:
    """Show a value, shortened.

    Examples
    --------
    >>> shown("lamp"), shown(2.5), shown({"a": 1}), shown("to bob@shop.org")
    ('lamp', '2.5', '(dict)', '***')
    """
    if isinstance(value, dict | list):
        return f"({value.__class__.__name__})"
    try:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    except OverflowError:
        return "(a number of more than 64 bits)"
    if _E_MAIL.search(text):
        return HIDDEN
    return text if len(text) <= SHOWN_CHARS_MAX else f"{text[:SHOWN_CHARS_MAX]}…"


_E_MAIL: Final = re.compile(r"\S@\S")

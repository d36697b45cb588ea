"""YOOCHOOSE (RecSys Challenge 2015): `yoochoose-clicks.dat` and `yoochoose-buys.dat`, no headers.

Clicks are ``session,timestamp,item,category``, purchases ``session,timestamp,item,price,quantity``;
the number of columns of the first line tells which. Times like `2014-04-07T10:51:09.277Z`. The set
knows sessions, not people: the session is the anonymous id. Of the category, `0` says none is
known, eight or more digits name a brand, `S` is a special offer, anything else a category. A
purchase with price 0 *and* quantity 0 is one whose price and quantity were not recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from msgspec import Struct

from profiler.sources.source import Converted, Form, See, Source
from profiler.sources.table import Fields, Table, integer, moment, real

_NAME: Final = "yoochoose"
_BRAND_DIGITS_MIN: Final = 8


class Yoochoose(Struct, frozen=True):
    """Both files of the set."""

    name: str = _NAME

    @property
    def form(self) -> Form:
        """Lines of separated fields."""
        return "csv"

    def convert(
        self, lines: Iterable[bytes], stem: str, see: See | None = None
    ) -> Iterator[Converted]:
        """Give the records of a file of clicks or of purchases."""
        rest = iter(lines)
        first = next(rest, b"")
        table = _BUYS if first.count(b",") == len(_BUYS.columns) - 1 else _CLICKS
        return table.convert(chain((first,), rest), stem, see)


def _click(fields: Fields) -> dict[str, object]:
    session, timestamp, item, category = fields
    event: dict[str, object] = {
        "type": "click",
        "ts": moment(timestamp),
        "anonymous_id": session,
        "item_id": item,
    }
    if len(category) >= _BRAND_DIGITS_MIN:
        event["brand"] = category
    elif category not in ("", "0"):
        event["category"] = category
    return event


def _buy(fields: Fields) -> dict[str, object]:
    session, timestamp, item, price, quantity = fields
    event: dict[str, object] = {
        "type": "purchase",
        "ts": moment(timestamp),
        "anonymous_id": session,
        "item_id": item,
    }
    if not (real(price) == 0 and integer(quantity) == 0):
        event["price"] = real(price)
        event["quantity"] = integer(quantity)
    return event


_CLICKS: Final = Table(
    name=_NAME,
    columns=("session", "timestamp", "item", "category"),
    event=_click,
    people=frozenset({"session"}),
)
_BUYS: Final = Table(
    name=_NAME,
    columns=("session", "timestamp", "item", "price", "quantity"),
    event=_buy,
    people=frozenset({"session"}),
)

SOURCE: Final[Source] = Yoochoose()

"""Taobao user behaviour (Alibaba Tianchi, `UserBehavior.csv`), which has no header line.

``user_id,item_id,category_id,behavior,timestamp``; Unix seconds. `pv` is a view of an item's page:
browse. `fav`, marking an item as a favourite, is the stronger interest and becomes click, as our
types have none of their own for it. `cart` and `buy` are cart and purchase; prices are unknown.
"""

from __future__ import annotations

from typing import Final

from profiler.sources.table import Fields, Table, seconds

_TYPES: Final = {"pv": "browse", "fav": "click", "cart": "cart", "buy": "purchase"}


def _event(fields: Fields) -> dict[str, object]:
    user, item, category, behavior, timestamp = fields
    return {
        "type": _TYPES.get(behavior, behavior),
        "ts": seconds(timestamp),
        "user_id": user,
        "item_id": item,
        "category": category,
    }


SOURCE: Final = Table(
    name="taobao",
    columns=("user_id", "item_id", "category_id", "behavior", "timestamp"),
    event=_event,
    people=frozenset({"user_id"}),
)

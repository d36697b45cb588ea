"""REES46 multi-category and cosmetics shops: `2019-Oct.csv` and its sisters.

``event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session``;
times like `2019-11-01 00:00:00 UTC`. `view` is browse, `cart` and `remove_from_cart` are cart with
their action, `purchase` is purchase. The category is the readable code where there is one, else the
id. The set does not say its currency, so the events do not either.
"""

from __future__ import annotations

from typing import Final

from profiler.sources.table import Fields, Table, identifier, moment, real

_TYPES: Final = {"view": "browse", "remove_from_cart": "cart"}


def _event(fields: Fields) -> dict[str, object]:
    time, kind, product, category_id, category_code, brand, price, user, session = fields
    event: dict[str, object] = {
        "type": _TYPES.get(kind, kind),
        "ts": moment(time),
        "user_id": user,
        "item_id": product,
    }
    if kind == "remove_from_cart":
        event["action"] = "remove"
    if category := identifier(category_code) or identifier(category_id):
        event["category"] = category
    if brand := identifier(brand):
        event["brand"] = brand
    if price:
        event["price"] = real(price)
    if session:
        event["session_id"] = session
    return event


SOURCE: Final = Table(
    name="rees46",
    columns=(
        "event_time",
        "event_type",
        "product_id",
        "category_id",
        "category_code",
        "brand",
        "price",
        "user_id",
        "user_session",
    ),
    event=_event,
    people=frozenset({"user_id", "user_session"}),
    steady=(("user_session", "user_id"),),
)

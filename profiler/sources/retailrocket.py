"""Retailrocket `events.csv`: views, carts and purchases of a shop's visitors over 4.5 months.

``timestamp,visitorid,event,itemid,transactionid``; Unix milliseconds. A visitor is a browser, not
an account: an anonymous id. `view` is browse, `addtocart` cart, `transaction` purchase; prices are
unknown (they are hashed in another file of the set).
"""

from __future__ import annotations

from typing import Final

from profiler.sources.table import Fields, Table, identifier, integer

_TYPES: Final = {"view": "browse", "addtocart": "cart", "transaction": "purchase"}


def _event(fields: Fields) -> dict[str, object]:
    timestamp, visitor, event, item, _ = fields
    return {
        "type": _TYPES.get(event, event),
        "ts": integer(timestamp),
        "anonymous_id": visitor,
        "item_id": identifier(item),
    }


SOURCE: Final = Table(
    name="retailrocket",
    columns=("timestamp", "visitorid", "event", "itemid", "transactionid"),
    event=_event,
    people=frozenset({"visitorid"}),
    optional=frozenset({"transactionid"}),
)

"""Value: recency, frequency, money, basket size and returns."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import (
    DAY_MS,
    MONTH_MS,
    EventColumns,
    Floats,
    Rows,
    Snapshot,
    segmented_max,
)
from profiler.events import BEHAVIOUR_TYPES
from profiler.facets.contract import Column, Description, Slice, described
from profiler.scans import prefix_decayed

_PURCHASE = BEHAVIOUR_TYPES.index("purchase")
_REFUND = BEHAVIOUR_TYPES.index("refund")
_MONTHLY = ("money", "money_back", "orders", "units")


class Value(Struct, frozen=True):
    """Money spent and returned, ever and with forgetting; orders and their units; recency."""

    name: str = "value"
    columns: tuple[Column, ...] = (
        Column("value.last_purchase", "<i8", "max"),
        Column("value.spent", "<f8", "sum"),
        Column("value.refunded", "<f8", "sum"),
        Column("value.money_day", "<f8", "sum", (), DAY_MS),
        *(Column(f"value.{name}", "<f8", "sum", (), MONTH_MS) for name in _MONTHLY),
    )
    slices: tuple[Slice, ...] = (
        Slice("value_day", 1, "currency units", DAY_MS, "log1p", ("money",)),
        Slice("value_month", 4, "currency units; orders; units", MONTH_MS, "log1p", _MONTHLY),
        Slice(
            "value_ever",
            3,
            "log1p of currency units; share; log1p of days or -1",
            labels=("spent", "return_share", "recency"),
        ),
    )
    feature_names: tuple[str, ...] = (
        *("money_month", "purchase_recency"),
        *("money_day", "spent"),
    )

    def features(self, rows: Rows, events: EventColumns) -> Floats:
        """log1p of what was before each event.

        The month's money, days since a purchase, the day's money, all money.
        """
        amounts = (events.type_code == _PURCHASE) * events.price * events.quantity
        stored = np.column_stack([rows["value.money"], rows["value.money_day"]])
        money = prefix_decayed(
            events, stored, np.column_stack([amounts, amounts]), (MONTH_MS, DAY_MS)
        )
        before_it = np.cumsum(amounts) - amounts
        spent = rows["value.spent"][events.row] + before_it - before_it[events.starts][events.row]
        known = rows["value.last_purchase"]
        bought_at = np.where(events.type_code == _PURCHASE, events.ts, 0)
        latest = segmented_max(np.maximum(bought_at, known[events.row]), events.row)
        before = np.empty_like(latest)
        before[1:] = latest[:-1]
        before[events.starts] = known
        days = np.where(before > 0, np.maximum(events.ts - before, 0) / DAY_MS, 0.0)
        known_of = np.column_stack([money[:, 0], days, money[:, 1], np.maximum(spent, 0.0)])
        return np.asarray(np.log1p(known_of))

    def update(self, rows: Rows, events: EventColumns) -> None:
        """Add the batch's purchases and refunds."""
        is_purchase = events.type_code == _PURCHASE
        is_refund = events.type_code == _REFUND
        if not (is_purchase.any() or is_refund.any()):
            return
        amount = events.price * events.quantity
        bought, returned = is_purchase * amount, is_refund * amount
        day, month = events.weight(DAY_MS), events.weight(MONTH_MS)
        latest = np.maximum.reduceat(np.where(is_purchase, events.ts, 0), events.starts)
        rows["value.last_purchase"] = np.maximum(rows["value.last_purchase"], latest)
        for name, added in (
            ("spent", bought),
            ("refunded", returned),
            ("money_day", bought * day),
            ("money", bought * month),
            ("money_back", returned * month),
            ("orders", is_purchase * month),
            ("units", is_purchase * events.quantity * month),
        ):
            rows[f"value.{name}"] += events.sum_by_row(added)

    def merge(self, a: Rows, b: Rows, out: Rows) -> None:
        """Nothing: all columns are linear."""

    def project(self, now: Snapshot, out: NDArray[np.float32]) -> None:
        """Decayed and plain money, return share, recency."""
        out[:, 0] = np.log1p(now.decayed("value.money_day", DAY_MS))
        for k, name in enumerate(_MONTHLY, 1):
            out[:, k] = np.log1p(now.decayed(f"value.{name}", MONTH_MS))
        spent, last = now["value.spent"], now["value.last_purchase"]
        out[:, 5] = np.log1p(spent)
        out[:, 6] = _return_share(now)
        out[:, 7] = np.where(last > 0, np.log1p((now.as_of - last) / DAY_MS), -1.0)

    def describe(self, now: Snapshot) -> list[Description]:
        """Recency, frequency, money; basket size; returns."""
        orders = now.decayed("value.orders", MONTH_MS)
        units = now.decayed("value.units", MONTH_MS)
        basket = np.divide(units, orders, out=np.zeros_like(units), where=orders > 0)
        return described(
            last_purchase=[last or None for last in now["value.last_purchase"].tolist()],
            spent=now["value.spent"].round(2).tolist(),
            refunded=now["value.refunded"].round(2).tolist(),
            money_month=now.decayed("value.money", MONTH_MS).round(2).tolist(),
            orders_month=orders.round(4).tolist(),
            basket_units=basket.round(2).tolist(),
            return_share=_return_share(now).round(4).tolist(),
        )


def _return_share(now: Snapshot) -> Floats:
    spent, refunded = now["value.spent"], now["value.refunded"]
    share = np.divide(refunded, spent, out=(refunded > 0).astype(np.float64), where=spent > 0)
    return np.asarray(np.minimum(share, 1.0))

"""Cleaning by its definition: one currency, and the catalogue's version of each item.

A part of the reference implementation (`profiler.recompute`); shares nothing with the core but the
parsing of rates and of records of items.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from profiler.catalogue import Item, read_item
from profiler.currency import Rates
from profiler.envelope import Commerce
from profiler.events import AnyEvent, Cart, Purchase, Refund, timestamp_ms
from profiler.reference import DAY_MS
from profiler.tokens import normal

COMPLETED: Final = ("title", "category", "brand")


class ReferenceCleaning:
    """Cleans events one at a time.

    Parameters
    ----------
    rates
        None leaves amounts as they are.
    grace_ms
        A version of an item counts for records at least so much later than its own.

    Attributes
    ----------
    n_items
        Records of the topic of items that were taken.
    """

    def __init__(self, rates: Rates | None = None, grace_ms: int = 0) -> None:
        self.n_items = 0
        self._rates = rates
        self._grace_ms = grace_ms
        self._versions: dict[str, list[tuple[int, Item | None]]] = {}
        self._rate_by_day: dict[tuple[str, int], float] = {}

    def feed(self, key: bytes | None, value: bytes | None, timestamp: int | None) -> str | None:
        """Take a record of the topic of items, or return the reason why not.

        All of them are to be fed before the first event, those of an item in order of the log.
        """
        found = read_item(key, value, self._rates)
        if isinstance(found, str):
            return found
        self.n_items += 1
        versions = self._versions.setdefault(normal(found[0]), [])
        from_ms, said = versions[-1] if versions else (0, None)
        if found[1] != said:
            versions.append((max(from_ms, timestamp or 0), found[1]))
        return None

    def refusal(self, event: AnyEvent) -> str:
        """Reason why an event cannot be cleaned; empty if it can."""
        if self._rates is None or not isinstance(event, Commerce) or event.price is None:
            return ""
        is_known = event.currency in (None, self._rates.base, *self._rates.dated)
        return "" if is_known else "invalid:currency"

    def clean(self, event: AnyEvent, timestamp: int | None) -> AnyEvent:
        """Event as profiles take it; `timestamp` is its record's, ms."""
        if not isinstance(event, Commerce) or not (self._rates or self._versions):
            return event
        item = self._current(event.item_id, (timestamp or 0) - self._grace_ms)
        price, currency = event.price, event.currency
        new: dict[str, Any] = {}
        if item is not None:
            new = {name: getattr(item, name) for name in COMPLETED if getattr(event, name) is None}
            if item.tags:
                new["title"] = f"{new.get('title', event.title) or ''} {' '.join(item.tags)}"
            if price is None and isinstance(event, Purchase | Refund | Cart):
                price, currency = item.price, item.currency
        if price is not None:
            new["price"] = price / self._rate(currency, timestamp_ms(event.ts))
        return msgspec.structs.replace(event, **new)

    def _current(self, item_id: str | None, at_ms: int) -> Item | None:
        if item_id is None:
            return None
        versions = self._versions.get(normal(item_id), [])
        return next((item for from_ms, item in reversed(versions) if from_ms <= at_ms), None)

    def _rate(self, currency: str | None, ts: int) -> float:
        if self._rates is None or currency is None or currency == self._rates.base:
            return 1.0
        dated, day = self._rates.dated[currency], ts // DAY_MS
        if (currency, day) not in self._rate_by_day:
            latest = max((known for known in dated if known <= day), default=min(dated))
            self._rate_by_day[currency, day] = dated[latest]
        return self._rate_by_day[currency, day]

"""Cleaning of a batch: amounts in one currency, and what the catalogue knows of the items.

What an event says itself always stands. Everything is decided by the event and its record alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from profiler.catalogue import Catalogue, Item
from profiler.columns import Floats, Ints
from profiler.currency import Rates
from profiler.events import TYPE_CODES, AnyEvent, Cart, Purchase, Refund, Search
from profiler.tokens import ContentKey

SEARCH: Final = TYPE_CODES[Search]
PRICED: Final = tuple(TYPE_CODES[t] for t in (Purchase, Refund, Cart))
"""Types whose events take the price of the catalogue where they have none."""


class Cleaned(NamedTuple):
    """What of N events is other than what they say.

    Parameters
    ----------
    keys
        Their contents.
    price
        (N,) of a unit, in the base; NaN where there is none.
    is_unknown
        (N,) whether the event names an item that the catalogue does not know.
    """

    keys: list[ContentKey]
    price: Floats
    is_unknown: NDArray[np.bool_]


class Cleaner:
    """Cleans the events of batches.

    Parameters
    ----------
    rates
        None leaves amounts as they are.
    catalogue
        None leaves events as they are.
    """

    def __init__(self, rates: Rates | None = None, catalogue: Catalogue | None = None) -> None:
        self._rates = rates
        self._catalogue = catalogue

    def strange(self, events: Sequence[AnyEvent]) -> set[int]:
        """Places of the events with a price whose currency has no rates."""
        rates = self._rates
        if rates is None:
            return set()
        knows = rates.knows
        return {i for i, e in enumerate(events) if e.price is not None and not knows(e.currency)}

    def clean(
        self,
        events: Sequence[AnyEvent],
        type_code: NDArray[np.intp],
        ts: Ints,
        stamped_ms: Ints,
    ) -> Cleaned:
        """Clean events of which none is `strange`.

        Parameters
        ----------
        events
            N of them.
        type_code, ts, stamped_ms
            (N,) see `profiler.batch.Prepared`.
        """
        keys = _content_keys(events, type_code)
        price = np.array([e.price for e in events], dtype=np.float64)
        if self._rates is not None:
            own = self._rates.own
            foreign = [
                (i, e.currency)
                for i, e in enumerate(events)
                if e.price is not None and e.currency not in own
            ]
            self._convert(price, foreign, ts)
        is_unknown = np.zeros(len(events), dtype=np.bool_)
        # Before anything was published nobody expects items to be known.
        if self._catalogue is not None and self._catalogue.n_versions:
            found = self._catalogue.find_all([key[0] for key in keys], stamped_ms.tolist())
            self._join(found, keys, price, type_code, ts)
            is_unknown[:] = [
                item is None and key[0] is not None for item, key in zip(found, keys, strict=True)
            ]
        return Cleaned(keys, price, is_unknown)

    def _join(
        self,
        found: Sequence[Item | None],
        keys: list[ContentKey],
        price: Floats,
        type_code: NDArray[np.intp],
        ts: Ints,
    ) -> None:
        for i, item in enumerate(found):
            if item is not None and (item.tags or None in keys[i]):
                keys[i] = _completed(keys[i], item)
        foreign = []
        for i in np.flatnonzero(np.isnan(price) & np.isin(type_code, PRICED)).tolist():
            item = found[i]
            if item is not None and item.price is not None:
                price[i] = item.price
                if self._rates is not None and item.currency not in self._rates.own:
                    foreign.append((i, item.currency))
        self._convert(price, foreign, ts)

    def _convert(self, price: Floats, foreign: Sequence[tuple[int, str | None]], ts: Ints) -> None:
        """Bring the prices at these places from these currencies to the base, in place."""
        if self._rates is None or not foreign:
            return
        places = defaultdict(list)
        for i, currency in foreign:
            assert currency is not None, "without a currency an amount is in the base"
            places[currency].append(i)
        for currency, some in places.items():
            price[some] = self._rates.in_base(currency, price[some], ts[some])


def _content_keys(events: Sequence[AnyEvent], type_code: NDArray[np.intp]) -> list[ContentKey]:
    keys: list[ContentKey] = [(e.item_id, e.category, e.brand, e.title) for e in events]
    for i in np.flatnonzero(type_code == SEARCH).tolist():
        event = events[i]
        assert isinstance(event, Search)
        keys[i] = (None, None, None, event.query)
    return keys


def _completed(key: ContentKey, item: Item) -> ContentKey:
    item_id, category, brand, title = key
    text = item.title if title is None else title
    return (
        item_id,
        item.category if category is None else category,
        item.brand if brand is None else brand,
        " ".join((text or "", *item.tags)) if item.tags else text,
    )

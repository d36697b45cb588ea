"""The catalogue: what is known of items, version by version, and which version an event meets.

A temporal join: an event meets the version of its item that was current a little before the event's
record was appended, not the one that is current when somebody happens to work on it. The topic of
items keeps all versions for as long as it keeps events, so that workers, replays and audits decide
alike.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from profiler.currency import Rates
from profiler.envelope import Amount, Currency, Title, Token
from profiler.events import REASONS
from profiler.faultfinding import field_at_fault, is_no_object, non_finite_fields
from profiler.tokens import normal

ITEM_BYTES_MAX: Final = 16_384
TAGS_MAX: Final = 32


class Item(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is known of an item: the value of a record of ``profiler.items``, whose key is its id.

    Parameters
    ----------
    item_id
        As events name it.
    title, category, brand
        Taken by events that do not say them.
    price, currency
        Of one unit; taken by purchases, refunds and carts that do not say a price. Without a
        currency it is in the base.
    tags
        Read as words that follow the title.
    """

    item_id: Token
    title: Title | None = None
    category: Token | None = None
    brand: Token | None = None
    price: Amount | None = None
    currency: Currency | None = None
    tags: Annotated[tuple[Token, ...], Meta(max_length=TAGS_MAX)] = ()


ITEM_REASONS: Final[tuple[str, ...]] = (
    "malformed",
    "oversize",
    *(f"invalid:{name}" for name in Item.__struct_fields__),
    "invalid:item",
)
"""Why a record of the topic of items is not taken."""

DEAD_LETTER_REASONS: Final = tuple(dict.fromkeys((*REASONS, *ITEM_REASONS)))
"""The closed list of reasons of dead letters, those of items included."""


def read_item(
    key: bytes | None, value: bytes | None, rates: Rates | None = None
) -> tuple[str, Item | None] | str:
    """Read a record of the topic of items.

    Parameters
    ----------
    key, value
        Of the record.
    rates
        Where amounts are converted: those that it knows can be.

    Returns
    -------
    The item's id and what is said of it, None where it is removed; or why the record is not taken.

    Examples
    --------
    >>> read_item(b"cup", b'{"item_id":"cup","brand":"Acme"}')
    ('cup', Item(item_id='cup', title=None, category=None, brand='Acme', price=None, currency=None,
      tags=()))
    >>> read_item(b"cup", None), read_item(b"hat", b'{"item_id":"cup"}')
    (('cup', None), 'invalid:item_id')
    """
    try:
        item_id = (key or b"").decode()
        if value is None:
            return (item_id, None) if item_id else "invalid:item_id"
        if len(value) > ITEM_BYTES_MAX:
            return "oversize"
        value.decode()
        item = _DECODER.decode(value)
    except msgspec.ValidationError as fault:
        return _reason_of(str(fault))
    except (msgspec.DecodeError, UnicodeError):
        return _reason_of_text(value or b"")
    except (RecursionError, ValueError, OverflowError):
        return "malformed"
    if item.item_id != item_id:
        return "invalid:item_id"  # the key decides what is compacted away
    return (item_id, item) if is_convertible(item, rates) else "invalid:currency"


def item_of(fields: dict[str, object]) -> Item | str:
    """Item with these fields, JSON values, or the reason why there is none.

    Examples
    --------
    >>> item_of({"item_id": "cup", "price": -1})
    'invalid:price'
    """
    try:
        return msgspec.convert(fields, Item)
    except msgspec.ValidationError as fault:
        return _reason_of(str(fault))


def is_convertible(item: Item, rates: Rates | None) -> bool:
    """Whether an item's price, if it has one, can be brought to the base."""
    return rates is None or item.price is None or rates.knows(item.currency)


class _Version(Struct, gc=False):
    """What was said of an item from a time on, and what was said before."""

    from_ms: int
    item: Item | None
    before: _Version | None


class Catalogue:
    """Versions of items.

    Parameters
    ----------
    grace_ms
        A version counts for records at least so much later than its own. Within it, clocks may
        differ, and nobody waits for what may still be on its way.
    versions_max
        Versions that are kept. Beyond it those go that were replaced longest ago; when none is
        left of these, the items that were published longest ago. What has gone is not joined.

    Attributes
    ----------
    n_items
        Items that are known now.
    n_versions
        Versions that are kept.
    n_evicted
        Versions that had to go.

    Examples
    --------
    >>> catalogue = Catalogue(grace_ms=10, versions_max=100)
    >>> catalogue.put("cup", Item(item_id="cup", title="Old"), 100)
    >>> catalogue.put("cup", Item(item_id="cup", title="New"), 200)
    >>> [item and item.title for item in (catalogue.find("cup", ms) for ms in (109, 110, 209, 210))]
    [None, 'Old', 'Old', 'New']
    """

    def __init__(self, *, grace_ms: int, versions_max: int) -> None:
        self.grace_ms = grace_ms
        self.n_items = 0
        self.n_versions = 0
        self.n_evicted = 0
        self._versions_max = versions_max
        self._latest: OrderedDict[str, _Version] = OrderedDict()
        self._replaced: deque[str] = deque()

    def put(self, item_id: str, item: Item | None, at_ms: int) -> None:
        """Take note of a record: what it says of an item, and its timestamp.

        The records of an item come in the order of the log, and that order counts: a version never
        begins before the one that stands before it. What says nothing new is no new version.
        """
        item_id = normal(item_id)
        before = self._latest.pop(item_id, None)
        if before is None and item is None:
            return
        if before is not None and before.item == item:
            self._latest[item_id] = before
            return
        from_ms = max(at_ms, before.from_ms) if before else at_ms
        self._latest[item_id] = _Version(from_ms, item, before)
        self.n_versions += 1
        self.n_items += item is not None
        if before is not None:
            self.n_items -= before.item is not None
            self._replaced.append(item_id)
        while self.n_versions > self._versions_max:
            self._evict()

    def find(self, item_id: str, record_ms: int) -> Item | None:
        """Item as a record of this timestamp meets it; None where it is not known or removed."""
        version = self._latest.get(item_id) or self._latest.get(normal(item_id))
        at_ms = record_ms - self.grace_ms
        while version is not None and version.from_ms > at_ms:
            version = version.before
        return version.item if version is not None else None

    def find_all(
        self, item_ids: Sequence[str | None], record_ms: Sequence[int]
    ) -> list[Item | None]:
        """Items as records meet them, one by one."""
        latest, find, grace_ms = self._latest, self.find, self.grace_ms
        found: list[Item | None] = []
        for item_id, ms in zip(item_ids, record_ms, strict=True):
            version = None if item_id is None else latest.get(item_id)
            # Nearly all meet the latest version, under the very id that was published.
            if version is not None and version.from_ms <= ms - grace_ms:
                found.append(version.item)
            else:
                found.append(None if item_id is None else find(item_id, ms))
        return found

    def _evict(self) -> None:
        self.n_evicted += 1
        if not self._replaced:
            _, only = self._latest.popitem(last=False)
            self.n_versions -= 1
            self.n_items -= only.item is not None
            return
        item_id = self._replaced.popleft()
        latest = self._latest[item_id]
        after, oldest = latest, latest.before
        assert oldest is not None, "an item has as many replaced versions as stand in the queue"
        while oldest.before is not None:
            after, oldest = oldest, oldest.before
        after.before = None
        self.n_versions -= 1
        if latest.item is None and latest.before is None:
            # That it was removed says no more than that it is not known.
            del self._latest[item_id]
            self.n_versions -= 1


_DECODER: Final = msgspec.json.Decoder(Item)


def _reason_of(fault: str) -> str:
    reason = "malformed" if is_no_object(fault) else f"invalid:{field_at_fault(fault)}"
    return reason if reason in ITEM_REASONS else "invalid:item"


def _reason_of_text(value: bytes) -> str:
    reasons = (f"invalid:{name}" for name in non_finite_fields(value))
    return next((reason for reason in reasons if reason in ITEM_REASONS), "malformed")

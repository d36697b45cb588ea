"""What all events have: the envelope, and the limits of its fields."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, ClassVar, Final

from msgspec import Meta, Struct

TS_MAX_MS: Final = 4_102_444_800_000  # 2100-01-01T00:00:00Z

EventId = Annotated[str, Meta(min_length=1, max_length=128)]
SubjectId = Annotated[str, Meta(min_length=1, max_length=256)]
Token = Annotated[str, Meta(min_length=1, max_length=256)]
Title = Annotated[str, Meta(max_length=512)]
Amount = Annotated[float, Meta(ge=0.0, le=1e12)]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3)]
Quantity = Annotated[int, Meta(ge=1, le=1_000_000)]
TimestampMs = Annotated[int, Meta(ge=1, le=TS_MAX_MS, description="milliseconds since 1970, UTC")]
Rfc3339 = Annotated[dt.datetime, Meta(tz=True, description="RFC 3339 with a time zone")]


class Event(Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True, gc=False):
    """One fact about a subject at an event time: the envelope that all types share.

    Parameters
    ----------
    ts
        Event time: integer milliseconds UTC, or RFC 3339 text with a time zone.
    event_id
        The producer's own id, for dropping its duplicates. Without one the record's origin serves.
    user_id, device_id, anonymous_id
        At least one is needed; the first present, in this order, is the subject.
    session_id, source
        Optional: the producer's session, and the name of the source the event came from.
    """

    ts: TimestampMs | Rfc3339
    event_id: EventId | None = None
    user_id: SubjectId | None = None
    device_id: SubjectId | None = None
    anonymous_id: SubjectId | None = None
    session_id: SubjectId | None = None
    source: Token | None = None

    def __post_init__(self) -> None:
        if self.user_id is None and self.device_id is None and self.anonymous_id is None:
            raise ValueError("one of user_id, device_id, anonymous_id is needed - at `$.subject`")
        if self.ts.__class__ is not int and not 1 <= timestamp_ms(self.ts) <= TS_MAX_MS:
            raise ValueError("outside 1970 to 2100 - at `$.ts`")


class Plain(Event, frozen=True, kw_only=True, gc=False):
    """An event that is not about an item."""

    item_id: ClassVar[None] = None
    title: ClassVar[None] = None
    category: ClassVar[None] = None
    brand: ClassVar[None] = None
    price: ClassVar[None] = None
    quantity: ClassVar[int] = 1


class Commerce(Event, frozen=True, kw_only=True, gc=False):
    """An event about an item of a catalogue. `price` is that of one unit."""

    item_id: Token | None = None
    title: Title | None = None
    category: Token | None = None
    brand: Token | None = None
    price: Amount | None = None
    currency: Currency | None = None
    quantity: Quantity = 1


def timestamp_ms(ts: int | dt.datetime) -> int:
    """Event time as integer milliseconds UTC.

    Examples
    --------
    >>> timestamp_ms(dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.timezone.utc))
    1000
    """
    if isinstance(ts, int):
        return ts
    return (ts - _EPOCH) // dt.timedelta(milliseconds=1)


_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

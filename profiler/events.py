"""Typed events: the contract of ``profiler.events``, and the way from bytes to them.

Every record is parsed once, here, into a frozen struct whose types carry the limits. Whatever does
not fit becomes a `Rejected` value with a reason from a closed list, never an exception: one bad
record must not unwind a batch.

An event type is added by one class below and its place in `AnyEvent`; see docs/adding.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from profiler.envelope import TS_MAX_MS as TS_MAX_MS  # whoever handles events needs these, too
from profiler.envelope import Amount, Commerce, Currency, EventId, Plain, SubjectId, Title, Token
from profiler.envelope import Event as Event
from profiler.envelope import timestamp_ms as timestamp_ms
from profiler.faultfinding import field_at_fault, is_no_object, is_unknown_type, non_finite_fields

EVENT_BYTES_MAX: Final = 262_144
REASON_MAX: Final = 256

Text = Annotated[str, Meta(max_length=8_192)]
Scalar = bool | int | float | Annotated[str, Meta(max_length=1_024)] | None
Trait = Scalar | Annotated[list[Scalar], Meta(max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
SubjectKind = Literal["user", "device", "anonymous"]
Relation = Literal["follow", "friend", "household", "referral", "share", "mention"]


class Click(Commerce, tag="click", frozen=True, kw_only=True, gc=False):
    """A user clicked on an item, a banner or a link."""


class Browse(Commerce, tag="browse", frozen=True, kw_only=True, gc=False):
    """A user looked at an item or a page."""

    dwell_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 0


class Purchase(Commerce, tag="purchase", frozen=True, kw_only=True, gc=False):
    """A user bought `quantity` units of an item at `price` each."""


class Refund(Commerce, tag="refund", frozen=True, kw_only=True, gc=False):
    """A purchase, or a part of one, was returned or cancelled."""


class Cart(Commerce, tag="cart", frozen=True, kw_only=True, gc=False):
    """An item was put into the cart or taken out of it."""

    action: Literal["add", "remove"] = "add"


class Search(Plain, tag="search", frozen=True, kw_only=True, gc=False):
    """A user searched the catalogue."""

    query: Title
    n_results: Annotated[int, Meta(ge=0)] | None = None


class Message(Plain, tag="message", frozen=True, kw_only=True, gc=False):
    """A user wrote something: a chat line or a review."""

    text: Text
    channel: Literal["chat", "review", "email", "social"] = "chat"
    rating: Annotated[float, Meta(ge=0.0, le=10.0)] | None = None


class Media(Plain, tag="media", frozen=True, kw_only=True, gc=False):
    """An image or a piece of audio: by reference (`uri`) or, where small, as base64 (`data`)."""

    kind: Literal["image", "audio"]
    uri: Annotated[str, Meta(max_length=2_048)] | None = None
    data: Annotated[str, Meta(max_length=174_764, pattern="^[A-Za-z0-9+/]*={0,2}$")] | None = None
    content_type: Annotated[str, Meta(max_length=128)] | None = None


class Checkin(Plain, tag="checkin", frozen=True, kw_only=True, gc=False):
    """A user was at a place."""

    latitude: Annotated[float, Meta(ge=-90.0, le=90.0)]
    longitude: Annotated[float, Meta(ge=-180.0, le=180.0)]
    accuracy_m: Annotated[float, Meta(ge=0.0, le=1e7)] | None = None
    place_id: Token | None = None


class Transaction(Plain, tag="transaction", frozen=True, kw_only=True, gc=False):
    """Money moved: a card payment, a transfer. `is_fraud` is the label, when it becomes known."""

    amount: Amount
    currency: Currency | None = None
    merchant_id: Token | None = None
    merchant_category: Token | None = None
    is_fraud: bool | None = None


class Feedback(Commerce, tag="feedback", frozen=True, kw_only=True, gc=False):
    """What became of something that was recommended or offered."""

    action: Literal["shown", "clicked", "bought", "dismissed"]
    recommendation_id: EventId | None = None
    propensity: Annotated[float, Meta(gt=0.0, le=1.0)] | None = None


class Follow(Plain, tag="follow", frozen=True, kw_only=True, gc=False):
    """The subject is tied to somebody else, once more (`add`), or no longer (`remove`)."""

    target_id: SubjectId
    target_kind: SubjectKind = "user"
    relation: Relation = "follow"
    action: Literal["add", "remove"] = "add"
    weight: Annotated[float, Meta(gt=0.0, le=1_000.0)] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        own = {"user": self.user_id, "device": self.device_id, "anonymous": self.anonymous_id}
        if own[self.target_kind] == self.target_id:
            raise ValueError("nobody is tied to themselves - at `$.target_id`")


class Identify(Plain, tag="identify", frozen=True, kw_only=True, gc=False):
    """Traits of a subject, and where several ids are present, their link, or (`unlink`) its end."""

    traits: Annotated[dict[Name, Trait], Meta(max_length=64)] = msgspec.field(default_factory=dict)
    unlink: bool = False


class Consent(Plain, tag="consent", frozen=True, kw_only=True, gc=False):
    """What the subject allows, by purpose."""

    purposes: Annotated[dict[Name, bool], Meta(max_length=64)]


class Erase(Plain, tag="erase", frozen=True, kw_only=True, gc=False):
    """The subject asks to be forgotten."""


class Verdict(Plain, tag="verdict", frozen=True, kw_only=True, gc=False):
    """Somebody looked: the subject is a machine and to be held, or none and to be released."""

    automated: bool
    reason: Annotated[str, Meta(max_length=REASON_MAX)] | None = None


AnyEvent = (
    Click
    | Browse
    | Purchase
    | Refund
    | Cart
    | Search
    | Message
    | Media
    | Checkin
    | Transaction
    | Feedback
    | Follow
    | Identify
    | Consent
    | Erase
    | Verdict
)
EVENT_TYPES: Final[tuple[type[Event], ...]] = get_args(AnyEvent)
TYPE_NAMES: Final[tuple[str, ...]] = tuple(t.__struct_config__.tag for t in EVENT_TYPES)  # type: ignore[misc]  # tags are text
TYPE_CODES: Final[dict[type[Event], int]] = {t: code for code, t in enumerate(EVENT_TYPES)}

BEHAVIOUR_TYPES: Final[tuple[str, ...]] = TYPE_NAMES[:12]
"""Types that are activity. `identify` links and tells traits, `consent` is about ties, `erase`
erases; `verdict` is about a person's activity, but none of it."""

FIELDS: Final[tuple[str, ...]] = tuple(
    sorted({f.encode_name for t in EVENT_TYPES for f in msgspec.structs.fields(t)})
)

REASONS: Final[tuple[str, ...]] = (
    "malformed",
    "oversize",
    *("unknown_type", "unknown_schema"),
    "invalid:type",
    "invalid:subject",
    *(f"invalid:{name}" for name in FIELDS),
    "invalid:event",
    *("clock_skew", "too_old", "update_failed"),
)
"""The closed list of reasons of dead letters."""


class Rejected(Struct, frozen=True, gc=False):
    """A record that cannot be applied.

    Parameters
    ----------
    index
        Its place in the batch it came with.
    reason
        One of `REASONS`.
    """

    index: int
    reason: str


def decode_batch(values: Sequence[bytes | None]) -> tuple[list[AnyEvent | None], list[Rejected]]:
    """Events of a batch of raw records, and what could not become one.

    Parameters
    ----------
    values
        Record values; None is a record without a value.

    Returns
    -------
    events
        One entry per record; None where the record was rejected.
    rejected
        In order of index. Never raises, whatever the bytes.

    Examples
    --------
    >>> events, rejected = decode_batch([b'{"type":"click","ts":1,"user_id":"u"}', b"{"])
    >>> events[0].user_id, events[1], rejected
    ('u', None, [Rejected(index=1, reason='malformed')])
    """
    decode = _DECODER.decode
    try:
        # The decoder skips unknown fields unread, so that text is checked for all at once.
        b"\n".join(v or b"" for v in values).decode()
        # A length test inside the comprehension keeps giant payloads from being parsed at all.
        events = [decode(v) if v and len(v) <= EVENT_BYTES_MAX else None for v in values]
    except _FAULTS:
        return _decode_one_by_one(values)
    return (events, []) if None not in events else _decode_one_by_one(values)


def event_of(fields: dict[str, object]) -> AnyEvent | str:
    """Event with these fields, JSON values, or the reason why there is none.

    Examples
    --------
    >>> event_of({"type": "click", "ts": 1, "user_id": "u"}).user_id, event_of({"type": "dance"})
    ('u', 'unknown_type')
    """
    # To convert to one class takes a tenth of the time: msgspec analyses a union at every call.
    target: Any = _TYPE_BY_NAME.get(str(fields.get("type")), AnyEvent)
    try:
        event: AnyEvent = msgspec.convert(fields, target)
    except msgspec.ValidationError as fault:
        return _reason_of(str(fault))
    except _FAULTS:
        return "malformed"
    return event


_FAULTS: Final = (msgspec.DecodeError, RecursionError, ValueError, OverflowError)
_DECODER: Final = msgspec.json.Decoder(AnyEvent)
_REASON_SET: Final = frozenset(REASONS)
_TYPE_BY_NAME: Final = dict(zip(TYPE_NAMES, EVENT_TYPES, strict=True))


def _decode_one_by_one(
    values: Sequence[bytes | None],
) -> tuple[list[AnyEvent | None], list[Rejected]]:
    events: list[AnyEvent | None] = []
    rejected: list[Rejected] = []
    for index, value in enumerate(values):
        event, reason = _decode_one(value)
        events.append(event)
        if reason is not None:
            rejected.append(Rejected(index, reason))
    return events, rejected


def _decode_one(value: bytes | None) -> tuple[AnyEvent | None, str | None]:
    if value is None:
        return None, "malformed"
    if len(value) > EVENT_BYTES_MAX:
        return None, "oversize"
    try:
        value.decode()
        return _DECODER.decode(value), None
    except msgspec.ValidationError as fault:
        return None, _reason_of(str(fault))
    except (msgspec.DecodeError, UnicodeError):
        return None, _reason_of_text(value)
    except _FAULTS:
        return None, "malformed"


def _reason_of(fault: str) -> str:
    if is_unknown_type(fault):
        return "unknown_type"
    reason = "malformed" if is_no_object(fault) else f"invalid:{field_at_fault(fault)}"
    return reason if reason in _REASON_SET else "invalid:event"


def _reason_of_text(value: bytes) -> str:
    """NaN and Infinity are not JSON, but common from Python producers: name their field."""
    reasons = (f"invalid:{name}" for name in non_finite_fields(value))
    return next((reason for reason in reasons if reason in _REASON_SET), "malformed")

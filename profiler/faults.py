"""Broken records as the wild produces them, each with the reason its dead letter must carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from profiler.events import EVENT_BYTES_MAX

YEAR_MS: Final = 365 * 86_400_000
OVERSIZE_BYTES: Final = 300_000
DEPTH: Final = 20_000

assert OVERSIZE_BYTES > EVENT_BYTES_MAX

Fields = dict[str, object]


def _cut(event: Fields) -> bytes:
    return msgspec.json.encode(event)[:-12]


def _not_utf8(event: Fields) -> bytes:
    return msgspec.json.encode(event).replace(b'"event_id":"', b'"event_id":"\xff\xfe')


def _nested(event: Fields) -> bytes:
    return msgspec.json.encode(event)[:-1] + b',"x":' + b"[" * DEPTH + b"]" * DEPTH + b"}"


def _list(event: Fields) -> bytes:
    return msgspec.json.encode([event])


def _untyped(event: Fields) -> bytes:
    return msgspec.json.encode({name: value for name, value in event.items() if name != "type"})


def _teleport(event: Fields) -> bytes:
    return msgspec.json.encode({**event, "type": "teleport"})


def _nobody(event: Fields) -> bytes:
    subject = ("user_id", "device_id", "anonymous_id")
    return msgspec.json.encode({n: value for n, value in event.items() if n not in subject})


def _spoken_time(event: Fields) -> bytes:
    return msgspec.json.encode({**event, "ts": "yesterday"})


def _priced(price: bytes) -> Callable[[Fields], bytes]:
    def broken(event: Fields) -> bytes:
        bare = {**event, "type": "purchase"}
        bare.pop("price", None)
        return msgspec.json.encode(bare)[:-1] + b',"price":' + price + b"}"

    return broken


def _negative_quantity(event: Fields) -> bytes:
    return msgspec.json.encode({**event, "type": "purchase", "quantity": -3})


def _numbered_user(event: Fields) -> bytes:
    return msgspec.json.encode({**event, "user_id": 12_345})


def _giant(event: Fields) -> bytes:
    return msgspec.json.encode({**event, "title": "x" * OVERSIZE_BYTES})


def _from_the_future(event: Fields) -> bytes:
    ts = event["ts"]
    assert isinstance(ts, int)
    return msgspec.json.encode({**event, "ts": ts + YEAR_MS})


FAULTS: Final[tuple[tuple[str, Callable[[Fields], bytes]], ...]] = (
    ("malformed", _cut),
    ("malformed", _not_utf8),
    ("malformed", _nested),
    ("malformed", _list),
    ("invalid:type", _untyped),
    ("unknown_type", _teleport),
    ("invalid:subject", _nobody),
    ("invalid:ts", _spoken_time),
    ("invalid:price", _priced(b"NaN")),
    ("invalid:price", _priced(b"Infinity")),
    ("invalid:price", _priced(b'"12.50"')),
    ("invalid:quantity", _negative_quantity),
    ("invalid:user_id", _numbered_user),
    ("oversize", _giant),
    ("clock_skew", _from_the_future),
)
"""Reason, and what turns the fields of a good event into a record that is refused for it."""

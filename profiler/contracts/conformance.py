"""Conformance vectors: inputs in bytes and what must come of them, for readers in any language.

A producer's library can test itself against what is accepted, a reader's against pseudonyms,
partitions, tokens and vectors. Bytes are base64 (RFC 4648).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from profiler.columns import Floats
from profiler.contracts.document import to_json
from profiler.contracts.examples import EXAMPLES
from profiler.events import (
    EVENT_BYTES_MAX,
    EVENT_TYPES,
    TYPE_NAMES,
    decode_batch,
    timestamp_ms,
)
from profiler.facets.contract import Slice
from profiler.partitioning import partition_of
from profiler.privacy.pseudonym import Pseudonymiser, subject_of
from profiler.spec import DEFAULT_SPEC
from profiler.tokens import directions, token_hash

_USER: Final = b'"user_id":"alice","ts":1767225600000'
_CLICK: Final = b'{"type":"click",' + _USER


def conformance() -> dict[str, bytes]:
    """Write the files of ``conformance/``."""
    return {
        "conformance/records.json": to_json(_records()),
        "conformance/pseudonyms.json": to_json(_pseudonyms()),
        "conformance/partitions.json": to_json(_partitions()),
        "conformance/tokens.json": to_json(_tokens()),
        "conformance/vector.json": to_json(_vector()),
    }


def _records() -> dict[str, Any]:
    cases = [_record_case(*case) for case in (*_accepted(), *_rejected(), *_wrong_fields())]
    return {
        "description": (
            "Values of records of profiler.events. `base64` is null for a record without a value; "
            "`spaces` is the number of spaces to append. A record is accepted, with its type, "
            "subject and time, or a dead letter with its reason."
        ),
        "cases": cases,
    }


def _record_case(name: str, value: bytes | None, spaces: int = 0) -> dict[str, Any]:
    padded = None if value is None else value + b" " * spaces
    (event,), rejected = decode_batch([padded])
    case: dict[str, Any] = {
        "name": name,
        "base64": None if value is None else base64.b64encode(value).decode(),
        "spaces": spaces,
        "accepted": event is not None,
    }
    if event is None:
        return {**case, "reason": rejected[0].reason}
    kind, subject_id = subject_of(event)
    return {
        **case,
        "type": TYPE_NAMES[EVENT_TYPES.index(type(event))],
        "subject": {"kind": kind, "id": subject_id},
        "ts_ms": timestamp_ms(event.ts),
    }


def _accepted() -> Iterator[tuple[str, bytes, int]]:
    for number, example in enumerate(EXAMPLES, 1):
        yield f"example {number}", msgspec.json.encode(example), 0
    yield "a field that is not known is ignored", _CLICK + b',"colour":"red"}', 0
    yield "null is the same as absent", _CLICK + b',"price":null}', 0
    yield "a price may be an integer", _CLICK + b',"price":3}', 0
    title = ',"title":"Caf\\u00e9 灯"}'.encode()
    yield "escapes and characters outside of ASCII", _CLICK + title, 0
    yield (
        "the first of user, device, anonymous id",
        (b'{"type":"erase","anonymous_id":"a","device_id":"d","ts":1}'),
        0,
    )
    yield (
        "a leap year's day with an offset",
        (b'{"type":"erase","user_id":"u","ts":"2024-02-29T23:59:59.999-05:30"}'),
        0,
    )
    whole = _CLICK + b"}"
    yield "the greatest size", whole, EVENT_BYTES_MAX - len(whole)


def _rejected() -> Iterator[tuple[str, bytes | None, int]]:
    yield "no value", None, 0
    yield "an empty value", b"", 0
    yield "not JSON", _CLICK, 0
    yield "more than one value", _CLICK + b"}{}", 0
    yield "an array", b"[]", 0
    yield "a text", b'"click"', 0
    yield "invalid UTF-8", b'{"type":"click","ts":1,"user_id":"\xff"}', 0
    yield "a lone surrogate", b'{"type":"click","ts":1,"user_id":"\\ud800"}', 0
    yield "a control character", b'{"type":"click","ts":1,"user_id":"\n"}', 0
    yield "too large", _CLICK + b"}", EVENT_BYTES_MAX
    yield "a type that nobody knows", b'{"type":"dance",' + _USER + b"}", 0
    yield "the type is case-sensitive", b'{"type":"Click",' + _USER + b"}", 0
    yield "no type", b"{" + _USER + b"}", 0
    yield "no subject", b'{"type":"click","ts":1}', 0
    yield "an empty subject", b'{"type":"click","ts":1,"user_id":""}', 0
    yield "no time", b'{"type":"click","user_id":"alice"}', 0
    yield "time zero", b'{"type":"click","user_id":"alice","ts":0}', 0
    yield (
        "a time without a zone",
        (b'{"type":"click","user_id":"alice","ts":"2026-01-01T00:00:00"}'),
        0,
    )
    yield "a time after 2100", b'{"type":"click","user_id":"alice","ts":4102444800001}', 0
    yield "NaN", _CLICK + b',"price":NaN}', 0
    yield "infinity", _CLICK + b',"price":Infinity}', 0
    yield "a number beyond floats", _CLICK + b',"price":1e999}', 0
    yield "a negative price", _CLICK + b',"price":-0.01}', 0
    yield "a negative quantity", _CLICK + b',"quantity":-1}', 0
    yield "a quantity of zero", _CLICK + b',"quantity":0}', 0
    yield "a number as text", _CLICK + b',"price":"3.50"}', 0
    yield "an id of 129 characters", _CLICK + b',"event_id":"' + b"x" * 129 + b'"}', 0
    yield "a currency in small letters", _CLICK + b',"currency":"eur"}', 0


def _wrong_fields() -> Iterator[tuple[str, bytes, int]]:
    """For every field of any type, an event in which an array stands in its place."""
    done = set()
    for event_type, name in zip(EVENT_TYPES, TYPE_NAMES, strict=True):
        fields = msgspec.structs.fields(event_type)
        for field in fields:
            if field.encode_name not in done:
                done.add(field.encode_name)
                wrong = {"type": name, "user_id": "alice", "ts": 1, field.encode_name: [[]]}
                yield f"an array for {field.encode_name}", msgspec.json.encode(wrong), 0


def _pseudonyms() -> dict[str, Any]:
    keys = ("0123456789abcdef0123456789abcdef", "k" * 32)
    subjects = (
        ("user", "alice"),
        ("device", "alice"),
        ("anonymous", "cookie-51f0"),
        ("user", "灯"),
    )
    return {
        "description": (
            "pid = base64url(HMAC-SHA-256(UTF-8 of key, kind NUL UTF-8 of id), first 16 bytes) "
            "without padding"
        ),
        "cases": [
            {
                "key": key,
                "kind": kind,
                "id": text,
                "pid": Pseudonymiser(key.encode()).pid(kind, text),
            }
            for key in keys
            for kind, text in subjects
        ],
    }


def _partitions() -> dict[str, Any]:
    keys = ("", "a", "ab", "abc", "alice", "bob", "cookie-51f0", "灯", "x" * 256)
    return {
        "description": "partition = (murmur2(UTF-8 of key) & 0x7fffffff) % partitions, as in Java",
        "cases": [
            {"key": key, "partitions": n, "partition": partition_of(key.encode(), n)}
            for key in keys
            for n in (1, 4, 12)
        ],
    }


def _tokens() -> dict[str, Any]:
    tokens = (
        ("item", "lamp-7"),
        ("category", "lighting"),
        ("brand", "Lumen"),
        ("word", "灯"),
        ("brand", " Ｌumen\u00a0 "),
    )
    return {
        "description": (
            "hash = xxh3_64(UTF-8 of kind NUL value), 16 hexadecimal digits, the value in NFKC, "
            "trimmed, with single spaces for white space; the direction's sign "
            "in dimension j is bit j of the hash, 1 is plus, times 1/sqrt(32)"
        ),
        "cases": [
            {"kind": kind, "value": value, "hash": f"{h:016x}", "signs": _signs(h)}
            for kind, value in tokens
            for h in (token_hash(kind, value),)
        ],
    }


def _signs(h: int) -> str:
    return "".join("+" if x > 0 else "-" for x in directions(np.array([h], dtype=np.uint64))[0])


def _vector() -> dict[str, Any]:
    as_of, now = 1_767_225_600_000, 1_767_225_600_000 + 36 * 3_600_000
    # Exact in float32, so that the bytes do not depend on anybody's arithmetic.
    n_interest = DEFAULT_SPEC.slices[2].offset
    stored = [(7 * i % 64 - 16) / 8 for i in range(n_interest)]
    stored += [(5 * i % 48) / 16 for i in range(n_interest, DEFAULT_SPEC.dims)]
    later = np.array(stored)
    for part in DEFAULT_SPEC.slices:
        place = slice(part.offset, part.offset + part.length)
        later[place] = _brought_forward(part, later[place], now - as_of)
    return {
        "description": (
            "`base64` is the field `vector` of profile:{pid}: float32, little-endian; `values` are "
            "its numbers. `at_now` are those at `now`: in slices with a half-life, with "
            "f = 2^(-(now - as_of) / half_life), x f for `identity` and log1p(expm1(x) f) for "
            "`log1p`; others stay. Equal within 1e-5."
        ),
        "spec": DEFAULT_SPEC.hash,
        "as_of": as_of,
        "now": now,
        "base64": base64.b64encode(struct.pack(f"<{len(stored)}f", *stored)).decode(),
        "values": stored,
        "at_now": [round(float(x), 6) for x in later],
    }


def _brought_forward(part: Slice, values: Floats, age_ms: int) -> Floats:
    """Values of a slice `age_ms` after `as_of`, as a reader computes them."""
    if part.half_life_ms is None:
        return values
    factor = float(2.0 ** (-age_ms / part.half_life_ms))
    if part.transform == "log1p":
        return np.asarray(np.log1p(np.expm1(values) * factor))
    return values * factor

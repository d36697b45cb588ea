"""Stored states: bytes to rows and back, migration between specs, merging.

``format | spec hash (8) | rev (8, little-endian) | row | n (2) | n × (topic, partition, offset)``

Format 1 is a row with its fence; format 3 the same with links, traits and ties behind it
(`profiler.identity`, as msgpack); format 2 a tombstone, whose row is the time of erasure, with the
links that there were.
The revision has a fixed place so that a store can compare it without understanding the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from profiler.columns import Ints, Rows
from profiler.dedupe import NO_PARTITION, Fences, partition_code
from profiler.errors import CorruptState, UnknownSpec
from profiler.facets.contract import Column
from profiler.identity import NO_LINKS, Links, decode_links, encode_links
from profiler.spec import Spec

FORMAT_ROW: Final = 1
FORMAT_TOMBSTONE: Final = 2
FORMAT_LINKED: Final = 3
REV_SLICE: Final = slice(9, 17)
REV_MAX: Final = 2**63 - 1
_HEADER: Final = 17
_COUNT: Final = 2
_TIME: Final = 8
_FORMATS: Final = (FORMAT_ROW, FORMAT_TOMBSTONE, FORMAT_LINKED)
NOBODY: Final[Mapping[int, Links]] = {}
_FENCE: Final = np.dtype([("topic", "u1"), ("partition", "<u4"), ("offset", "<i8")])

Layout = Mapping[str, Any]


@dataclass(slots=True)
class Stored:
    """States of R people, as columns.

    Parameters
    ----------
    rows
        (R,) rows of the spec; empty where there was none.
    rev
        (R,) revisions, 0 where there was none.
    fences
        What has been applied.
    erased
        (R,) whether a tombstone stands in the place of the row.
    links
        By row, where there are any.
    erased_ms
        By row, when somebody asked for erasure; only of states as they are loaded.
    """

    rows: Rows
    rev: Ints
    fences: Fences
    erased: NDArray[np.bool_]
    links: dict[int, Links] = field(default_factory=dict)
    erased_ms: dict[int, int] = field(default_factory=dict)


def revision_bytes(rev: int) -> bytes:
    """A revision as it stands in a state."""
    return rev.to_bytes(8, "little")


def encode_states(
    spec: Spec, rows: Rows, rev: Ints, fences: Fences, links: Mapping[int, Links] = NOBODY
) -> list[bytes]:
    """One value per row, fence and links included.

    Parameters
    ----------
    rows, rev
        (R,) rows and the revisions to write.
    links
        By row.
    """
    packed = np.zeros(len(rows), dtype=_packed_dtype(spec.dtype))
    behind = {r: some for r, known in links.items() if (some := encode_links(known))}
    packed["format"] = FORMAT_ROW
    packed["format"][list(behind)] = FORMAT_LINKED
    packed["spec"] = np.frombuffer(bytes.fromhex(spec.hash), dtype="V8")[0]
    packed["rev"] = rev
    packed["row"] = rows
    has_fence = fences.partition != NO_PARTITION
    packed["n"] = has_fence
    packed["fence"]["topic"] = np.where(has_fence, fences.partition >> 24, 0)
    packed["fence"]["partition"] = np.where(has_fence, fences.partition & 0xFFFFFF, 0)
    packed["fence"]["offset"] = fences.offset
    data, size = packed.tobytes(), packed.dtype.itemsize
    values = [data[i : i + size] for i in range(0, len(data), size)]
    for r in np.flatnonzero(~has_fence).tolist():
        values[r] = values[r][: -_FENCE.itemsize]
    for r, others in fences.more.items():
        tail = np.array([(c >> 24, c & 0xFFFFFF, o) for c, o in others.items()], dtype=_FENCE)
        at = _HEADER + spec.dtype.itemsize
        n = int.from_bytes(values[r][at : at + _COUNT], "little") + len(others)
        head, rest = values[r][:at], values[r][at + _COUNT :]
        values[r] = head + n.to_bytes(_COUNT, "little") + rest + tail.tobytes()
    for r, some in behind.items():
        values[r] += some
    return values


def encode_tombstone(rev: int, erased_at_ms: int, links: Links = NO_LINKS) -> bytes:
    """The value that stands for an erased person; links tell whom it must have been said to."""
    time = erased_at_ms.to_bytes(8, "little")
    head = bytes([FORMAT_TOMBSTONE]) + bytes(8) + revision_bytes(rev)
    return head + time + encode_links(links.of_the_erased())


def is_tombstone(value: bytes) -> bool:
    """Whether a value stands for an erased person."""
    return value[:1] == bytes([FORMAT_TOMBSTONE])


def spec_hash_of(value: bytes) -> str:
    """Hash of the spec that a row's value was written under."""
    return value[1:9].hex()


def unknown_specs(
    values: Sequence[bytes | None], spec: Spec, layouts: Mapping[str, Layout]
) -> set[str]:
    """Hashes among these values for which a layout is needed first."""
    ours = bytes.fromhex(spec.hash)
    foreign = {v[1:9] for v in values if v is not None and v[1:9] != ours and not is_tombstone(v)}
    return {h.hex() for h in foreign} - layouts.keys()


def decode_states(
    values: Sequence[bytes | None], spec: Spec, layouts: Mapping[str, Layout]
) -> Stored:
    """Rows, revisions and fences of stored values; None is a person of whom nothing is known.

    Parameters
    ----------
    layouts
        Layouts of other specs by hash; their rows are migrated.

    Raises
    ------
    UnknownSpec
        If a row's spec is neither `spec` nor among the layouts.
    CorruptState
        If a value is not a state.
    """
    n = len(values)
    stored = Stored(spec.empty(n), np.zeros(n, np.int64), Fences.empty(n), np.zeros(n, bool))
    packed = _packed_dtype(spec.dtype)
    prefix = bytes([FORMAT_ROW]) + bytes.fromhex(spec.hash)
    usual = []
    for r, value in enumerate(values):
        if value is None:
            continue
        if len(value) == packed.itemsize and value.startswith(prefix):
            usual.append(r)
        else:
            _decode_other(value, r, spec, layouts, stored)
    if usual:
        table = np.frombuffer(b"".join(values[r] for r in usual), dtype=packed)  # type: ignore[misc]  # not None
        stored.rows[usual] = table["row"]
        stored.rev[usual] = table["rev"]
        fence = table["fence"]
        code = fence["topic"].astype(np.int64) << 24 | fence["partition"]
        stored.fences.partition[usual] = np.where(table["n"] > 0, code, NO_PARTITION)
        stored.fences.offset[usual] = np.where(table["n"] > 0, fence["offset"], -1)
    return stored


def decode_state(value: bytes, spec: Spec, layouts: Mapping[str, Layout]) -> Stored:
    """`decode_states` of one value."""
    return decode_states([value], spec, layouts)


def merge_rows(spec: Spec, a: Rows, b: Rows) -> Rows:
    """(R,) rows of people each of whom two rows describe; commutative, associative if linear."""
    as_of = np.maximum(a["core.as_of"], b["core.as_of"])
    b_is_later = b["core.as_of"] > a["core.as_of"]
    a, b = a.copy(), b.copy()
    spec.advance(a, as_of)
    spec.advance(b, as_of)
    out = spec.empty(len(a))
    for column in spec.columns:
        _merge_column(column, a, b, b_is_later, out)
    for facet in spec.facets:
        facet.merge(a, b, out)
    out["core.as_of"] = as_of
    return out


def _merge_column(
    column: Column, a: Rows, b: Rows, b_is_later: NDArray[np.bool_], out: Rows
) -> None:
    x, y = a[column.name], b[column.name]
    if column.kind == "sum":
        out[column.name] = x + y
    elif column.kind == "max":
        out[column.name] = np.maximum(x, y)
    elif column.kind == "min":
        none = np.iinfo(np.int64).max
        least = np.minimum(np.where(x == 0, none, x), np.where(y == 0, none, y))
        out[column.name] = np.where(least == none, 0, least)
    elif column.kind == "derived":
        later = b_is_later.reshape((-1,) + (1,) * (x.ndim - 1))
        out[column.name] = np.where(later, y, x)


def _packed_dtype(row: np.dtype[np.void]) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("format", "u1"),
            ("spec", "V8"),
            ("rev", "<u8"),
            ("row", row),
            ("n", "<u2"),
            ("fence", _FENCE),
        ]
    )


def _decode_other(
    value: bytes, r: int, spec: Spec, layouts: Mapping[str, Layout], stored: Stored
) -> None:
    """A tombstone, a row of another spec, or one with an unusual fence."""
    if len(value) < _HEADER + 1 or value[0] not in _FORMATS:
        raise CorruptState(f"a stored state of {len(value)} bytes has no known format")
    rev = int.from_bytes(value[REV_SLICE], "little")
    if rev > REV_MAX:
        raise CorruptState("a stored state has a revision that nobody can have written")
    stored.rev[r] = rev
    if is_tombstone(value):
        stored.erased[r] = True
        stored.erased_ms[r] = int.from_bytes(value[_HEADER : _HEADER + _TIME], "little")
        _decode_links(value[_HEADER + _TIME :], r, stored)
        return
    found = spec_hash_of(value)
    dtype = spec.dtype if found == spec.hash else _known_dtype(found, layouts)
    end = _HEADER + dtype.itemsize
    n = int.from_bytes(value[end : end + _COUNT], "little")
    end_of_fence = end + _COUNT + n * _FENCE.itemsize
    is_linked = value[0] == FORMAT_LINKED
    if len(value) < end_of_fence + is_linked or (len(value) > end_of_fence and not is_linked):
        raise CorruptState(f"a stored state under spec {found} has {len(value)} bytes")
    row = np.frombuffer(value[_HEADER:end], dtype=dtype)
    if found == spec.hash:
        stored.rows[r] = row[0]
    else:
        _migrate(row, layouts[found], spec, stored.rows[r : r + 1])
    _decode_fence(value[end + _COUNT : end_of_fence], r, stored.fences)
    _decode_links(value[end_of_fence:], r, stored)


def _decode_links(tail: bytes, r: int, stored: Stored) -> None:
    if not tail:
        return
    try:
        stored.links[r] = decode_links(tail)
    except msgspec.DecodeError as fault:
        raise CorruptState(f"links that stand in a state are none: {fault}") from fault


def _decode_fence(tail: bytes, r: int, fences: Fences) -> None:
    entries = np.frombuffer(tail, dtype=_FENCE).tolist()
    for k, (topic, partition, offset) in enumerate(entries):
        code = partition_code(topic, partition)
        if k == 0:
            fences.partition[r], fences.offset[r] = code, offset
        else:
            fences.more.setdefault(r, {})[code] = offset


def _known_dtype(spec_hash: str, layouts: Mapping[str, Layout]) -> np.dtype[np.void]:
    if spec_hash not in layouts:
        raise UnknownSpec(spec_hash)
    layout = layouts[spec_hash]
    columns = layout["columns"]
    return np.dtype(
        {
            "names": [c["name"] for c in columns],
            "formats": [(c["dtype"], tuple(c["shape"])) for c in columns],
            "offsets": [c["offset"] for c in columns],
            "itemsize": layout["row_bytes"],
        }
    )


def _migrate(old: Rows, layout: Layout, spec: Spec, out: Rows) -> None:
    """Copy the columns that both specs have; new ones stay empty, removed ones are dropped."""
    before = {c["name"]: c for c in layout["columns"]}
    for column in spec.columns:
        c = before.get(column.name)
        if c is None or not _same_kind(column, c):
            continue
        if list(column.shape) == list(c["shape"]):
            out[column.name] = old[column.name]
        elif column.grows and c["shape"][0] < column.shape[0]:
            out[column.name][:, : c["shape"][0]] = old[column.name]


def _same_kind(column: Column, layout: Mapping[str, Any]) -> bool:
    ours = (column.dtype, column.half_life_ms, column.kind)
    return ours == (layout["dtype"], layout["half_life_ms"], layout["kind"])

"""Rows of statistics as bytes, for the store that all workers share.

``revision (8) | format (1) | 7 bytes | head | n × neighbour (8) | n × weight (4)``, little-endian.
The revision stands first so that a store can compare it without understanding the rest; the head
comes next so that a reader can do with the first `HEAD_BYTES` of a row. A shelf is a revision and a
format with heads behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from profiler.errors import CorruptState
from profiler.recommendation.associations import HEAD, NEIGHBOURS_MAX, TokenRows

FORMAT: Final = 1
REVISION_BYTES: Final = 8
_PREFIX_BYTES: Final = 16
HEAD_BYTES: Final = _PREFIX_BYTES + HEAD.itemsize
_NEIGHBOUR_BYTES: Final = 12


def revisions_of(values: Sequence[bytes | None]) -> list[int]:
    """Revisions of stored values, 0 where there is none."""
    return [int.from_bytes(v[:REVISION_BYTES], "little") if v else 0 for v in values]


def encode_rows(rows: TokenRows, revisions: Sequence[int]) -> list[bytes]:
    """N rows as bytes; neighbours in no order."""
    used = np.count_nonzero(rows.neighbours, axis=1).tolist()
    order = np.argsort(-rows.weights, axis=1, kind="stable")
    neighbours = np.take_along_axis(rows.neighbours, order, axis=1)
    weights = np.take_along_axis(rows.weights, order, axis=1)
    heads = rows.heads.tobytes()
    size = HEAD.itemsize
    return [
        b"".join(
            (
                _prefix(revision),
                heads[k * size : (k + 1) * size],
                neighbours[k, :n].tobytes(),
                weights[k, :n].tobytes(),
            )
        )
        for k, (n, revision) in enumerate(zip(used, revisions, strict=True))
    ]


def decode_rows(values: Sequence[bytes | None]) -> TokenRows:
    """N rows from bytes; None and b"" are rows of which nothing is known.

    Raises
    ------
    CorruptState
        If one is not what `encode_rows` gives.

    Examples
    --------
    >>> rows = TokenRows.empty(1)
    >>> rows.neighbours[0, 0], rows.weights[0, 0] = 7, 0.5
    >>> (value,) = encode_rows(rows, [3])
    >>> revisions_of([value]), decode_rows([value]).weights[0, :2].tolist()
    ([3], [0.5, 0.0])
    """
    rows = TokenRows.empty(len(values))
    for k, value in enumerate(values):
        if value:
            body = memoryview(value)[HEAD_BYTES:]
            n, rest = divmod(len(body), _NEIGHBOUR_BYTES)
            if value[REVISION_BYTES] != FORMAT or rest or n > NEIGHBOURS_MAX:
                raise CorruptState("a row of statistics is not what a worker writes")
            rows.neighbours[k, :n] = np.frombuffer(body[: n * 8], dtype="<u8")
            rows.weights[k, :n] = np.frombuffer(body[n * 8 :], dtype="<f4")
    rows.heads[:] = decode_heads(values)
    return rows


def decode_heads(values: Sequence[bytes | None]) -> NDArray[np.void]:
    """(N,) heads from the first `HEAD_BYTES` of rows; zeros where there is none.

    Raises
    ------
    CorruptState
        If one is too short.
    """
    nothing = bytes(HEAD.itemsize)
    parts = [value[_PREFIX_BYTES:HEAD_BYTES] if value else nothing for value in values]
    data = b"".join(parts)
    if len(data) != len(parts) * HEAD.itemsize:
        raise CorruptState("a row of statistics is not what a worker writes")
    return np.frombuffer(data, dtype=HEAD).copy()


def encode_shelf(heads: NDArray[np.void], revision: int) -> bytes:
    """Heads of a shelf as bytes."""
    return _prefix(revision) + heads.tobytes()


def decode_shelf(value: bytes | None) -> NDArray[np.void]:
    """(N,) heads of a shelf; none where there is none.

    Raises
    ------
    CorruptState
        If it is not what `encode_shelf` gives.
    """
    data = value[_PREFIX_BYTES:] if value else b""
    if len(data) % HEAD.itemsize or (value and value[REVISION_BYTES] != FORMAT):
        raise CorruptState("a shelf is not what a worker writes")
    return np.frombuffer(data, dtype=HEAD).copy()


def _prefix(revision: int) -> bytes:
    return revision.to_bytes(REVISION_BYTES, "little") + bytes((FORMAT,)) + bytes(7)

"""Top lists as JSON text, for whole batches: a matrix of characters instead of objects.

A summary shows fifteen hashes and weights per person, most of its text. As Python objects they cost
more than all of the batch's arithmetic; written into a matrix of bytes, cut by row, a third.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from profiler.columns import Floats, Hashes

DECIMALS: Final = 1_000
WEIGHT_MAX: Final = 999_999_999.0


def _groups(pattern: str) -> NDArray[np.uint8]:
    text = "".join(pattern % n for n in range(1_000))
    return np.frombuffer(text.encode(), dtype=np.uint8).reshape(1_000, 3)


_ZEROS: Final = _groups("%03d")
_BLANKS: Final = _groups("%3d")


def json_objects(ids: Hashes, weights: Floats) -> list[msgspec.Raw]:
    """One JSON object per row: weight by hash as 16 hex digits, in the order given.

    Parameters
    ----------
    ids, weights
        (R, K) hashes and weights, from the left; hash 0 is a free place.

    Examples
    --------
    >>> ids, weights = np.array([[255, 0]], dtype=np.uint64), np.array([[1.5, 0.0]])
    >>> bytes(json_objects(ids, weights)[0])
    b'{"00000000000000ff":  1.500}'
    """
    thousandths = np.rint(np.minimum(weights.ravel(), WEIGHT_MAX) * DECIMALS).astype(np.int64)
    whole, decimals = np.divmod(thousandths, DECIMALS)
    digits = _whole_digits(whole)
    width = 19 + digits.shape[1] + 5
    text = np.empty((ids.size, width), dtype=np.uint8)
    text[:, [0, 17]] = ord('"')
    text[:, 18] = ord(":")
    digits_16 = ids.ravel().astype(">u8").tobytes().hex().encode()
    text[:, 1:17] = np.frombuffer(digits_16, dtype=np.uint8).reshape(-1, 16)
    text[:, 19:-5] = digits
    text[:, -5] = ord(".")
    text[:, -4:-1] = _ZEROS[decimals]
    text[:, -1] = ord(",")
    data, row_width = text.tobytes(), width * ids.shape[1]
    used = np.count_nonzero(ids, axis=1) * width
    ends = (np.arange(len(ids)) * row_width + used).tolist()
    raw = msgspec.Raw
    return [
        raw(b"{%b}" % data[start : end - 1]) if end > start else raw(b"{}")
        for start, end in zip(range(0, len(data), row_width), ends, strict=True)
    ]


def _whole_digits(whole: NDArray[np.int64]) -> NDArray[np.uint8]:
    """(N, 3, 6 or 9) digits, as few as the greatest needs; blanks, which JSON allows, before."""
    last = whole % 1_000
    if not len(whole) or whole.max() < 1_000:
        return _BLANKS[last]
    rest = whole // 1_000
    ends = np.where((rest > 0)[:, None], _ZEROS[last], _BLANKS[last])
    starts = np.where((rest > 0)[:, None], _whole_digits(rest), np.uint8(ord(" ")))
    return np.hstack([starts, ends])

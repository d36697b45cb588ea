"""The keys in Redis that recommendations are made from; see docs/recommendation.md."""

from __future__ import annotations

from typing import Any, Final

from profiler.recommendation.associations import HEAD, NEIGHBOURS_MAX
from profiler.recommendation.shelf import NEW_MAX, POPULAR_MAX, TRENDING_MAX
from profiler.recommendation.stored import HEAD_BYTES

_NEIGHBOUR_BYTES: Final = 12
_HEX: Final = "[0-9a-f]{16}"

ROWS: Final[dict[str, Any]] = {
    "key": "item:{<hash>}, category:{<hash>}, members:{<hash>}",
    "pattern": rf"^(item|category|members):\{{{_HEX}\}}$",
    "type": "string",
    "readers": "readers",
    "ttl": "PROFILER_STATE_TTL_S, renewed by every write",
    "bytes_max": HEAD_BYTES + NEIGHBOURS_MAX * _NEIGHBOUR_BYTES,
    "description": (
        "What goes with an item, with a category, and which items are touched in a category. All "
        "little-endian: revision uint64, format uint8 (1), 7 bytes, "
        f"a head of {HEAD.itemsize} bytes (id uint64, as_of int64 ms, first int64 ms, "
        "category uint64, three decayed counts float64, 32 float16 of direction), then n tokens "
        "uint64 and n weights float32, greatest first. Hashes as those of names."
    ),
}
SHELVES: Final[dict[str, Any]] = {
    "key": "shelf:{item}, shelf:{category}",
    "pattern": r"^shelf:\{(item|category)\}$",
    "type": "string",
    "readers": "readers",
    "ttl": "PROFILER_STATE_TTL_S, renewed by every write",
    "bytes_max": 16 + (POPULAR_MAX + TRENDING_MAX + NEW_MAX) * HEAD.itemsize,
    "description": (
        "Heads of what is touched the most and of what is new: revision uint64, format uint8 (1), "
        "7 bytes, then heads as those of rows."
    ),
}
MIXES: Final[dict[str, Any]] = {
    "key": "profiler:models:mix:item, profiler:models:mix:category",
    "pattern": "^profiler:models:mix:(item|category)$",
    "type": "hash",
    "readers": "readers",
    "ttl": "one day, renewed by every write",
    "description": "What workers learnt about which clues count.",
    "fields": {
        "<worker>": {
            "encoding": "JSON",
            "bytes_max": 8_192,
            "description": "weights and squares by clue, and n: the events it learnt from",
        }
    },
}

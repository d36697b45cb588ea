"""The vector's layout: what is published under ``profiler:spec:<hash>``."""

from __future__ import annotations

from profiler.contracts.document import to_json
from profiler.spec import DEFAULT_SPEC


def vector_layout() -> dict[str, bytes]:
    """Write ``vector-layout.json``, the layout of the default spec."""
    return {"vector-layout.json": to_json(DEFAULT_SPEC.layout())}

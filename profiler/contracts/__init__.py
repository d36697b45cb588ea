"""Contracts for those who write events or read profiles in any language: what is in ``schemas/``.

Everything is generated from the types and the spec; a test fails when the committed files differ,
so that a change of the contract shows as a change of ``schemas/`` in review.
"""

from __future__ import annotations

from typing import Final

from profiler.contracts.asyncapi import asyncapi
from profiler.contracts.conformance import conformance
from profiler.contracts.json_schema import json_schemas
from profiler.contracts.redis_keys import redis_keys
from profiler.contracts.vector_layout import vector_layout

__all__ = ["generate"]

DOCUMENTS: Final = (json_schemas, asyncapi, redis_keys, vector_layout, conformance)
"""Each gives some of the files: path below ``schemas/`` to content."""


def generate() -> dict[str, bytes]:
    """Write all files of ``schemas/``: relative path to content, in order of path."""
    files = {path: content for document in DOCUMENTS for path, content in document().items()}
    return dict(sorted(files.items()))

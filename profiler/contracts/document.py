"""How documents are written: readable JSON with a stable order, and the facts they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

VERSION: Final = "1.0.0"
"""Of the contracts. Additions raise the second number; anything else is a new first number."""
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def to_json(document: Mapping[str, Any]) -> bytes:
    """Write a document as indented JSON that ends with a new line."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"

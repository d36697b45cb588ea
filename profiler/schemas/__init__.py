"""Records whose value names a registered schema: Confluent's wire format, and what it holds."""

from __future__ import annotations

from profiler.schemas.schema import AvroSchema, JsonSchema, ProtobufSchema, Schema, reader_of
from profiler.schemas.schemas import Known, Opened, Schemas
from profiler.schemas.wire import is_framed, schema_id

__all__ = [
    "AvroSchema",
    "JsonSchema",
    "Known",
    "Opened",
    "ProtobufSchema",
    "Schema",
    "Schemas",
    "is_framed",
    "reader_of",
    "schema_id",
]

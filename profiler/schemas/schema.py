"""Registered schemas as the registry's edge hands them over, and how to read what they describe."""

from __future__ import annotations

from msgspec import Struct

from profiler.schemas.avro import avro_reader
from profiler.schemas.protobuf import protobuf_reader
from profiler.schemas.reading import Reader


class AvroSchema(Struct, frozen=True):
    """A schema of Avro.

    Parameters
    ----------
    text
        In JSON, as it was registered.
    references
        Schemas whose types it names, each after those that it refers to itself.
    """

    text: str
    references: tuple[str, ...] = ()


class ProtobufSchema(Struct, frozen=True):
    """A schema of Protobuf.

    Parameters
    ----------
    files
        A ``FileDescriptorSet``, each file after those that it imports, itself as the last one.
    """

    files: bytes


class JsonSchema(Struct, frozen=True):
    """A JSON Schema. What it describes is plain JSON, so nothing of it is needed."""


Schema = AvroSchema | ProtobufSchema | JsonSchema


def reader_of(schema: Schema) -> Reader | None:
    """Make what reads values of this schema; None where they are JSON.

    Raises
    ------
    UnusableSchema
        If it is none, or its values could not be read safely.
    ConfigurationError
        If the library is missing that this takes.
    """
    if isinstance(schema, AvroSchema):
        return avro_reader(schema.text, schema.references)
    if isinstance(schema, ProtobufSchema):
        return protobuf_reader(schema.files)
    return None

"""What a shop registers and sends through Confluent's own serializers, unmodified."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

AVRO: Final = """{
  "type": "record", "name": "com.shop.Purchase", "fields": [
    {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "event_id", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "user_id", "type": ["null", "string"], "default": null},
    {"name": "anonymous_id", "type": ["null", "string"], "default": null},
    {"name": "item_id", "type": "string"},
    {"name": "price", "type": {
      "type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
    {"name": "currency", "type": {"type": "enum", "name": "Currency", "symbols": ["EUR", "USD"]}},
    {"name": "quantity", "type": "int", "default": 1},
    {"name": "lines", "type": {"type": "array", "items": {
      "type": "record", "name": "Line", "fields": [{"name": "sku", "type": "string"}]}}}
  ]}"""

PROTO: Final = """
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "shop/money.proto";

message Envelope {
  message Click {
    int64 ts = 1;
    string user_id = 2;
    optional string item_id = 3;
  }
}
message Order {
  enum Kind { KIND_UNSPECIFIED = 0; KIND_BOUGHT = 1; }
  message Line { string sku = 1; Money price = 2; google.protobuf.Int32Value count = 3; }
  google.protobuf.Timestamp at = 1;
  Kind kind = 2;
  uint64 customer = 3;
  repeated Line lines = 4;
  map<string, double> weights = 5;
  bytes token = 6;
  oneof way { string shipped_to = 7; string collected_at = 8; }
}
"""
MONEY: Final = """
syntax = "proto3";
package shop.v1;
message Money { int64 cents = 1; string currency = 2; }
"""
PROTO_FILES: Final = {"shop/money.proto": MONEY, "shop/order.proto": PROTO}

JSON_SCHEMA: Final = """{
  "$schema": "http://json-schema.org/draft-07/schema#", "title": "Click", "type": "object",
  "properties": {"type": {"type": "string"}, "ts": {"type": "integer"},
                 "user_id": {"type": "string"}}}"""

Serialize = Callable[[Any], bytes]


class Shop:
    """Serializers of a producer, by the registry that it registers its schemas with.

    Parameters
    ----------
    url, options
        Of the registry, as Confluent's client takes them.
    topic
        Under whose subjects schemas are registered.
    """

    def __init__(self, url: str, topic: str = "profiler.events", **options: str) -> None:
        self._client = SchemaRegistryClient({"url": url, **options})
        self._context = SerializationContext(topic, MessageField.VALUE)

    def avro(self, schema: str = AVRO) -> Serialize:
        """Serializer of Avro."""
        serializer = AvroSerializer(self._client, schema)
        return lambda message: _bytes(serializer(message, self._context))

    def protobuf(self, kind: Any) -> Serialize:
        """Serializer of Protobuf, for messages of this class."""
        serializer = ProtobufSerializer(kind, self._client, {"use.deprecated.format": False})
        return lambda message: _bytes(serializer(message, self._context))

    def json(self, schema: str = JSON_SCHEMA) -> Serialize:
        """Serializer of JSON under a JSON Schema."""
        serializer = JSONSerializer(schema, self._client)
        return lambda message: _bytes(serializer(message, self._context))


def _bytes(value: bytes | None) -> bytes:
    assert value is not None
    return value


def message_class(name: str, files: Mapping[str, str] = PROTO_FILES) -> Any:
    """Class of a message of these ``.proto`` files, as the compiler would generate it."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptors(files).file:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


def descriptors(files: Mapping[str, str] = PROTO_FILES) -> Any:
    """Give the ``FileDescriptorSet`` of these ``.proto`` files; the last is the one that counts."""
    include = Path(protoc.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        result = root / "result"
        options = [f"-I{root}", f"-I{include}", "--include_imports"]
        code = protoc.main(["", *options, f"--descriptor_set_out={result}", list(files)[-1]])
        assert code == 0, "it does not compile"
        return descriptor_pb2.FileDescriptorSet.FromString(result.read_bytes())

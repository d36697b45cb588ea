"""Protobuf: values of a registered schema as documents.

Names of fields are those of the schema. A field without presence that has its default value is not
on the wire, and so is not in the document.

References
----------
Protocol Buffers, "Encoding", "ProtoJSON Format", "Field Presence".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from profiler.errors import ConfigurationError, UnusableSchema
from profiler.schemas.reading import Document, Reader, base64_of, document_of, finite_of
from profiler.schemas.wire import read_varint

try:
    from google.protobuf import (
        any_pb2,
        descriptor_pb2,
        descriptor_pool,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        message_factory,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import DecodeError
except ModuleNotFoundError:
    descriptor_pool = None

MESSAGE_INDEXES_MAX: Final = 16
"""Messages within messages, down to the one that a value is."""


def protobuf_reader(files: bytes) -> Reader:
    """Make what reads values of a schema.

    Parameters
    ----------
    files
        A ``FileDescriptorSet``, each file after those that it imports, the schema itself as the
        last one. Google's well-known types may be left out.

    Raises
    ------
    UnusableSchema
        If it is none.
    ConfigurationError
        If protobuf is not installed.
    """
    if descriptor_pool is None:
        raise ConfigurationError(
            "PROFILER_REGISTRY_URL",
            "a record is Protobuf, which takes: pip install 'streaming-user-profiles[protobuf]'",
        )
    pool = descriptor_pool.DescriptorPool()
    try:
        found = descriptor_pb2.FileDescriptorSet.FromString(files)
        for file in _WELL_KNOWN:
            pool.AddSerializedFile(file.serialized_pb)
        # Whoever names a file like one of those means it: what is in it is what we read.
        known = {file.name for file in _WELL_KNOWN}
        for one in found.file:
            if one.name not in known:
                pool.AddSerializedFile(one.SerializeToString())
        own = found.file[-1]
    except (DecodeError, TypeError, LookupError) as fault:
        raise UnusableSchema(f"it is no schema of Protobuf: {fault}") from fault
    reading = _Reading()
    classes: dict[tuple[int, ...], Any] = {}

    def read(payload: bytes) -> Document:
        path, start = _message_path(payload)
        kind = classes.get(path)
        if kind is None:
            descriptor = pool.FindMessageTypeByName(_full_name(own, path))
            kind = classes[path] = message_factory.GetMessageClass(descriptor)
        try:
            message = kind.FromString(payload[start:])
        except DecodeError as fault:
            raise ValueError("it is no such message") from fault
        return document_of(reading.document(message), kind.DESCRIPTOR.name)

    return read


def _message_path(payload: bytes) -> tuple[tuple[int, ...], int]:
    """Give which message of its file a value is, outermost first, and where it begins."""
    length, start = read_varint(payload, 0)
    if not 0 <= length <= MESSAGE_INDEXES_MAX:
        raise ValueError("it names no message")
    if not length:
        return (0,), start  # the first of the file, by far the most frequent, is written as none
    path = []
    for _ in range(length):
        index, start = read_varint(payload, start)
        path.append(index)
    return tuple(path), start


def _full_name(file: Any, path: tuple[int, ...]) -> str:
    names = [file.package] if file.package else []
    messages = file.message_type
    for index in path:
        if not 0 <= index < len(messages):
            raise ValueError("there is no such message")
        names.append(messages[index].name)
        messages = messages[index].nested_type
    return ".".join(names)


Convert = Callable[[Any], Any]


class _Reading:
    """Turns messages into documents; remembers how, by field."""

    def __init__(self) -> None:
        self._converters: dict[str, Convert] = {}

    def document(self, message: Any) -> Document:
        """Fields of a message that are set."""
        converters = self._converters
        document = {}
        for field, value in message.ListFields():
            convert = converters.get(field.full_name)
            if convert is None:
                convert = converters[field.full_name] = self._converter(field)
            document[field.name] = convert(value)
        return document

    def _converter(self, field: Any) -> Convert:
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            of_value = self._of_one(inner.fields_by_name["value"])
            return lambda pairs: {_key(key): of_value(value) for key, value in pairs.items()}
        of_one = self._of_one(field)
        if field.is_repeated:
            return lambda values: [of_one(value) for value in values]
        return of_one

    def _of_one(self, field: Any) -> Convert:
        if field.type in (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_GROUP):
            return _WELL_KNOWN_READERS.get(field.message_type.full_name, self.document)
        if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
            return finite_of
        if field.type == FieldDescriptor.TYPE_BYTES:
            return base64_of
        if field.type == FieldDescriptor.TYPE_ENUM:
            names = {number: one.name for number, one in field.enum_type.values_by_number.items()}
            return lambda number: names.get(number, number)
        return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _milliseconds(moment: Any) -> int:
    return int(moment.seconds) * 1_000 + int(moment.nanos) // 1_000_000


def _of_struct(struct: Any) -> Document:
    return {name: _of_value(value) for name, value in struct.fields.items()}


def _of_list(values: Any) -> list[Any]:
    return [_of_value(value) for value in values.values]


def _of_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _of_struct(value.struct_value)
    if kind == "list_value":
        return _of_list(value.list_value)
    if kind == "number_value":
        return finite_of(value.number_value)
    return None if kind in (None, "null_value") else getattr(value, kind)


def _wrappers() -> Iterable[tuple[str, Convert]]:
    for name in ("Bool", "Int32", "Int64", "UInt32", "UInt64", "String"):
        yield f"google.protobuf.{name}Value", lambda wrapper: wrapper.value
    for name in ("Double", "Float"):
        yield f"google.protobuf.{name}Value", lambda wrapper: finite_of(wrapper.value)
    yield "google.protobuf.BytesValue", lambda wrapper: base64_of(wrapper.value)


_WELL_KNOWN_READERS: Final[dict[str, Convert]] = {
    "google.protobuf.Timestamp": _milliseconds,
    "google.protobuf.Duration": _milliseconds,
    "google.protobuf.Struct": _of_struct,
    "google.protobuf.ListValue": _of_list,
    "google.protobuf.Value": _of_value,
    **dict(_wrappers()),
}


def _well_known() -> Iterator[Any]:
    if descriptor_pool is not None:
        yield descriptor_pb2.DESCRIPTOR
        for module in (any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2):
            yield module.DESCRIPTOR
        yield timestamp_pb2.DESCRIPTOR
        yield wrappers_pb2.DESCRIPTOR


_WELL_KNOWN: Final = tuple(_well_known())
"""Files that no registry keeps, as every compiler brings them along."""

"""Avro: values of a registered schema as documents.

The schema is not used as it stands. It is rewritten so that fastavro's compiled reader gives what
JSON would have, and refused where a few bytes could give more than a machine can hold: what a value
costs is bounded by its own length.

References
----------
Apache Avro 1.12 specification, "Binary encoding", "Logical types".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, Final

import msgspec

from profiler.errors import ConfigurationError, UnusableSchema
from profiler.schemas.reading import Document, Reader, base64_of, document_of, finite_of
from profiler.schemas.wire import read_varint

try:
    import fastavro
except ModuleNotFoundError:
    fastavro = None  # type: ignore[assignment]

DEPTH_MAX: Final = 64
"""Types within types. The compiled reader does not look after its stack."""

DECIMAL_BYTES_MAX: Final = 64
"""A longer decimal is no amount of anything, and would take seconds to write as a number."""

SCALE_MAX: Final = 300


def avro_reader(text: str, references: Sequence[str] = ()) -> Reader:
    """Make what reads values of a schema.

    Parameters
    ----------
    text
        The schema, in JSON.
    references
        Schemas whose types it names, each after those that it refers to itself.

    Raises
    ------
    UnusableSchema
        If it is none, or its values could not be read safely.
    ConfigurationError
        If fastavro is not installed.

    Examples
    --------
    >>> read = avro_reader(
    ...     '{"type": "record", "name": "shop.Click", "fields": ['
    ...     '{"name": "user_id", "type": "string"},'
    ...     '{"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}}]}'
    ... )
    >>> read(bytes([2]) + b"a" + bytes([0xA0, 0x1F]))
    {'user_id': 'a', 'ts': 2, 'type': 'click'}
    """
    if fastavro is None:
        raise ConfigurationError(
            "PROFILER_REGISTRY_URL",
            "a record is Avro, which takes: pip install 'streaming-user-profiles[avro]'",
        )
    try:
        return _reader(text, references)
    except UnusableSchema:
        raise
    except (fastavro.schema.SchemaParseException, *_UNREADABLE) as fault:
        raise UnusableSchema(f"it is no schema of Avro: {type(fault).__name__}: {fault}") from fault


def _reader(text: str, references: Sequence[str]) -> Reader:
    given_names: dict[str, Any] = {}
    names: dict[str, Any] = {}
    rewriter = _Rewriter()

    def rewritten(schema: Any) -> Any:
        return rewriter.rewrite(fastavro.parse_schema(schema, named_schemas=given_names))

    def branch_reader(schema: Any, place: int) -> Reader:
        # Inside a record, which takes no bytes of its own, a branch may be a mere name.
        field = {"name": _BRANCH, "type": rewritten(schema)}
        record = {"type": "record", "name": f"{_BRANCH}{place}", "fields": [field]}
        return _record_reader(
            _name_of(schema), fastavro.parse_schema(record, named_schemas=names)
        )

    for reference in references:
        fastavro.parse_schema(rewritten(msgspec.json.decode(reference)), named_schemas=names)
    schema = msgspec.json.decode(text)
    if not isinstance(schema, list):
        return branch_reader(schema, 0)
    # The branches are read one by one: fastavro does not tell which of them a value was.
    readers = [branch_reader(branch, place) for place, branch in enumerate(schema)]

    def read(payload: bytes) -> Document:
        index, start = read_varint(payload, 0)
        if not 0 <= index < len(readers):
            raise ValueError("there is no such branch")
        return readers[index](payload[start:])

    return read


def _record_reader(name: str, schema: Any) -> Reader:
    decode: Any = fastavro.schemaless_reader

    def read(payload: bytes) -> Document:
        stream = BytesIO(payload)
        fields = decode(stream, schema, None)[_BRANCH]
        if not isinstance(fields, dict) or stream.tell() != len(payload):
            raise ValueError("it is no record, or not only one")
        return document_of(fields, name)

    return read


def _name_of(schema: Any) -> str:
    name = schema.get("name", "") if isinstance(schema, dict) else schema
    return str(name).rpartition(".")[2]


class _Rewriter:
    """Rewrites parsed schemas, in which names are full, one after another.

    Attributes
    ----------
    depth
        Of each type that has a name; None while it is being rewritten.
    empty
        Names of records without fields.
    """

    def __init__(self) -> None:
        self.depth: dict[str, int | None] = {}
        self.empty: set[str] = set()

    def rewrite(self, schema: Any) -> Any:
        """Give the same schema as the reader needs it."""
        # A value alone may be empty, as a branch may.
        rewritten, _ = self._type(schema, in_union=True)
        return rewritten

    def _type(self, schema: Any, *, in_union: bool) -> tuple[Any, int]:
        """Give a type, and how deep it is."""
        if isinstance(schema, list):
            branches = [self._type(branch, in_union=True) for branch in schema]
            return [branch for branch, _ in branches], _above(depth for _, depth in branches)
        kind = schema["type"] if isinstance(schema, dict) else schema
        if not isinstance(kind, str):
            return self._type(kind, in_union=in_union)
        if kind == "null" and not in_union:
            raise UnusableSchema("null outside of a union takes no bytes, however many there are")
        if kind in ("record", "error", "enum", "fixed"):
            return self._named(schema, kind, in_union)
        if kind in ("array", "map"):
            inner = "items" if kind == "array" else "values"
            of, depth = self._type(schema[inner], in_union=False)
            return {"type": kind, inner: of}, _above([depth])
        if kind in _PRIMITIVES:
            return _primitive(kind, schema if isinstance(schema, dict) else {}), 0
        return kind, self._depth_of(kind, in_union)

    def _named(self, schema: Any, kind: str, in_union: bool) -> tuple[Any, int]:
        name = schema["name"]
        if kind == "enum":
            self.depth[name] = 0
            return {"type": kind, "name": name, "symbols": schema["symbols"]}, 0
        if kind == "fixed":
            if schema["size"] < 1:
                raise UnusableSchema(f"{name} takes no bytes, however many there are")
            self.depth[name] = 0
            fixed = {"type": kind, "name": name, "size": schema["size"]}
            return _logical(fixed, kind, schema, "bytes"), 0
        if not schema["fields"]:
            self.empty.add(name)
        self.depth[name] = None
        fields = [
            (field["name"], *self._type(field["type"], in_union=False))
            for field in schema["fields"]
        ]
        self.depth[name] = _above(depth for *_, depth in fields)
        named = [{"name": name, "type": of} for name, of, _ in fields]
        return {"type": kind, "name": name, "fields": named}, self._depth_of(name, in_union)

    def _depth_of(self, name: str, in_union: bool) -> int:
        if name in self.empty and not in_union:
            raise UnusableSchema(f"{name} takes no bytes, however many there are")
        depth = self.depth[name]
        if depth is None:
            # Deep data of such a type would overrun the stack of the compiled reader.
            raise UnusableSchema(f"{name} holds itself")
        return depth


def _above(depths: Any) -> int:
    depth = 1 + max(depths, default=0)
    if depth > DEPTH_MAX:
        raise UnusableSchema(f"it is more than {DEPTH_MAX} types deep")
    return int(depth)


def _primitive(kind: str, schema: dict[str, Any]) -> Any:
    if kind in ("float", "double", "bytes"):
        return _logical({"type": kind}, kind, schema, "bytes" if kind == "bytes" else "float")
    logical = f"{kind}-{schema.get('logicalType')}"
    return {"type": kind, "logicalType": _OURS + logical} if logical in _READERS else kind


def _logical(rewritten: dict[str, Any], kind: str, schema: dict[str, Any], otherwise: str) -> Any:
    """Give a type with the name of what reads its values."""
    logical = f"{kind}-{schema.get('logicalType')}"
    if logical.endswith("-decimal"):
        scale = schema.get("scale", 0)
        if not 0 <= scale <= SCALE_MAX:
            raise UnusableSchema(f"a decimal of {scale} places is none")
        return rewritten | {"logicalType": _OURS + logical, "scale": scale}
    if logical not in _READERS:
        logical = f"{kind}-{otherwise}"
    return rewritten | {"logicalType": _OURS + logical}


def _decimal(data: bytes, schema: Any, _: Any = None) -> int | float | str:
    if len(data) > DECIMAL_BYTES_MAX:
        return base64_of(data)
    unscaled: int = int.from_bytes(data, "big", signed=True)
    return finite_of(unscaled / 10 ** schema["scale"]) if schema["scale"] else unscaled


def _date(days: int, *_: Any) -> int | str:
    try:
        return (_EPOCH + dt.timedelta(days=days)).isoformat()
    except OverflowError:
        return days


def _uuid(data: bytes, *_: Any) -> str:
    text = data.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _per_ms(units: int) -> Callable[..., int]:
    def milliseconds(value: int, *_: Any) -> int:
        return value // units

    return milliseconds


_OURS: Final = "profiler-"
"""How names of logical types begin that only schemas have which were rewritten here."""

_BRANCH: Final = "profiler_branch"

_EPOCH: Final = dt.date(1970, 1, 1)

_PRIMITIVES: Final = frozenset(
    ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
)

_READERS: Final[dict[str, Callable[..., Any]]] = {
    # Those of milliseconds are what they should be.
    "long-timestamp-micros": _per_ms(1_000),
    "long-timestamp-nanos": _per_ms(1_000_000),
    "long-local-timestamp-micros": _per_ms(1_000),
    "long-local-timestamp-nanos": _per_ms(1_000_000),
    "int-date": _date,
    "bytes-decimal": _decimal,
    "fixed-decimal": _decimal,
    "fixed-uuid": _uuid,
    "bytes-bytes": lambda data, *_: base64_of(data),
    "fixed-bytes": lambda data, *_: base64_of(data),
    "float-float": lambda number, *_: finite_of(number),
    "double-float": lambda number, *_: finite_of(number),
}
"""Readers by the kind and the logical type, after which fastavro looks for them."""

_UNREADABLE: Final = (
    msgspec.DecodeError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)
"""What a schema raises that is none."""

if fastavro is not None:
    fastavro.read.LOGICAL_READERS.update(
        {
            f"{logical.partition('-')[0]}-{_OURS}{logical}": reader
            for logical, reader in _READERS.items()
        }
    )

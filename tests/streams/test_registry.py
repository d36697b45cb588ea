"""The registry's edge, against one that speaks its protocol, with Confluent's own serializers."""

from __future__ import annotations

import base64
import datetime as dt
import json
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from profiler.decoding import Decoder
from profiler.errors import ConfigurationError, RegistryUnavailable, UnusableSchema
from profiler.records import RawRecord
from profiler.schemas import AvroSchema, Schemas, reader_of
from profiler.sources.mapping_file import parse_mapping
from streams.formats import decoder_of
from streams.registry import ANSWER_BYTES_MAX, REFERENCES_MAX, Registry, schemas_of
from streams.settings import Secret, Settings, load_settings
from tests.registered import AVRO, MONEY, PROTO, Shop, descriptors, message_class
from tests.servers.certificates import Certificates
from tests.servers.schema_registry import SchemaRegistry

AT = dt.datetime(2026, 3, 1, 9, 0, 0, 123_000, tzinfo=dt.UTC)
AT_MS = 1_772_355_600_123
ID = uuid.UUID("00000000-0000-4000-8000-000000000007")
PURCHASE = {
    "ts": AT,
    "event_id": str(ID),
    "user_id": "alice",
    "anonymous_id": None,
    "item_id": "cup",
    "price": Decimal("19.99"),
    "currency": "EUR",
    "quantity": 2,
    "lines": [{"sku": "a"}],
}


@pytest.fixture
def registry() -> Iterator[SchemaRegistry]:
    with SchemaRegistry() as running:
        yield running


def record(value: bytes, headers: Any = (), stamped_ms: int | None = None) -> RawRecord:
    return RawRecord("t", 0, 0, stamped_ms, None, value, headers)


def settings(**given: Any) -> Settings:
    return Settings(pseudonym_key=Secret("k" * 32), **given)


def decoder(registry: SchemaRegistry, **given: Any) -> Decoder:
    return decoder_of(settings(registry_url=registry.url, **given))


def test_what_the_avro_serializer_wrote_is_a_native_event(registry: SchemaRegistry) -> None:
    value = Shop(registry.url).avro()(PURCHASE)

    (event,), _, rejected, _ = decoder(registry).decode([record(value)])

    assert rejected == []
    assert (event.ts, event.event_id, event.user_id) == (AT_MS, str(ID), "alice")
    assert (event.item_id, event.price, event.quantity) == ("cup", 19.99, 2)
    assert event.__class__.__name__ == "Purchase"


def test_what_the_protobuf_serializer_wrote_is_a_native_event(registry: SchemaRegistry) -> None:
    click = message_class("shop.v1.Envelope.Click")
    value = Shop(registry.url).protobuf(click)(click(ts=AT_MS, user_id="bob", item_id="cup"))

    (event,), _, rejected, _ = decoder(registry).decode([record(value)])

    assert rejected == []
    assert (event.ts, event.user_id, event.__class__.__name__) == (AT_MS, "bob", "Click")


def test_what_the_json_serializer_wrote_is_read_like_any_json(registry: SchemaRegistry) -> None:
    write = Shop(registry.url).json()
    native = write({"type": "click", "ts": 5, "user_id": "u"})
    segment = write({"type": "page", "userId": "u", "timestamp": 1_772_355_600})

    events, at, rejected, _ = decoder(registry).decode([record(native), record(segment)])

    assert ([event.ts for event in events], rejected) == ([5, 1_772_355_600_000], [])
    assert at.tolist() == [0, 1]


MAPPING = b"""
[order]
type = { path = "kind", values = { KIND_BOUGHT = "purchase" } }
items = "lines"
[order.when]
kind = { present = true }
[order.fields]
ts = { path = "at", unit = "ms" }
user_id = "customer"
item_id = ".sku"
price = { path = ".price.cents", unit = "cents" }
currency = ".price.currency"
quantity = ".count"
"""


def order() -> tuple[Any, Any]:
    kind = message_class("shop.v1.Order")
    message = kind(kind=1, customer=2**63, weights={"cup": 1.5}, token=b"\0\1", shipped_to="home")
    message.at.FromDatetime(AT)
    for sku, cents in (("cup", 450), ("hat", 2_000)):
        line = message.lines.add(sku=sku, price={"cents": cents, "currency": "EUR"})
        line.count.value = 2
    return kind, message


def test_a_mapping_file_binds_messages_of_any_shape(registry: SchemaRegistry) -> None:
    kind, message = order()
    value = Shop(registry.url).protobuf(kind)(message)
    schemas = schemas_of(settings(registry_url=registry.url))

    found = Decoder([parse_mapping(MAPPING, "shop.toml")], schemas=schemas).decode([record(value)])

    assert found.rejected == []
    assert [(e.ts, e.user_id, e.item_id, e.price) for e in found.events] == [
        (AT_MS, str(2**63), "cup", 4.5),
        (AT_MS, str(2**63), "hat", 20.0),
    ]
    assert [event.quantity for event in found.events] == [2, 2]


def test_cloudevents_in_binary_mode_may_have_avro_as_their_data(registry: SchemaRegistry) -> None:
    schema = """{"type": "record", "name": "Data", "fields": [
        {"name": "item_id", "type": "string"}, {"name": "user_id", "type": "string"}]}"""
    value = Shop(registry.url).avro(schema)({"item_id": "cup", "user_id": "alice"})
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"com.shop.click"),
        ("ce_source", b"web"),
        ("ce_id", b"7"),
        ("ce_time", b"2026-03-01T09:00:00Z"),
    ]

    for given in ({}, {"format": "cloudevents"}):
        (event,), *_ = decoder(registry, **given).decode([record(value, headers)])
        assert (event.user_id, event.item_id, event.event_id) == ("alice", "cup", "web:7")


def test_one_topic_may_have_all_of_them(registry: SchemaRegistry) -> None:
    shop = Shop(registry.url)
    click = message_class("shop.v1.Envelope.Click")
    avro = shop.avro()(PURCHASE)
    values = [
        b'{"type":"click","ts":5,"user_id":"native"}',
        avro,
        b"?",
        shop.protobuf(click)(click(ts=AT_MS, user_id="bob")),
        b"\0\0\0\1\0nobody has registered this",
        b'{"type":"page","userId":"segment","timestamp":1772355600}',
        avro[:-1],
        avro + b"\0",
        b"\0",
        b"",
    ]

    found = decoder(registry).decode([record(value) for value in values])

    assert [event.user_id for event in found.events] == ["native", "alice", "bob", "segment"]
    assert found.record.tolist() == [0, 1, 3, 5]
    assert [(r.index, r.reason) for r in found.rejected] == [
        (2, "malformed"),
        (4, "unknown_schema"),
        (6, "malformed"),
        (7, "malformed"),
        (8, "malformed"),
        (9, "malformed"),
    ]


@pytest.mark.parametrize("form", ["auto", "native", "segment"])
def test_without_a_registry_no_schema_is_known(form: str) -> None:
    value = b"\0\0\0\0\1anything"

    found = decoder_of(settings(format=form)).decode([record(value)])

    assert [r.reason for r in found.rejected] == ["unknown_schema"]


def test_a_schema_is_asked_for_once(registry: SchemaRegistry) -> None:
    value = Shop(registry.url).avro()(PURCHASE)
    reading = decoder(registry)
    registry.requests.clear()

    for _ in range(3):
        reading.decode([record(value)] * 10)

    assert registry.requests == ["/schemas/ids/1"]


def test_an_unknown_id_is_not_asked_for_with_every_record(registry: SchemaRegistry) -> None:
    client = Registry(registry.url)

    assert [client.known(7) for _ in range(5)] == [None] * 5
    assert registry.requests == ["/schemas/ids/7"]


def test_types_of_other_avro_schemas_are_known_by_reference(registry: SchemaRegistry) -> None:
    click = """{"type": "record", "name": "a.Click", "fields": [
        {"name": "ts", "type": "long"}, {"name": "user_id", "type": "a.Id"}]}"""
    name = '{"type": "record", "name": "a.Id", "fields": [{"name": "v", "type": "string"}]}'
    id_of = {"name": "a.Id", "subject": "ids/all", "version": 1}
    registry.register("ids/all", name)
    registry.register("clicks", click, references=[id_of])
    references = [{"name": "a.Click", "subject": "clicks", "version": 1}, id_of]
    number = registry.register("all", '["null", "a.Click"]', references=references)

    schema = Registry(registry.url).schema(number)

    assert schema == AvroSchema('["null", "a.Click"]', (name, click))
    read = reader_of(schema)
    assert read is not None
    found = read(bytes([2, 10, 2]) + b"u")
    assert found == {"ts": 5, "user_id": {"v": "u"}, "type": "click"}


def test_protobuf_is_compiled_where_the_registry_has_its_text(registry: SchemaRegistry) -> None:
    _, message = order()
    registry.register("money", MONEY, "PROTOBUF")
    references = [{"name": "shop/money.proto", "subject": "money", "version": 1}]
    number = registry.register("t-value", PROTO, "PROTOBUF", references)

    known = Registry(registry.url).known(number)

    assert known is not None
    assert known.reader is not None
    read = known.reader(bytes([2, 2]) + message.SerializeToString())
    assert read == {
        "at": AT_MS,
        "kind": "KIND_BOUGHT",
        "customer": 2**63,
        "lines": [
            {"sku": "cup", "price": {"cents": 450, "currency": "EUR"}, "count": 2},
            {"sku": "hat", "price": {"cents": 2_000, "currency": "EUR"}, "count": 2},
        ],
        "weights": {"cup": 1.5},
        "token": "AAE=",
        "shipped_to": "home",
    }


def test_references_that_go_in_a_circle_end(registry: SchemaRegistry) -> None:
    circle = [{"name": "b", "subject": "b", "version": 1}]
    registry.register("b", '"a"', references=[{"name": "a", "subject": "a", "version": 1}])
    registry.register("a", '"b"', references=circle)
    number = registry.register("c", '["null"]', references=circle)

    assert Registry(registry.url).known(number) is None


UNUSABLE = {
    "no schema": ("AVRO", "{"),
    "a type of no bytes": ("AVRO", '{"type":"array","items":"null"}'),
    "a type that holds itself": (
        "AVRO",
        '{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]}]}',
    ),
    "no text of Protobuf": ("PROTOBUF", "message {"),
    "no syntax that compiles": ("PROTOBUF", 'syntax = "proto3"; message A { Unknown a = 1; }'),
    "an import that is missing": ("PROTOBUF", 'import "other.proto";'),
    "an unknown type": ("THRIFT", "struct A {}"),
}


@pytest.mark.parametrize(("kind", "schema"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_by_a_schema_that_is_unusable_nothing_is_read(
    registry: SchemaRegistry, kind: str, schema: str
) -> None:
    number = registry.register("t", schema, kind)

    found = decoder(registry).decode([record(b"\0" + number.to_bytes(4, "big") + b"\0\0")])

    assert [r.reason for r in found.rejected] == ["unknown_schema"]


@pytest.mark.parametrize("name", ["../up.proto", "/etc/x.proto", "", "a\0b", "x" * 5_000])
def test_an_import_may_not_leave_its_folder(registry: SchemaRegistry, name: str) -> None:
    registry.register("other", MONEY, "PROTOBUF")
    references = [{"name": name, "subject": "other", "version": 1}]
    number = registry.register("t", 'syntax = "proto3";', "PROTOBUF", references)

    with pytest.raises(UnusableSchema, match="no name of a file"):
        Registry(registry.url).schema(number)


def test_what_refers_to_too_much_or_to_nothing_is_unusable(registry: SchemaRegistry) -> None:
    many = [{"name": f"r{k}", "subject": f"r{k}", "version": 1} for k in range(REFERENCES_MAX + 1)]
    for k in range(REFERENCES_MAX + 1):
        registry.register(f"r{k}", '"int"')
    too_much = registry.register("many", '["null"]', references=many)
    lost = [{"name": "x", "subject": "lost", "version": 1}]
    nothing = registry.register("lonely", '["null"]', references=lost)

    with pytest.raises(UnusableSchema, match="more than 100"):
        Registry(registry.url).schema(too_much)
    with pytest.raises(UnusableSchema, match="missing"):
        Registry(registry.url).schema(nothing)


ANSWERS = {
    "unauthorised": (401, {}, b'{"error_code":40101}'),
    "forbidden": (403, {}, b""),
    "no such page": (404, {}, b"<html>Not found</html>"),
    "another API's 404": (404, {}, b'{"status":404}'),
    "a fault of its own": (500, {}, b'{"error_code":50001}'),
    "overloaded": (503, {"Retry-After": "1"}, b""),
    "somewhere else": (302, {"Location": "http://127.0.0.1:1/"}, b""),
    "not JSON": (200, {}, b"<html>Sign in</html>"),
    "no text": (200, {}, b'{"schema":"\xff"}'),
    "another shape": (200, {}, b'{"schemata":[]}'),
    "a list": (200, {}, b"[]"),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_whatever_is_no_answer_is_waited_out(registry: SchemaRegistry, answer: Any) -> None:
    registry.answer = answer

    with pytest.raises(RegistryUnavailable) as fault:
        Registry(registry.url).known(7)

    assert registry.url.removeprefix("http://") in str(fault.value)


def test_the_password_goes_nowhere_else(registry: SchemaRegistry) -> None:
    with SchemaRegistry() as elsewhere:
        number = elsewhere.register("t", AVRO)
        registry.answer = (302, {"Location": f"{elsewhere.url}/schemas/ids/{number}"}, b"")

        with pytest.raises(RegistryUnavailable, match="302"):
            Registry(registry.url, "profiler", "secret").known(number)

        assert elsewhere.requests == []


def test_a_registry_that_is_away_is_waited_out(registry: SchemaRegistry) -> None:
    registry.stop()

    with pytest.raises(RegistryUnavailable, match="refused"):
        Registry(registry.url).known(7)


def test_a_giant_schema_is_unusable(registry: SchemaRegistry) -> None:
    number = registry.register("t", json.dumps(["x" * ANSWER_BYTES_MAX]))

    assert Registry(registry.url).known(number) is None


def test_a_registry_may_ask_who_we_are_and_speak_tls(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    secret = Secret("it's:ours")
    with SchemaRegistry(certificates, "profiler", secret.reveal()) as registry:
        number = registry.register("t-value", AVRO)
        value = b"\0" + number.to_bytes(4, "big")
        ours: dict[str, Any] = {
            "registry_url": registry.url,
            "registry_ca_file": str(certificates.authority),
            "registry_user": "profiler",
        }

        found = decoder_of(settings(**ours, registry_password=secret)).decode([record(value)])
        refused = decoder_of(settings(**ours, registry_password=Secret("wrong")))
        strange = decoder_of(settings(registry_url=registry.url))

        assert [r.reason for r in found.rejected] == ["malformed"]  # so the schema was known
        with pytest.raises(RegistryUnavailable, match="401") as fault:
            refused.decode([record(value)])
        with pytest.raises(RegistryUnavailable, match="certificate"):
            strange.decode([record(value)])
        assert "wrong" not in str(fault.value)


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"registry_url": "registry:8081"}, "URL"),
        ({"registry_user": "u", "registry_password": Secret("p")}, "USER"),
        ({"registry_ca_file": "ca.crt"}, "CA_FILE"),
        ({"registry_url": "http://r", "registry_ca_file": "ca.crt"}, "CA_FILE"),
        (
            {"registry_url": "http://r", "registry_user": "u", "registry_password": Secret("p")},
            "USER",
        ),
        ({"registry_url": "https://r", "registry_user": "u"}, "PASSWORD"),
        ({"registry_url": "https://r", "registry_password": Secret("p")}, "PASSWORD"),
        ({"registry_url": "https://r", "registry_ca_file": "/nowhere"}, "CA_FILE"),
    ],
)
def test_settings_of_a_registry_that_make_no_sense_are_refused(
    given: dict[str, Any], setting: str
) -> None:
    environ = {"PROFILER_PSEUDONYM_KEY": "k" * 32} | {
        f"PROFILER_{name.upper()}": value.reveal() if isinstance(value, Secret) else value
        for name, value in given.items()
    }

    with pytest.raises(ConfigurationError) as fault:
        schemas_of(load_settings(environ))

    assert fault.value.setting == f"PROFILER_REGISTRY_{setting}"


def test_a_missing_library_is_a_fault_of_the_set_up_and_no_dead_letter(
    registry: SchemaRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    avro, protobuf = registry.register("a", AVRO), registry.register("p", MONEY, "PROTOBUF")
    monkeypatch.setattr("profiler.schemas.avro.fastavro", None)
    monkeypatch.setattr("streams.protoc.descriptor_pb2", None)

    for number, extra in ((avro, "avro"), (protobuf, "protobuf")):
        with pytest.raises(ConfigurationError, match=rf"PROFILER_REGISTRY_URL.*\[{extra}\]"):
            Registry(registry.url).known(number)


def test_what_is_remembered_is_bounded() -> None:
    asked = []

    def fetch(number: int) -> None:
        asked.append(number)

    schemas = Schemas(fetch)
    for number in range(3_000):
        schemas.open(b"\0" + number.to_bytes(4, "big"))
    schemas.open(b"\0" + (2_999).to_bytes(4, "big"))
    n_asked = len(asked)
    schemas.open(b"\0" + (0).to_bytes(4, "big"))

    assert (n_asked, len(asked)) == (3_000, 3_001)


def test_a_serialised_descriptor_needs_no_compiler(
    registry: SchemaRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.protoc.importlib.util.find_spec", lambda _: None)
    *_, file = descriptors({"money.proto": MONEY}).file
    text = base64.b64encode(file.SerializeToString()).decode()

    known = Registry(registry.url).known(registry.register("t", text, "PROTOBUF"))

    assert known is not None
    assert known.reader is not None
    assert known.reader(bytes([0, 8, 5])) == {"cents": 5}

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from kafka.partitioner.default import murmur2

from profiler.contracts import generate
from profiler.contracts.examples import EXAMPLES
from profiler.events import EVENT_TYPES, REASONS, TYPE_NAMES, Event, decode_batch
from profiler.records import RawRecord
from profiler.spec import DEFAULT_SPEC
from streams.deadletter import DeadLetter, _headers
from streams.reader import Layout, Profile
from streams.settings import TOPICS
from streams.store import BEHAVIOUR_KEY, behaviour_key, names_key, profile_key, spec_key, state_key

SCHEMAS = Path(__file__).parents[2] / "schemas"
FILES = generate()


def document(path: str) -> Any:
    return json.loads(FILES[path])


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document(f"conformance/{name}.json")["cases"]
    return found


@pytest.mark.parametrize("path", FILES)
def test_the_committed_file_is_the_generated_one(path: str) -> None:
    assert (SCHEMAS / path).read_bytes() == FILES[path], "run `make schemas`"


def test_no_other_file_is_committed() -> None:
    committed = {p.relative_to(SCHEMAS).as_posix() for p in SCHEMAS.rglob("*") if p.is_file()}

    assert committed == set(FILES)


def test_generating_twice_gives_the_same_bytes() -> None:
    assert generate() == FILES


@pytest.mark.parametrize("path", [p for p in FILES if p.startswith("events")])
def test_the_schemas_are_schemas(path: str) -> None:
    Draft202012Validator.check_schema(document(path))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: type(e).__name__)
def test_every_example_fits_the_schema_of_its_type_and_of_all(example: Event) -> None:
    value = json.loads(msgspec.json.encode(example))
    name = TYPE_NAMES[EVENT_TYPES.index(type(example))]

    Draft202012Validator(document("events.schema.json")).validate(value)
    Draft202012Validator(document(f"events/{name}.json")).validate(value)
    assert value in document(f"events/{name}.json")["examples"]


def test_the_schema_accepts_what_is_decoded_and_refuses_what_is_not() -> None:
    # A schema sees parsed values: what is wrong with bytes, or with a time as text, is beyond it.
    validator = Draft202012Validator(document("events.schema.json"))
    beyond = {"malformed", "oversize"}
    judged = [
        case
        for case in cases("records")
        if case.get("reason") not in beyond
        and not re.search("zone|NaN|infinity|beyond floats", case["name"])
    ]

    verdicts = {c["name"]: validator.is_valid(json.loads(value_of(c) or b"")) for c in judged}

    assert verdicts == {case["name"]: case["accepted"] for case in judged}


def value_of(case: dict[str, Any]) -> bytes | None:
    if case["base64"] is None:
        return None
    return base64.b64decode(case["base64"]) + b" " * int(case["spaces"])


@pytest.mark.parametrize("case", cases("records"), ids=lambda case: case["name"])
def test_a_conformance_record_is_judged_as_written(case: dict[str, Any]) -> None:
    (event,), rejected = decode_batch([value_of(case)])

    assert (event is not None) == case["accepted"]
    assert [r.reason for r in rejected] == ([] if case["accepted"] else [case["reason"]])


def test_the_conformance_records_show_every_reason_that_decoding_has() -> None:
    later_or_unknown = {"unknown_schema", "clock_skew", "too_old", "update_failed", "invalid:event"}

    shown = {case["reason"] for case in cases("records") if not case["accepted"]}

    assert shown == set(REASONS) - later_or_unknown


def test_the_names_of_conformance_records_are_distinct() -> None:
    names = [case["name"] for case in cases("records")]

    assert len(names) == len(set(names))


def test_the_partitions_are_those_of_kafkas_own_clients() -> None:
    for case in cases("partitions"):
        key = case["key"].encode()
        assert case["partition"] == (murmur2(key) & 0x7FFFFFFF) % case["partitions"]


def test_a_pseudonym_depends_on_key_kind_and_id() -> None:
    pids = [case["pid"] for case in cases("pseudonyms")]

    assert len(set(pids)) == len(pids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", pid) for pid in pids)


def test_the_vector_of_the_conformance_file_reads_as_written() -> None:
    case = document("conformance/vector.json")

    vector = np.frombuffer(base64.b64decode(case["base64"]), dtype="<f4")

    assert vector.tolist() == case["values"]
    assert len(vector) == len(case["at_now"]) == DEFAULT_SPEC.dims


def test_the_python_client_brings_the_vector_to_now_as_written() -> None:
    case = document("conformance/vector.json")
    profile = Profile(
        pid="p",
        as_of_ms=case["as_of"],
        rev=1,
        spec=case["spec"],
        vector=np.array(case["values"], dtype=np.float32),
        summary={},
        layout=Layout(dims=DEFAULT_SPEC.dims, slices=DEFAULT_SPEC.slices),
        names={},
    )

    moved = profile.at(case["now"])

    assert moved.vector.tolist() == pytest.approx(case["at_now"], abs=1e-5)
    assert moved.vector.tolist() != case["values"]


def test_slices_cover_the_vector_without_gap_or_overlap() -> None:
    layout = document("vector-layout.json")

    ends = [0]
    for part in layout["slices"]:
        assert part["offset"] == ends[-1]
        ends.append(part["offset"] + part["length"])

    assert ends[-1] == layout["dims"] == 146


def test_the_documented_keys_are_those_of_the_store() -> None:
    patterns = {entry["key"]: entry["pattern"] for entry in document("redis-keys.json")["keys"]}
    pid = cases("pseudonyms")[0]["pid"]

    assert re.fullmatch(patterns["profile:{pid}"], profile_key(pid))
    assert re.fullmatch(patterns["state:{pid}"], state_key(pid))
    assert re.fullmatch(patterns["profiler:spec:<hash>"], spec_key(DEFAULT_SPEC.hash))
    assert re.fullmatch(patterns["profiler:names:<kind>"], names_key("brand"))
    assert re.fullmatch(patterns["profiler:behaviour:<epoch>"], behaviour_key(45))
    assert re.fullmatch(patterns["profiler:behaviour"], BEHAVIOUR_KEY)


def test_every_topic_has_a_channel() -> None:
    channels = document("asyncapi.json")["channels"]

    assert tuple(channels) == TOPICS
    assert {c["address"] for c in channels.values()} == {f"profiler.{name}" for name in TOPICS}


def test_a_dead_letter_has_the_documented_headers() -> None:
    message = document("asyncapi.json")["components"]["messages"]["deadletter"]
    record = RawRecord("profiler.events", 3, 17, 1_767_225_600_000, None, b"{")

    headers = _headers(DeadLetter(record, "malformed"), at_ms=1_767_225_600_123)

    written = {name: value.decode() for name, value in headers}
    assert list(written) == message["headers"]["required"]
    Draft202012Validator(message["headers"]).validate(written)


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    whole = document("asyncapi.json")

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [r for child in node.values() for r in references(child)]
        return [r for child in node for r in references(child)] if isinstance(node, list) else []

    found = references(whole)
    assert found
    for reference in found:
        target = whole
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]

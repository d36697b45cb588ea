"""The settings decide in which formats records are read, and files with a mapping."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from profiler.errors import ConfigurationError, UsageError
from profiler.records import RawRecord
from profiler.sources import FORMAT_NAMES
from streams.formats import decoder_of, source_of
from streams.settings import Secret, Settings, load_settings

NATIVE = {"type": "click", "ts": 5, "user_id": "u"}
SEGMENT = {"type": "page", "userId": "u", "timestamp": 1_772_355_600}
OURS = {"kind": "view", "who": "u", "at": 5}
MAPPING = """
[view]
type = "browse"
when = { kind = "view" }
fields = { user_id = "who", ts = "at" }
"""


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(MAPPING)
    return path


def settings(**given: Any) -> Settings:
    return Settings(pseudonym_key=Secret("k" * 32), **given)


def taken(given: Settings, *messages: Any) -> list[bool]:
    """Whether each of these messages gives an event."""
    records = [
        RawRecord("t", 0, k, None, None, msgspec.json.encode(message))
        for k, message in enumerate(messages)
    ]
    found = set(decoder_of(given).decode(records).record.tolist())
    return [k in found for k in range(len(messages))]


def test_the_setting_knows_every_format() -> None:
    (field,) = (f for f in msgspec.structs.fields(Settings) if f.name == "format")
    names = get_args(get_args(field.type)[0])

    assert names == ("auto", "native", *FORMAT_NAMES, "mapping")


def test_by_default_each_record_is_recognised(mapping: Path) -> None:
    assert taken(settings(), NATIVE, SEGMENT, OURS) == [True, True, False]
    assert taken(settings(mapping_file=str(mapping)), NATIVE, SEGMENT, OURS) == [True, True, True]


def test_one_format_takes_nothing_else(mapping: Path) -> None:
    given = settings(format="mapping", mapping_file=str(mapping))

    assert taken(settings(format="native"), NATIVE, SEGMENT, OURS) == [True, False, False]
    assert taken(settings(format="segment"), NATIVE, SEGMENT, OURS) == [False, True, False]
    assert taken(given, NATIVE, SEGMENT, OURS) == [False, False, True]


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"PROFILER_FORMAT": "avro"}, "PROFILER_FORMAT"),
        ({"PROFILER_FORMAT": "mapping"}, "PROFILER_FORMAT"),
        (
            {"PROFILER_FORMAT": "native", "PROFILER_MAPPING_FILE": "shop.toml"},
            "PROFILER_MAPPING_FILE",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, str], setting: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({"PROFILER_PSEUDONYM_KEY": "k" * 32, **given})

    assert caught.value.setting == setting


def test_a_mapping_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = settings(mapping_file=str(tmp_path / "none.toml"))

    with pytest.raises(ConfigurationError, match=r"PROFILER_MAPPING_FILE: cannot read .*none"):
        decoder_of(missing)


def test_a_mapping_file_is_checked_at_start(mapping: Path) -> None:
    mapping.write_text(MAPPING.replace("user_id", "user"))

    with pytest.raises(ConfigurationError, match=r"shop.toml \[view\] fields.user: unknown field"):
        decoder_of(settings(mapping_file=str(mapping)))


def test_a_file_is_read_by_its_source_or_by_a_mapping(mapping: Path) -> None:
    (record,) = source_of("native", mapping).convert([msgspec.json.encode(OURS)], "views")

    assert (record.key, record.ts_ms) == (b"u", 5_000)
    assert source_of("segment", None).name == "segment"
    with pytest.raises(UsageError, match="--source segment"):
        source_of("segment", mapping)

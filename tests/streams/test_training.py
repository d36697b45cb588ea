"""Training sets from files: what is in them, in which order, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from profiler.columns import DAY_MS, HOUR_MS
from profiler.errors import UsageError
from profiler.sources import source_named
from profiler.spec import DEFAULT_SPEC
from streams import lookback
from streams.asof import profile_at
from streams.formats import decoder_of
from streams.labels import label_tables
from streams.past import Files, Past
from streams.settings import Secret, Settings
from streams.training import ExportReport, export
from tests.strategies import START_MS

SETTINGS = Settings(pseudonym_key=Secret("k" * 32))
Row = dict[str, Any]


def click(user: str, at_ms: int, **more: object) -> Row:
    return {"type": "click", "ts": at_ms, "user_id": user, "item_id": "cup", **more}


def past_of(tmp_path: Path, events: Sequence[Row]) -> Past:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    files = Files((path,), source_named("native"))
    return Past(SETTINGS, decoder_of(SETTINGS), files=files, with_topic=False)


def exported(
    tmp_path: Path, events: Sequence[Row], labels: Sequence[Row]
) -> tuple[list[Row], ExportReport]:
    path, out = tmp_path / "labels.jsonl", tmp_path / "out.parquet"
    path.write_bytes(b"".join(msgspec.json.encode(label) + b"\n" for label in labels))
    report = export(SETTINGS, past_of(tmp_path, events), path, out)
    rows: list[Row] = parquet.read_table(out).to_pylist()
    return rows, report


def test_rows_stand_in_the_order_of_the_labels_with_what_stood_beside_them(tmp_path: Path) -> None:
    labels = [
        {"user_id": user, "time": START_MS + k, "y": k, "note": f"{user}{k}"}
        for k, user in ((7, "ann"), (1, "bob"), (3, "ann"), (9, "bob"), (3, "ann"))
    ]
    events = [click(user, START_MS + k) for k in range(20) for user in ("ann", "bob")]

    rows, report = exported(tmp_path, events, labels)

    given = [{name: row[name] for name in ("user_id", "time", "y", "note")} for row in rows]
    assert given == labels
    assert [row["events"] for row in rows] == [7, 1, 3, 9, 3]
    assert (report.labels, report.subjects, report.records) == (5, 2, 40)


def test_nothing_of_what_came_at_that_time_or_after_it_changes_a_row(tmp_path: Path) -> None:
    at_ms = START_MS + DAY_MS
    past = [click("ann", START_MS + k * HOUR_MS) for k in range(5)]
    future = [
        {**click("ann", at_ms), "type": "purchase", "price": 900},
        click("ann", at_ms + 1),
        click("other", START_MS),
        {"type": "identify", "ts": at_ms, "user_id": "ann", "anonymous_id": "x"},
        {"type": "identify", "ts": at_ms, "user_id": "ann", "traits": {"plan": "gold"}},
        {"type": "click", "ts": START_MS, "anonymous_id": "x", "item_id": "secret"},
    ]
    labels = [{"subject": "user:ann", "time": at_ms}]

    (without,), _ = exported(tmp_path, past, labels)
    (with_it,), _ = exported(tmp_path, past + future, labels)

    assert without["events"] == 5
    assert with_it == without


def test_before_the_first_event_the_profile_is_empty(tmp_path: Path) -> None:
    labels = [{"subject": one, "time": START_MS} for one in ("ann", "nobody")]

    rows, report = exported(tmp_path, [click("ann", START_MS)], labels)

    assert rows[0]["as_of_ms"] is None
    assert rows[0]["events"] == 0
    assert not any(rows[0]["vector"])
    assert {**rows[1], "subject": "ann"} == rows[0]
    assert report.unknown == 2


def test_nothing_is_told_of_who_asked_to_be_forgotten_since(tmp_path: Path) -> None:
    events = [
        click("ann", START_MS),
        {"type": "identify", "ts": START_MS + 1, "user_id": "ann", "device_id": "pc"},
        {"type": "click", "ts": START_MS + 2, "device_id": "pc", "item_id": "cup"},
        click("bob", START_MS),
        {"type": "erase", "ts": START_MS + DAY_MS, "user_id": "ann"},
    ]
    labels = [{"subject": one, "time": START_MS + 9} for one in ("ann", "device:pc", "bob")]

    rows, report = exported(tmp_path, events, labels)

    assert [row["events"] for row in rows] == [None, None, 1]
    assert rows[0]["vector"] is None
    assert rows[0]["looks_hour"] is None
    assert (report.erased, report.unknown) == (2, 0)


def test_a_subject_is_shown_as_whoever_it_belonged_to_then(tmp_path: Path) -> None:
    events = [
        {"type": "click", "ts": START_MS, "anonymous_id": "a", "item_id": "cup"},
        click("ann", START_MS + 1),
        {"type": "identify", "ts": START_MS + 5, "user_id": "ann", "anonymous_id": "a"},
    ]
    labels = [
        {"anonymous_id": "a", "time": START_MS + 5},
        {"anonymous_id": "a", "time": START_MS + 6},
    ]

    rows, _ = exported(tmp_path, events, labels)

    assert [row["events"] for row in rows] == [1, 2]


def test_people_are_told_apart_whatever_the_number_of_buckets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [click(f"u{k % 40}", START_MS + k) for k in range(400)]
    events += [
        {"type": "identify", "ts": START_MS, "user_id": f"u{k}", "device_id": f"d{k // 2}"}
        for k in range(10)
    ]
    labels = [{"subject": f"u{k % 40}", "time": START_MS + 3 * k} for k in range(100)]
    in_one, _ = exported(tmp_path, events, labels)
    monkeypatch.setattr(lookback, "BUCKET_RECORDS", 10)

    in_many, _ = exported(tmp_path, events, labels)

    for many, one in zip(in_many, in_one, strict=True):
        exact = ("subject", "time", "as_of_ms", "events")
        assert [many.pop(name) for name in exact] == [one.pop(name) for name in exact]
        assert many.pop("vector") == pytest.approx(one.pop("vector"), rel=1e-6)
        assert many == pytest.approx(one, rel=1e-12)


@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "jsonl", "parquet"])
def test_labels_come_as_csv_json_lines_or_parquet(tmp_path: Path, form: str) -> None:
    table = pa.table(
        {
            "user_id": ["007", "7"],
            "time": ["2023-11-14T22:13:21+00:00", str(START_MS + 2_000)],
            "y": [1, 0],
        }
    )
    path, out = tmp_path / f"labels.{form}", tmp_path / "out.parquet"
    if form == "parquet":
        parquet.write_table(table, path)
    elif form == "jsonl":
        path.write_bytes(b"\n".join(map(msgspec.json.encode, table.to_pylist())))
    else:
        options = arrow_csv.WriteOptions(delimiter="\t" if form == "tsv" else ",")
        with pa.output_stream(path, compression="detect") as stream:
            arrow_csv.write_csv(table, stream, options)

    export(SETTINGS, past_of(tmp_path, [click("007", START_MS)] * 2), path, out)

    found = parquet.read_table(out)
    assert found["user_id"].to_pylist() == ["007", "7"]
    assert found["events"].to_pylist() == [2, 0]
    assert found["y"].to_pylist() == [1, 0]


def test_a_training_set_says_what_its_vectors_are(tmp_path: Path) -> None:
    exported(tmp_path, [click("ann", START_MS)], [{"subject": "ann", "time": START_MS + 1}])

    schema = parquet.read_schema(tmp_path / "out.parquet")

    assert schema.metadata[b"profiler.spec"] == DEFAULT_SPEC.hash.encode()
    assert msgspec.json.decode(schema.metadata[b"profiler.layout"])["dims"] == DEFAULT_SPEC.dims
    assert set(DEFAULT_SPEC.feature_names) < set(schema.names)


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        ({"time": 1}, "no column subject"),
        ({"subject": "ann"}, "no column time"),
        ({"subject": "", "time": 1}, "row 2 names no subject"),
        ({"subject": "pid:abc", "time": 1}, "does not have profile ids"),
        ({"subject": "ann", "time": "2023-11-14T22:13:21"}, "row 2: time: .* with a zone"),
        ({"subject": "ann", "time": "soon"}, "row 2: time: 'soon' is neither"),
        ({"subject": "ann", "time": -5}, "row 2: time"),
        ({"subject": "ann", "time": 1, "gap": 3}, "rename gap"),
    ],
)
def test_labels_that_do_not_say_whom_or_when_are_refused_with_their_row(
    tmp_path: Path, label: Row, problem: str
) -> None:
    # Of the same types, as the columns of a table have one each.
    first = dict(label) | {"subject": "ann"} if "subject" in label else dict(label)
    first |= {"time": type(label["time"])(5)} if "time" in label else {}

    with pytest.raises(UsageError, match=problem):
        exported(tmp_path, [], [first, label])

    assert not list(tmp_path.glob("out.parquet*"))


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("l.csv", "subject,time\nann,5\nann,6,hers,alone\n", "Expected 2 columns, got 4$"),
        ("l.jsonl", '{"subject":"ann","time":5}\n{"time":6', "row 2: Input data was truncated$"),
    ],
)
def test_labels_that_cannot_be_read_are_refused_without_being_shown(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    path = tmp_path / name
    path.write_text(text)

    with pytest.raises(UsageError, match=problem):
        list(label_tables(path))


def test_a_file_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no labels"):
        exported(tmp_path, [], [])


def test_a_profile_as_of_a_time_is_the_one_that_an_export_has(tmp_path: Path) -> None:
    events = [click("ann", START_MS + k * HOUR_MS, category="tea") for k in range(9)]
    at_ms = START_MS + 5 * HOUR_MS + 1

    profile = profile_at(SETTINGS, past_of(tmp_path, events), "ann", at_ms)
    (row,), _ = exported(tmp_path, events, [{"subject": "ann", "time": at_ms}])

    assert profile is not None
    assert profile.summary["activity"] == {"click": 6}
    assert profile.top("category")[0][0] == "tea"
    assert profile.as_of_ms == at_ms
    np.testing.assert_allclose(profile.vector, row["vector"], rtol=2e-7)


def test_nobody_is_known_before_their_first_event_or_once_forgotten(tmp_path: Path) -> None:
    erase = {"type": "erase", "ts": START_MS + 9, "user_id": "ann"}
    events = [click("ann", START_MS), click("bob", START_MS), erase]

    assert profile_at(SETTINGS, past_of(tmp_path, events), "bob", START_MS) is None
    assert profile_at(SETTINGS, past_of(tmp_path, events), "bob", START_MS + 1) is not None
    assert profile_at(SETTINGS, past_of(tmp_path, events), "ann", START_MS + 1) is None

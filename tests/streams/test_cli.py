"""The command line: what it prints where, its exit codes, and that its help is in the docs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli import COMMANDS, main, reference
from streams.console import show_json
from streams.settings import Settings, variable

ROOT = Path(__file__).parents[2]
NOBODY_LISTENS = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that are complete, and whose servers are away."""
    for name in Settings.__struct_fields__:
        monkeypatch.delenv(variable(name), raising=False)
    monkeypatch.delenv("PROFILER_CONFIG", raising=False)
    monkeypatch.setenv("PROFILER_PSEUDONYM_KEY", "k" * 32)
    monkeypatch.setenv("PROFILER_STORE_URL", f"redis://{NOBODY_LISTENS}/0")
    monkeypatch.setenv("PROFILER_BROKERS", NOBODY_LISTENS)


def test_the_documentation_has_the_help_of_every_command() -> None:
    written = (ROOT / "docs/cli.md").read_text("utf-8")

    assert written == reference()


def test_without_arguments_it_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    code = main([])

    shown = capsys.readouterr().out
    assert code == 0
    assert all(f"\n  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main([name, "--help"])

    shown = capsys.readouterr()
    assert code == 0
    assert shown.out.startswith(f"Usage: profiler {name}")
    assert not shown.err


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dance"]) == 2
    assert "No such command 'dance'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["get", "alice"], ["worker"], ["audit"], ["topics", "create"]]
)
def test_a_missing_setting_is_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROFILER_PSEUDONYM_KEY")

    code = main(arguments)

    assert code == 2
    assert one_line(capsys).startswith("PROFILER_PSEUDONYM_KEY: is required")


def test_a_store_that_is_away_is_a_fault_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["get", "alice", "--json"])

    assert code == 1
    assert "PROFILER_STORE_URL" in one_line(capsys)


def test_a_broker_that_is_away_is_a_fault_in_one_line() -> None:
    # In a process of its own: kafka-python leaves sockets to the garbage collector.
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", "topics", "create", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert not done.stdout
    assert done.stderr.count("\n") == 1
    assert "PROFILER_BROKERS" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["replay", __file__, "--speed", "fast"], "speed 'fast': give max"),
        (["replay", "nowhere.jsonl"], "no such file: nowhere.jsonl"),
        (["audit", "--file", "nowhere.csv"], "no such file: nowhere.csv"),
        (["audit", "--ledger", "nowhere.jsonl", "--file", __file__], "nowhere.jsonl: No such"),
        (["audit", "--limit", "5"], "--limit: only with --file"),
        (["audit", "--sort", "--distinct"], "--sort, --distinct: only with --file"),
        (["audit", "--source", "taobao"], "--source: only with --file"),
        (["get", "a", "--as-of", "soon"], "--as-of: 'soon' is neither milliseconds"),
        (["get", "a", "--as-of", "5", "--now"], "--now and --ties ask the store, --as-of the log"),
        (["get", "a", "--file", __file__], "--file, --force: only with --as-of"),
        (["get", "a", "--as-of", "5", "--source", "taobao"], "--source: only with --file"),
        (["get", "pid:a", "--as-of", "5", "--file", __file__], "does not have profile ids"),
        (["get", "a", "--as-of", "5", "--file", "nowhere.csv"], "no such file: nowhere.csv"),
        (["export", "--labels", "no.csv", "--out", "o.parquet"], "no such file: no.csv"),
        (["export", "--labels", __file__, "--out", "o", "--with-topic"], "only with --file"),
        (["replay", __file__, "--ledger", "no/where.jsonl"], "no/where.jsonl: No such file"),
        (["demo", "--file", "nowhere.csv"], "no such file: nowhere.csv"),
        (["schemas", "nothing.json"], "no document 'nothing.json'"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(arguments)

    assert code == 2
    assert problem in one_line(capsys)


def test_a_verdict_needs_a_subject_and_a_short_reason(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["pid:abc"], ["user:"], ["alice", "--reason", "x" * 257]):
        assert main(["quarantine", "hold", *arguments]) == 2

    assert capsys.readouterr().err.count("\n") == 3


def test_schemas_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schemas"]) == 0

    assert "asyncapi.json" in capsys.readouterr().out.splitlines()


def test_one_schema_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    main(["schemas", "asyncapi.json"])

    assert capsys.readouterr().out == (ROOT / "schemas/asyncapi.json").read_text("utf-8")


def test_schemas_are_written_below_a_directory(tmp_path: Path) -> None:
    main(["schemas", "--write", str(tmp_path / "new")])

    written = tmp_path / "new/events/click.json"
    assert written.read_bytes() == (ROOT / "schemas/events/click.json").read_bytes()


def test_json_is_one_object_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    main(["schemas", "--json"])

    assert "asyncapi.json" in json.loads(capsys.readouterr().out)


def test_what_is_not_a_number_is_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_json({"fresh_ms_p50": float("nan")})

    assert json.loads(capsys.readouterr().out) == {"fresh_ms_p50": None}


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said on standard error, where standard output stayed empty."""
    shown = capsys.readouterr()
    assert not shown.out
    assert shown.err.count("\n") == 1
    return shown.err


def test_a_mapping_that_makes_no_sense_is_refused_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, mapping = tmp_path / "rows.jsonl", tmp_path / "shop.toml"
    rows.write_text("{}\n")
    mapping.write_text('[view]\ntype = "vew"\n')

    code = main(["replay", "--mapping", str(mapping), str(rows)])

    assert code == 2
    assert f"{mapping} [view] type: unknown type 'vew'" in capsys.readouterr().err

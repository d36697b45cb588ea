"""What an offline run of wandb holds, by wandb's own messages."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from streams.tracking.wandb import PROJECT, WandB
from tests.integration.rig import until

# wandb and what it imports warn of their own deprecations.
pytestmark = pytest.mark.filterwarnings("ignore")
pytest.importorskip("wandb", reason="the extra `wandb` is not installed")


BLOCK_BYTES, HEADER_BYTES = 32_768, 7
FULL, LAST = 1, 4


def records_of(path: Path) -> list[Any]:
    """Records of an offline run: wandb's own messages in LevelDB's log format, behind a mark."""
    record_of = pytest.importorskip("wandb.proto.wandb_internal_pb2").Record.FromString
    content = path.read_bytes()
    assert content.startswith(b":W&B")
    found, whole, at = [], b"", HEADER_BYTES
    while at + HEADER_BYTES <= len(content):
        if BLOCK_BYTES - at % BLOCK_BYTES < HEADER_BYTES:
            at += BLOCK_BYTES - at % BLOCK_BYTES
        _, length, kind = struct.unpack_from("<IHB", content, at)
        at += HEADER_BYTES
        whole += content[at : at + length]
        at += length
        if kind in (FULL, LAST):
            found.append(record_of(whole))
            whole = b""
    return found


def test_an_offline_run_holds_what_was_logged_and_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    tracker = WandB("")
    tracker.log_params({"seed": 7})
    for step, value in ((10, 0.5), (20, 0.25)):
        tracker.log({"task/recall@20": value, "task/roc_auc": float("nan")}, step)
    tracker.log_text("card", "# Card")
    tracker.close()

    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    (path,) = folder.glob("run-*.wandb")
    # Its own process writes the file, and may do so after `finish` has come back.
    until(lambda: any(r.HasField("exit") for r in records_of(path)))
    records = records_of(path)

    points = [
        {
            "/".join(item.nested_key) or item.key: json.loads(item.value_json)
            for item in r.history.item
        }
        for r in records
        if r.HasField("history")
    ]
    assert [(point["_step"], point["task/recall@20"]) for point in points] == [
        (10, 0.5),
        (20, 0.25),
    ]
    assert not any("task/roc_auc" in point for point in points)
    assert {r.run.project for r in records if r.HasField("run")} == {PROJECT}
    everything = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert b"# Card" in everything
    assert b"f" * 40 not in everything

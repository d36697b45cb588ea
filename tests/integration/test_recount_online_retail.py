"""A part of Online Retail the whole way, against what DuckDB counts in the same file."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from profiler.privacy.pseudonym import Pseudonymiser
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states
from streams.assembly import open_store
from streams.cli import main
from streams.embedded import EmbeddedStore
from streams.settings import Settings
from streams.topics import create_topics
from streams.worker_process import WorkerProcess, environment_of
from tests.recount import assert_as_recounted, recounted

pytestmark = pytest.mark.integration

DATA = Path(os.environ.get("PROFILER_DATA_DIR", Path(__file__).parents[3] / "shared/data"))
LINES = 20_000


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    """A store of its own for each test: everybody in it is compared."""
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    whole = DATA / "online_retail.csv.gz"
    if not whole.exists():
        pytest.skip(f"{whole} is absent: set PROFILER_DATA_DIR to the folder with it")
    part = tmp_path / "online_retail.csv"
    with gzip.open(whole) as lines:
        part.write_bytes(b"".join(islice(lines, LINES)))
    return part


@pytest.mark.parametrize("distinct", [False, True], ids=["duplicates_kept", "distinct"])
def test_stored_profiles_are_what_an_independent_count_gives(
    settings: Settings,
    path: Path,
    distinct: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, text in environment_of(settings).items():
        monkeypatch.setenv(name, text)
    create_topics(settings)
    options = ["--source", "online-retail", *(["--distinct"] if distinct else [])]
    worker = WorkerProcess(settings, path.with_suffix(".log"))
    try:
        worker.start()
        replayed = main(["replay", str(path), *options, "--json"])
        files = ["--file", str(path)]
        audited = main(["audit", "--wait", "60", *files, *options, "--json"])
    finally:
        worker.kill()

    *_, last = capsys.readouterr().out.splitlines()
    assert (replayed, audited) == (0, 0), last
    expected = recounted(path, distinct=distinct)
    states = asyncio.run(stored(settings))
    pid = Pseudonymiser(settings.pseudonym_key.reveal().encode()).pid
    pids = [pid("user", name) for name in expected["customer"].tolist()]
    assert set(states) == set(pids)
    assert json.loads(last)["profiles"] == len(pids)
    rows = decode_states([states[p] for p in pids], DEFAULT_SPEC, {}).rows
    assert_as_recounted(rows, expected)


async def stored(settings: Settings) -> dict[str, bytes]:
    store = open_store(settings)
    try:
        return {pid: state async for chunk in store.scan() for pid, state in chunk}
    finally:
        await store.close()

"""History is loaded while events stream, and killed; each event counts once."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest
import redis

from streams.cli import main
from streams.client import ProfileClient
from streams.embedded import EmbeddedStore
from streams.producer import EventProducer
from streams.settings import Settings
from streams.topics import create_topics
from tests.integration.rig import WAIT_S, as_environment, until, workers

pytestmark = pytest.mark.integration

RETAIL = Path(__file__).parents[3] / "shared" / "data" / "online_retail.csv.gz"
ROWS = 200_000
T_MS = 1_640_995_200_000
DAY_MS = 86_400_000


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def topics(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    create_topics(settings)
    given = msgspec.structs.replace(settings, live_from="2022-01-01T00:00:00Z")
    as_environment(given, monkeypatch)
    return given


@pytest.mark.skipif(not RETAIL.exists(), reason="needs the shared data")
def test_killed_twice_beside_live_events_every_profile_is_right(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "history.csv"
    with gzip.open(RETAIL, "rb") as whole:
        history.write_bytes(b"".join(islice(whole, 1 + ROWS)))
    people = customers(history)
    folder = tmp_path / "folder"
    command = ["backfill", "--source", "online-retail", "--folder", str(folder)]
    command += ["--processes", "2", str(history)]

    with workers(topics, tmp_path, 1) as (worker,):
        worker.start()
        worker.wait_until_ready()
        with Live(topics, people):
            for n_loaded in (1, 700):
                with Killed(command) as process:
                    until(partial(has_loaded, topics, n_loaded))
                    assert process.poll() is None, "it was done before it could be killed"
            assert main([*command, "--json"]) == 0
            again = json.loads(capsys.readouterr().out)
        check = ["audit", "--history", str(history), "--source", "online-retail", "--json"]
        audited = main([*check, "--wait", "60"])
        found = json.loads(capsys.readouterr().out)
        assert main([*command, "--json"]) == 0
        finished = json.loads(capsys.readouterr().out)

    assert audited == 0, found["differences"]
    assert found["profiles"] == len(people)
    assert found["unordered"] > 10
    assert again["outcomes"].get("repeated", 0) + again["outcomes"]["applied"] > 0
    assert finished["was_finished"]
    assert not list(folder.iterdir())


@pytest.mark.skipif(not RETAIL.exists(), reason="needs the shared data")
def test_what_a_store_lost_is_loaded_again(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = tmp_path / "history.csv"
    with gzip.open(RETAIL, "rb") as whole:
        history.write_bytes(b"".join(islice(whole, 1 + ROWS)))
    folder = tmp_path / "folder"
    command = ["backfill", "--source", "online-retail", "--folder", str(folder)]

    with EmbeddedStore(appendonly=True, directory=tmp_path / "store") as store:
        monkeypatch.setenv("PROFILER_STORE_URL", store.url)
        # Nothing is done before it is this old.
        monkeypatch.setenv("PROFILER_DURABLE_AFTER_S", "4")
        with Killed([*command, str(history)]) as process:
            with redis.Redis.from_url(store.url) as client:
                until(lambda: client.dbsize() > 1_500)
                n_before = client.dbsize()
            store.kill()
            [manifest] = folder.glob("*/manifest.json")
            assert not json.loads(manifest.read_bytes())["done"], "too late: nothing may be lost"
            [log] = (tmp_path / "store").glob("appendonlydir/*.incr.aof")
            os.truncate(log, log.stat().st_size * 2 // 3)
            store.start()
            with redis.Redis.from_url(store.url) as client:
                assert client.dbsize() < n_before
            assert process.wait(WAIT_S) == 0
        check = ["audit", "--history", str(history), "--source", "online-retail"]
        assert main(check) == 0


def test_each_event_is_taken_by_one_side_only(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [click("u1", T_MS + day * DAY_MS, f"e{day}") for day in range(-3, 3)]
    history = tmp_path / "history.jsonl"
    history.write_bytes(b"\n".join(map(msgspec.json.encode, both)))

    with workers(topics, tmp_path, 1) as (worker,):
        worker.start()
        worker.wait_until_ready()
        send(topics, both)
        code = main(["backfill", str(history), "--folder", str(tmp_path / "folder"), "--json"])
        loaded = json.loads(capsys.readouterr().out)
        audited = main(["audit", "--history", str(history), "--wait", "60"])

    assert (code, audited) == (0, 0), capsys.readouterr().out
    assert (loaded["outcomes"], loaded["outside"]) == ({"applied": 3}, 3)
    with ProfileClient(topics.store_url, topics.pseudonym_key.reveal()) as client:
        profile = client.get("user:u1")
        assert profile is not None
        assert profile.summary["activity"]["click"] == 6


def test_history_joins_people_whose_homes_are_elsewhere(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "history.jsonl"
    events: list[dict[str, Any]] = []
    for k in range(60):
        ts = T_MS - DAY_MS + k
        events.append({"type": "click", "ts": ts, "anonymous_id": f"a{k}", "item_id": "before"})
        events.append(click(f"u{k}", ts + 10, f"e{k}"))
        events.append(
            {"type": "identify", "ts": ts + 20, "user_id": f"u{k}", "anonymous_id": f"a{k}"}
        )
    history.write_bytes(b"\n".join(map(msgspec.json.encode, events)))

    with workers(topics, tmp_path, 2) as several:
        for worker in several:
            worker.start()
        for worker in several:
            worker.wait_until_ready()
        assert main(["backfill", str(history), "--folder", str(tmp_path / "folder")]) == 0
        until(lambda: main(["audit", "--history", str(history), "--wait", "60"]) == 0)

    capsys.readouterr()
    with ProfileClient(topics.store_url, topics.pseudonym_key.reveal()) as client:
        for k in range(60):
            person = client.get(f"anonymous:a{k}")
            assert person is not None
            assert person.summary["activity"]["click"] == 2


def test_a_topic_is_loaded_up_to_a_time(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    send(topics, [click(f"u{k % 7}", T_MS - DAY_MS + k, f"e{k}") for k in range(100)])
    topic = topics.topic("events")

    command = ["backfill", "--topic", topic, "--before", "2022-01-01T00:00:00Z", "--json"]
    code = main([*command, "--folder", str(tmp_path / "folder"), "--processes", "1"])

    assert code == 0
    assert json.loads(capsys.readouterr().out)["outcomes"] == {"applied": 100}
    with ProfileClient(topics.store_url, topics.pseudonym_key.reveal()) as client:
        profile = client.get("user:u1")
    assert profile is not None
    assert [name for name, _ in profile.top("item")] == ["cup"]


def test_nonsense_is_listed_and_the_rest_is_loaded(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "history.jsonl"
    good = msgspec.json.encode(click("u1", T_MS - DAY_MS, "e1"))
    history.write_bytes(b"\n".join([b"{", good, b'{"type":"dance","ts":1,"user_id":"u1"}']))
    rejected = tmp_path / "rejected.jsonl"

    code = main(
        ["backfill", str(history), "--folder", str(tmp_path / "f"), "--rejected", str(rejected)]
    )

    assert code == 0
    lines = [json.loads(line) for line in rejected.read_text().splitlines()]
    assert [(line["reason"], line["at"]) for line in lines] == [
        ("malformed", 0),
        ("unknown_type", 2),
    ]
    assert "applied=1" in capsys.readouterr().out


def test_a_moved_file_is_the_same_load_and_a_folder_keeps_what_is_not_ours(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history, moved = tmp_path / "history.jsonl", tmp_path / "old" / "moved.jsonl"
    history.write_bytes(msgspec.json.encode(click("u1", T_MS - DAY_MS, "e1")))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "precious.txt").write_text("mine")
    moved.parent.mkdir()

    assert main(["backfill", str(history), "--folder", str(folder)]) == 0
    moved.write_bytes(history.read_bytes())
    capsys.readouterr()
    assert main(["backfill", str(moved), "--folder", str(folder)]) == 0

    assert "is done already" in capsys.readouterr().out
    assert [path.name for path in folder.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name files, or a topic"),
        (["--topic", "t", "file.jsonl"], "name files, or a topic"),
        (["nowhere.jsonl"], "no such file: nowhere.jsonl"),
        (["--before", "yesterday", "nowhere.jsonl"], "--before 'yesterday'"),
        (["--before", "2099-01-01T00:00:00Z", "{file}"], "is in the future"),
        (["--topic", "{topic}", "--before", "2021-01-01T00:00:00Z"], "is what the workers read"),
        (["--rejected", "{file}", "{file}"], "{file} is to be read"),
        (["--rejected", "/nowhere/r.jsonl", "{file}"], "/nowhere/r.jsonl: No such file"),
    ],
)
def test_a_command_that_makes_no_sense_says_why(
    topics: Settings,
    tmp_path: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "history.jsonl"
    file.write_bytes(msgspec.json.encode(click("u1", T_MS - DAY_MS, "e1")))
    names = {"file": file, "topic": topics.topic("events")}

    assert main(["backfill", *(one.format(**names) for one in arguments)]) == 2
    assert said.format(**names) in capsys.readouterr().err
    assert file.read_bytes()


class Killed:
    """A command that is killed when its time is up."""

    def __init__(self, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", *arguments], env=os.environ.copy()
        )

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


class Live:
    """Events of the same people, all the while."""

    def __init__(self, settings: Settings, people: list[str]) -> None:
        self._settings = settings
        self._people = people
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()

    def _send(self) -> None:
        with EventProducer(self._settings.brokers, self._settings.topic("events")) as producer:
            number = 0
            while not self._enough.wait(0.001):
                person = self._people[number % len(self._people)]
                event = click(person, time.time_ns() // 1_000_000, f"live-{number}")
                producer.send_raw(person.encode(), msgspec.json.encode(event))
                number += 1


def customers(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return sorted({row["CustomerID"].removesuffix(".0") for row in csv.DictReader(file)} - {""})


def has_loaded(settings: Settings, n_people: int) -> bool:
    with redis.Redis.from_url(settings.store_url) as client:
        return len(client.keys("loaded:*")) >= n_people


def click(user_id: str, ts: int, event_id: str) -> dict[str, Any]:
    return {"type": "click", "ts": ts, "user_id": user_id, "item_id": "cup", "event_id": event_id}


def send(settings: Settings, events: list[dict[str, Any]]) -> None:
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        for event in events:
            producer.send_raw(event["user_id"].encode(), msgspec.json.encode(event))


def test_what_was_loaded_can_be_recommended_from(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "history.jsonl"
    looks = [
        click(f"u{k}", T_MS - DAY_MS + 1_000 * place + k, f"{k}-{place}") | {"item_id": item}
        for k in range(20)
        for place, item in enumerate(("cup", "saucer"))
    ]
    history.write_bytes(b"\n".join(map(msgspec.json.encode, looks)))

    code = main(["backfill", str(history), "--folder", str(tmp_path / "folder"), "--json"])
    loaded = json.loads(capsys.readouterr().out)

    assert (code, loaded["outcomes"]) == (0, {"applied": 40})
    with ProfileClient(topics.store_url, topics.pseudonym_key.reveal()) as client:
        found = {one.name: one.clues for one in client.recommend("u3")}
    assert found["cup"]["goes_with"] > 0

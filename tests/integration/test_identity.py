"""Anonymous, device and user of one person: three subjects, one profile, and three again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.cli import main
from streams.client import ProfileClient
from streams.embedded import EmbeddedStore
from streams.settings import Settings
from tests.integration.rig import send, settled, workers
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration

PEOPLE = 40


@pytest.fixture
def broker(kafka: ApacheKafka) -> ApacheKafka:
    return kafka


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    with EmbeddedStore() as running:
        yield running


def test_the_anonymous_history_joins_whatever_dies_meanwhile(
    topics: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workers(topics, tmp_path, 2) as several:
        for worker in several:
            worker.start()
        for worker in several:
            worker.wait_until_ready()
        send(topics, [event for k in range(PEOPLE) for event in history(k)])
        several[0].kill()
        send(topics, [click({"anonymous_id": f"a{k}"}, "after") for k in range(PEOPLE)])
        several[0].start()
        joined = settled(topics)

        with ProfileClient(topics.store_url, topics.pseudonym_key.reveal()) as client:
            found = [client.get(f"anonymous:a{k}") for k in range(PEOPLE)]
            users = [client.get(f"user:u{k}") for k in range(PEOPLE)]
        capsys.readouterr()
        main(["identity", "show", "device:d3", "--json"])
        graph = json.loads(capsys.readouterr().out)["subjects"]
        assert main(["identity", "show", "user:nobody"]) == 1
        assert "nothing is known of user:nobody" in capsys.readouterr().err

        for said in ("the profiles change within seconds", "the store knows no link"):
            main(["identity", "unmerge", "device:d3", "user:u3"])
            assert said in capsys.readouterr().err
            settled(topics)
        parted = settled(topics)
        main(["identity", "show", "device:d3"])
        after = capsys.readouterr().out
        with ProfileClient(topics.store_url, topics.pseudonym_key.reveal()) as client:
            device, user = client.get("device:d3"), client.get("user:u3")

    assert joined.outcomes["accepted_unused"] == 2 * PEOPLE
    assert all(f and u and f.pid == u.pid for f, u in zip(found, users, strict=True))
    # Two clicks without a name, one on the device, one as a user, one without a name again.
    assert [clicks(user) for user in users] == [5] * PEOPLE
    assert [one["events"] for one in graph] == [1, 1, 3]
    assert (clicks(device), clicks(user)) == (4, 1)
    assert user is not None
    assert f"was unlinked from user {user.pid}: linked " in after
    assert parted.mismatched == 0


def history(k: int) -> list[dict[str, Any]]:
    nobody, device, user = {"anonymous_id": f"a{k}"}, {"device_id": f"d{k}"}, {"user_id": f"u{k}"}
    return [
        click(nobody, "before"),
        click(nobody, "before, too"),
        click(device, "device"),
        {"type": "identify", "ts": now_ms(), **device, **nobody},
        {"type": "identify", "ts": now_ms(), **user, **device},
        click(user, "user"),
    ]


def click(subject: dict[str, str], item_id: str) -> dict[str, Any]:
    return {"type": "click", "ts": now_ms(), "item_id": item_id, **subject}


def clicks(profile: Any) -> int:
    assert profile is not None
    n: int = profile.summary["activity"]["click"]
    return n


def now_ms() -> int:
    return time.time_ns() // 1_000_000

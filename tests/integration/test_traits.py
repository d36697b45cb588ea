"""Traits from events to readers: joined with a person's other ids, parted again, and erased."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from profiler.privacy.pseudonym import Pseudonymiser
from streams.cli import main
from streams.client import ProfileClient
from streams.embedded import EmbeddedStore
from streams.settings import Settings
from streams.store import traits_key
from streams.topics import create_topics
from tests.integration.rig import as_environment, send, settled, workers

pytestmark = pytest.mark.integration

PEOPLE = 20
START_MS = time.time_ns() // 1_000_000 - 60_000


@pytest.fixture
def store() -> Iterator[EmbeddedStore]:
    with EmbeddedStore() as running:
        yield running


@pytest.fixture
def topics(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    mine = msgspec.structs.replace(
        settings,
        traits=("plan=recent", "city=trusted", "tags=union", "since=first", "email=recent"),
        trusted_sources=("crm",),
    )
    create_topics(mine)
    as_environment(mine, monkeypatch)
    return mine


def test_traits_join_part_and_go_with_the_person_whatever_dies_meanwhile(
    topics: Settings, tmp_path: Path
) -> None:
    with workers(topics, tmp_path, 2) as several:
        for worker in several:
            worker.start()
        for worker in several:
            worker.wait_until_ready()
        send(topics, [event for k in range(PEOPLE) for event in told(k)])
        several[0].kill()
        send(topics, [segment_call(k) for k in range(PEOPLE)])
        several[0].start()
        joined = settled(topics)
        together = traits_of(topics, "user:u0")
        same = traits_of(topics, "anonymous:a0")
        hidden = everything_in(topics)

        main(["identity", "unmerge", "anonymous:a0", "user:u0"])
        settled(topics)
        parted, alone = traits_of(topics, "user:u0"), traits_of(topics, "anonymous:a0")

        send(topics, [{"type": "erase", "ts": START_MS + 9, "user_id": "u1"}])
        erased = settled(topics)
        logs = b"".join((tmp_path / f"worker-{n}.log").read_bytes() for n in range(2))

    assert joined.mismatched == joined.stale == 0
    assert together == same
    assert values(together) == {
        "plan": ["gold"],
        "city": ["Oslo"],
        "tags": ["vip", "new"],
        "since": [2020],
        "email": [digest(topics, "email", "u0@example.org")],
    }
    assert values(parted) == {**values(together), "tags": ["vip"], "since": [2021]}
    assert values(alone) == {"plan": ["free"], "tags": ["new"], "since": [2020], "city": ["Rome"]}
    assert together["plan"] == (("gold", "segment", START_MS + 5),)
    for raw in (b"example.org", b"EXAMPLE"):
        assert raw not in hidden
        assert raw not in logs
    assert erased.mismatched == erased.stale == 0
    with redis.Redis.from_url(topics.store_url) as admin:
        gone = [
            pid(topics, kind, subject) for kind, subject in (("user", "u1"), ("anonymous", "a1"))
        ]
        assert [admin.get(traits_key(one)) for one in gone] == [None, None]


def told(k: int) -> list[dict[str, Any]]:
    """What one person's three ids tell; the latest that counts comes in the form of Segment."""

    def identify(after_ms: int, source: str, traits: Mapping[str, Any], **ids: str) -> Any:
        event = {"type": "identify", "ts": START_MS + after_ms, "source": source, **ids}
        return {**event, "traits": traits}

    nobody, user = f"a{k}", f"u{k}"
    return [
        identify(1, "web", {"plan": "free", "tags": ["new"], "since": 2020}, anonymous_id=nobody),
        identify(2, "web", {"city": "Rome"}, anonymous_id=nobody),
        identify(3, "crm", {"city": "Oslo", "tags": ["vip"], "since": 2021}, user_id=user),
        identify(4, "web", {"shoe_size": 43}, user_id=user, anonymous_id=nobody),
    ]


def segment_call(k: int) -> dict[str, Any]:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime((START_MS + 5) // 1_000))
    return {
        "type": "identify",
        "userId": f"u{k}",
        "messageId": f"m{k}",
        "timestamp": f"{stamp}.{(START_MS + 5) % 1_000:03d}Z",
        "traits": {"plan": "gold", "email": f"U{k}@EXAMPLE.org", "address": {"city": "Bern"}},
    }


def traits_of(settings: Settings, subject: str) -> Mapping[str, tuple[Any, ...]]:
    with ProfileClient(settings.store_url, settings.pseudonym_key.reveal()) as client:
        profile = client.get(subject, traits=True)
    assert profile is not None
    return profile.traits


def values(traits: Mapping[str, tuple[Any, ...]]) -> dict[str, list[object]]:
    return {name: [one.value for one in several] for name, several in traits.items()}


def digest(settings: Settings, name: str, value: str) -> str:
    return pid(settings, f"trait:{name}", value)


def pid(settings: Settings, kind: str, subject: str) -> str:
    return Pseudonymiser(settings.pseudonym_key.reveal().encode()).pid(kind, subject)


def everything_in(settings: Settings) -> bytes:
    """All keys and values of the store."""
    found = []
    with redis.Redis.from_url(settings.store_url) as admin:
        for key in admin.scan_iter():
            found += [key, admin.dump(key) or b""]
        found += [v for key in admin.scan_iter(match="traits:*") if (v := admin.get(key))]
        found += [v for key in admin.scan_iter(match="state:*") if (v := admin.get(key))]
    return b"\n".join(found)

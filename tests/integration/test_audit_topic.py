"""The audit against a real broker: what is in the topic must be what is in the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.structs import OffsetAndMetadata

from profiler.batch import Preparer, Screen
from profiler.errors import UsageError
from profiler.guard import BATCH_HEADERS
from profiler.models.bank import ModelBank
from profiler.partitioning import partition_of
from profiler.pipeline import process
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Chunk, RawRecord
from profiler.sources import Converted
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states, encode_states
from streams.audit import audit
from streams.cli import main
from streams.embedded import EmbeddedBroker, EmbeddedStore
from streams.eventlog import ends_of
from streams.memory_store import MemoryStore
from streams.producer import EventProducer, Headers
from streams.settings import Secret, Settings
from streams.store import ProfileWrite
from streams.topics import create_topics

pytestmark = pytest.mark.integration

KEY = "k" * 32
NOW = 1_700_000_000_000
EVENTS = [
    Converted(
        subject.encode(),
        msgspec.json.encode({"type": "click", "ts": NOW + k, "user_id": subject, "item_id": "i"}),
    )
    for k in range(50)
    for subject in ("alice", "bob", "carol")
] + [Converted(b"alice", b"{broken")]

CLOUD = [("ce_specversion", b"1.0"), ("ce_type", b"com.shop.click"), ("ce_source", b"/shop")]
CALL = {"userId": "bob", "timestamp": NOW, "messageId": "m"}
PRODUCTS = [{"product_id": "cup", "price": 2.5, "quantity": 2}, {"product_id": "hat", "price": 9}]
FOREIGN: list[tuple[bytes, Any, Headers]] = [
    (b"alice", {"user_id": "alice", "ts": NOW, "item_id": "i"}, [*CLOUD, ("ce_id", b"1")]),
    (b"alice", {"user_id": "alice", "ts": NOW, "item_id": "i"}, [*CLOUD, ("ce_id", b"1")]),
    (
        b"bob",
        CALL | {"type": "track", "event": "Order Completed", "properties": {"products": PRODUCTS}},
        [],
    ),
    (b"bob", CALL | {"type": "track", "event": "Nothing that we know"}, []),
    (b"carol", {"batch": [{"type": "page", "userId": "carol", "timestamp": NOW}] * 3}, []),
]


@pytest.fixture
def settings(broker: EmbeddedBroker, request: pytest.FixtureRequest) -> Settings:
    made = Settings(
        pseudonym_key=Secret(KEY),
        brokers=broker.address,
        topic_prefix=request.node.name,
        group=request.node.name,
        partitions=2,
    )
    create_topics(made)
    with EventProducer(made.brokers, made.topic("events")) as producer:
        for record in EVENTS:
            producer.send_raw(record.key, record.value, NOW)
    return made


def store_of(
    settings: Settings,
    foreign: Sequence[tuple[bytes, Any, Headers]] = (),
    headers_of_events: Headers = (),
) -> MemoryStore:
    """The store as a worker would leave it."""
    offsets, records = [0, 0], []
    sent: list[tuple[bytes | None, bytes, Headers]] = [
        (e.key, e.value, headers_of_events) for e in EVENTS
    ]
    sent += [(key, msgspec.json.encode(value), headers) for key, value, headers in foreign]
    for key, value, headers in sent:
        partition = partition_of(key or b"", 2)
        origin = settings.topic("events"), partition, offsets[partition]
        records.append(RawRecord(*origin, NOW, key, value, headers))
        offsets[partition] += 1
    chunks = [Chunk(0, p, [r for r in records if r.partition == p]) for p in (0, 1)]
    prepared = Preparer(Pseudonymiser(KEY.encode()), Screen()).prepare(chunks)
    stored = decode_states([None] * len(prepared.pids), DEFAULT_SPEC, {})
    done = process(DEFAULT_SPEC, prepared, stored, ModelBank(DEFAULT_SPEC))
    states = encode_states(DEFAULT_SPEC, done.rows, stored.rev[done.place] + 1, done.fences)
    store = MemoryStore(spec_hash=DEFAULT_SPEC.hash)
    writes = [
        ProfileWrite(prepared.pids[place], 1, state, vector.tobytes(), summary, as_of)
        for place, state, vector, summary, as_of in zip(
            done.place.tolist(),
            states,
            done.vectors,
            done.summaries,
            done.rows["core.as_of"].tolist(),
            strict=True,
        )
    ]
    assert all(asyncio.run(store.commit(writes)))
    return store


def commit_end(settings: Settings, behind: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    offsets: dict[Any, Any] = {
        TopicPartition(settings.topic("events"), p): OffsetAndMetadata(end - behind, "", -1)
        for p, end in ends_of(settings).items()
    }
    admin.alter_group_offsets(settings.group, offsets)
    admin.close()


def test_a_store_that_agrees_with_the_topic_passes(settings: Settings) -> None:
    report = asyncio.run(audit(settings, store_of(settings)))

    assert (report.profiles, report.mismatched, report.records) == (3, 0, 151)
    assert report.stale == 0
    assert report.outcomes == {"applied": 150, "malformed": 1}
    assert report.passed


def test_records_of_other_systems_are_audited_as_the_worker_reads_them(settings: Settings) -> None:
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        for key, value, headers in FOREIGN:
            producer.send_raw(key, msgspec.json.encode(value), NOW, headers)

    report = asyncio.run(audit(settings, store_of(settings, FOREIGN)))

    assert (report.profiles, report.mismatched, report.records) == (3, 0, 156)
    assert report.outcomes == {
        "applied": 150 + 1 + 2 + 3,
        "duplicate": 1,
        "accepted_unused": 1,
        "malformed": 1,
    }


def test_a_profile_that_lost_an_event_is_reported_with_its_columns(settings: Settings) -> None:
    store = store_of(settings)
    pid = Pseudonymiser(KEY.encode()).pid("user", "bob")
    stored = decode_states([store.states[pid]], DEFAULT_SPEC, {})
    stored.rows["activity.count"][0, 0] -= 1
    (store.states[pid],) = encode_states(DEFAULT_SPEC, stored.rows, stored.rev, stored.fences)

    report = asyncio.run(audit(settings, store))

    assert (report.profiles, report.mismatched, report.stale) == (3, 1, 1)
    columns = [(d.pid, d.column) for d in report.differences]
    assert columns == [(pid, "activity.count"), (pid, "readers' summary")]


def test_a_profile_of_which_readers_see_an_old_revision_is_reported(settings: Settings) -> None:
    store = store_of(settings)
    pid = Pseudonymiser(KEY.encode()).pid("user", "bob")
    store.profiles[pid]["rev"] = b"0"

    report = asyncio.run(audit(settings, store))

    assert (report.mismatched, report.stale) == (0, 1)
    assert [(d.pid, d.column) for d in report.differences] == [(pid, "readers' rev")]
    assert not report.passed


def test_a_store_that_agrees_with_the_replayed_records_passes(settings: Settings) -> None:
    replayed = store_of(settings, headers_of_events=BATCH_HEADERS)

    report = asyncio.run(audit(settings, replayed, records=EVENTS))

    assert (report.profiles, report.mismatched, report.records) == (3, 0, 151)


@pytest.mark.parametrize(("options", "n_records"), [([], 3), (["--distinct"], 2)])
def test_a_file_is_audited_as_it_was_replayed(
    store: EmbeddedStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    n_records: int,
) -> None:
    path = tmp_path / "UserBehavior.csv"
    path.write_text("1,5,9,pv,200\n1,6,9,pv,300\n1,5,9,pv,200\n")
    monkeypatch.setenv("PROFILER_PSEUDONYM_KEY", KEY)
    monkeypatch.setenv("PROFILER_STORE_URL", store.url)

    main(["audit", "--file", str(path), "--source", "taobao", "--json", *options])

    assert json.loads(capsys.readouterr().out)["records"] == n_records


def test_the_ledger_is_held_against_the_counts(settings: Settings, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    lines = [
        {"subject": "user:alice", "counts": {"click": 52}},
        {"subject": "user:bob", "counts": {"click": 50}},
        {"subject": "user:carol", "counts": {"click": 49}},
    ]
    ledger.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

    report = asyncio.run(audit(settings, store_of(settings), ledger=ledger))

    assert (report.mismatched, report.lost, report.duplicated) == (0, 2, 1)
    assert not report.passed


def test_what_is_no_ledger_is_refused_with_its_line(settings: Settings, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text('{"subject":"user:a","counts":{}}\n{"subject":"alice","counts":{}}\n')

    with pytest.raises(UsageError, match=r"ledger.jsonl:2"):
        asyncio.run(audit(settings, store_of(settings), ledger=ledger))


def test_a_group_that_has_read_everything_is_audited_at_once(settings: Settings) -> None:
    commit_end(settings, behind=0)

    report = asyncio.run(audit(settings, store_of(settings), wait_s=0))

    assert report.passed


def test_a_group_that_lags_is_not_audited(settings: Settings) -> None:
    commit_end(settings, behind=3)

    with pytest.raises(UsageError, match="is 6 records behind"):
        asyncio.run(audit(settings, store_of(settings), wait_s=0))


def test_a_missing_topic_is_named(broker: EmbeddedBroker) -> None:
    settings = Settings(
        pseudonym_key=Secret(KEY), brokers=broker.address, topic_prefix="nothing-here"
    )

    with pytest.raises(UsageError, match=r"nothing-here\.events"):
        asyncio.run(audit(settings, MemoryStore(spec_hash=DEFAULT_SPEC.hash)))

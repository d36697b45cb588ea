"""Dead letters keep what was sent, byte for byte, and can be sent again, once."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import closing

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from profiler.errors import BrokerUnavailable, UsageError
from profiler.records import RawRecord
from streams.deadletter import DeadLetter, KafkaDeadLetters
from streams.letterbox import Replayed, list_dead_letters, replay_dead_letters
from streams.settings import Settings
from streams.topics import create_topics
from tests.servers.apache_kafka import ApacheKafka

pytestmark = pytest.mark.integration

NOW_MS = 1_700_000_000_000


@pytest.fixture
def topics(settings: Settings) -> Settings:
    create_topics(settings)
    return settings


def test_a_letter_keeps_bytes_key_headers_and_origin(topics: Settings) -> None:
    record = _record(topics, 7, b"\xff\x00 not json", key=b"alice", headers=[("trace", b"\x01")])

    _send(topics, [DeadLetter(record, "malformed")])

    (letter,) = list_dead_letters(topics, limit=10)
    assert (letter.value, letter.key, letter.headers) == (
        b"\xff\x00 not json",
        b"alice",
        (("trace", b"\x01"),),
    )
    assert (letter.reason, letter.topic) == ("malformed", topics.topic("events"))
    assert (letter.partition, letter.offset, letter.timestamp_ms) == (2, 7, 1_234)
    assert (letter.at_ms, letter.n_bytes, letter.sha256) == (NOW_MS, 11, "")


def test_what_the_broker_refuses_is_cut_and_fingerprinted(topics: Settings) -> None:
    value = b"x" * 3_000_000

    _send(topics, [DeadLetter(_record(topics, 0, value, headers=[("h", b"1")]), "oversize")])

    (letter,) = list_dead_letters(topics, limit=10)
    assert (letter.value, letter.n_bytes) == (b"x" * 1_024, 3_000_000)
    assert letter.sha256 == hashlib.sha256(value).hexdigest()


def test_neighbours_of_a_letter_that_the_broker_refuses_are_kept_whole(
    settings: Settings, kafka: ApacheKafka
) -> None:
    strict = msgspec.structs.replace(settings, brokers=kafka.address)
    name, few = strict.topic("deadletter"), {"max.message.bytes": "20000"}
    with closing(KafkaAdminClient(bootstrap_servers=strict.brokers)) as admin:
        admin.create_topics({name: {"num_partitions": 1, "configs": few}})
    values = [b"%d" % k * 2_000 for k in range(50)]
    values[20] = b"x" * 30_000

    _send(strict, [DeadLetter(_record(strict, k, v), "malformed") for k, v in enumerate(values)])

    letters = {letter.offset: letter for letter in list_dead_letters(strict, limit=100)}
    assert letters.pop(20).n_bytes == 30_000
    assert {k: letter.value for k, letter in letters.items()} == {
        k: value for k, value in enumerate(values) if k != 20
    }


def test_a_record_without_key_and_value_is_kept(topics: Settings) -> None:
    _send(topics, [DeadLetter(_record(topics, 0, None), "malformed")])

    (letter,) = list_dead_letters(topics, limit=10)
    assert (letter.key, letter.value) == (None, None)


def test_the_list_has_the_newest_first_and_can_be_narrowed(topics: Settings) -> None:
    letters = [_letter(topics, n, "malformed" if n % 2 else "oversize") for n in range(20)]
    for at_ms, letter in enumerate(letters):
        _send(topics, [letter], at_ms)

    newest = list_dead_letters(topics, limit=3)
    newest_malformed = list_dead_letters(topics, limit=2, reason="malformed")

    assert [letter.offset for letter in newest] == [19, 18, 17]
    assert [letter.offset for letter in newest_malformed] == [19, 17]


def test_a_replay_sends_each_letter_once_to_where_it_came_from(topics: Settings) -> None:
    record = _record(topics, 0, b"{}", key=b"bob", headers=[("trace", b"t")])
    _send(topics, [DeadLetter(record, "malformed")])

    first = replay_dead_letters(topics)
    second = replay_dead_letters(topics)

    assert (first, second) == (Replayed(n_sent=1), Replayed())
    assert _events(topics) == [(b"bob", b"{}", [("trace", b"t")])]


def test_a_letter_that_is_rejected_again_is_left_for_the_next_replay(topics: Settings) -> None:
    # They come from the topic of dead letters itself: sending one puts it there again. They are too
    # many for one fetch, so that a later one sees a later end.
    origin, value = topics.topic("deadletter"), b"x" * 4_000
    records = [_record(topics, n, value, key=b"%d" % n) for n in range(2_000)]
    _send(topics, [DeadLetter(r._replace(topic=origin), "malformed") for r in records])

    replayed = replay_dead_letters(topics)

    assert replayed == Replayed(n_sent=2_000)
    assert len(list_dead_letters(topics, limit=10_000)) == 4_000


def test_a_replay_of_one_reason_leaves_the_others_for_later(topics: Settings) -> None:
    _send(topics, [_letter(topics, n, "malformed" if n % 2 else "too_old") for n in range(10)])

    of_one = replay_dead_letters(topics, reason="malformed")
    of_one_again = replay_dead_letters(topics, reason="malformed")
    of_all = replay_dead_letters(topics)

    assert [of_one.n_sent, of_one_again.n_sent, of_all.n_sent] == [5, 0, 5]
    assert sorted(value for _, value, _ in _events(topics)) == [b"%d" % n for n in range(10)]


def test_a_limited_replay_goes_on_where_it_stopped(topics: Settings) -> None:
    _send(topics, [_letter(topics, n, "malformed") for n in range(10)])

    counts = [replay_dead_letters(topics, limit=4).n_sent for _ in range(4)]

    assert counts == [4, 4, 2, 0]
    assert sorted(value for _, value, _ in _events(topics)) == [b"%d" % n for n in range(10)]


def test_what_cannot_be_replayed_is_counted(topics: Settings) -> None:
    whole, cut, empty = (
        _record(topics, n, v) for n, v in enumerate((b"1", b"x" * 3_000_000, None))
    )
    _send(topics, [DeadLetter(record, "malformed") for record in (whole, cut, empty)])

    replayed = replay_dead_letters(topics)

    assert replayed == Replayed(n_sent=1, n_truncated=1, n_empty=1)


def test_many_letters_are_sent_together(topics: Settings) -> None:
    _send(topics, [_letter(topics, n, "malformed") for n in range(2_000)])

    assert len(list_dead_letters(topics, limit=5_000)) == 2_000


def test_a_broker_that_is_away_is_an_error_and_not_a_loss(topics: Settings) -> None:
    away = msgspec.structs.replace(topics, brokers="127.0.0.1:1")

    with pytest.raises(BrokerUnavailable, match="not acknowledged"):
        _send(away, [_letter(topics, 0, "malformed")])


def test_without_the_topic_the_error_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(UsageError, match="profiler topics create"):
        list_dead_letters(settings, limit=1)


def _send(settings: Settings, letters: Sequence[DeadLetter], at_ms: int = NOW_MS) -> None:
    async def send() -> None:
        sink = KafkaDeadLetters(settings.brokers, settings.topic("deadletter"), lambda: at_ms)
        try:
            await sink.send(letters)
        finally:
            await sink.close()

    asyncio.run(send())


def _record(
    settings: Settings,
    offset: int,
    value: bytes | None,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
) -> RawRecord:
    return RawRecord(settings.topic("events"), 2, offset, 1_234, key, value, headers)


def _letter(settings: Settings, number: int, reason: str) -> DeadLetter:
    return DeadLetter(_record(settings, number, b"%d" % number, key=b"%d" % number), reason)


def _events(settings: Settings) -> list[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]:
    consumer = KafkaConsumer(bootstrap_servers=settings.brokers, auto_offset_reset="earliest")
    partitions = [TopicPartition(settings.topic("events"), n) for n in range(settings.partitions)]
    consumer.assign(partitions)
    found: list[tuple[bytes | None, bytes, list[tuple[str, bytes]]]] = []
    while any(consumer.position(p) < (consumer.highwater(p) or 0) for p in partitions) or not found:
        for records in consumer.poll(timeout_ms=100).values():
            found += [(record.key, record.value, list(record.headers)) for record in records]
    consumer.close()
    return found

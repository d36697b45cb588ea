from __future__ import annotations

from profiler.sources import source_named


def converted(lines: list[bytes]) -> list[tuple[bytes | None, bytes, int | None]]:
    return [(r.key, r.value, r.ts_ms) for r in source_named("native").convert(lines, "events")]


def test_lines_pass_byte_for_byte_and_broken_ones_too() -> None:
    lines = [
        b'{"type": "click", "ts": 5,  "user_id": "alice", "new": 1}\n',
        b'{"type":"click","ts":\n',
        b"\xff\n",
        b"[" * 5_000 + b"\n",
        b'{"type":"click","ts":5,"user_id":7}',
    ]

    assert [value for _, value, _ in converted(lines)] == [line.rstrip(b"\n") for line in lines]


def test_the_key_is_the_user_else_the_device_else_the_anonymous_id() -> None:
    lines = [
        b'{"ts":1,"anonymous_id":"a","device_id":"d","user_id":"u"}',
        b'{"ts":1,"anonymous_id":"a","device_id":"d"}',
        '{"ts":1,"anonymous_id":"ä"}'.encode(),
        b'{"ts":1}',
    ]

    assert [key for key, _, _ in converted(lines)] == [b"u", b"d", "ä".encode(), None]


def test_event_times_are_read_in_both_forms() -> None:
    lines = [b'{"ts":5,"user_id":"u"}', b'{"ts":"1970-01-01T01:00:00+01:00","user_id":"u"}']

    assert [ts_ms for _, _, ts_ms in converted(lines)] == [5, 0]

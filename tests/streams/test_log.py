from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import structlog

from streams.log import HIDDEN_KEYS, configure_logs, get_logger
from streams.settings import Secret


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_and_context() -> None:
    stream = io.StringIO()
    configure_logs("info", "json", stream)

    get_logger(component="worker").info("batch", n_events=np.int64(3), update_s=0.5)

    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "component": "worker",
        "level": "info",
        "message": "batch",
        "n_events": 3,
        "update_s": 0.5,
    }


def test_raw_identities_and_secrets_are_masked() -> None:
    stream = io.StringIO()
    configure_logs("info", "json", stream)

    get_logger().info("x", **dict.fromkeys(HIDDEN_KEYS, "alice"), kept=Secret("alice"))

    assert "alice" not in stream.getvalue()


def test_lines_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    configure_logs("warning", "json", stream)

    get_logger().info("batch")
    get_logger().warning("paused")

    assert [line["message"] for line in lines(stream)] == ["paused"]


def test_the_standard_library_takes_the_same_way_from_warning_on() -> None:
    stream = io.StringIO()
    configure_logs("debug", "json", stream)

    logging.getLogger("aiokafka.consumer").info("heartbeat")
    logging.getLogger("aiokafka.consumer").warning("lost %s", "broker-1")

    (line,) = lines(stream)
    assert line["message"] == "lost broker-1"
    assert line["logger"] == "aiokafka.consumer"


def test_a_fault_keeps_its_traceback_on_one_line() -> None:
    stream = io.StringIO()
    configure_logs("info", "json", stream)

    try:
        raise KeyError("field")
    except KeyError:
        get_logger().exception("crashed")

    (line,) = lines(stream)
    assert "KeyError: 'field'" in line["exception"]


def test_lines_for_people_are_not_json() -> None:
    stream = io.StringIO()
    configure_logs("info", "console", stream)

    get_logger().info("batch", n_events=3)

    assert "n_events=3" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


def test_what_a_library_repeats_is_written_once_in_a_while_and_counted() -> None:
    stream = io.StringIO()
    configure_logs("info", "json", stream)
    (handler,) = logging.getLogger().handlers

    for number in range(1_000):
        line = {"name": "aiokafka", "levelno": logging.ERROR, "levelname": "ERROR"}
        said = line | {"msg": "no node %d", "args": (number,), "created": number / 100}
        handler.handle(logging.makeLogRecord(said))
    handler.handle(logging.makeLogRecord(said | {"msg": "another", "args": ()}))
    handler.handle(logging.makeLogRecord(said | {"created": 11.0}))

    assert [line["message"] for line in lines(stream)] == [
        "no node 0",
        "another",
        "no node 999 (999 more like it before)",
    ]

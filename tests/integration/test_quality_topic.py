"""The report over a topic of a real broker, and the live counters of a real worker."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import msgspec
import pytest

from profiler.errors import UsageError
from profiler.quality import Report
from streams.cli import main
from streams.producer import EventProducer, Headers
from streams.quality import survey_topic
from streams.settings import Settings
from streams.topics import create_topics
from streams.worker_process import WorkerProcess, environment_of
from tests.integration.rig import n_records, until

pytestmark = pytest.mark.integration

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
BUY = {"type": "purchase", "ts": NOW_MS, "user_id": "u", "item_id": "cup", "price": 2.0}
CALL = {"type": "track", "event": "Product Clicked", "userId": "u", "messageId": "m"}
CLOUD: Headers = [("ce_specversion", b"1.0"), ("ce_type", b"shop.click"), ("ce_source", b"/s")]
SENT: list[tuple[object, Headers]] = [
    (BUY | {"event_id": "1"}, []),
    (BUY | {"event_id": "1"}, []),
    (BUY | {"event_id": "2", "price": -1.0}, []),
    (BUY | {"event_id": "3", "ts": NOW_MS - DAY_MS}, []),
    (CALL | {"timestamp": "2023-11-14T22:13:25Z", "properties": {"product_id": "cup"}}, []),
    ({"user_id": "u", "ts": NOW_MS + 2 * DAY_MS}, [*CLOUD, ("ce_id", b"1")]),
    ({"user_id": "u", "ts": NOW_MS + 2 * DAY_MS}, [*CLOUD, ("ce_id", b"2")]),
]


@pytest.fixture
def filled(settings: Settings) -> Settings:
    create_topics(settings)
    with EventProducer(settings.brokers, settings.topic("events")) as producer:
        for value, headers in SENT:
            producer.send_raw(b"u", json.dumps(value).encode(), headers=headers)
    return settings


def counts(report: Report) -> dict[str, int]:
    return {finding.problem: finding.count for finding in report.findings}


def test_a_topic_of_several_formats_is_judged_from_its_beginning_to_its_end(
    filled: Settings,
) -> None:
    report = survey_topic(filled, filled.topic("events"))

    assert (report.rows, report.events, report.refused) == (7, 6, 1)
    assert report.types == {"purchase": 4, "click": 3}
    assert counts(report) == {
        "exact_duplicate": 1,
        "repeated": 1,
        "not_positive": 1,
        "invalid:price": 1,
        "out_of_order": 1,
    }
    assert report.findings[0].examples[0].at.startswith(f"{filled.topic('events')}/")
    assert sum(report.times.delays.values()) == 7


def test_a_topic_may_be_named_and_cut_on_the_command_line(
    filled: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in environment_of(filled).items():
        monkeypatch.setenv(name, text)

    code = main(["quality", filled.topic("events"), "--limit", "3", "--json"])

    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (report["inputs"], report["rows"]) == ([filled.topic("events")], 3)


def test_with_one_format_named_nothing_else_is_recognised(filled: Settings) -> None:
    report = survey_topic(filled, filled.topic("events"), "segment")

    assert (report.events, report.refused) == (1, 6)


def test_a_topic_without_records_is_judged_too(settings: Settings) -> None:
    create_topics(settings)

    assert survey_topic(settings, settings.topic("events")).rows == 0


def test_what_is_neither_file_nor_topic_is_said_to_be_neither(settings: Settings) -> None:
    with pytest.raises(UsageError, match="neither such a file nor such a topic"):
        survey_topic(settings, "nothing-of-that-name")


def test_a_source_of_files_does_not_read_a_topic(filled: Settings) -> None:
    with pytest.raises(UsageError, match="source taobao reads files"):
        survey_topic(filled, filled.topic("events"), "taobao")


def counted(settings: Settings) -> dict[str, float]:
    """Samples of the worker's `profiler_quality_*` metrics, by name and labels."""
    url = f"http://{settings.web_host}:{settings.web_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    wanted = (line.rpartition(" ") for line in lines if line.startswith("profiler_quality_"))
    return {name: float(value) for name, _, value in wanted if "_created" not in name}


@pytest.mark.parametrize("records_per_s", [1_000, 0])
def test_a_worker_counts_the_same_live_unless_it_is_switched_off(
    filled: Settings, tmp_path: Path, records_per_s: int
) -> None:
    settings = msgspec.structs.replace(filled, quality_records_per_s=records_per_s)
    worker = WorkerProcess(settings, tmp_path / "worker.log")
    try:
        worker.start()
        until(lambda: n_records(worker) >= len(SENT))
        found = counted(settings)
    finally:
        worker.kill()

    problem = '{dimension="validity",field="price",problem="not_positive"}'
    name = f"profiler_quality_problems_total{problem}"
    assert found["profiler_quality_records_total"] == (len(SENT) if records_per_s else 0)
    assert found.get(name, 0) == (1 if records_per_s else 0)

"""The report over files: what is read, from where, and how it is written."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

import pytest

from profiler.errors import UsageError
from profiler.quality import lines, page
from profiler.sources import source_named
from streams import quality
from streams.cli import main
from streams.quality import is_topic, survey_files

RETAIL = source_named("online-retail")
NOW_MS = 1_780_000_000_000
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
ROW = "1,A,MUG,2,2010-12-01 08:26:00,2.5,17850,Japan\n"
DATA = Path(os.environ.get("PROFILER_DATA_DIR", Path(__file__).parents[3] / "shared/data"))
FIGURES = {
    "CustomerID is missing": 135_080,
    "exact duplicate of an earlier row": 5_268,
    "price ≤ 0": 2_517,
    "Description is missing": 1_454,
}


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "one.csv", tmp_path / "two.csv.gz"]
    made[0].write_text(HEADER + ROW + '2,B,"A\nB",1,2010-12-01 08:27:00,1.0,,Japan\n')
    made[1].write_bytes(gzip.compress((HEADER + ROW).encode()))
    return made


def test_a_row_is_compared_with_those_of_all_files_and_headers_are_no_rows(
    paths: list[Path],
) -> None:
    report = survey_files(paths, RETAIL, now_ms=NOW_MS)

    found = {finding.problem: finding for finding in report.findings}
    assert report.rows == 3
    assert found["exact_duplicate"].count == 1
    assert found["exact_duplicate"].examples[0].at == f"{paths[1]} row 1"


def test_portions_of_one_row_give_the_same_report(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = survey_files(paths, RETAIL, now_ms=NOW_MS)

    monkeypatch.setattr(quality, "PORTION_ROWS", 1)

    assert survey_files(paths, RETAIL, now_ms=NOW_MS) == whole


@pytest.mark.parametrize("limit", [1, 2, 3, 9])
def test_a_limit_counts_the_rows_of_all_files(paths: list[Path], limit: int) -> None:
    told: list[int] = []

    report = survey_files(paths, RETAIL, limit, told.append, NOW_MS)

    assert report.rows == sum(told) == min(limit, 3)


def test_messages_that_say_nothing_are_counted_and_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calls.jsonl"
    call = {"type": "track", "event": "Own Thing", "userId": "u", "messageId": "m"}
    path.write_text(f"{json.dumps(call)}\n" * 5)
    monkeypatch.setattr(quality, "PORTION_ROWS", 2)
    told: list[int] = []

    report = survey_files([path], source_named("segment"), None, told.append, NOW_MS)

    assert (report.rows, report.events, max(told)) == (5, 0, 2)


def test_a_name_that_is_no_file_is_a_topic_unless_it_looks_like_a_file(paths: list[Path]) -> None:
    assert not is_topic([str(path) for path in paths])
    assert is_topic(["profiler.events"])
    for names in (["absent.csv.gz"], ["data/absent"], ["events", "other"], [str(paths[0]), "t"]):
        with pytest.raises(UsageError, match="no such file"):
            is_topic(names)


def test_the_command_writes_text_json_and_a_page(
    paths: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["quality", "--source", "online-retail", *map(str, paths)]
    html = paths[0].with_suffix(".html")

    assert main([*arguments, "--html", str(html)]) == 0
    text = capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)

    assert re.search(r"CustomerID is missing +1 +33\.3 % +3 rows", text)
    assert {f["says"]: f["count"] for f in report["findings"]}["CustomerID is missing"] == 1
    assert "CustomerID is missing" in html.read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.csv"], "no such file: absent.csv"),
        (["{folder}"], "{folder}: a directory; name the files in it"),
        (["{one}"], "source native reads JSON lines and Parquet"),
        (["{one}", "--source", "taobao", "--mapping", "m.toml"], "--mapping says what the rows"),
        (["{one}", "--source", "online-retail", "--html", "{one}/x.html"], "Not a directory"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_printed(
    paths: list[Path], capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    names = {"one": paths[0], "folder": paths[0].parent}
    filled = [argument.format(**names) for argument in arguments]

    assert main(["quality", *filled]) == 2

    printed = capsys.readouterr()
    assert said.format(**names) in printed.err
    assert not printed.out


def test_the_known_faults_of_the_whole_of_online_retail_are_found() -> None:
    path = DATA / "online_retail.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent: set PROFILER_DATA_DIR to the folder with it")

    report = survey_files([path], RETAIL, now_ms=NOW_MS)

    found = {finding.says: finding.count for finding in report.findings}
    assert {says: found[says] for says in FIGURES} == FIGURES
    assert (report.rows, report.events, report.refused) == (541_909, 406_829, 135_080)
    assert not report.limits
    text, written = "\n".join(lines(report)), page(report)
    for says, count in FIGURES.items():
        assert re.search(rf"{re.escape(says)} +{count:,} ", text)
        assert re.search(rf"<td>{re.escape(says)}.*<td class=\"n\">{count:,}</td>", written)

"""``profiler evaluate`` as a user runs it, on a stream whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from profiler.batch import Preparer
from profiler.evaluation.prequential import Protocol
from profiler.evaluation.production import Prequential, batches
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import RawRecord
from profiler.screening import Screen
from profiler.sources import Converted
from streams.cli import main
from streams.evaluation import OURS, EvaluationOptions, Table, curves, evaluate, lines

START_MS = 1_600_000_000_000
N_PEOPLE = 40
CYCLE = 12


def events(n: int = 1_500) -> list[dict[str, object]]:
    """People who go round a cycle of items, one step at a time; the items' categories alternate."""
    chance = np.random.default_rng(3)
    at = chance.integers(0, CYCLE, N_PEOPLE)
    found: list[dict[str, object]] = []
    for k in range(n):
        person = int(chance.integers(N_PEOPLE))
        at[person] = (at[person] + 1) % CYCLE
        found.append(
            {
                "type": "purchase" if k % 7 == 0 else "click",
                "ts": START_MS + k * 60_000,
                "user_id": f"u{person}",
                "item_id": f"i{at[person]}",
                "category": f"c{at[person] % 3}",
                "price": 2.0,
            }
        )
    return found


@pytest.fixture(scope="module")
def tables() -> list[Table]:
    records = [
        Converted(None, json.dumps(event).encode(), int(str(event["ts"]))) for event in events()
    ]
    return evaluate(records, "native", EvaluationOptions(k=3))


def test_a_stream_that_repeats_itself_is_learnt(tables: list[Table]) -> None:
    items, categories = tables

    ours = items.rows[0]
    assert (ours.name, items.of, categories.of) == (OURS, "next item", "next category")
    assert ours.figures.hit_1 > 0.8
    assert ours.recall[-1] > ours.recall[0] or ours.recall[0] > 0.95
    popularity = items.rows[1]
    assert popularity.figures.hit_1 < 0.3
    assert popularity.ahead is not None and popularity.ahead.low > 0.3


def test_baselines_are_given_the_events_that_were_ranked(tables: list[Table]) -> None:
    for table in tables:
        assert len({row.figures.events for row in table.rows}) == 1
        assert table.rows[0].figures.events == len(events()) - len(events()) // 10
        assert len(lines(table, 3)) == 2 + len(table.rows)
    assert len(curves(tables)) == 1 + 10 * sum(len(table.rows) for table in tables)


def test_what_comes_later_changes_no_ranking() -> None:
    def ranked(values: list[dict[str, object]]) -> np.ndarray:
        protocol = Protocol(k=3, skip=0.0)
        run = Prequential(Preparer(Pseudonymiser(bytes(32)), Screen()), protocol)
        raw = (
            RawRecord("profiler.events", 0, k, None, None, json.dumps(value).encode())
            for k, value in enumerate(values)
        )
        for batch in batches(raw):
            run.take(batch)
        return run.items.ranking(protocol).rankings.lists[:600]

    others = [
        event | {"item_id": "other", "user_id": "u1", "ts": int(str(event["ts"])) + 10**9}
        for event in events(300)
    ]

    assert (ranked(events(600)) == ranked(events(600) + others)).all()
    assert not (ranked(events(600)) == ranked(others + events(600))).all()


def test_the_command_prints_tables_and_writes_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, curve = tmp_path / "events.jsonl", tmp_path / "curves.csv"
    file.write_text("\n".join(map(json.dumps, events())), "utf-8")

    code = main(["evaluate", str(file), "--no-baselines", "--curves", str(curve)])

    printed = capsys.readouterr().out
    assert code == 0
    assert "next item: 1,500 events, 40 people, 12 of them" in printed
    assert "next category" in printed and "tasks:" in printed
    assert curve.read_text("utf-8").count("\n") == 21


def test_a_missing_file_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "nowhere.jsonl"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_results_do_not_depend_on_how_the_stream_is_cut_beyond_noise() -> None:
    records = [Converted(None, json.dumps(e).encode(), int(str(e["ts"]))) for e in events()]
    found = []
    for batch_events in (1, 16, 64):
        options = EvaluationOptions(k=3, baselines=False, batch_events=batch_events)
        found.append(evaluate(records, "native", options)[0].rows[0].figures.recall)

    assert max(found) - min(found) < 0.03

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from profiler.errors import UsageError
from streams.open_bandit import read_open_bandit

DATA = Path(os.environ.get("PROFILER_DATA_DIR", Path(__file__).parents[3] / "shared/data"))
HEADER = [
    *("policy", "campaign", "timestamp", "item_id", "position", "click", "propensity_score"),
    *(f"user_feature_{k}" for k in range(4)),
    *("user-item_affinity_0", "user-item_affinity_1", "user-item_affinity_10"),
]
LATER = [
    *("bts", "men", "2019-11-24 00:00:02+00:00", "1", "3", "1", "0.25"),
    *("u", "v", "w", "x", "0.0", "2.0", ""),
]
EARLIER = [
    *("bts", "men", "2019-11-24 00:00:01.500000+00:00", "0", "1", "0", "0.5"),
    *("t", "v", "w", "x", "1.0", "0.0", ""),
]
OTHER = ["random", *LATER[1:]]


def written(folder: Path, *rows: list[str]) -> Path:
    path = folder / "log.csv.gz"
    with gzip.open(path, "wt", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_rows_come_by_policy_and_campaign_in_the_order_of_time(tmp_path: Path) -> None:
    logs = read_open_bandit(written(tmp_path, HEADER, LATER, EARLIER, OTHER))

    log = logs["bts", "men"]
    assert logs.keys() == {("bts", "men"), ("random", "men")}
    assert log.actions == ["item-0", "item-1"]
    assert log.at_us.tolist() == [1_574_553_601_500_000, 1_574_553_602_000_000]
    assert log.item.tolist() == [0, 1]
    assert log.position.tolist() == [0, 2]
    assert log.reward.tolist() == [0.0, 1.0]
    assert log.propensity.tolist() == [0.5, 0.25]
    assert log.affinity.tolist() == [[1.0, 0.0], [0.0, 2.0]]
    assert log.person[:, 0].tolist() == [0, 1]
    assert logs["random", "men"].person[:, 0].tolist() == [1]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([HEADER[1:], LATER[1:]], "no column policy"),
        ([HEADER[:11], LATER[:11]], "no column user-item_affinity_0"),
        ([HEADER], "no rows"),
        ([], "no column"),
        ([HEADER, LATER[:5]], "cannot be read"),
        ([HEADER, [*LATER[:2], "yesterday", *LATER[3:]]], "cannot be read"),
        ([HEADER, [*LATER[:6], "much", *LATER[7:]]], "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(
    tmp_path: Path, rows: list[list[str]], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        read_open_bandit(written(tmp_path, *rows))


def test_a_file_that_is_absent_or_no_gzip_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent"):
        read_open_bandit(tmp_path / "nothing.csv.gz")
    plain = tmp_path / "plain.csv"
    plain.write_text("policy\n")
    with pytest.raises(UsageError, match="no gzipped CSV"):
        read_open_bandit(plain)


def test_the_sample_is_what_its_page_says() -> None:
    path = DATA / "open_bandit.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent: set PROFILER_DATA_DIR to the folder with it")

    logs = read_open_bandit(path)

    assert sum(map(len, logs.values())) == 60_000
    assert sum(log.reward.sum() for log in logs.values()) == 287
    assert {key: len(log.actions) for key, log in logs.items()} == {
        (policy, campaign): n
        for policy in ("bts", "random")
        for campaign, n in (("all", 80), ("men", 34), ("women", 46))
    }
    for (policy, _), log in logs.items():
        if policy == "random":
            np.testing.assert_allclose(log.propensity, 1 / len(log.actions))

"""Small runs of the benchmark of optimisation: its tables are there. No figure is asserted."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from benchmarks.optimisation import bandit_table, cost_table, main, uplift_table


def test_the_simulated_tables_name_their_seeds() -> None:
    bandits, uplift = bandit_table(2, 400, drift_at=200), uplift_table(1, 500)

    assert "seeds 101 to 102" in bandits
    assert "River LinUCBDisjoint" in bandits
    assert "from decision 200 on" in bandits
    assert "seed 101" in uplift


def test_the_cost_of_a_decision_is_told() -> None:
    assert "80 actions" in cost_table()


def test_a_missing_log_is_said_in_a_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "--part", "log"])

    assert result.exit_code == 1
    assert "open_bandit.csv.gz is absent" in result.output

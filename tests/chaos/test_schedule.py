"""What every schedule of faults promises, whatever its seed."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.chaos.schedule import LASTS_S, WORKERS_AT_START, Fault, schedule

SEEDS = range(300)


def test_a_seed_gives_the_same_schedule_again() -> None:
    assert schedule(7, 120, 1) == schedule(7, 120, 1)
    assert schedule(7, 120, 1) != schedule(8, 120, 1)


@pytest.mark.parametrize(("duration_s", "n_brokers", "least"), [(120, 1, 10), (900, 3, 40)])
def test_a_run_has_enough_faults_of_all_kinds_and_time_to_catch_up(
    duration_s: float, n_brokers: int, least: int
) -> None:
    for seed in SEEDS:
        faults = schedule(seed, duration_s, n_brokers)

        assert len(faults) >= least
        assert len({fault.kind for fault in faults}) >= 8
        assert faults[-1].at_s <= 0.75 * duration_s


def test_every_kind_comes_in_a_long_run() -> None:
    for seed in SEEDS:
        kinds = {(fault.part, fault.manner) for fault in schedule(seed, 900, 1)}

        assert kinds == set(LASTS_S)


def test_brokers_fail_one_at_a_time_and_one_worker_is_left_alone() -> None:
    for seed in SEEDS:
        faults = schedule(seed, 900, 3)

        brokers = [fault for fault in faults if fault.part == "broker"]
        assert all(a.at_s + a.lasts_s < b.at_s for a, b in pairwise(brokers))
        for fault in faults:
            assert set(working(faults, fault.at_s)), f"seed {seed}"


def working(faults: list[Fault], at_s: float) -> set[int]:
    """Workers that exist and are not in the middle of a fault."""
    workers = set(range(WORKERS_AT_START))
    for fault in faults:
        if fault.part == "worker" and fault.at_s <= at_s:
            if fault.manner == "add":
                workers.add(fault.number)
            elif fault.manner == "remove" or fault.at_s + fault.lasts_s > at_s:
                workers.discard(fault.number)
    return workers

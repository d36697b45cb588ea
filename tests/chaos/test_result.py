"""When a run of chaos has failed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.chaos.result import EVENTS_PER_S, Result
from tests.chaos.rig import Options
from tests.chaos.schedule import schedule
from tests.chaos.verdict import Letters


def result_of(duration_s: float, n_brokers: int, **changes: Any) -> Result:
    """A run that has just passed, but for these changes."""
    options = Options(
        seed=1,
        duration_s=duration_s,
        n_brokers=n_brokers,
        store="redis",
        events_per_s=EVENTS_PER_S[n_brokers],
    )
    n_events = int(duration_s * EVENTS_PER_S[n_brokers])
    found = Result(
        options=options,
        acknowledged=n_events,
        unknown=0,
        astray=n_events // 4,
        forwarded=n_events // 4,
        lost=0,
        duplicated=0,
        mismatched=0,
        stale=0,
        letters=Letters(kept=5, repeated=1, missing=0, unexpected=0),
        faults=schedule(1, duration_s, n_brokers),
        crashes=0,
        lag=0,
        longest_stall_s=9.0,
    )
    return msgspec.structs.replace(found, **changes)


@pytest.mark.parametrize("duration_s", [60, 120, 900, 3_600])
@pytest.mark.parametrize("n_brokers", [1, 3])
def test_a_run_without_fault_passes(duration_s: float, n_brokers: int) -> None:
    assert list(result_of(duration_s, n_brokers).failures()) == []


@pytest.mark.parametrize(
    "name", ["lost", "duplicated", "mismatched", "stale", "crashes", "lag", "missing", "unexpected"]
)
def test_what_must_not_be_fails_a_run_and_is_named(name: str) -> None:
    letters = Letters(kept=5, repeated=0, missing=0, unexpected=0)
    if name in ("missing", "unexpected"):
        result = result_of(60, 1, letters=msgspec.structs.replace(letters, **{name: 1}))
    else:
        result = result_of(60, 1, **{name: 1})

    (reason,) = result.failures()

    assert f"{name}=1" in reason
    assert not result.passed


@pytest.mark.parametrize(
    ("duration_s", "n_brokers", "n_events", "n_faults"),
    [(120, 1, 120_000, 10), (900, 3, 450_000, 40)],
)
def test_a_run_that_passes_has_as_many_events_and_faults_as_are_asked_for(
    duration_s: float, n_brokers: int, n_events: int, n_faults: int
) -> None:
    faults = schedule(1, duration_s, n_brokers)
    few = [fault for fault in faults if fault.kind == faults[0].kind] * 40

    assert not result_of(duration_s, n_brokers, acknowledged=n_events - 1).passed
    assert not result_of(duration_s, n_brokers, faults=faults[: n_faults - 1]).passed
    assert not result_of(duration_s, n_brokers, faults=few).passed
    assert result_of(duration_s, n_brokers, faults=faults[:n_faults]).passed


def test_at_a_lower_rate_fewer_events_are_asked_for() -> None:
    found = result_of(120, 1)
    options = msgspec.structs.replace(found.options, events_per_s=350)

    assert result_of(120, 1, options=options, acknowledged=12_000, forwarded=7_500).passed
    assert not result_of(120, 1, options=options, acknowledged=11_999).passed


def test_a_run_in_which_little_was_forwarded_fails() -> None:
    (reason,) = result_of(120, 1, forwarded=41_999).failures()

    assert reason.startswith("forwarded=41999")

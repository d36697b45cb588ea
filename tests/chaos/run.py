"""One run: faults by a schedule under a steady load, then the reckoning."""

from __future__ import annotations

import heapq
import time
from pathlib import Path
from typing import Final

from profiler.errors import ProfilerError
from streams.commands.audit import audit_lines
from tests.chaos.progress import Progress
from tests.chaos.result import Result
from tests.chaos.rig import Options, Rig, Tell
from tests.chaos.schedule import Fault, schedule
from tests.chaos.verdict import check_letters, check_profiles

TICK_S: Final = 0.05
CATCH_UP_S: Final = 180.0


def run(options: Options, directory: Path, tell: Tell) -> Result:
    """Play the schedule of a seed, let everything heal, and look at what is there.

    Raises
    ------
    ProfilerError
        If something does not heal in time.
    """
    faults = schedule(options.seed, options.duration_s, options.n_brokers)
    with Rig(options, directory, tell) as rig:
        progress = Progress(rig.settings, tell)
        progress.start()
        try:
            rig.load.start(rig.settings)
            tell(f"events flow, for {options.duration_s:.0f} s")
            happened = _play(rig, faults, options.duration_s, progress, tell)
            rig.wait_until_well()
            tell("all is well again; the producer ends")
            account = rig.load.stop()
            tell(f"{account.acknowledged} records acknowledged; {progress.lag} behind")
            _catch_up(rig, progress)
        finally:
            progress.stop()
        tell("nothing is left to do: audit")
        found = check_profiles(rig.settings, rig.load.ledger)
        for line in audit_lines(found):
            tell(line)
        return Result(
            options=options,
            acknowledged=account.acknowledged,
            unknown=account.unknown,
            astray=account.astray,
            forwarded=progress.n_forwarded,
            lost=found.lost or 0,
            duplicated=found.duplicated or 0,
            mismatched=found.mismatched,
            stale=found.stale,
            letters=check_letters(rig.settings, account),
            faults=happened,
            crashes=rig.n_crashes,
            lag=progress.lag,
            longest_stall_s=progress.longest_stall_s,
        )


def _play(
    rig: Rig, faults: list[Fault], duration_s: float, progress: Progress, tell: Tell
) -> list[Fault]:
    """Let each fault happen and be mended in its time, until the run is over; give those."""
    happened: list[Fault] = []
    moments: list[tuple[float, int, bool]] = []
    for i, fault in enumerate(faults):
        moments += [(fault.at_s, i, False), (fault.at_s + fault.lasts_s, i, True)]
    heapq.heapify(moments)
    started_s = time.monotonic()
    while moments or time.monotonic() - started_s < duration_s:
        if moments and time.monotonic() - started_s >= moments[0][0]:
            _, i, is_over = heapq.heappop(moments)
            fault = faults[i]
            what = f"{fault.kind} {fault.number}"
            if is_over:
                rig.mend(fault)
                tell(f"  mended {what}")
            else:
                tell(f"{what} for {fault.lasts_s:.1f} s; {progress.lag} behind")
                rig.begin(fault)
                happened.append(fault)
        else:
            rig.supervise()
            time.sleep(TICK_S)
    return happened


def _catch_up(rig: Rig, progress: Progress) -> None:
    """Return once nothing is left to be read; the schedule is over, workers must not end."""
    deadline_s = time.monotonic() + CATCH_UP_S
    n_seen = progress.n_looks
    # One look may have begun before the producer's last record.
    while progress.lag or progress.n_looks < n_seen + 2:
        if time.monotonic() >= deadline_s:
            raise ProfilerError(f"{progress.lag} records are left after {CATCH_UP_S:.0f} s")
        rig.supervise()
        time.sleep(TICK_S)

"""What the trials measured, as plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from profiler.drift.trials import Calm, Found, Gain, Trial

_FOUND_HEAD: Final = f"{'changes':>9}{'missed':>8}{'median':>8}{'90 %':>7}{'unfounded':>11}"


def lines(found: Trial) -> Iterator[str]:
    """The figures as tables in plain text; delays are labels from the change to the alarm."""
    yield f"seeds {found.seeds}"
    yield ""
    yield f"{'drift, found by the watch':<28}{_FOUND_HEAD}"
    yield from map(_found_line, found.found)
    yield ""
    yield f"{'0.1 to 0.3, detector alone':<28}{_FOUND_HEAD}"
    yield from map(_found_line, found.alone)
    yield ""
    yield f"{'nothing drifts':<28}{'labels':>12}{'alarms':>8}{'per 100,000':>13}"
    for calm in found.calm:
        yield _calm_line(f"watch, {calm.name}", calm)
    for calm in found.calm_alone:
        yield _calm_line(f"{calm.name} alone", calm)
    for world, told in found.gains.items():
        yield ""
        yield (
            f"{world:<28}{'found':>6}{'helped':>8}{'fresh':>7}{'before':>8}{'at':>7}{'after':>7}"
            f"{'frozen':>8}{'usual':>7}"
        )
        yield from map(_gain_line, told)


def _found_line(found: Found) -> str:
    return (
        f"{found.name:<28}{found.n_changes:>9}{found.missed:>8}{found.median:>8.0f}"
        f"{found.high:>7.0f}{found.unfounded:>11}"
    )


def _calm_line(name: str, calm: Calm) -> str:
    return f"{name:<28}{calm.n_labels:>12,}{calm.alarms:>8}{calm.per_100_000:>13.2f}"


def _gain_line(gain: Gain) -> str:
    return (
        f"{gain.name:<28}{gain.n_found:>6}{gain.n_helped:>8}{gain.n_promoted:>7}"
        f"{gain.before:>8.3f}{gain.at:>7.3f}{gain.after:>7.3f}{gain.frozen:>8.3f}{gain.usual:>7.3f}"
    )

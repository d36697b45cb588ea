"""What the demo shows, as text for people."""

from __future__ import annotations

from collections.abc import Mapping

from streams.demo import DemoReport
from streams.portrait import moment, portrait


def programme(report: DemoReport, now_ms: int) -> list[str]:
    """Lines of the whole report: three people, one over time, the figures."""
    lines: list[str] = []
    for subject, profile in report.shown.items():
        lines += [f"── {subject} ──", *portrait(profile, now_ms), ""]
    if report.history:
        lines += [f"── {next(iter(report.shown), '')} while it ran ──", *_history(report), ""]
    return [*lines, "── figures ──", *_figures(report)]


def _history(report: DemoReport) -> list[str]:
    lines = [f"{'as of':25}{'events':>7}  {'buys now':>8}  favourites"]
    for seen in report.history:
        favourites = "  ".join(f"{name} {weight:.2f}" for name, weight in seen.categories)
        at = f"{moment(seen.as_of_ms):25}"
        lines.append(f"{at}{seen.events:7,}  {seen.score:8.3f}  {favourites}")
    return lines


def _figures(report: DemoReport) -> list[str]:
    audit = report.audit
    rows = {
        "events": f"{report.events:,} in {report.profiles:,} profiles",
        "rate": f"{report.events_per_s:,.0f} events/s while a backlog was worked off",
        "fresh": (
            f"an event is readable after {report.fresh_ms_p50:.0f} ms (p50), "
            f"{report.fresh_ms_p99:.0f} ms (p99), at {report.live_events_per_s:,.0f} events/s"
        ),
        "outcomes": _counts(report.outcomes),
        "dead letters": _counts(report.dead_letters),
        "model": "purchase in session: " + _quality(report.model),
        "audit": f"profiles={audit.profiles} mismatched={audit.mismatched} stale={audit.stale}",
    }
    return [f"{label:14}{text}" for label, text in rows.items()]


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda entry: -entry[1])
    return "  ".join(f"{name} {n:,}" for name, n in ordered) or "none"


def _quality(model: Mapping[str, float]) -> str:
    names = {"log_loss": "log loss", "roc_auc": "AUC", "calibration_error": "calibration error"}
    known = [f"{text} {model[name]:.3f}" for name, text in names.items() if name in model]
    return ", ".join(known) or "nothing learnt yet"

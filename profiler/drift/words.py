"""Drifts and reactions in sentences, for people."""

from __future__ import annotations

from datetime import UTC, datetime

from profiler.drift.reaction import Reaction
from profiler.drift.series import Drift
from profiler.drift.watch import ERROR


def sentence(drift: Drift) -> str:
    """One sentence: what drifted, from what to what, since when, and how sure that is.

    Examples
    --------
    >>> sentence(Drift("churn", "error", 4_000, 0, 4_256, 3_600_000, 0.104, 0.309, 2e-9))
    'The loss of churn has been 0.309 instead of 0.104 since label 4,000 (1970-01-01 00:00 UTC);
    noticed 256 labels later, by chance alone less than once in 1,000,000 times.'
    """
    what = (
        f"The loss of {drift.task}"
        if drift.on == ERROR
        else f"The feature {drift.on} of {drift.task}"
    )
    return (
        f"{what} has been {drift.after:.3g} instead of {drift.before:.3g} "
        f"since label {drift.at:,} ({_time(drift.at_ms)}); noticed "
        f"{drift.found - drift.at:,} labels later, {_chance(drift.p_value)}."
    )


def reaction_sentence(reaction: Reaction) -> str:
    """One sentence: what was done, and whether it helped.

    Examples
    --------
    >>> drift = Drift("churn", "error", 4_000, 0, 4_256, 3_600_000, 0.1, 0.3, 2e-9)
    >>> reaction_sentence(Reaction(drift, 2_000, 0.1, 0.3, 0.15, 0.35, 0.2, 0.18, 0.22, 320, True))
    'The reaction to the drift of churn helped: over 2,000 labels the loss was 0.15 (0.1 before the
    drift, 0.3 when it was noticed), the frozen model would have had 0.35, 95 % interval of the gain
    0.18 to 0.22; a fresh model serves since 320 labels after the alarm.'
    """
    drift = reaction.drift
    if not reaction.helped:
        outcome = "the model from before serves again"
    elif reaction.promoted_after is None:
        outcome = "the model that learnt faster for a while serves on"
    else:
        outcome = f"a fresh model serves since {reaction.promoted_after:,} labels after the alarm"
    verdict = "helped" if reaction.helped else "did not help"
    return (
        f"The reaction to the drift of {drift.task} {verdict}: over {reaction.n_labels:,} labels "
        f"the loss was {reaction.after:.3g} ({reaction.before:.3g} before the drift, "
        f"{reaction.at:.3g} when it was noticed), the frozen model would have had "
        f"{reaction.frozen:.3g}, 95 % interval of the gain "
        f"{reaction.gain_low:.3g} to {reaction.gain_high:.3g}; {outcome}."
    )


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def _chance(p: float) -> str:
    if p < 1e-6:
        return "by chance alone less than once in 1,000,000 times"
    return f"by chance alone once in {1 / p:,.0f} times"

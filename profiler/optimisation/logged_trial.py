"""Policies that learn from a log as it goes, judged by what they would have done next.

Test, then learn: in each step the policy says how likely it would have shown what was shown, from
what it learnt of the steps before, and only then learns from it. The log's own policy decided what
can be learnt, so this tells less than letting the policy decide, but risks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec
import numpy as np
from msgspec import Struct

from profiler.columns import Floats
from profiler.optimisation.evidence import Observed
from profiler.optimisation.impressions import Impressions, joined
from profiler.optimisation.offpolicy import Estimate, Log, estimate, lift
from profiler.optimisation.policy import Policy, PolicySettings

Knowledge = Literal["item", "item, affinity", "item, affinity, person"]
"""What a policy is told."""

KNOWLEDGE: Final[tuple[Knowledge, ...]] = ("item", "item, affinity", "item, affinity, person")
MODEL_KNOWLEDGE: Final[Knowledge] = "item, affinity"
STEP: Final = 250
"""Impressions between which nothing is learnt: clicks come late."""

MODEL_PRIOR_WEIGHT: Final = 1_000.0
"""Of the model that doubly robust estimates use. It is not the policy's own: that believes most of
what the policy chooses, rightly or not, and would let the policy praise itself."""

CLICKS_FEW: Final = 1_000
"""Below it a table says that its intervals are wide."""


class LoggedTrial(Struct, frozen=True):
    """How one policy did on one log.

    Parameters
    ----------
    log, knowledge
        Whose decisions were logged where, and what the policy was told.
    clicks
        Number of rewards in the log.
    logged, snips, dr
        Reward per impression of the logging policy, and of the judged one by both estimates.
    lift
        Judged less logged, doubly robust.
    """

    log: str
    knowledge: str
    clicks: int
    logged: Estimate
    snips: Estimate
    dr: Estimate
    lift: Estimate


def contexts(log: Impressions, knowledge: Knowledge, n_values: Sequence[int]) -> Floats:
    """(N, A, F) what is known of each impression with each item.

    Parameters
    ----------
    n_values
        Number of values of each of the persons' features.
    """
    parts = [np.eye(3)[log.position.clip(0, 2)][:, 1:]]
    if knowledge == "item, affinity, person":
        parts += [np.eye(n)[log.person[:, k]] for k, n in enumerate(n_values)]
    shared = np.concatenate(parts, axis=1)
    n_actions = len(log.actions)
    each = np.repeat(shared[:, None, :], n_actions, axis=1)
    if knowledge == "item":
        return each
    return np.concatenate([each, np.log1p(log.affinity)[:, :, None]], axis=2)


def judged(log: Impressions, knowledge: Knowledge, settings: PolicySettings) -> Log:
    """What a policy that learns as it goes would have done at each impression."""
    n_values = [int(k) + 1 for k in log.person.max(axis=0)]
    features = contexts(log.part(slice(0, 1)), knowledge, n_values).shape[2]
    policy = Policy(msgspec.structs.replace(settings, features=features))
    few = contexts(log.part(slice(0, 1)), MODEL_KNOWLEDGE, n_values).shape[2]
    model = Policy(PolicySettings(features=few, prior_weight=MODEL_PRIOR_WEIGHT))
    target, modelled, expected = (np.zeros(len(log)) for _ in range(3))
    for rows in _steps(log):
        part = log.part(rows)
        now_ms = int(part.at_us[0]) // 1_000
        here = np.arange(len(part)), part.item
        x, few_x = (contexts(part, told, n_values) for told in (knowledge, MODEL_KNOWLEDGE))
        probabilities = policy.propensities(x, log.actions, now_ms)
        believed, _ = model.beliefs(few_x, log.actions, now_ms)
        target[rows], modelled[rows] = probabilities[here], believed[here]
        expected[rows] = (probabilities * believed).sum(axis=1)
        policy.observe(_observed(part, x[here]))
        model.observe(_observed(part, few_x[here]))
    return Log(log.reward, log.propensity, target, modelled, expected)


def _observed(part: Impressions, context: Floats) -> Observed:
    return Observed(
        actions=[part.actions[k] for k in part.item],
        context=context,
        is_first=np.ones(len(part), dtype=bool),
        reward=part.reward,
        squares=part.reward**2,
        weight=np.ones(len(part)),
        at_ms=part.at_us // 1_000,
    )


def logged_trials(
    logs: Mapping[tuple[str, str], Impressions], settings: PolicySettings
) -> list[LoggedTrial]:
    """Judge a policy on each log, and on those of a campaign together, for each `KNOWLEDGE`.

    Parameters
    ----------
    logs
        By logging policy and campaign.
    settings
        The policy's, whatever the number of its features.
    """
    by_campaign: dict[str, list[Impressions]] = {}
    named = {f"{policy}, {campaign}": log for (policy, campaign), log in logs.items()}
    for (_, campaign), log in logs.items():
        by_campaign.setdefault(campaign, []).append(log)
    for campaign, parts in by_campaign.items():
        if len(parts) == 2:
            named[f"both, {campaign}"] = joined(*parts)
    return [
        _trial(name, knowledge, log, judged(log, knowledge, settings))
        for name, log in named.items()
        for knowledge in KNOWLEDGE
    ]


def logged_lines(trials: Sequence[LoggedTrial]) -> list[str]:
    """Table of trials; all values are per 1,000 impressions."""
    lines = [
        f"{'log':<14} {'policy is told':<23} {'clicks':>6} {'logged':>17} {'SNIPS':>18} "
        f"{'eff. n':>6} {'doubly robust':>18} {'its lift':>19}"
    ]
    lines += [
        f"{t.log:<14} {t.knowledge:<23} {t.clicks:>6} {_shown(t.logged):>17} "
        f"{_shown(t.snips):>18} {t.snips.effective_n:>6,.0f} {_shown(t.dr):>18} "
        f"{_shown(t.lift):>19}"
        for t in trials
    ]
    clicks = max((t.clicks for t in trials), default=0)
    if clicks < CLICKS_FEW:
        lines.append(
            f"Rewards per 1,000 impressions with 95 % intervals. With at most {clicks} clicks in a "
            "log they are wide: a lift whose interval holds 0 shows nothing."
        )
    return lines


def _trial(name: str, knowledge: str, log: Impressions, found: Log) -> LoggedTrial:
    as_logged = Log(found.reward, found.propensity, found.propensity)
    return LoggedTrial(
        log=name,
        knowledge=knowledge,
        clicks=int(log.reward.sum()),
        logged=estimate("ips", as_logged),
        snips=estimate("snips", found),
        dr=estimate("dr", found),
        lift=lift("dr", found),
    )


def _steps(log: Impressions) -> list[slice]:
    """Parts of the log, cut only where time goes on."""
    starts = np.arange(0, len(log), STEP)
    starts = np.unique(np.searchsorted(log.at_us, log.at_us[starts]))
    ends = [*starts[1:].tolist(), len(log)]
    return [slice(start, end) for start, end in zip(starts.tolist(), ends, strict=True)]


def _shown(found: Estimate) -> str:
    return f"{1e3 * found.value:.1f} [{1e3 * found.low:.1f}, {1e3 * found.high:.1f}]"

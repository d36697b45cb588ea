"""A contextual bandit: decides what to offer to whom, and learns from the feedback.

The model is that of River's `LinUCBDisjoint`, one Bayesian linear regression per action, computed
for all actions at once. Actions are chosen as likely as they are the best (`exploration`), within a
floor and a ceiling, so that every decision's propensity is known and can be logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct

from profiler.columns import DAY_MS, Floats
from profiler.errors import ConfigurationError, CorruptState, UsageError
from profiler.optimisation.decision import ACTIONS_MAX, FEATURES_MAX, Decision, Lesson
from profiler.optimisation.evidence import Evidence, EvidenceRecord, Observed
from profiler.optimisation.evidence import merge as merge_evidence
from profiler.optimisation.exploration import bounded, chance_to_be_best, drawn_order
from profiler.optimisation.posterior import Posterior, posterior
from profiler.tokens import hash_text

CONTEXT_MAX: Final = 10.0
"""Bound on each feature: one wild number must not swing what is known of an action."""

NEW: Final = ""
"""Stands for any action without evidence."""

_STEPS_PER_HALF_LIFE: Final = 64


class PolicySettings(Struct, frozen=True, kw_only=True):
    """How a policy decides and learns.

    Parameters
    ----------
    features
        F, length of a context, without the constant that is added to it.
    floor
        Share of decisions that is spread over all actions alike, so that each has at least
        ``floor / n_actions``.
    ceiling
        Largest share of decisions for other actions than the best known.
    boldness
        By what beliefs are narrowed before chances are computed: 1 is Thompson sampling, less is
        greedier, and in practice earns more (Chapelle and Li, NeurIPS 2011).
    half_life_ms
        After which an impression counts half.
    prior_weight
        How many impressions of an action the common belief on all actions is worth.
    actions_max
        Actions whose evidence is kept; beyond it those with fewest impressions are forgotten.
    weight_max
        None to count each impression once; else by the inverse of its propensity relative to an
        even choice, up to this, for logs of policies whose choices the context does not explain.
    """

    features: Annotated[int, Meta(ge=0, le=FEATURES_MAX)]
    floor: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.05
    ceiling: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.3
    boldness: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.25
    half_life_ms: Annotated[int, Meta(ge=60_000)] = 30 * DAY_MS
    prior_weight: Annotated[float, Meta(gt=0.0)] = 20.0
    actions_max: Annotated[int, Meta(ge=1, le=ACTIONS_MAX)] = ACTIONS_MAX
    weight_max: Annotated[float, Meta(ge=1.0)] | None = None

    def checked(self) -> PolicySettings:
        """The same, if every field is within its bounds.

        Raises
        ------
        ConfigurationError
            If one is not; says which.
        """
        try:
            msgspec.convert(msgspec.to_builtins(self), PolicySettings)
        except msgspec.ValidationError as fault:
            problem, _, field = str(fault).partition(" - at `$.")
            raise ConfigurationError(f"policy.{field.rstrip('`')}", problem) from fault
        if self.floor > self.ceiling:
            problem = f"{self.floor} is above the ceiling, {self.ceiling}"
            raise ConfigurationError("policy.floor", problem)
        return self


class PolicyRecord(Struct, frozen=True):
    """All that a policy has learnt, as plain data for JSON."""

    settings: PolicySettings
    n_learnt: int
    evidence: EvidenceRecord


class ActionFigures(Struct, frozen=True):
    """What is known of an action: decayed impressions, and the mean reward of one."""

    action: str
    impressions: float
    reward: float


class Policy:
    """Decides and learns.

    Parameters
    ----------
    settings
        See `PolicySettings`.

    Attributes
    ----------
    evidence
        What was learnt.
    n_learnt
        Number of lessons.

    Raises
    ------
    ConfigurationError
        If a setting is out of bounds.

    Examples
    --------
    >>> policy = Policy(PolicySettings(features=1))
    >>> decision = policy.decide(np.array([0.5]), ["mug", "lamp"], "d1", now_ms=1_000)
    >>> decision.propensities, decision.chosen in ("mug", "lamp")
    ((0.5, 0.5), True)
    >>> policy.learn([Lesson(decision, 0.0, 1.0, is_first=True)])
    >>> [(f.impressions, f.reward) for f in policy.figures(now_ms=1_000)]
    [(1.0, 1.0)]
    """

    def __init__(self, settings: PolicySettings) -> None:
        self.settings = settings.checked()
        self.evidence = Evidence(settings.features + 1, settings.half_life_ms)
        self.n_learnt = 0
        self._settings_hash = f"{hash_text(msgspec.json.encode(settings).decode()):016x}"
        self._believed: tuple[tuple[int, int], Posterior, dict[str, int]] | None = None

    @property
    def version(self) -> str:
        """What decisions are logged with: a hash of the settings, and the number of lessons."""
        return f"{self._settings_hash}.{self.n_learnt}"

    def propensities(self, context: Floats, actions: Sequence[str], now_ms: int) -> Floats:
        """(N, A) probabilities of choosing each of A actions in N contexts.

        Parameters
        ----------
        context
            (N, F), or (N, A, F) where each action has a context of its own: what the person and
            the offer have to do with each other.

        Raises
        ------
        UsageError
            If there are no actions or too many, one twice, or contexts of another length.
        """
        mean, spread = self.beliefs(context, actions, now_ms)
        chance = chance_to_be_best(mean, self.settings.boldness * spread)
        return bounded(mean, chance, self.settings.floor, self.settings.ceiling)

    def beliefs(
        self, context: Floats, actions: Sequence[str], now_ms: int
    ) -> tuple[Floats, Floats]:
        """(N, A) expected rewards, and their standard deviations; as for `propensities`."""
        _check_actions(actions)
        x = self._design(np.asarray(context, dtype=np.float64), len(actions))
        believed, places = self._beliefs(now_ms)
        chosen = [places.get(action, places[NEW]) for action in actions]
        return Posterior(believed.mean[chosen], believed.covariance[chosen]).scores(x)

    def decide(
        self, context: Floats, actions: Sequence[str], decision_id: str, now_ms: int
    ) -> Decision:
        """Choose an action for one person; the same for the same id and the same evidence.

        Parameters
        ----------
        context
            (F,), or (A, F).
        decision_id
            Different for every decision, at most 128 characters.

        Raises
        ------
        UsageError
            As for `propensities`.
        """
        context = np.asarray(context, dtype=np.float64)
        propensities = self.propensities(context[None], actions, now_ms)[0]
        order = drawn_order(decision_id, actions, propensities)
        own = context if context.ndim == 1 else context[order[0]]
        return Decision(
            decision_id=decision_id,
            at_ms=now_ms,
            context=tuple(_tamed(own).tolist()),
            actions=tuple(actions),
            propensities=tuple(propensities.tolist()),
            chosen=actions[order[0]],
            ranking=tuple(actions[k] for k in order),
            policy=self.version,
        )

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """Take in what feedback taught, in any order.

        Lessons of decisions with contexts of another length, which a policy with other settings
        made, are left out.
        """
        fitting = [one for one in lessons if len(one.decision.context) == self.settings.features]
        if not fitting:
            return
        before = np.array([one.before for one in fitting])
        after = np.array([one.after for one in fitting])
        propensity = np.array([one.decision.propensity for one in fitting])
        n_actions = np.array([len(one.decision.actions) for one in fitting])
        x = np.array([one.decision.context for one in fitting]).reshape(len(fitting), -1)
        self.observe(
            Observed(
                actions=[one.decision.chosen for one in fitting],
                context=x,
                is_first=np.array([one.is_first for one in fitting]),
                reward=after - before,
                squares=after * after - before * before,
                weight=self._weight(propensity, n_actions),
                at_ms=np.array([one.decision.at_ms for one in fitting]),
            )
        )

    def observe(self, seen: Observed) -> None:
        """Take in N observations as columns, their contexts (N, F): for logs, and many at once."""
        self.evidence.add(seen._replace(context=self._design(seen.context, 0)))
        self.evidence.keep(self.settings.actions_max)
        self.n_learnt += len(seen.actions)
        self._believed = None

    def retire(self, actions: Sequence[str]) -> None:
        """Forget actions that are offered no more."""
        self.evidence.forget(actions)
        self._believed = None

    def figures(self, now_ms: int) -> list[ActionFigures]:
        """What is known of each action, the best first."""
        factor = self.evidence.factor(now_ms)
        impressions = self.evidence.impressions
        # A click may come for an impression that was counted before its action was forgotten.
        reward = np.zeros(len(impressions))
        np.divide(self.evidence.reward, impressions, out=reward, where=impressions > 0)
        found = [
            ActionFigures(action, factor * float(impressions[k]), float(reward[k]))
            for action, k in self.evidence.places.items()
        ]
        return sorted(found, key=lambda f: (-f.reward, f.action))

    def export(self) -> PolicyRecord:
        """All that was learnt, as plain data for JSON; never a pickle."""
        return PolicyRecord(self.settings, self.n_learnt, self.evidence.export())

    def restore(self, record: PolicyRecord) -> None:
        """Go on from what was exported, with this policy's own settings.

        Raises
        ------
        CorruptState
            If it is damaged, or contexts or the half-life were others.
        """
        evidence = Evidence.restored(record.evidence)
        if (evidence.dims, evidence.half_life_ms) != (
            self.evidence.dims,
            self.evidence.half_life_ms,
        ):
            raise CorruptState("evidence of a policy with other features or another half-life")
        self.evidence = evidence
        self.n_learnt = record.n_learnt
        self._believed = None

    def _weight(self, propensity: Floats, n_actions: Floats) -> Floats:
        if self.settings.weight_max is None:
            return np.ones(len(propensity))
        return np.minimum(1.0 / (propensity * n_actions), self.settings.weight_max)

    def _design(self, context: Floats, n_actions: int) -> Floats:
        """Contexts with a constant before them, once their form is sure."""
        form = context.shape[1:]
        if form != (self.settings.features,) and form != (n_actions, self.settings.features):
            raise UsageError(
                f"a context has {self.settings.features} features, or {n_actions} rows of them, "
                f"not the form {form}"
            )
        return np.concatenate([np.ones((*context.shape[:-1], 1)), _tamed(context)], axis=-1)

    def _beliefs(self, now_ms: int) -> tuple[Posterior, dict[str, int]]:
        """Beliefs on all actions and on a new one; computed anew after learning, and in time."""
        # By whole steps of time, so that no decision depends on when others were made.
        step_ms = max(1, self.settings.half_life_ms // _STEPS_PER_HALF_LIFE)
        known = (self.n_learnt, now_ms // step_ms)
        if self._believed is None or self._believed[0] != known:
            names = [*self.evidence.places, NEW]
            weight, at_ms = self.settings.prior_weight, known[1] * step_ms
            places = {name: k for k, name in enumerate(names)}
            self._believed = known, posterior(self.evidence, names, weight, at_ms), places
        return self._believed[1], self._believed[2]


def merge(a: Policy, b: Policy) -> Policy:
    """What two workers have learnt from different decisions, together.

    Raises
    ------
    ValueError
        If their settings differ.
    """
    if a.settings != b.settings:
        raise ValueError("policies with different settings")
    both = Policy(a.settings)
    both.evidence = merge_evidence(a.evidence, b.evidence)
    both.evidence.keep(both.settings.actions_max)
    both.n_learnt = a.n_learnt + b.n_learnt
    return both


def _tamed(context: Floats) -> Floats:
    """Features within their bounds; what is not a number is taken for nothing."""
    return np.clip(np.nan_to_num(context, nan=0.0), -CONTEXT_MAX, CONTEXT_MAX)


def _check_actions(actions: Sequence[str]) -> None:
    if not 0 < len(actions) <= ACTIONS_MAX:
        raise UsageError(f"{len(actions)} actions to choose from: 1 to {ACTIONS_MAX} are possible")
    if len(set(actions)) != len(actions) or NEW in actions:
        raise UsageError("each action needs a name of its own")

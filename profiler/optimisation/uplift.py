"""What a treatment (a coupon, a message) changes for whom, learnt from those who had it or not.

A DR-learner (Kennedy, "Towards optimal doubly robust estimation of heterogeneous causal effects",
2020) on a stream. Two River regressions, of the treated and of the others, expect an outcome; with
the known propensity e their errors give each person's *pseudo-outcome*, whose mean given x is the
true effect however bad the two regressions are:

    φ = μ₁(x) − μ₀(x) + (t − e) / (e·(1 − e)) · (y − μ_t(x))

A Bayesian regression on the policy's decayed evidence learns φ from x. Each φ is formed before the
two regressions learn from its person, which is what cross-fitting is for in a batch.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta, Struct

from profiler.columns import DAY_MS, Floats
from profiler.errors import ConfigurationError, CorruptState, UsageError
from profiler.optimisation.decision import FEATURES_MAX
from profiler.optimisation.evidence import Evidence, EvidenceRecord, Observed
from profiler.optimisation.evidence import merge as merge_evidence
from profiler.optimisation.outcome import Kind, OutcomeModel, OutcomeRecord, averaged
from profiler.optimisation.posterior import posterior
from profiler.optimisation.treatment import Treatments

PRIOR_WEIGHT: Final = 10.0
"""How many people the belief that there is no effect is worth."""

_EFFECT: Final = "effect"
_STEP: Final = 256
"""People whose pseudo-outcomes are formed at once, before the two regressions learn from them."""


class UpliftSettings(Struct, frozen=True, kw_only=True):
    """How an effect is learnt.

    Parameters
    ----------
    features
        F, length of a context, without the constant that is added to it.
    outcome
        *binary*: it happens or not; *amount*: how much.
    half_life_ms
        After which a person counts half for the effect.
    """

    features: Annotated[int, Meta(ge=1, le=FEATURES_MAX)]
    outcome: Kind = "binary"
    half_life_ms: Annotated[int, Meta(ge=60_000)] = 90 * DAY_MS


class UpliftRecord(Struct, frozen=True):
    """All that was learnt of an effect, as plain data for JSON."""

    settings: UpliftSettings
    treated: OutcomeRecord
    untreated: OutcomeRecord
    evidence: EvidenceRecord


class Uplift:
    """Effect of one treatment.

    Parameters
    ----------
    settings
        See `UpliftSettings`.

    Raises
    ------
    ConfigurationError
        If a setting is out of bounds.
    """

    def __init__(self, settings: UpliftSettings) -> None:
        try:
            msgspec.convert(msgspec.to_builtins(settings), UpliftSettings)
        except msgspec.ValidationError as fault:
            raise ConfigurationError("uplift", str(fault)) from fault
        self.settings = settings
        self.evidence = Evidence(settings.features + 1, settings.half_life_ms)
        self._treated = OutcomeModel(settings.features, settings.outcome)
        self._untreated = OutcomeModel(settings.features, settings.outcome)

    def effect(self, context: Floats) -> tuple[Floats, Floats]:
        """(N,) effects that are expected of the treatment, and their standard deviations.

        Parameters
        ----------
        context
            (N, F).

        Raises
        ------
        UsageError
            If contexts have another length.
        """
        believed = posterior(self.evidence, [_EFFECT], PRIOR_WEIGHT, self.evidence.as_of_ms)
        mean, spread = believed.scores(self._design(context))
        return mean[:, 0], spread[:, 0]

    def learn(self, people: Treatments) -> None:
        """Learn from people whose outcome is known.

        Raises
        ------
        UsageError
            If contexts have another length.
        """
        design = self._design(people.context)
        for k in range(0, len(people), _STEP):
            rows = slice(k, k + _STEP)
            part = people.part(rows)
            pseudo = self._pseudo_outcomes(part)
            ones = np.ones(len(part))
            actions = [_EFFECT] * len(part)
            self.evidence.add(
                Observed(actions, design[rows], ones > 0, pseudo, pseudo**2, ones, part.at_ms)
            )
            for model, mine in ((self._treated, part.treated), (self._untreated, ~part.treated)):
                model.learn(part.context[mine], part.outcome[mine])

    def _pseudo_outcomes(self, people: Treatments) -> Floats:
        treated = self._treated.expected(people.context)
        untreated = self._untreated.expected(people.context)
        e, t = people.propensity, people.treated
        error = people.outcome - np.where(t, treated, untreated)
        return np.asarray(treated - untreated + (t - e) / (e * (1.0 - e)) * error)

    def export(self) -> UpliftRecord:
        """All that was learnt, as plain data for JSON; never a pickle."""
        return UpliftRecord(
            self.settings,
            self._treated.export(),
            self._untreated.export(),
            self.evidence.export(),
        )

    def restore(self, record: UpliftRecord) -> None:
        """Go on from what was exported.

        Raises
        ------
        CorruptState
            If it is damaged, or was learnt with other settings.
        """
        if record.settings != self.settings:
            raise CorruptState("an effect that was learnt with other settings")
        evidence = Evidence.restored(record.evidence)
        if (evidence.dims, evidence.half_life_ms) != (
            self.evidence.dims,
            self.evidence.half_life_ms,
        ):
            raise CorruptState("evidence of an effect with other features or another half-life")
        self.evidence = evidence
        self._treated.restore(record.treated)
        self._untreated.restore(record.untreated)

    def _design(self, context: Floats) -> Floats:
        if context.shape[1:] != (self.settings.features,):
            raise UsageError(
                f"a context has {self.settings.features} features, not the form {context.shape[1:]}"
            )
        return np.concatenate([np.ones((len(context), 1)), context], axis=1)


def merge(a: Uplift, b: Uplift) -> Uplift:
    """What two workers have learnt from different people, together.

    Raises
    ------
    ValueError
        If their settings differ.
    """
    if a.settings != b.settings:
        raise ValueError("effects that are learnt with different settings")
    both = Uplift(a.settings)
    of_a, of_b = a.export(), b.export()
    both.evidence = merge_evidence(a.evidence, b.evidence)
    both._treated.restore(averaged(of_a.treated, of_b.treated))
    both._untreated.restore(averaged(of_a.untreated, of_b.untreated))
    return both

"""A decision as it is logged, and what feedback teaches of it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from profiler.envelope import EventId

ACTIONS_MAX: Final = 1_024
FEATURES_MAX: Final = 128

Result = Literal["shown", "clicked", "bought", "dismissed"]
"""The actions of a `feedback` event; here, *action* is what was decided on."""

Propensity = Annotated[float, Meta(gt=0.0, le=1.0)]


class Decision(Struct, frozen=True):
    """What was decided, when, of what, and how likely that was: all that learning needs later.

    It travels as JSON: in a topic, at a key of the store, or with the shop's own request. Its id is
    the `recommendation_id` of the feedback events that it gets.

    Parameters
    ----------
    decision_id
        Different for every decision; chance is drawn from it.
    at_ms
        When.
    context
        (F,) what was known of the person with the chosen action.
    actions, propensities
        Between what it was decided, and with what probability each.
    chosen
        The action.
    ranking
        All actions in the order in which they were drawn; `chosen` is the first.
    policy
        Version of the policy: its settings, and how much it had learnt.
    """

    decision_id: EventId
    at_ms: Annotated[int, Meta(ge=0)]
    context: Annotated[tuple[float, ...], Meta(max_length=FEATURES_MAX)]
    actions: Annotated[tuple[str, ...], Meta(min_length=1, max_length=ACTIONS_MAX)]
    propensities: Annotated[tuple[Propensity, ...], Meta(max_length=ACTIONS_MAX)]
    chosen: str
    ranking: Annotated[tuple[str, ...], Meta(max_length=ACTIONS_MAX)]
    policy: str

    def __post_init__(self) -> None:
        if len(self.actions) != len(self.propensities) or self.chosen not in self.actions:
            raise ValueError("a decision's actions, propensities and choice do not fit together")

    @property
    def propensity(self) -> float:
        """Probability with which the chosen action was chosen."""
        return self.propensities[self.actions.index(self.chosen)]


class Rewards(Struct, frozen=True):
    """What results are worth; the best result of a decision is its reward.

    Parameters
    ----------
    clicked, bought
        Between 0 and 1; to be shown or dismissed is worth nothing.
    """

    clicked: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.2
    bought: Annotated[float, Meta(ge=0.0, le=1.0)] = 1.0

    def of(self, result: Result) -> float:
        """Reward of one result.

        Examples
        --------
        >>> Rewards().of("clicked"), Rewards().of("dismissed")
        (0.2, 0.0)
        """
        return {"clicked": self.clicked, "bought": self.bought}.get(result, 0.0)


class Lesson(Struct, frozen=True):
    """What one piece of feedback adds to what is known of a decision.

    Parameters
    ----------
    decision
        That which it is about.
    before, after
        Its reward before, and now.
    is_first
        Whether nothing was known of it, so that it is one more impression.
    """

    decision: Decision
    before: float
    after: float
    is_first: bool

"""What was seen of each action: decayed sums that add up, whatever order or worker they come from.

They are the sufficient statistics of one Bayesian linear regression per action, which is what
River's `LinUCBDisjoint` keeps (Li, Chu, Langford, Schapire, WWW 2010). As sums they can be decayed,
weighted and merged; the posterior is formed when it is asked for. Stored relative to a landmark, as
all decayed sums of this project are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from profiler.columns import Floats, Ints, decayed_at, landmark_ms, landmark_weight, move_landmarks
from profiler.errors import CorruptState

_SUMS: Final = ("gram", "moment", "impressions", "reward", "squares")


class Observed(NamedTuple):
    """N things that became known of actions.

    Parameters
    ----------
    actions
        N names.
    context
        (N, D) what was known when the action was chosen.
    is_first
        (N,) whether this is an impression that has not been counted yet.
    reward, squares
        (N,) what is added to the reward, and to its square: rewards that come in parts are told
        in parts.
    weight
        (N,) how much each counts.
    at_ms
        (N,) when the action was chosen.
    """

    actions: Sequence[str]
    context: Floats
    is_first: NDArray[np.bool_]
    reward: Floats
    squares: Floats
    weight: Floats
    at_ms: Ints


class EvidenceRecord(Struct, frozen=True):
    """Evidence as plain data, for JSON; sums are those of `Evidence`, relative to its landmark."""

    dims: int
    half_life_ms: int
    as_of_ms: int
    actions: list[str]
    gram: list[list[list[float]]]
    moment: list[list[float]]
    impressions: list[float]
    reward: list[float]
    squares: list[float]


class Evidence:
    """Decayed sums of A actions in D dimensions.

    Parameters
    ----------
    dims
        D, length of a context.
    half_life_ms
        After which an impression counts half.

    Attributes
    ----------
    places
        Each action's place, 0 … A − 1.
    as_of_ms
        Latest time of anything that was observed; 0 before.
    gram, moment
        (A, D, D) sums of w·x·xᵀ, and (A, D) of w·reward·x.
    impressions, reward, squares
        (A,) sums of w, w·reward and w·reward².
    """

    def __init__(self, dims: int, half_life_ms: int) -> None:
        self.dims = dims
        self.half_life_ms = half_life_ms
        self.as_of_ms = 0
        self.places: dict[str, int] = {}
        self.gram: Floats = np.zeros((0, dims, dims))
        self.moment: Floats = np.zeros((0, dims))
        self.impressions: Floats = np.zeros(0)
        self.reward: Floats = np.zeros(0)
        self.squares: Floats = np.zeros(0)

    def __len__(self) -> int:
        return len(self.places)

    def add(self, seen: Observed) -> None:
        """Add up what was observed."""
        if not len(seen.actions):
            return
        self._make_room(seen.actions)
        self._move_to(max(self.as_of_ms, int(seen.at_ms.max())))
        landmark = landmark_ms(np.asarray(self.as_of_ms), self.half_life_ms)
        weight = seen.weight * landmark_weight(seen.at_ms, landmark, self.half_life_ms)
        place = np.array([self.places[action] for action in seen.actions])
        for sums, added in (
            (self.impressions, weight * seen.is_first),
            (self.reward, weight * seen.reward),
            (self.squares, weight * seen.squares),
        ):
            np.add.at(sums, place, added)
        for k in np.unique(place):  # one multiplication of matrices for each action of the batch
            mine = place == k
            x, w = seen.context[mine], weight[mine]
            self.gram[k] += (x * (w * seen.is_first[mine])[:, None]).T @ x
            self.moment[k] += (w * seen.reward[mine]) @ x

    def factor(self, now_ms: int) -> float:
        """What stored sums are multiplied by to have their values at a time."""
        one = np.ones(1)
        as_of = np.array([self.as_of_ms])
        return float(decayed_at(one, as_of, self.half_life_ms, max(now_ms, self.as_of_ms))[0])

    def keep(self, n: int) -> list[str]:
        """Keep the n actions with most impressions; return those that were dropped."""
        if len(self) <= n:
            return []
        names = list(self.places)
        order = sorted(range(len(names)), key=lambda k: (-self.impressions[k], names[k]))
        self._take([names[k] for k in sorted(order[:n])])
        return [names[k] for k in order[n:]]

    def forget(self, actions: Sequence[str]) -> None:
        """Drop what is known of these actions."""
        dropped = set(actions)
        self._take([action for action in self.places if action not in dropped])

    def export(self) -> EvidenceRecord:
        """All sums as plain numbers, which JSON keeps to the last bit."""
        return EvidenceRecord(
            self.dims,
            self.half_life_ms,
            self.as_of_ms,
            list(self.places),
            **{name: getattr(self, name).tolist() for name in _SUMS},
        )

    @staticmethod
    def restored(record: EvidenceRecord) -> Evidence:
        """Evidence from what was exported.

        Raises
        ------
        CorruptState
            If shapes or numbers cannot be those of evidence.
        """
        found = Evidence(record.dims, record.half_life_ms)
        if record.dims < 1 or record.half_life_ms < 1 or record.as_of_ms < 0:
            raise CorruptState("evidence of a policy without dimensions, half-life or time")
        found._make_room(record.actions)
        for name in _SUMS:
            shape = getattr(found, name).shape
            try:
                sums = np.array(getattr(record, name), dtype=np.float64).reshape(shape)
            except ValueError:
                raise CorruptState(f"{name} of a policy's evidence is not {shape}") from None
            if not np.isfinite(sums).all() or (name == "impressions" and (sums < 0).any()):
                raise CorruptState(f"{name} of a policy's evidence has impossible numbers")
            setattr(found, name, sums)
        found.as_of_ms = record.as_of_ms
        return found

    def _make_room(self, actions: Sequence[str]) -> None:
        new = [action for action in dict.fromkeys(actions) if action not in self.places]
        if not new:
            return
        for action in new:
            self.places[action] = len(self.places)
        for name in _SUMS:
            known = getattr(self, name)
            empty = np.zeros((len(new), *known.shape[1:]))
            setattr(self, name, np.concatenate([known, empty]))

    def _take(self, actions: Sequence[str]) -> None:
        kept = [self.places[action] for action in actions]
        for name in _SUMS:
            setattr(self, name, getattr(self, name)[kept])
        self.places = {action: k for k, action in enumerate(actions)}

    def _move_to(self, as_of_ms: int) -> None:
        before, after = np.full(len(self), self.as_of_ms), np.full(len(self), as_of_ms)
        sums = [getattr(self, name) for name in _SUMS]
        move_landmarks(sums, before, after, self.half_life_ms)
        self.as_of_ms = as_of_ms


def merge(a: Evidence, b: Evidence) -> Evidence:
    """Both together, the same whichever comes first, if they have seen different decisions.

    Raises
    ------
    ValueError
        If dimensions or half-lives differ.

    Examples
    --------
    >>> a, b = Evidence(1, 1000), Evidence(1, 1000)
    >>> one = np.ones(1)
    >>> a.add(Observed(["tea"], np.ones((1, 1)), one > 0, one, one, one, np.array([5])))
    >>> b.add(Observed(["tea"], np.ones((1, 1)), one > 0, 0 * one, 0 * one, one, np.array([5])))
    >>> both = merge(a, b)
    >>> both.reward / both.impressions
    array([0.5])
    """
    if (a.dims, a.half_life_ms) != (b.dims, b.half_life_ms):
        raise ValueError("evidence of policies with other dimensions or half-lives")
    both = Evidence(a.dims, a.half_life_ms)
    both._make_room(sorted({*a.places, *b.places}))
    both.as_of_ms = max(a.as_of_ms, b.as_of_ms)
    for part in (a, b):
        places = [both.places[action] for action in part.places]
        before = np.full(len(part), part.as_of_ms)
        sums = [getattr(part, name).copy() for name in _SUMS]
        move_landmarks(sums, before, np.full(len(part), both.as_of_ms), part.half_life_ms)
        for name, moved in zip(_SUMS, sums, strict=True):
            getattr(both, name)[places] += moved
    return both

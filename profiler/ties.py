"""Whom a person is tied to: the strongest ties, kept behind the row of those who have any.

A tie leads from the person who stated it to another profile, by one relation. Its strength is the
decayed sum of the weights of all `follow` events that add to it; it holds while the latest of these
is later than the latest that removes it. So up to `TIES_MAX` ties come out the same in whatever
order their events arrive. Of more, the list is that of Space-Saving (Metwally et al. 2005), as the
top lists of interests are: a new tie takes the place, and the strength, of the weakest.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from profiler.columns import LANDMARK_HALF_LIVES, MONTH_MS

TIES_MAX: Final = 16
_SPAN_MS: Final = LANDMARK_HALF_LIVES * MONTH_MS
_STEPS_MAX: Final = 64
"""So many landmarks later nothing is left of any strength."""

Key = tuple[str, str]
"""Profile id of the other, and the relation."""


class Tie(Struct, frozen=True, array_like=True, gc=False):
    """One tie.

    Parameters
    ----------
    pid
        Profile id of the other.
    relation
        One of `profiler.events.Relation`.
    strength
        Sum of weights, relative to the landmark of the list's `as_of_ms`.
    last_ms, cut_ms
        Event times of the latest event that added to it and of the latest that removed it, -1 where
        there was none.
    """

    pid: str
    relation: str
    strength: float = 0.0
    last_ms: int = -1
    cut_ms: int = -1

    @property
    def holds(self) -> bool:
        """Whether it was not removed."""
        return self.last_ms > self.cut_ms

    @property
    def key(self) -> Key:
        """What tells ties apart."""
        return self.pid, self.relation


class Stated(NamedTuple):
    """What one event says of a tie; one without a weight removes it."""

    pid: str
    relation: str
    weight: float | None
    ts: int


class StrongTie(NamedTuple):
    """A tie as readers see it: its strength is that of one moment."""

    pid: str
    relation: str
    strength: float


class Ties(Struct, frozen=True, array_like=True):
    """All that is kept of the ties of one person.

    Parameters
    ----------
    as_of_ms
        Latest event time that added to any of them.
    entries
        By pid and relation, at most `TIES_MAX`.
    granted_ms, refused_ms
        Event times of the latest consent to be mixed into what others are interested in, and of the
        latest refusal, -1 where there was none.

    Examples
    --------
    >>> ties = NO_TIES.stating([Stated("bob", "friend", 2.0, 5), Stated("cid", "follow", 3.0, 4)])
    >>> [tie.pid for tie in ties.strongest(5)]
    ['cid', 'bob']
    >>> [tie.pid for tie in ties.stating([Stated("cid", "follow", None, 9)]).strongest(9)]
    ['bob']
    """

    as_of_ms: int = 0
    entries: tuple[Tie, ...] = ()
    granted_ms: int = -1
    refused_ms: int = -1

    @property
    def consents(self) -> bool | None:
        """Whether this person may be mixed into others; None where they have said nothing."""
        if self.granted_ms == self.refused_ms == -1:
            return None
        return self.granted_ms > self.refused_ms

    def consenting(self, is_granted: bool, ts: int) -> Ties:
        """Add what an event says of consent."""
        granted_ms = max(self.granted_ms, ts) if is_granted else self.granted_ms
        refused_ms = self.refused_ms if is_granted else max(self.refused_ms, ts)
        return Ties(self.as_of_ms, self.entries, granted_ms, refused_ms)

    def stating(self, stated: Iterable[Stated]) -> Ties:
        """Add what events say, in their order."""
        known = {tie.key: tie for tie in self.entries}
        as_of_ms = self.as_of_ms
        for one in stated:
            if one.weight is None:
                _remove(known, one)
                continue
            if one.ts > as_of_ms:
                known = _moved(known, as_of_ms, one.ts)
                as_of_ms = one.ts
            _add(known, one, one.weight * _weight(one.ts, as_of_ms))
        return self._with(as_of_ms, known)

    def merged(self, other: Ties) -> Ties:
        """Ties of a person whom two lists describe: commutative, and exact while none is full.

        A tie that one full list lacks gets the strength of that list's weakest, as it may have had
        that much.
        """
        as_of_ms = max(self.as_of_ms, other.as_of_ms)
        lists = [
            _moved({tie.key: tie for tie in one.entries}, one.as_of_ms, as_of_ms)
            for one in (self, other)
        ]
        least = [
            min(t.strength for t in one.values()) if len(one) == TIES_MAX else 0.0 for one in lists
        ]
        absent = [Tie("", "", strength) for strength in least]
        a, b = lists
        joined = {key: _joined(a.get(key), b.get(key), *absent) for key in a.keys() | b.keys()}
        strongest = sorted(joined.values(), key=_strongest_first)[:TIES_MAX]
        granted_ms = max(self.granted_ms, other.granted_ms)
        refused_ms = max(self.refused_ms, other.refused_ms)
        both = Ties(as_of_ms, (), granted_ms, refused_ms)
        return both._with(as_of_ms, {tie.key: tie for tie in strongest})

    def without(self, pids: Collection[str]) -> Ties:
        """Leave out those that lead to these profiles."""
        return self._with(self.as_of_ms, {t.key: t for t in self.entries if t.pid not in pids})

    def strongest(self, at_ms: int) -> list[StrongTie]:
        """Ties that hold, strongest first, with their strength at a moment."""
        holding = sorted((tie for tie in self.entries if tie.holds), key=_strongest_first)
        return [StrongTie(t.pid, t.relation, self.strength(t, at_ms)) for t in holding]

    def strength(self, tie: Tie, at_ms: int) -> float:
        """Strength of one of these ties at a moment."""
        return tie.strength * math.exp2((_landmark_ms(self.as_of_ms) - at_ms) / MONTH_MS)

    def _with(self, as_of_ms: int, known: dict[Key, Tie]) -> Ties:
        entries = tuple(known[key] for key in sorted(known))
        return Ties(as_of_ms, entries, self.granted_ms, self.refused_ms)


NO_TIES: Final = Ties()
NOBODYS: Final[Mapping[int, Ties]] = {}
"""Ties of many people, none of whom has any."""


def with_ties(summary: bytes, ties: Ties, at_ms: int) -> bytes:
    """Add ties and consent to a summary, a JSON object that has other members already.

    Examples
    --------
    >>> ties = NO_TIES.stating([Stated("bob", "friend", 2.0, 5)]).consenting(False, 6)
    >>> with_ties(b'{"core":{}}', ties, 5)
    b'{"core":{},"ties":[["bob","friend",2.0]],"consent":{"ties":false}}'
    """
    more: dict[str, Any] = {}
    if strongest := ties.strongest(at_ms):
        more["ties"] = [tie._replace(strength=round(tie.strength, 4)) for tie in strongest]
    if ties.consents is not None:
        more["consent"] = {"ties": ties.consents}
    return summary[:-1] + b"," + msgspec.json.encode(more)[1:] if more else summary


def _add(known: dict[Key, Tie], one: Stated, strength: float) -> None:
    key = one.pid, one.relation
    tie = known.get(key)
    if tie is None:
        tie = Tie(*key)
        if len(known) == TIES_MAX:
            weakest = max(known.values(), key=_strongest_first)
            del known[weakest.key]
            tie = Tie(*key, weakest.strength)
    known[key] = Tie(*key, tie.strength + strength, max(tie.last_ms, one.ts), tie.cut_ms)


def _remove(known: dict[Key, Tie], one: Stated) -> None:
    key = one.pid, one.relation
    tie = known.get(key)
    if tie is None and len(known) == TIES_MAX:
        return
    tie = tie or Tie(*key)
    known[key] = Tie(*key, tie.strength, tie.last_ms, max(tie.cut_ms, one.ts))


def _joined(a: Tie | None, b: Tie | None, absent_a: Tie, absent_b: Tie) -> Tie:
    key = (a or b or absent_a).key
    x, y = a or absent_a, b or absent_b
    last_ms, cut_ms = max(x.last_ms, y.last_ms), max(x.cut_ms, y.cut_ms)
    return Tie(*key, x.strength + y.strength, last_ms, cut_ms)


def _strongest_first(tie: Tie) -> tuple[float, Key]:
    return -tie.strength, tie.key


def _landmark_ms(as_of_ms: int) -> int:
    return as_of_ms // _SPAN_MS * _SPAN_MS


def _moved(known: dict[Key, Tie], before_ms: int, after_ms: int) -> dict[Key, Tie]:
    """Put strengths relative to a later landmark: multiply by a power of two, which is exact."""
    steps = min(after_ms // _SPAN_MS - before_ms // _SPAN_MS, _STEPS_MAX)
    if not steps or not known:
        return known
    exponent = -LANDMARK_HALF_LIVES * steps
    return {
        key: Tie(*key, math.ldexp(tie.strength, exponent), tie.last_ms, tie.cut_ms)
        for key, tie in known.items()
    }


def _weight(ts: int, as_of_ms: int) -> float:
    """Weigh an event relative to a landmark, rounded alike under every one."""
    periods, rest = divmod(ts - _landmark_ms(as_of_ms), MONTH_MS)
    return math.ldexp(math.exp2(rest / MONTH_MS), periods)

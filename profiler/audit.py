"""Stored profiles against recomputed ones: what *equal* means, column by column.

Integers must be identical. Sums are compared in the stored (landmark) scale, in which a fresh event
weighs at least 1: float64 sums within 1e-9 of the sum of absolute contributions, float32 vectors
within 1e-5 of their norm. Sequential columns must be equal where the order of arrival is known, and
lie within their documented bounds where it is not. *Derived* columns and the ring of recent ids are
not compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from profiler.audit_journey import compare_journey
from profiler.audit_ties import compare_ties
from profiler.audit_tops import Found, compare_tops, numbers
from profiler.reference import SUMS, ReferencePerson
from profiler.reference_ties import ReferenceTies
from profiler.reference_traits import Kept
from profiler.ties import NO_TIES, Ties
from profiler.tolerance import CANCELLATION, FLOAT32_FLOOR, FLOAT64_FLOOR
from profiler.tolerance import SUM_TOLERANCE as SUM_TOLERANCE  # what equal means belongs here
from profiler.tolerance import VECTOR_TOLERANCE as VECTOR_TOLERANCE
from profiler.traits import NO_TRAITS, Told, Traits

CIRCLES: Final = ("rhythm.of_day", "rhythm.of_week")


class Difference(Struct, frozen=True):
    """A column of a profile that is not what it must be.

    Parameters
    ----------
    pid
        The profile.
    column
        The column, or *profile* where the whole of it is missing, unexpected or not erased.
    expected, actual
        For people.
    """

    pid: str
    column: str
    expected: str
    actual: str


class Comparison(Struct, frozen=True, kw_only=True):
    """Outcome of comparing all profiles.

    Parameters
    ----------
    profiles
        Profiles that are expected or stored.
    mismatched
        Profiles that differ, the missing and the unexpected included.
    missing, unexpected
        Expected but not stored, and stored but not expected.
    stale
        Profiles of which readers see something else than what is stored.
    unordered
        Profiles whose order of arrival is unknown: their sequential columns were held against
        bounds.
    differences
        The first few.
    """

    profiles: int
    mismatched: int
    missing: int
    unexpected: int
    stale: int
    unordered: int
    differences: tuple[Difference, ...]


def compare(
    pid: str, person: ReferencePerson, row: np.void, *, ordered: bool = True
) -> list[Difference]:
    """All columns of a row that differ from what they must be.

    Parameters
    ----------
    row
        A row of the spec's dtype.
    ordered
        Whether events were applied in the order in which the reference applied them.
    """
    found: Iterator[Found] | list[Found]
    try:
        found = [
            *_exact(person, row),
            *_sums(person, row),
            *compare_tops(person, row, ordered=ordered),
            *_sessions(person, row, ordered=ordered),
            *_trails(person, row, ordered=ordered),
            *_quarantine(person, row, ordered=ordered),
            *compare_journey(person, row, ordered=ordered),
        ]
    except ValueError as absent:  # NumPy's answer to an unknown field
        found = [("profile", "all columns", str(absent))]
    return [Difference(pid, *parts) for parts in found]


class Auditor:
    """Compares profiles as they come, in any order.

    Parameters
    ----------
    people
        What must be stored, by pid.
    owners
        To whom people must belong, by pid.
    ties
        Whom people must be tied to, by pid.
    traits
        What must be kept of their traits, by pid.
    limit_differences
        How many differences are kept.
    """

    def __init__(
        self,
        people: Mapping[str, ReferencePerson],
        owners: Mapping[str, str] | None = None,
        ties: Mapping[str, ReferenceTies] | None = None,
        traits: Mapping[str, Kept] | None = None,
        *,
        limit_differences: int = 10,
    ) -> None:
        self._people = people
        self._owners = owners or {}
        self._ties = ties or {}
        self._traits = traits or {}
        self._limit = limit_differences
        self._seen: set[str] = set()
        self._differences: list[Difference] = []
        self._mismatched = self._unexpected = self._stale = 0

    def see(
        self,
        pid: str,
        row: np.void | None,
        owner: str | None = None,
        ties: Ties = NO_TIES,
        traits: Traits = NO_TRAITS,
    ) -> bool:
        """Compare a stored profile; None is a tombstone. Return False for a pid seen before.

        Parameters
        ----------
        owner
            To whom it belongs.
        ties
            Whom it is tied to.
        traits
            What was said of it.
        """
        if pid in self._seen:
            return False
        self._seen.add(pid)
        person = self._people.get(pid)
        wrong_ties = self._wrong_ties(pid, ties)
        if row is not None and owner != self._owners.get(pid):
            expected = self._owners.get(pid, "nobody")
            self._note([Difference(pid, "owner", expected, owner or "nobody")])
        elif row is not None and (wrong := self._wrong_trait(pid, traits)):
            self._note([Difference(pid, *wrong)])
        elif person is None and row is not None and not row["core.n_accepted"]:
            self._note(wrong_ties)
            if pid not in self._traits:
                # Nothing but links, and they are right, and consents.
                self._seen.discard(pid)
        elif person is None:
            self._unexpected += 1
            self._note([Difference(pid, "profile", "none", "stored")])
        elif person.erased != (row is None):
            state = {True: "erased", False: "alive"}
            texts = state[person.erased], state[row is None]
            self._note([Difference(pid, "profile", *texts)])
        elif row is not None:
            self._note(compare(pid, person, row, ordered=person.ordered) + wrong_ties)
        return True

    def _wrong_ties(self, pid: str, ties: Ties) -> list[Difference]:
        expected = self._ties.get(pid)
        if expected is None and ties == NO_TIES:
            return []
        return [
            Difference(pid, *found) for found in compare_ties(expected or ReferenceTies(), ties)
        ]

    def see_stale(self, pid: str, field: str) -> None:
        """Note that readers see another field than a stored profile says."""
        self._stale += 1
        self._keep([Difference(pid, f"readers' {field}", "as stored", "another")])

    def comparison(self) -> Comparison:
        """Outcome, once all stored profiles have been seen."""
        expected = dict.fromkeys([*self._people, *self._traits])
        missing = [pid for pid in expected if pid not in self._seen]
        kept = [
            Difference(pid, "profile", "stored", "none")
            for pid in missing[: max(0, self._limit - len(self._differences))]
        ]
        return Comparison(
            profiles=len(self._seen) + len(missing),
            mismatched=self._mismatched + len(missing),
            missing=len(missing),
            unexpected=self._unexpected,
            stale=self._stale,
            unordered=sum(not person.ordered for person in self._people.values()),
            differences=(*self._differences, *kept),
        )

    def _wrong_trait(self, pid: str, traits: Traits) -> Found | None:
        """Name a trait that is not as it must be. Values are not for the eyes of operators."""
        expected = self._traits.get(pid, {})
        found = {name: list(trait.told) for name, trait in traits.known.items()}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                return f"trait {name}", _when(expected.get(name)), _when(found.get(name))
        return None

    def _note(self, differences: list[Difference]) -> None:
        self._mismatched += bool(differences)
        self._keep(differences)

    def _keep(self, differences: list[Difference]) -> None:
        self._differences += differences[: self._limit - len(self._differences)]


def _exact(person: ReferencePerson, row: np.void) -> Iterator[Found]:
    for name, expected in person.exact().items():
        actual = row[name].tolist()
        if actual != expected:
            yield name, str(expected), str(actual)


def _sums(person: ReferencePerson, row: np.void) -> Iterator[Found]:
    for name in SUMS:
        expected, actual = person.sums[name], numbers(row[name])
        if actual == expected:
            continue
        if len(actual) != len(expected):
            yield name, f"{len(expected)} numbers", f"{len(actual)} numbers"
        elif name in person.lengths:
            norm, distance = math.hypot(*expected), math.dist(expected, actual)
            scale = max(norm, CANCELLATION * person.lengths[name], FLOAT32_FLOOR)
            if not distance <= VECTOR_TOLERANCE * scale:
                yield name, f"norm {norm:.9g}", f"at distance {distance:.9g}"
        else:
            # What is added to a point on the circle has length 1 whatever its coordinates; all
            # other contributions are positive, so that they add up to the sum itself.
            mass = person.sums["rhythm.mass"] * 4
            sizes = mass if name in CIRCLES else expected
            for k, (e, a, size) in enumerate(zip(expected, actual, sizes, strict=True)):
                # Written so that a NaN is a difference.
                if not abs(e - a) <= SUM_TOLERANCE * size + FLOAT64_FLOOR:
                    yield name, f"[{k}] {e!r}", f"[{k}] {a!r}"
                    break


def _sessions(person: ReferencePerson, row: np.void, *, ordered: bool) -> Iterator[Found]:
    expected = person.sessions()
    actual = {name: int(row[name]) for name in expected}
    if ordered or not person.n_sessions:
        for name, value in expected.items():
            if actual[name] != value:
                yield name, str(value), str(actual[name])
        return
    late = expected["sessions.n_late"] + actual["sessions.n_late"]
    if abs(actual["sessions.n_sessions"] - expected["sessions.n_sessions"]) > late:
        n = expected["sessions.n_sessions"]
        yield "sessions.n_sessions", f"{n} ± {late}", str(actual["sessions.n_sessions"])
    # Sessions and gaps cover, without overlap, the time from the event that came first.
    current = person.last - actual["sessions.started"]
    closed = actual["sessions.length_sum"] + actual["sessions.gap_sum"]
    if not 0 <= current <= current + closed <= person.last - person.first_ts:
        span = person.last - person.first_ts
        yield "sessions.length_sum", f"at most {span} ms in all", f"{current + closed} ms"
    if not 1 <= actual["sessions.depth"] <= person.n_accepted:
        yield "sessions.depth", f"1 to {person.n_accepted}", str(actual["sessions.depth"])


def _trails(person: ReferencePerson, row: np.void, *, ordered: bool) -> Iterator[Found]:
    for kind, expected in person.trails.items():
        actual = [token for token in row[f"trail.{kind}"].tolist() if token]
        # Which are the latest depends on the order; how many there are does not.
        if (actual != expected) if ordered else (len(set(actual)) != len(expected)):
            yield f"trail.{kind}", f"{len(expected)} tokens", "others"


def _quarantine(person: ReferencePerson, row: np.void, *, ordered: bool) -> Iterator[Found]:
    expected = person.quarantine.columns()
    for name in expected if ordered else ("quarantine.newest", "quarantine.verdict"):
        if row[name].tolist() != expected[name]:
            yield name, str(expected[name]), str(row[name].tolist())
    if not ordered and int(row["quarantine.last"]) >> 1 > person.quarantine.newest:
        yield "quarantine.last", f"at most {person.quarantine.newest}", str(row["quarantine.last"])
    if not ordered and int(row["quarantine.windows"].max()) > person.n_accepted:
        yield "quarantine.windows", f"at most {person.n_accepted}", str(row["quarantine.windows"])


def _when(told: Sequence[Told] | None) -> str:
    return f"said at {', '.join(str(one.ts) for one in told)}" if told else "none"

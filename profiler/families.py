"""Who was ever linked with whom: all subjects that a record of the past may concern."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final, Generic, TypeVar

from profiler.errors import UsageError

LINKED_MAX: Final = 20_000_000
"""Linked subjects that are kept in memory, about 250 bytes each."""

_Subject = TypeVar("_Subject", bound=Hashable)


class Families(Generic[_Subject]):
    """Disjoint sets of subjects (union-find with path halving: Tarjan and van Leeuwen 1984).

    A family is all whom a chain of links joins, those that were taken back among them: wider than
    a person, and never too narrow.

    Examples
    --------
    >>> families = Families[str]()
    >>> families.join("ann", "tablet"), families.join("tablet", "bob"), families.join("eve", "pc")
    (None, None, None)
    >>> families.root("ann") == families.root("bob"), families.root("carol")
    (True, 'carol')
    >>> sorted(families.of("ann"))
    ['ann', 'bob', 'tablet']
    """

    def __init__(self) -> None:
        self._parent: dict[_Subject, _Subject] = {}

    def root(self, subject: _Subject) -> _Subject:
        """One of a subject's family, the same for all of it until it is joined with another."""
        parent = self._parent
        above = parent.get(subject, subject)
        while above != subject:
            higher = parent[above]
            parent[subject] = higher
            subject, above = higher, parent[higher]
        return subject

    def join(self, a: _Subject, b: _Subject) -> None:
        """Make one family of two.

        Raises
        ------
        UsageError
            If there are more than `LINKED_MAX` linked subjects.
        """
        parent = self._parent
        parent.setdefault(a, a)
        parent.setdefault(b, b)
        if len(parent) > LINKED_MAX:
            raise UsageError(f"more than {LINKED_MAX:,} linked subjects: read a part of the past")
        parent[self.root(a)] = self.root(b)

    def of(self, subject: _Subject) -> set[_Subject]:
        """All of a subject's family."""
        root = self.root(subject)
        return {subject, *(one for one in self._parent if self.root(one) == root)}

    def roots(self, subjects: Iterable[_Subject]) -> set[_Subject]:
        """Families of subjects."""
        return {self.root(subject) for subject in subjects}

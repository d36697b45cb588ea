"""Traits from the definition alone (docs/traits.md): all that was ever said is kept and sifted.

Shares nothing with `profiler.traits`, against which an audit holds it, but how names and values are
read off an event: that is `profiler.trait_values`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any

import xxhash

from profiler.events import Identify, timestamp_ms
from profiler.trait_values import TraitReader
from profiler.traits import NO_RULES, Told, TraitRules

Kept = dict[str, list[Told]]
"""What counts of each trait, latest first."""


class ReferenceTraits:
    """All that was said of traits.

    Parameters
    ----------
    pid
        Profile id of a subject's kind and id.
    rules
        Of the workers.
    """

    def __init__(self, pid: Callable[[str, str], str], rules: TraitRules = NO_RULES) -> None:
        self._rules = rules
        self._reader = TraitReader(rules, pid)
        self._said: defaultdict[str, list[tuple[str, Told]]] = defaultdict(list)

    def say(self, event: Identify, pid: str, event_id: str) -> None:
        """Take in an event of a profile id; `event_id` is its own, or its origin."""
        if not event.traits:
            return
        id_hash = xxhash.xxh3_64_intdigest(event_id.encode())
        for name, told in self._reader.told(event, timestamp_ms(event.ts), id_hash):
            self._said[pid].append((name, told))

    def subjects(self) -> Collection[str]:
        """Profile ids of all of whom something was said."""
        return self._said.keys()

    def of(self, pids: Iterable[str]) -> Kept:
        """What counts of these subjects together."""
        said: defaultdict[str, set[Told]] = defaultdict(set)
        for pid in pids:
            for name, told in self._said.get(pid, ()):
                said[name].add(told)
        kept: Kept = {}
        length = 2
        for name in sorted(said):
            counting = self._counting(name, said[name])
            longest = max(_length(told) for told in said[name])
            length += len(name) + 6 + len(counting) * (longest + 18)
            if length > 4_096:
                break
            kept[name] = counting
        return kept

    def _counting(self, name: str, said: set[Told]) -> list[Told]:
        rule, trusted = self._rules.by_name[name], list(self._rules.trusted)
        by_time = sorted(said, reverse=True)
        if rule == "first":
            return by_time[-1:]
        if rule == "trusted":
            for source in trusted:
                if those := [told for told in by_time if told.source == source]:
                    return those[:1]
        if rule == "union":
            values = list(dict.fromkeys(told.value for told in by_time))[:16]
            return [next(told for told in by_time if told.value == value) for value in values]
        return by_time[:1]


def seen(kept: Kept) -> dict[str, list[list[Any]]]:
    """What readers see of it, decoded."""
    shown = {
        name: [[json.loads(t.value), t.source, t.ts] for t in told if t.value != "null"]
        for name, told in kept.items()
    }
    return {name: told for name, told in shown.items() if told}


def _length(told: Told) -> int:
    return len(told.value.encode()) + len(json.dumps(told.source, ensure_ascii=False).encode())

"""The store contract in memory, for tests and simulations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence

from profiler.behaviour.layout import epochs_read
from profiler.recommendation.stored import revisions_of
from profiler.state import REV_SLICE
from streams.store import (
    NAMES_MAX,
    SCAN_CHUNK,
    Durability,
    Erasure,
    Move,
    ProfileWrite,
    RowWrite,
    Write,
    row_key,
)


class MemoryStore:
    """The store contract in plain dicts: nothing expires, and it is never unavailable.

    Parameters
    ----------
    spec_hash
        Spec under which this worker's vectors are laid out.
    names_max
        Names kept per kind.

    Attributes
    ----------
    states
        Encoded state by pid.
    profiles
        What readers see, by pid: the fields of ``profile:{pid}``.
    person_traits
        The same of ``traits:{pid}``.
    """

    def __init__(self, *, spec_hash: str, names_max: int = NAMES_MAX) -> None:
        self.states: dict[str, bytes] = {}
        self.profiles: dict[str, dict[str, bytes]] = {}
        self.person_traits: dict[str, bytes] = {}
        self._spec_hash = spec_hash.encode()
        self._names_max = names_max
        self._names_dropped = 0
        self._names: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self._marked: defaultdict[str, set[str]] = defaultdict(set)
        self._rows: dict[str, bytes] = {}
        self._loads: dict[str, bytes] = {}
        self._specs: dict[str, bytes] = {}
        self._topics: dict[str, bytes] = {}
        self._reached: defaultdict[str, dict[int, int]] = defaultdict(dict)
        self._behaviour: defaultdict[int, dict[str, float]] = defaultdict(dict)
        self._behaviour_ms = 0
        self._figures: defaultdict[str, dict[str, bytes]] = defaultdict(dict)

    @property
    def names_dropped(self) -> int:
        """See `Store.names_dropped`."""
        return self._names_dropped

    async def load(self, pids: Sequence[str]) -> list[bytes | None]:
        """See `Store.load`."""
        return [self.states.get(pid) for pid in pids]

    async def views(self, pids: Sequence[str]) -> list[dict[str, bytes]]:
        """See `Store.views`."""
        return [dict(self.profiles.get(pid, {})) for pid in pids]

    async def traits(self, pids: Sequence[str]) -> list[bytes | None]:
        """See `Store.traits`."""
        return [self.person_traits.get(pid) for pid in pids]

    async def commit(self, writes: Sequence[Write]) -> list[bool]:
        """See `Store.commit`."""
        return [self._commit(write) for write in writes]

    def _commit(self, write: Write) -> bool:
        assert _rev_of(write.state) == write.rev, "a write's state holds the revision it makes"
        if _rev_of(self.states.get(write.pid)) != write.rev - 1:
            return False
        if not isinstance(write, Erasure) and write.mark:
            if write.pid in self._marked[write.mark]:
                return False
            self._marked[write.mark].add(write.pid)
        self.states[write.pid] = write.state
        if not isinstance(write, ProfileWrite) or write.traits is not None:
            self.person_traits.pop(write.pid, None)
        if isinstance(write, Erasure):
            self.profiles.pop(write.pid, None)
        elif isinstance(write, Move):
            self.profiles[write.pid] = {
                "moved_to": write.moved_to.encode(),
                "rev": b"%d" % write.rev,
            }
        else:
            if write.traits:
                self.person_traits[write.pid] = write.traits
            self.profiles[write.pid] = {
                "vector": write.vector,
                "summary": write.summary,
                "as_of": b"%d" % write.as_of_ms,
                "spec": self._spec_hash,
                "rev": b"%d" % write.rev,
            }
        return True

    async def marked(self, mark: str, pids: Sequence[str]) -> set[str]:
        """See `Store.marked`."""
        return self._marked[mark].intersection(pids)

    async def loads(self) -> dict[str, bytes]:
        """See `Store.loads`."""
        return dict(self._loads)

    async def put_load(self, mark: str, progress: bytes) -> None:
        """See `Store.put_load`."""
        self._loads[mark] = progress

    async def rows(self, kind: str, names: Sequence[str]) -> list[bytes | None]:
        """See `Store.rows`."""
        return [self._rows.get(row_key(kind, name)) for name in names]

    async def put_rows(self, writes: Sequence[RowWrite]) -> list[bool]:
        """See `Store.put_rows`."""
        return [self._put_row(row_key(write.kind, write.name), write.value) for write in writes]

    def _put_row(self, key: str, value: bytes) -> bool:
        (stored, made) = revisions_of([self._rows.get(key), value])
        if stored != made - 1:
            return False
        self._rows[key] = value
        return True

    async def put_names(self, names: Mapping[str, Mapping[int, str]]) -> None:
        """See `Store.put_names`."""
        for kind, new in names.items():
            known = self._names[kind]
            for token_hash, name in new.items():
                if token_hash in known or len(known) < self._names_max:
                    known[token_hash] = name
                else:
                    self._names_dropped += 1

    async def names(self, kind: str, hashes: Sequence[int]) -> list[str | None]:
        """See `Store.names`."""
        return [self._names[kind].get(token_hash) for token_hash in hashes]

    async def put_spec(self, spec_hash: str, layout: bytes) -> None:
        """See `Store.put_spec`."""
        self._specs[spec_hash] = layout

    async def spec(self, spec_hash: str) -> bytes | None:
        """See `Store.spec`."""
        return self._specs.get(spec_hash)

    async def topics(self) -> dict[str, bytes]:
        """See `Store.topics`."""
        return dict(self._topics)

    async def put_topic(self, name: str, identity: bytes) -> None:
        """See `Store.put_topic`."""
        self._topics[name] = identity

    async def put_reached(self, topic: str, offsets: Mapping[int, int]) -> None:
        """See `Store.put_reached`."""
        known = self._reached[topic]
        for code, offset in offsets.items():
            known[code] = max(offset, known.get(code, 0))

    async def reached(self, topic: str) -> dict[int, int]:
        """See `Store.reached`."""
        return dict(self._reached[topic])

    async def put_figures(self, key: str, fields: Mapping[str, str | bytes]) -> None:
        """See `Store.put_figures`."""
        for field, value in fields.items():
            self._figures[key][field] = value.encode() if isinstance(value, str) else value

    async def figures(self, key: str) -> dict[str, bytes]:
        """See `Store.figures`."""
        return dict(self._figures.get(key, {}))

    async def add_behaviour(self, epoch: int, as_of_ms: int, counts: Mapping[str, float]) -> None:
        """See `Store.add_behaviour`."""
        known = self._behaviour[epoch]
        for name, count in counts.items():
            known[name] = known.get(name, 0.0) + count
        self._behaviour_ms = max(self._behaviour_ms, as_of_ms)

    async def behaviour(self) -> tuple[int, dict[int, dict[str, float]]]:
        """See `Store.behaviour`."""
        epochs = epochs_read(self._behaviour_ms)
        return self._behaviour_ms, {epoch: dict(self._behaviour[epoch]) for epoch in epochs}

    async def scan(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """See `Store.scan`."""
        found = list(self.states.items())
        for start in range(0, len(found), SCAN_CHUNK):
            yield found[start : start + SCAN_CHUNK]

    async def durability(self) -> Durability:
        """See `Store.durability`: none, of course."""
        return "none"

    async def until_durable(self) -> bool:
        """See `Store.until_durable`: nothing is, ever."""
        return False

    def rejoin(self) -> None:
        """See `Store.rejoin`."""

    async def ping(self) -> None:
        """See `Store.ping`."""

    async def close(self) -> None:
        """See `Store.close`."""


def _rev_of(state: bytes | None) -> int:
    if state is None:
        return 0
    return int.from_bytes(state[REV_SLICE], "little")

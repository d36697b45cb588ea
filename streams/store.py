"""The store contract: what the worker needs of the place where profiles live.

Two keys make a profile: its state, which only workers read, and what readers see (vector, summary);
a third holds the traits of whoever has some. `Store.commit` changes all of them at once or none,
and only if nobody else has committed in between: a write carries the revision it makes, and is
refused unless the stored one is exactly one less. So a worker that lost a partition without knowing
it can do no harm.

`MemoryStore` is the contract in plain dicts, for tests and simulations; `streams.redis_store` has
it on Redis. ``tests/contracts/test_store.py`` holds both to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct

NAMES_MAX: Final = 1_000_000
TOPICS_KEY: Final = "profiler:topics"
SCAN_CHUNK: Final = 1_000
LOADS_KEY: Final = "profiler:loads"
LOAD_TTL_S: Final = 7 * 86_400
"""How long a profile's mark outlives its write: a load that stops must go on before."""

BEHAVIOUR_KEY: Final = "profiler:behaviour"
"""Sorted set of one member, `BEHAVIOUR_AS_OF`: the greatest time that figures of the crowd know."""

BEHAVIOUR_AS_OF: Final = "as_of"
BEHAVIOUR_TTL_S: Final = 280 * 86_400
"""Ten of the longest half-lives of what is counted: what nobody has added to since is forgotten."""

MARK_KEY: Final = "profiler:mark"
"""What `Store.until_durable` writes and waits for; in a cluster ``profiler:mark:{<n>}``."""

Durability = Literal["aof", "none", "unknown"]


class ProfileWrite(Struct, frozen=True, gc=False):
    """The next revision of one profile.

    Parameters
    ----------
    pid
        Profile id.
    rev
        The revision that this write makes: one more than the one it was computed from.
    state
        Encoded state (`profiler.state`), which holds `rev` too.
    vector
        Float32, little-endian.
    summary
        JSON.
    as_of_ms
        Greatest event time applied; vector and summary are as of then.
    returns
        Whether readers may have been led elsewhere before.
    traits
        JSON; empty: there are none any more; None: there never were any.
    mark
        Load of history that this write finishes for the profile: a second one of the same mark is
        refused. Empty: none.
    """

    pid: str
    rev: int
    state: bytes
    vector: bytes
    summary: bytes
    as_of_ms: int
    returns: bool = False
    traits: bytes | None = None
    mark: str = ""


class Erasure(Struct, frozen=True, gc=False):
    """The end of one profile: what readers see is deleted, and a tombstone stays for ever.

    Parameters
    ----------
    pid, rev
        As in `ProfileWrite`.
    state
        The tombstone (`profiler.state`).
    """

    pid: str
    rev: int
    state: bytes


class Move(Struct, frozen=True, gc=False):
    """The next revision of somebody whose row another profile shows: readers are led there.

    Parameters
    ----------
    pid, rev, state, mark
        As in `ProfileWrite`.
    moved_to
        Profile id of the other.
    """

    pid: str
    rev: int
    state: bytes
    moved_to: str
    mark: str = ""


Write = ProfileWrite | Move | Erasure


class RowWrite(Struct, frozen=True, gc=False):
    """The next revision of a row of statistics, which all workers share.

    Parameters
    ----------
    kind, name
        Of which table, and of what: see `row_key`.
    value
        Begins with the revision that this write makes, 8 bytes, little-endian.
    """

    kind: str
    name: str
    value: bytes


class Store(Protocol):
    """Where profiles live.

    Every method raises `StoreUnavailable` while the store cannot be reached. A `commit` that raises
    has an unknown outcome: load those profiles again before going on.

    A store that is met again as another (it restarted, a replica took over) may have lost writes
    that it had acknowledged. From then on `load`, `commit` and `until_durable` raise
    `StoreRestarted`, also those that are under way, until `rejoin` is called.
    """

    @property
    def names_dropped(self) -> int:
        """Names that did not fit into their bounded table since the start."""

    async def load(self, pids: Sequence[str]) -> list[bytes | None]:
        """Return stored states in the order of `pids`, None where there is none: one round trip."""

    async def views(self, pids: Sequence[str]) -> list[dict[str, bytes]]:
        """Return what readers see, by field, in the order of `pids`: one round trip.

        Empty where there is nothing. A worker does not need it; an audit does.
        """

    async def traits(self, pids: Sequence[str]) -> list[bytes | None]:
        """Return traits as readers see them, in the order of `pids`, None where there are none.

        A worker does not need it; an audit does.
        """

    async def commit(self, writes: Sequence[Write]) -> list[bool]:
        """Write each profile if its stored revision is `rev` − 1: one round trip.

        Parameters
        ----------
        writes
            At most one per profile.

        Returns
        -------
        list of bool
            True where written, False where another writer was there first.
        """

    async def marked(self, mark: str, pids: Sequence[str]) -> set[str]:
        """Of these people, those who were written with this mark: one round trip."""

    async def loads(self) -> dict[str, bytes]:
        """What `put_load` kept, by mark."""

    async def put_load(self, mark: str, progress: bytes) -> None:
        """Keep how far a load of history is. It never expires."""

    async def rows(self, kind: str, names: Sequence[str]) -> list[bytes | None]:
        """Return rows of statistics in the order of `names`, None where there is none."""

    async def put_rows(self, writes: Sequence[RowWrite]) -> list[bool]:
        """Write each row if its stored revision is the one before: one round trip.

        Returns
        -------
        list of bool
            True where written, False where another writer was there first.
        """

    async def put_names(self, names: Mapping[str, Mapping[int, str]]) -> None:
        """Keep readable names by kind and token hash, a bounded number of each kind."""

    async def names(self, kind: str, hashes: Sequence[int]) -> list[str | None]:
        """Names of tokens in the order of `hashes`, None where unknown."""

    async def put_spec(self, spec_hash: str, layout: bytes) -> None:
        """Publish the layout (JSON) of a spec."""

    async def spec(self, spec_hash: str) -> bytes | None:
        """Layout of a spec, None where it was never published."""

    async def topics(self) -> dict[str, bytes]:
        """What `put_topic` kept, by name of the topic."""

    async def put_topic(self, name: str, identity: bytes) -> None:
        """Keep which topic it is whose offsets stand in the states. It never expires."""

    async def put_reached(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Keep how far the states are about to go, by code of a partition. It never goes back.

        Parameters
        ----------
        topic
            Full name of the topic of events: others may have their profiles here too.
        """

    async def reached(self, topic: str) -> dict[int, int]:
        """What `put_reached` kept: an offset of which a state may know, plus 1."""

    async def put_figures(self, key: str, fields: Mapping[str, str | bytes]) -> None:
        """Set fields of a hash of figures, e.g. ``profiler:metrics:<worker>``. Kept for a day."""

    async def figures(self, key: str) -> dict[str, bytes]:
        """All fields of a hash of figures, empty where there is none."""

    async def add_behaviour(self, epoch: int, as_of_ms: int, counts: Mapping[str, float]) -> None:
        """Add to the figures of the crowd, which many workers do in any order.

        If it raises, some may have been added.

        Parameters
        ----------
        epoch
            Number of the landmark that the counts are relative to (`profiler.behaviour.crowd`).
        as_of_ms
            Greatest time of an event that was counted; the greatest that anybody told is kept.
        """

    async def behaviour(self) -> tuple[int, dict[int, dict[str, float]]]:
        """What `add_behaviour` kept: greatest time, and counts by epoch, of its and the one before.

        A worker does not need it.
        """

    def scan(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Every (pid, state), once, in chunks; what is written meanwhile may be missed."""

    async def durability(self) -> Durability:
        """Whether an acknowledged write survives the death of the store: ``aof``, if it does."""

    async def until_durable(self) -> bool:
        """Wait until all that was committed before this call is on disk, and return True.

        Returns False, at once, where the store cannot tell.
        """

    def rejoin(self) -> None:
        """Go on with the store as it is now, after a `StoreRestarted`."""

    async def ping(self) -> None:
        """Return if the store answers."""

    async def close(self) -> None:
        """Let go of connections. Harmless when repeated."""


def state_key(pid: str) -> str:
    """Key of a profile's state. The braces keep both keys of a profile in one cluster slot."""
    return f"state:{{{pid}}}"


def profile_key(pid: str) -> str:
    """Key of the hash that readers see."""
    return f"profile:{{{pid}}}"


def traits_key(pid: str) -> str:
    """Key of a person's traits, in the same slot."""
    return f"traits:{{{pid}}}"


def row_key(kind: str, name: str) -> str:
    """Key of a row of statistics: of an item, a category, the items of a category, or a shelf.

    Examples
    --------
    >>> row_key("item", name_field(255))
    'item:{00000000000000ff}'
    """
    return f"{kind}:{{{name}}}"


def mark_key(pid: str, mark: str) -> str:
    """Key of a profile's mark of a load."""
    return f"loaded:{{{pid}}}:{mark}"


def names_key(kind: str) -> str:
    """Key of the hash of names of one kind of token."""
    return f"profiler:names:{kind}"


def name_field(token_hash: int) -> str:
    """Field of a token in its hash of names, and its text in summaries.

    Examples
    --------
    >>> name_field(255)
    '00000000000000ff'
    """
    return f"{token_hash:016x}"


def reached_key(topic: str) -> str:
    """Key of how far the states know the partitions of a topic of events."""
    return f"profiler:reached:{topic}"


def behaviour_key(epoch: int) -> str:
    """Key of the figures of the crowd that are relative to a landmark."""
    return f"{BEHAVIOUR_KEY}:{epoch}"


def spec_key(spec_hash: str) -> str:
    """Key of a spec's layout."""
    return f"profiler:spec:{spec_hash}"

"""A Redis cluster: several servers, each of which owns some of the slots that keys hash to.

A batch is cut by server, and what concerns one server goes over one connection, as in the case of
a single server. All are sent to before any is waited for. A slot that moves meanwhile is followed:
for good where its new owner has it (``MOVED``), for this once while it is on its way (``ASK``).
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from typing import Any, Final, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError
from redis.retry import Retry

from profiler.errors import StoreUnavailable
from streams.redis_commands import (
    ASKING,
    SCRIPT_LOAD,
    Request,
    packed_calls,
    packed_marks,
    packed_reads,
    packed_rows,
    packed_views,
)
from streams.redis_durability import Marks
from streams.redis_exchange import connections_to, leased, pipelined
from streams.redis_incarnations import Incarnations
from streams.store import MARK_KEY, RowWrite, Write, state_key

HOPS_MAX: Final = 5
"""How often one command is followed; slots that move faster than that are waited for."""
N_SLOTS: Final = 16_384
_SEED: Final = ""
"""In place of an address: of whomever the configured one leads to."""

_UNREACHED: Final = (redis.ConnectionError, redis.TimeoutError, OSError, ClusterDownError)


class _Way(NamedTuple):
    address: str
    is_asking: bool
    """The slot is on its way there: each command has to say that it knows."""


class _Batch(NamedTuple):
    slots: list[int]
    prelude: list[Request]
    """Has one reply each."""
    pack: Callable[[Sequence[int]], Iterator[Request]]
    """The commands at these places, one reply each."""

    def requests(self, places: Sequence[int], way: _Way) -> Iterator[Request]:
        yield from self.prelude
        if not way.is_asking:
            yield from self.pack(places)
            return
        for place in places:
            for packed, n_replies in self.pack([place]):
                yield ASKING + packed, 1 + n_replies

    def answers(self, replies: list[Any], way: _Way) -> list[Any]:
        own = replies[len(self.prelude) :]
        return own[1::2] if way.is_asking else own


class _Redirect(NamedTuple):
    place: int
    slot: int
    way: _Way


class Cluster:
    """Servers that share the slots, as `streams.redis_servers.Servers`.

    Parameters
    ----------
    url
        Address of one of them, or of any of them.
    seed
        Connections to it.
    incarnations, marks, tail
        As of `streams.redis_servers.SingleServer`. Not those of `seed`: behind one name there may
        be another server each time.
    """

    def __init__(
        self,
        url: str,
        seed: redis.ConnectionPool,
        incarnations: Incarnations,
        marks: Marks,
        tail: bytes,
    ) -> None:
        self._url = url
        self._seed = seed
        self._incarnations = incarnations
        self._marks = marks
        self._tail = tail
        self._pools = {_SEED: seed}
        self._owners: list[str] = []
        self._asked_last = ""
        self._is_stale = True
        self._refreshing = threading.Lock()
        self._commands: Any = None
        self._connecting = threading.Lock()

    @property
    def commands(self) -> Any:
        """See `Servers.commands`."""
        with self._connecting:
            if self._commands is None:
                options = self._seed.connection_kwargs
                self._commands = redis.RedisCluster.from_url(
                    self._url,
                    socket_timeout=options["socket_timeout"],
                    socket_connect_timeout=options["socket_connect_timeout"],
                    protocol=2,
                    # For slots that have moved; a server that is away is not waited for.
                    retry=Retry(NoBackoff(), 1),
                )
            return self._commands

    @property
    def changed(self) -> bool:
        """See `Servers.changed`."""
        return self._incarnations.changed

    def masters(self) -> list[Any]:
        """See `Servers.masters`."""
        self._refresh()
        addresses = sorted(set(self._owners))
        return [redis.Redis(connection_pool=self._pool(address)) for address in addresses]

    def load(
        self, pids: Sequence[str], key_of: Callable[[str], str] = state_key
    ) -> list[bytes | None]:
        """See `Servers.load`."""
        slots = [key_slot(pid.encode()) for pid in pids]
        return self._exchange(
            _Batch(slots, [], lambda at: packed_reads([key_of(pids[n]) for n in at]))
        )

    def marked(self, mark: str, pids: Sequence[str]) -> list[int]:
        """See `Servers.marked`."""
        slots = [key_slot(pid.encode()) for pid in pids]
        return self._exchange(
            _Batch(slots, [], lambda at: packed_marks(mark, [pids[n] for n in at]))
        )

    def views(self, pids: Sequence[str]) -> list[list[bytes]]:
        """See `Servers.views`."""
        slots = [key_slot(pid.encode()) for pid in pids]
        return self._exchange(_Batch(slots, [], lambda at: packed_views([pids[n] for n in at])))

    def commit(self, writes: Sequence[Write]) -> list[bool]:
        """See `Servers.commit`."""
        slots = [key_slot(write.pid.encode()) for write in writes]
        tail = self._tail
        replies = self._exchange(
            _Batch(slots, [SCRIPT_LOAD], lambda at: packed_calls([writes[n] for n in at], tail))
        )
        return [reply == 1 for reply in replies]

    def put_rows(self, writes: Sequence[RowWrite], ttl_ms: int) -> list[bool]:
        """See `Servers.put_rows`."""
        slots = [key_slot(write.name.encode()) for write in writes]
        batch = _Batch(slots, [], lambda at: packed_rows([writes[n] for n in at], ttl_ms))
        return [reply == 1 for reply in self._exchange(batch)]

    def until_durable(self) -> bool:
        """See `Servers.until_durable`: all servers that own a slot have it on disk."""
        self._incarnations.check()
        self._refresh()
        with self._suspicious(), ExitStack() as stack:
            marks = [
                (stack.enter_context(leased(self._pool(address), self._incarnations)), key)
                for address, key in _mark_keys(self._owners).items()
            ]
            if self._marks.cannot_tell:
                for connection, _ in marks:
                    self._incarnations.verify(connection)
                return False
            can_tell = all(self._marks.place(connection, key) for connection, key in marks)
            return can_tell and all(self._marks.wait(connection) for connection, _ in marks)

    def close(self) -> None:
        """See `Servers.close`."""
        for pool in list(self._pools.values()):
            pool.disconnect(inuse_connections=False)
        if self._commands is not None:
            self._commands.close()

    def _exchange(self, batch: _Batch) -> list[Any]:
        self._incarnations.check()
        if self._is_stale:
            self._refresh()
        found: list[Any] = [None] * len(batch.slots)
        ways: Mapping[_Way, list[int]] = self._ways(batch.slots)
        for _ in range(HOPS_MAX):
            redirects: list[_Redirect] = []
            with self._suspicious():
                for way, answers in self._round(ways, batch):
                    for place, answer in zip(ways[way], answers, strict=True):
                        if isinstance(answer, AskError):
                            redirects.append(_redirect(place, answer, way))
                        else:
                            found[place] = answer
            if not redirects:
                return found
            ways = self._followed(redirects)
        raise StoreUnavailable(f"slots of the cluster moved more than {HOPS_MAX} times meanwhile")

    def _round(self, ways: Mapping[_Way, list[int]], batch: _Batch) -> list[tuple[_Way, list[Any]]]:
        replies: dict[_Way, list[Any]] = {way: [] for way in ways}
        with ExitStack() as stack:
            running = []
            for way, places in ways.items():
                pool = self._pool(way.address)
                connection = stack.enter_context(leased(pool, self._incarnations))
                requests = batch.requests(places, way)
                read = partial(_reply, connection)
                running.append(pipelined(connection, requests, read, replies[way]))
            while running:
                running = [exchange for exchange in running if next(exchange, "end") != "end"]
        return [(way, batch.answers(said, way)) for way, said in replies.items()]

    def _ways(self, slots: Sequence[int]) -> dict[_Way, list[int]]:
        owners = self._owners
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, slot in enumerate(slots):
            places[owners[slot]].append(place)
        if "" in places:
            self._is_stale = True
            raise StoreUnavailable("no server of the cluster has some of the slots")
        return {_Way(address, is_asking=False): at for address, at in places.items()}

    def _followed(self, redirects: Sequence[_Redirect]) -> dict[_Way, list[int]]:
        owners = {redirect.way.address for redirect in redirects if not redirect.way.is_asking}
        if not owners <= set(self._owners):
            # Whether someone new has come by a failover only the whole picture tells.
            self._refresh()
        if not owners <= set(self._owners):
            self._is_stale = True
            raise StoreUnavailable("the servers of the cluster do not agree yet")
        ways: defaultdict[_Way, list[int]] = defaultdict(list)
        for place, slot, way in redirects:
            if not way.is_asking:
                self._owners[slot] = way.address
            ways[way].append(place)
        return ways

    def _refresh(self) -> None:
        """Ask who owns which slot."""
        with self._refreshing:
            owners = self._asked_owners()
            if _was_taken_over(self._owners, owners):
                self._incarnations.lose("a replica took over from a server of the cluster")
            self._owners, self._is_stale = owners, False
        self._incarnations.check()

    def _asked_owners(self) -> list[str]:
        # Another one than the last time, should that one have lost touch with the cluster.
        known = sorted(set(self._owners) - {_SEED}, key=lambda known: known == self._asked_last)
        fault: Exception = StoreUnavailable("no server of the cluster is known")
        for address in (*known, _SEED):
            try:
                with leased(self._pool(address), self._incarnations) as connection:
                    owners = _owners(connection)
            except _UNREACHED as away:
                fault = away
            else:
                self._asked_last = address
                return owners
        raise fault

    def _pool(self, address: str) -> redis.ConnectionPool:
        pool = self._pools.get(address)
        if pool is None:
            host, _, port = address.rpartition(":")
            pool = connections_to(host, int(port), self._seed, self._incarnations)
            pool = self._pools.setdefault(address, pool)
        return pool

    @contextmanager
    def _suspicious(self) -> Iterator[None]:
        """Ask again who owns what, if someone cannot be reached."""
        try:
            yield
        except _UNREACHED:
            self._is_stale = True
            raise


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except AskError as elsewhere:  # of which MOVED is a kind
        return elsewhere


def _redirect(place: int, answer: Any, asked: _Way) -> _Redirect:
    # Without a host it is the one that was asked, at another port.
    host = answer.host or asked.address.rpartition(":")[0]
    is_asking = not isinstance(answer, MovedError)
    return _Redirect(place, answer.slot_id, _Way(f"{host}:{answer.port}", is_asking))


def _owners(connection: Any) -> list[str]:
    """Address of the owner of each slot, empty where there is none."""
    connection.send_command("CLUSTER", "SLOTS")
    owners = [""] * N_SLOTS
    for first, last, (host, port, *_), *_ in connection.read_response():
        # Without a host it is the one that was asked.
        address = f"{host.decode() if host else connection.host}:{port}"
        owners[first : last + 1] = [address] * (last + 1 - first)
    return owners


def _was_taken_over(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether a server is gone, and one that owned nothing before has slots of it: a failover.

    Slots that move between servers that stay, and to or from a server that joins or leaves, move
    with all that is in them. (Whoever replaces a server by a new one in a single step between two
    looks of ours is taken for a failover, which costs a repetition.)
    """
    left, came = set(before) - set(after), set(after) - set(before)
    return any(old in left and new in came for old, new in zip(before, after, strict=False))


def _mark_keys(owners: Sequence[str]) -> dict[str, str]:
    """Return for each server a key in one of its slots."""
    wanted = set(owners) - {""}
    keys: dict[str, str] = {}
    for number in count():
        if len(keys) == len(wanted):
            break
        owner = owners[key_slot(b"%d" % number)]
        if owner:
            keys.setdefault(owner, f"{MARK_KEY}:{{{number}}}")
    return keys

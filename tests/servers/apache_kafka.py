"""Apache Kafka itself, from Maven Central: one broker or three, in KRaft mode, on loopback ports.

``python -m tests.servers.apache_kafka`` (``make kafka``) runs one until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import struct
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streams.spawn import HOST, free_port
from tests.servers.broker_security import LISTENER, SecureListener
from tests.servers.cache import cached, run_tool
from tests.servers.process import ServerProcess, exchange

VERSION: Final = "4.4.0"
VERSION_3: Final = "3.9.2"
"""The last line that still runs where Java 11 is all there is."""

HEAP_MB: Final = 512
CLUSTER_ID: Final = "c3RyZWFtLXByb2ZpbGVzLQ"
SLF4J_VERSION: Final = "1.7.36"
COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
HINT: Final = "Apache Kafka is fetched by Maven 3 and runs on Java 17: apt install maven"
POM: Final = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId> <artifactId>kafka</artifactId> <version>0</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId> <artifactId>kafka_2.13</artifactId>
      <version>{kafka}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId> <artifactId>slf4j-simple</artifactId>
      <version>{slf4j}</version>
    </dependency>
  </dependencies>
</project>
"""

# ApiVersions, version 0, correlation id 1, no client id: what every Kafka client says first.
METADATA: Final = 3
HELLO: Final = struct.pack(">ihhih", 10, 18, 0, 1, -1)


class ApacheKafka:
    """A cluster of brokers that are controllers as well; ports and data stay over restarts.

    Parameters
    ----------
    version
        Of Apache Kafka: fetched once, kept in the user's cache folder.
    n_brokers
        One, or three with every partition on all of them and two needed to acknowledge.
    directory
        For data, configuration and logs. By default a temporary one that goes with the context.
    ports
        Of the brokers; by default free ones.
    listener
        For clients that have to show who they are; the brokers keep one without for each other.

    Attributes
    ----------
    brokers
        Their processes, once started.

    Examples
    --------
    >>> with ApacheKafka() as kafka:  # doctest: +SKIP
    ...     kafka.address
    '127.0.0.1:40123'
    """

    def __init__(
        self,
        version: str = VERSION,
        *,
        n_brokers: int = 1,
        directory: Path | None = None,
        ports: tuple[int, ...] = (),
        listener: SecureListener | None = None,
    ) -> None:
        self.version = version
        self.n_brokers = n_brokers
        self._own = None if directory else tempfile.TemporaryDirectory(prefix="profiler-kafka-")
        self._directory = directory or Path(self._own.name if self._own else "")
        self._ports = ports or tuple(free_port() for _ in range(n_brokers))
        self._controllers = tuple(free_port() for _ in range(n_brokers))
        self._listener = listener
        self._secure_ports = tuple(free_port() for _ in range(n_brokers)) if listener else ()
        self.brokers: tuple[ServerProcess, ...] = ()

    @property
    def address(self) -> str:
        """Bootstrap addresses, separated by commas."""
        return ",".join(f"{HOST}:{port}" for port in self._secure_ports or self._ports)

    def start(self, i: int | None = None) -> None:
        """Start all brokers or one of them, and return once they answer."""
        if not self.brokers:
            self._prepare()
        brokers = self._chosen(i)
        # Together: none of three answers before another is there to elect a controller with.
        for broker in brokers:
            broker.launch()
        for broker in brokers:
            broker.wait()

    def stop(self, i: int | None = None) -> None:
        """Ask all brokers or one of them to end in good order. Harmless when they do not run."""
        for broker in self._chosen(i):
            broker.ask_to_end()
        for broker in self._chosen(i):
            broker.stop()

    def kill(self, i: int = 0) -> None:
        """End a broker at once, as a crash would."""
        self.brokers[i].kill()

    def freeze(self, i: int = 0) -> None:
        """Let a broker stand still; its connections stay open."""
        self.brokers[i].freeze()

    def thaw(self, i: int = 0) -> None:
        """Let a broker go on."""
        self.brokers[i].thaw()

    def log_file(self, topic: str, partition: int, i: int = 0) -> Path:
        """File in which a broker keeps the first records of a partition."""
        return self._directory / f"broker-{i}/data/{topic}-{partition}/{0:020}.log"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all brokers and remove a directory of its own."""
        if self._own is None:
            self.stop()
            return
        for broker in self.brokers:  # nobody will miss what they have not written yet
            broker.kill()
        self._own.cleanup()

    def _chosen(self, i: int | None) -> tuple[ServerProcess, ...]:
        return self.brokers if i is None else (self.brokers[i],)

    def _prepare(self) -> None:
        java = java_command(self.version)
        brokers = []
        for i, port in enumerate(self._ports):
            home = self._directory / f"broker-{i}"
            home.mkdir(parents=True, exist_ok=True)
            config = home / "server.properties"
            config.write_text("".join(f"{k}={v}\n" for k, v in self._options(i, home).items()))
            format_command = [*java, "kafka.tools.StorageTool", "format"]
            options = ["-t", CLUSTER_ID, "-c", str(config), "--ignore-formatted"]
            options += self._listener.format_options if self._listener else []
            run_tool([*format_command, *options], HINT)
            command = [*java, "kafka.Kafka", str(config)]
            log = home / "broker.log"
            brokers.append(ServerProcess(f"broker {i}", command, _Answers(port), log))
        self.brokers = tuple(brokers)

    def _options(self, i: int, home: Path) -> dict[str, object]:
        voters = (f"{k}@{HOST}:{port}" for k, port in enumerate(self._controllers))
        n_copies = self.n_brokers
        n_in_sync = 2 if n_copies > 2 else 1
        listeners = f"PLAINTEXT://{HOST}:{self._ports[i]}"
        protocols = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"
        if self._listener is not None:
            listeners += f",{LISTENER}://{HOST}:{self._secure_ports[i]}"
            protocols += f",{LISTENER}:{self._listener.protocol}"
        return {
            "process.roles": "broker,controller",
            "node.id": i,
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": protocols,
            "listeners": f"{listeners},CONTROLLER://{HOST}:{self._controllers[i]}",
            "advertised.listeners": listeners,
            "log.dirs": home / "data",
            "auto.create.topics.enable": "false",
            "default.replication.factor": n_copies,
            "min.insync.replicas": n_in_sync,
            "offsets.topic.replication.factor": n_copies,
            "offsets.topic.num.partitions": 4,  # of 50 each takes its time to load
            "transaction.state.log.replication.factor": n_copies,
            "transaction.state.log.min.isr": n_in_sync,
            "transaction.state.log.num.partitions": 4,
            "share.coordinator.state.topic.replication.factor": n_copies,
            "share.coordinator.state.topic.min.isr": n_in_sync,
            "group.initial.rebalance.delay.ms": 0,
            "group.min.session.timeout.ms": 1_000,
            # By default a broker that was killed is refused for 9 s, until its past life is over.
            "broker.session.timeout.ms": 3_000,
            "broker.heartbeat.interval.ms": 500,
            **(self._listener.options() if self._listener else {}),
        }


class _Answers:
    """Whether a broker answers on a port, and says that it serves metadata.

    Clients of kafka-python take the first answer for all brokers of a cluster: one that has not all
    in it yet would spoil them.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    def __call__(self) -> bool:
        # After size, correlation id, error and count: key, least and greatest version of each.
        answer = exchange(self._port, HELLO)[14:]
        whole = answer[: len(answer) // 6 * 6]
        return any(key == METADATA for key, _, _ in struct.iter_unpack(">hhh", whole))


def jars(version: str) -> Path:
    """Folder with the jars of a version, fetched if they are not there yet.

    Raises
    ------
    ProfilerError
        If there is no Maven, or it cannot fetch them.
    """

    def fetch(folder: Path) -> None:
        (folder / "pom.xml").write_text(POM.format(kafka=version, slf4j=SLF4J_VERSION))
        options = [f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
        run_tool(["mvn", "-q", "-B", "-f", str(folder / "pom.xml"), COPY, *options], HINT)

    return cached(f"kafka-{version}", fetch)


def java_command(version: str) -> list[str]:
    """Give the words that run a main class of a version, which is to follow.

    Raises
    ------
    ProfilerError
        If it cannot be fetched.
    """
    # The first compiler alone starts in half the time, and no test lives long enough to lose by it.
    options = [f"-Xmx{HEAP_MB}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    # Standard error is its log; what it says at the level of info is of no use to a test.
    return [
        shutil.which("java") or "java",
        *options,
        "-XX:+ExitOnOutOfMemoryError",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{jars(version)}/*",
    ]


def _main() -> None:
    parser = argparse.ArgumentParser(description="Run Apache Kafka until Ctrl-C.")
    parser.add_argument("--version", default=VERSION, help=f"{VERSION} or {VERSION_3}, say")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--port", type=int, help="of the first broker; by default a free one")
    given = parser.parse_args()
    ports = tuple(range(given.port, given.port + given.brokers)) if given.port else ()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        contextlib.suppress(KeyboardInterrupt),
        ApacheKafka(given.version, n_brokers=given.brokers, ports=ports) as kafka,
    ):
        print(
            f"Apache Kafka {kafka.version} answers at {kafka.address}; Ctrl-C ends it", flush=True
        )
        signal.pause()


if __name__ == "__main__":
    _main()

"""The topics of the system, and their creation.

Creation is idempotent: what exists is left as it is and reported. Only `forwarded` must have the
number of partitions that the settings name, as it decides every profile's home for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from msgspec import Struct

from profiler.errors import BrokerUnavailable, ConfigurationError, UsageError
from profiler.forwarding import ORIGINS_MAX
from streams.broker import client_options
from streams.settings import Settings

REQUEST_TIMEOUT_MS: Final = 10_000
RECORD_BYTES_MAX: Final = 1_310_720
FORWARD_BYTES_MAX: Final = 1_376_256
"""A record with its origin in a header."""
DEAD_LETTER_BYTES_MAX: Final = 2_097_152
EVENTS_LINGER_S: Final = 8 * 86_400
"""How long events may outlive their retention: Kafka deletes segments, which grow for a week."""


class TopicSpec(Struct, frozen=True, kw_only=True):
    """One topic as it is created.

    Parameters
    ----------
    name
        Short name; `Settings.topic` gives the full one.
    purpose
        What its records say.
    is_compacted
        Keeps the last record of each key instead of all records of some time.
    is_versioned
        Keeps all records of a key for as long as an event that may refer to them is kept, and the
        last one for ever. The broker stamps them, so that none claims to be older than it is.
    bytes_max
        Largest record, where it is not the broker's own limit (1 MiB).
    """

    name: str
    purpose: str
    is_compacted: bool = False
    is_versioned: bool = False
    bytes_max: int | None = None

    def config(self, settings: Settings) -> dict[str, str]:
        """Kafka's topic options."""
        if self.is_compacted:
            options = {"cleanup.policy": "compact"}
        else:
            retention_ms = str(settings.retention_s * 1_000)
            options = {"cleanup.policy": "delete", "retention.ms": retention_ms}
        if self.is_versioned:
            lag_ms = (settings.retention_s + EVENTS_LINGER_S) * 1_000
            options["min.compaction.lag.ms"] = str(lag_ms)
            options["message.timestamp.type"] = "LogAppendTime"
        if self.bytes_max is not None:
            options["max.message.bytes"] = str(self.bytes_max)
        return options


TOPICS: Final = (
    # Kafka's default refuses records of 1 MiB before anybody can say why: here they arrive, and
    # become dead letters.
    TopicSpec(name="events", purpose="what people did", bytes_max=RECORD_BYTES_MAX),
    TopicSpec(
        name="forwarded",
        purpose="events on their way to their home partition",
        bytes_max=FORWARD_BYTES_MAX,
    ),
    TopicSpec(
        name="deadletter",
        purpose="records that cannot be applied",
        # More than an event may have: the original must fit with our headers around it.
        bytes_max=DEAD_LETTER_BYTES_MAX,
    ),
    TopicSpec(name="updates", purpose="which profile changed", is_compacted=True),
    TopicSpec(name="alerts", purpose="what somebody should look at"),
    TopicSpec(name="models", purpose="weights that workers exchange", is_compacted=True),
    TopicSpec(name="items", purpose="what is known of items", is_compacted=True, is_versioned=True),
)


class TopicState(Struct, frozen=True, kw_only=True):
    """What `create_topics` found or did.

    Parameters
    ----------
    name
        Full name.
    outcome
        ``created`` or ``existed``.
    n_partitions
        Partitions it has now.
    note
        What an operator should know, else empty.
    """

    name: str
    outcome: Literal["created", "existed"]
    n_partitions: int
    note: str = ""


def create_topics(settings: Settings) -> list[TopicState]:
    """Create those of `TOPICS` that do not exist, and wait until they can be used.

    Raises
    ------
    ConfigurationError
        `forwarded` exists with another number of partitions than the settings say.
    UsageError
        The broker refuses a topic.
    BrokerUnavailable
        No broker answers.
    """
    with admin_of(settings) as admin:
        before = _partitions_by_topic(admin)
        wanted = {settings.topic(spec.name): spec for spec in TOPICS}
        _check_forwarded(settings, before)
        missing = {
            name: {
                "num_partitions": settings.partitions,
                "replication_factor": settings.replication,
                "configs": spec.config(settings),
            }
            for name, spec in wanted.items()
            if name not in before
        }
        if missing:
            _create(admin, missing)
        after = _partitions_by_topic(admin)
    return [_state(name, settings, before, after) for name in wanted]


def topic_ids(settings: Settings, names: Sequence[str]) -> dict[str, str]:
    """Ids of topics (given by short names), by full name.

    Raises
    ------
    UsageError
        One does not exist, or that of events has too many partitions.
    ConfigurationError
        `forwarded` has another number of partitions than the settings say.
    BrokerUnavailable
        No broker answers.
    """
    with admin_of(settings) as admin:
        found = {topic["name"]: topic for topic in admin.describe_topics()}
    _check_forwarded(settings, {name: len(topic["partitions"]) for name, topic in found.items()})
    wanted = [settings.topic(name) for name in names]
    told = [] if settings.updates == "none" else [settings.topic("updates")]
    if missing := [name for name in [*wanted, *told] if name not in found]:
        raise UsageError(f"no topic {', '.join(missing)}: run `profiler topics create`")
    events = settings.topic("events")
    n_origins = len(found[events]["partitions"]) if events in found else 0
    if n_origins > ORIGINS_MAX:
        raise UsageError(
            f"{events} has {n_origins} partitions, and at most {ORIGINS_MAX} can be followed: "
            "beside each offset Kafka keeps 4 KiB, in which all of theirs must fit"
        )
    return {name: str(found[name]["topic_id"]) for name in wanted}


@contextmanager
def admin_of(settings: Settings) -> Iterator[Any]:
    """Open an admin client; its faults are `BrokerUnavailable`."""
    try:
        admin = KafkaAdminClient(**client_options(settings), request_timeout_ms=REQUEST_TIMEOUT_MS)
        try:
            yield admin
        finally:
            admin.close()
    except KafkaError as fault:
        raise BrokerUnavailable(f"no answer from Kafka at {settings.brokers}: {fault}") from fault


def _partitions_by_topic(admin: KafkaAdminClient) -> dict[str, int]:
    return {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}


def _check_forwarded(settings: Settings, found: Mapping[str, int]) -> None:
    name = settings.topic("forwarded")
    n_partitions = found.get(name, settings.partitions)
    if n_partitions != settings.partitions:
        raise ConfigurationError(
            "PROFILER_PARTITIONS",
            f"is {settings.partitions}, but {name} has {n_partitions} partitions, which decide "
            f"every profile's home and never change: set it to {n_partitions}",
        )


def _create(admin: KafkaAdminClient, missing: dict[str, dict[str, Any]]) -> None:
    answer = admin.create_topics(missing, raise_errors=False)
    for topic in answer["topics"]:
        fault = for_code(topic["error_code"])
        # Another process may have created it since we looked.
        if topic["error_code"] and fault is not TopicAlreadyExistsError:
            said = topic.get("error_message") or fault.description
            raise UsageError(f"the broker refuses to create {topic['name']}: {said}")
    admin.wait_for_topics(list(missing))


def _state(
    name: str, settings: Settings, before: dict[str, int], after: dict[str, int]
) -> TopicState:
    n_partitions = after[name]
    note = ""
    if n_partitions != settings.partitions:
        note = f"has {n_partitions} partitions, PROFILER_PARTITIONS is {settings.partitions}"
    outcome: Literal["created", "existed"] = "existed" if name in before else "created"
    return TopicState(name=name, outcome=outcome, n_partitions=n_partitions, note=note)

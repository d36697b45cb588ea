"""Settings: one frozen struct, read once from ``PROFILER_*`` variables or a TOML file.

Every field of `Settings` has an environment variable ``PROFILER_<FIELD>`` and a TOML key of its own
name; ``PROFILER_CONFIG`` names the file, and a variable wins over the file. Whatever is wrong is
refused at start-up with the name of the setting. This file alone reads the environment.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta

from streams.event_settings import EventSettings
from streams.secret import Secret as Secret  # whoever builds settings needs it too
from streams.setting_values import (
    PREFIX,
    as_text,
    converted,
    read_file,
    refuse,
    secret,
    type_text,
    without_password,
)
from streams.setting_values import variable as variable  # and whoever names one

PSEUDONYM_KEY_CHARACTERS_MIN: Final = 32
TOPICS: Final = ("events", "deadletter", "forwarded", "updates", "alerts", "models", "items")
OTHER_VARIABLES: Final = frozenset({"PROFILER_CONFIG", "PROFILER_DATA_DIR"})
"""Variables with our prefix that are not settings: the file's name, and the tests' data folder."""
SECRETS: Final = ("pseudonym_key", "broker_password", "registry_password")
"""Settings that may be set by ``<name>_file`` instead, which names the file that holds them."""

_HOST_PORT: Final = r"(\[[0-9A-Fa-f:.]+\]|[^\s,:/\[\]]+):\d{1,5}"


class Settings(EventSettings, frozen=True, kw_only=True):
    """All settings of a process. See ``docs/settings.md``, whose table a test compares with this.

    Examples
    --------
    >>> settings = Settings(pseudonym_key=Secret("k" * 32), topic_prefix="shop")
    >>> settings.topic("events"), settings.partitions
    ('shop.events', 4)
    """

    pseudonym_key: Annotated[
        Secret,
        Meta(description="key of the pseudonyms, at least 32 characters; losing it loses everyone"),
    ]
    pseudonym_key_file: Annotated[
        str, Meta(description="file that holds the key, instead of `PROFILER_PSEUDONYM_KEY`")
    ] = ""
    brokers: Annotated[
        str,
        Meta(
            pattern=f"^{_HOST_PORT}(,{_HOST_PORT})*$",
            description="Kafka servers to start from, host:port separated by commas",
        ),
    ] = "127.0.0.1:9092"
    broker_security: Annotated[
        Literal["plaintext", "ssl", "sasl_ssl"],
        Meta(description="Kafka's listener: no encryption, TLS, or TLS with user and password"),
    ] = "plaintext"
    broker_ca_file: Annotated[
        str, Meta(description="authorities that vouch for the brokers; by default the system's")
    ] = ""
    broker_user: Annotated[str, Meta(description="user of `sasl_ssl`")] = ""
    broker_password: Annotated[Secret, Meta(description="password of the same")] = Secret("")
    broker_password_file: Annotated[
        str, Meta(description="file that holds it, instead of `PROFILER_BROKER_PASSWORD`")
    ] = ""
    broker_sasl_mechanism: Annotated[
        Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"],
        Meta(description="how the password is proved"),
    ] = "SCRAM-SHA-512"
    store_url: Annotated[
        str,
        Meta(
            pattern=r"^(rediss?://[^\s]+|unix://[^\s]+)$",
            description="Redis that holds the profiles: `redis://`, `rediss://` or `unix://`",
        ),
    ] = "redis://127.0.0.1:6379/0"
    group: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._-]{1,200}$",
            description="consumer group; workers of one group share the partitions",
        ),
    ] = "profiler"
    topic_prefix: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._-]{1,200}$",
            description="what the names of all topics start with, before the dot",
        ),
    ] = "profiler"
    partitions: Annotated[
        int,
        Meta(ge=1, le=10_000, description="partitions of a topic when it is created; fixes homes"),
    ] = 4
    replication: Annotated[
        int, Meta(ge=1, le=15, description="copies of each partition when a topic is created")
    ] = 1
    retention_s: Annotated[
        int, Meta(ge=3_600, le=315_360_000, description="how long the topics keep a record, s")
    ] = 604_800
    state_ttl_s: Annotated[
        int,
        Meta(
            ge=3_600,
            le=3_153_600_000,
            description="how long an untouched profile lives, s; must exceed the retention",
        ),
    ] = 34_560_000
    updates: Annotated[
        Literal["links", "all", "none"],
        Meta(description="what `profiler.updates` tells: who joins whom, every change, or nothing"),
    ] = "links"
    arena_rows: Annotated[
        int,
        Meta(ge=1, le=100_000_000, description="hot profiles kept in memory, about 2.2 KiB each"),
    ] = 100_000
    batch_events_max: Annotated[
        int, Meta(ge=1, le=1_000_000, description="events or KiB of one matrix operation, at most")
    ] = 16_384
    queue_events_max: Annotated[
        int,
        Meta(ge=1, le=10_000_000, description="events or KiB that wait before reading is paused"),
    ] = 65_536
    fetch_max_wait_ms: Annotated[
        int, Meta(ge=1, le=30_000, description="longest wait of a fetch for more records, ms")
    ] = 5
    commit_interval_s: Annotated[
        float, Meta(gt=0, le=3_600, description="time between commits of the Kafka offsets, s")
    ] = 1.0
    session_timeout_s: Annotated[
        float, Meta(ge=1, le=1_800, description="silence after which a worker is taken for dead, s")
    ] = 6.0
    store_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="longest wait for an answer of the store, s")
    ] = 5.0
    durable_after_s: Annotated[
        float,
        Meta(
            ge=0,
            le=4,  # a graceful stop waits for its last writes, and has 5 s for it
            description="age at which a write counts as kept by a store that cannot tell, s",
        ),
    ] = 3.0
    require_durable: Annotated[
        bool, Meta(description="refuse to start on a store that keeps nothing on disk")
    ] = False
    stall_timeout_s: Annotated[
        float,
        Meta(gt=0, le=86_400, description="standstill, s, while records wait: the worker ends"),
    ] = 60.0
    web_host: Annotated[
        str, Meta(min_length=1, max_length=255, description="address of `/metrics` and health")
    ] = "127.0.0.1"
    web_port: Annotated[int, Meta(ge=1, le=65_535, description="port of the same")] = 6_066
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="least level that is logged")
    ] = "info"
    log_format: Annotated[
        Literal["json", "console"],
        Meta(description="one JSON object per line, or lines for people"),
    ] = "json"
    figures_interval_s: Annotated[
        float,
        Meta(gt=0, le=3_600, description="time between writes of model figures, s"),
    ] = 10.0
    statistics_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3_600,
            description="time between merges of what people touch into the statistics that "
            "recommendations are made from, s; 0: none are kept",
        ),
    ] = 2.0

    def __post_init__(self) -> None:
        if len(self.pseudonym_key.reveal()) < PSEUDONYM_KEY_CHARACTERS_MIN:
            refuse("pseudonym_key", f"needs at least {PSEUDONYM_KEY_CHARACTERS_MIN} characters")
        if self.state_ttl_s <= self.retention_s:
            refuse(
                "state_ttl_s",
                f"must exceed PROFILER_RETENTION_S ({self.retention_s}), "
                "or else a replay would rebuild half a person",
            )
        if self.batch_events_max > self.queue_events_max:
            refuse(
                "batch_events_max",
                f"must not exceed PROFILER_QUEUE_EVENTS_MAX ({self.queue_events_max})",
            )
        self.check_events()
        self._check_broker_security()
        # Waits that are no standstill, and would look like one.
        for name in ("session_timeout", "commit_interval", "store_timeout", "durable_after"):
            if self.stall_timeout_s <= getattr(self, f"{name}_s"):
                refuse("stall_timeout_s", f"must exceed {variable(f'{name}_s')}")

    def _check_broker_security(self) -> None:
        under = f"under {variable('broker_security')}={self.broker_security}"
        # What has no effect was set by somebody who believes that it protects something.
        if self.broker_ca_file and self.broker_security == "plaintext":
            refuse("broker_ca_file", f"has no effect {under}")
        has_user = self.broker_security == "sasl_ssl"
        for name in ("broker_user", "broker_password"):
            if bool(getattr(self, name)) != has_user:
                refuse(name, f"{'is required' if has_user else 'has no effect'} {under}")

    def topic(self, name: str) -> str:
        """Full name of one of `TOPICS`."""
        assert name in TOPICS, name
        return f"{self.topic_prefix}.{name}"

    def public(self) -> dict[str, str]:
        """Every setting as text that may be logged: no key, no password."""
        shown = {name: as_text(getattr(self, name)) for name in self.__struct_fields__}
        shown["store_url"] = without_password(self.store_url)
        return shown

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value}' for name, value in self.public().items())})"


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read settings from `environ` and the file that ``PROFILER_CONFIG`` names.

    Raises
    ------
    ConfigurationError
        Naming the setting that is missing, unknown, or out of its type or range.

    Examples
    --------
    >>> load_settings({"PROFILER_PSEUDONYM_KEY": "k" * 32, "PROFILER_PARTITIONS": "8"}).partitions
    8
    >>> load_settings({"PROFILER_PSEUDONYM_KEY": "k" * 32, "PROFILER_PARTITION": "8"})
    Traceback (most recent call last):
        ...
    profiler.errors.ConfigurationError: PROFILER_PARTITION: unknown setting; did you mean
    PROFILER_PARTITIONS?
    """
    given = read_file(environ["PROFILER_CONFIG"]) if environ.get("PROFILER_CONFIG") else {}
    from_environ = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and name not in OTHER_VARIABLES
    }
    _refuse_unknown(given | from_environ)
    for name in SECRETS:
        # One in the TOML file and the other in the environment: as for any other setting, the
        # environment wins.
        if {name, f"{name}_file"} & from_environ.keys():
            given = {n: v for n, v in given.items() if n not in (name, f"{name}_file")}
    given |= from_environ
    values = {name: converted(name, _TYPES[name], value) for name, value in given.items()}
    for name in SECRETS:
        if (found := secret(name, values)) is not None:
            values[name] = found
    if "pseudonym_key" not in values:
        refuse("pseudonym_key", "is required: a secret text, e.g. from `openssl rand -hex 32`")
    return Settings(**values)


def settings_from_process() -> Settings:
    """Read the settings of this process; called once, by its entry point."""
    return load_settings(os.environ)


def settings_table() -> str:
    """Write the Markdown table of ``docs/settings.md``."""
    rows = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    fields = msgspec.structs.fields(Settings)
    for field in sorted(fields, key=lambda field: not field.required):
        kind, meta = get_args(field.type)
        is_empty = field.default in ("", (), Secret(""))
        shown = "–" if is_empty else f"`{as_text(field.default)}`"
        default = "required" if field.required else shown
        meaning = (meta.description or "").replace("|", "\\|")
        cells = (f"`{variable(field.name)}`", type_text(kind, meta), default, meaning)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


_TYPES: Final = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    for name in sorted(given.keys() - _TYPES.keys()):
        near = difflib.get_close_matches(name, _TYPES, n=1)
        hint = f"did you mean {variable(near[0])}?" if near else "see docs/settings.md"
        refuse(name, f"unknown setting; {hint}")

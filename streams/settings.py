"""Settings: one frozen struct, read once from ``PROFILER_*`` variables or a TOML file.

Every field of `Settings` has an environment variable ``PROFILER_<FIELD>`` and a TOML key of its own
name; ``PROFILER_CONFIG`` names the file, and a variable wins over the file. Whatever is wrong is
refused at start-up with the name of the setting. This file alone reads the environment.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn, get_args, get_origin
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Meta, Struct

from profiler.errors import ConfigurationError
from streams.secret import Secret as Secret  # whoever builds settings needs it too

PREFIX: Final = "PROFILER_"
PSEUDONYM_KEY_CHARACTERS_MIN: Final = 32
TOPICS: Final = ("events", "deadletter", "forwarded", "updates", "alerts", "models")
OTHER_VARIABLES: Final = frozenset({"PROFILER_CONFIG", "PROFILER_DATA_DIR"})
"""Variables with our prefix that are not settings: the file's name, and the tests' data folder."""

BOOLEANS: Final = {
    **dict.fromkeys(("true", "1", "yes"), True),
    **dict.fromkeys(("false", "0", "no"), False),
}
"""Texts of a setting that is true or false, in any case."""

_HOST_PORT: Final = r"(\[[0-9A-Fa-f:.]+\]|[^\s,:/\[\]]+):\d{1,5}"


class Settings(Struct, frozen=True, kw_only=True):
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
    clock_skew_max_s: Annotated[
        int,
        Meta(ge=0, le=315_360_000, description="how far an event may lie after its record, s"),
    ] = 3_600
    event_age_max_s: Annotated[
        int,
        Meta(ge=1, le=3_153_600_000, description="how far an event may lie before its record, s"),
    ] = 315_360_000
    historical_sources: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...],
        Meta(description="sources whose events may be older than that; separated by commas"),
    ] = ("taobao", "online-retail", "retailrocket", "rees46", "otto", "yoochoose", "movielens")
    arena_rows: Annotated[
        int,
        Meta(ge=1, le=100_000_000, description="hot profiles kept in memory, about 2 KiB each"),
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
            le=600,
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

    def __post_init__(self) -> None:
        if len(self.pseudonym_key.reveal()) < PSEUDONYM_KEY_CHARACTERS_MIN:
            _refuse("pseudonym_key", f"needs at least {PSEUDONYM_KEY_CHARACTERS_MIN} characters")
        if self.state_ttl_s <= self.retention_s:
            _refuse(
                "state_ttl_s",
                f"must exceed PROFILER_RETENTION_S ({self.retention_s}), "
                "or else a replay would rebuild half a person",
            )
        if self.batch_events_max > self.queue_events_max:
            _refuse(
                "batch_events_max",
                f"must not exceed PROFILER_QUEUE_EVENTS_MAX ({self.queue_events_max})",
            )
        # Waits that are no standstill, and would look like one.
        for name in ("session_timeout", "commit_interval", "store_timeout", "durable_after"):
            if self.stall_timeout_s <= getattr(self, f"{name}_s"):
                _refuse("stall_timeout_s", f"must exceed {variable(f'{name}_s')}")

    def topic(self, name: str) -> str:
        """Full name of one of `TOPICS`."""
        assert name in TOPICS, name
        return f"{self.topic_prefix}.{name}"

    def public(self) -> dict[str, str]:
        """Every setting as text that may be logged: no key, no password."""
        shown = {name: _as_text(getattr(self, name)) for name in self.__struct_fields__}
        shown["store_url"] = _without_password(self.store_url)
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
    given = _read_file(environ["PROFILER_CONFIG"]) if environ.get("PROFILER_CONFIG") else {}
    from_environ = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and name not in OTHER_VARIABLES
    }
    _refuse_unknown(given | from_environ)
    # A key and a key file of which one stands in the TOML file and the other in the environment:
    # the environment wins, as for any other setting.
    if {"pseudonym_key", "pseudonym_key_file"} & from_environ.keys():
        given = {name: v for name, v in given.items() if not name.startswith("pseudonym_key")}
    given |= from_environ
    values = {name: _convert(name, value) for name, value in given.items()}
    values["pseudonym_key"] = _pseudonym_key(values)
    return Settings(**values)


def settings_from_process() -> Settings:
    """Read the settings of this process; called once, by its entry point."""
    return load_settings(os.environ)


def variable(name: str) -> str:
    """Name the environment variable of a field."""
    return PREFIX + name.upper()


def settings_table() -> str:
    """Write the Markdown table of ``docs/settings.md``."""
    rows = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    for field in msgspec.structs.fields(Settings):
        kind, meta = _type_and_meta(field.name)
        shown = "–" if field.default == "" else f"`{_as_text(field.default)}`"
        default = "required" if field.required else shown
        meaning = (meta.description or "").replace("|", "\\|")
        cells = (f"`{variable(field.name)}`", _type_text(kind, meta), default, meaning)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


_TYPES: Final = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def _refuse(name: str, problem: str) -> NoReturn:
    raise ConfigurationError(variable(name), problem)


def _refuse_unknown(given: Mapping[str, Any]) -> None:
    for name in sorted(given.keys() - _TYPES.keys()):
        near = difflib.get_close_matches(name, _TYPES, n=1)
        hint = f"did you mean {variable(near[0])}?" if near else "see docs/settings.md"
        _refuse(name, f"unknown setting; {hint}")


def _read_file(path: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as cause:
        raise ConfigurationError(
            "PROFILER_CONFIG", f"cannot read {path}: {cause.strerror}"
        ) from cause
    except ValueError as cause:
        # A TOML fault tells its line and column, never the line itself: no secret leaks.
        raise ConfigurationError("PROFILER_CONFIG", f"{path} is not TOML: {cause}") from cause


def _convert(name: str, value: Any) -> Any:
    kind, meta = _type_and_meta(name)
    if kind is Secret:
        if not isinstance(value, str):
            _refuse(name, "expected text")
        return Secret(value)
    if get_origin(kind) is tuple and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if kind is bool and isinstance(value, str):
        value = BOOLEANS.get(value.strip().lower(), value)
    try:
        return msgspec.convert(value, _TYPES[name], strict=False)
    except msgspec.ValidationError as fault:
        also = " (or 1, yes, 0, no)" if kind is bool else ""
        problem = f"expected {_type_text(kind, meta)}{also}: {meta.description}"
        raise ConfigurationError(variable(name), problem) from fault


def _pseudonym_key(values: Mapping[str, Any]) -> Secret:
    key, path = values.get("pseudonym_key"), values.get("pseudonym_key_file")
    if key and path:
        _refuse("pseudonym_key_file", "is set beside PROFILER_PSEUDONYM_KEY; set one of them")
    if path:
        try:
            return Secret(Path(path).read_text("utf-8").strip())
        except (OSError, UnicodeError) as cause:
            raise ConfigurationError(
                variable("pseudonym_key_file"), f"cannot read {path}"
            ) from cause
    if key is None:
        _refuse("pseudonym_key", "is required: a secret text, e.g. from `openssl rand -hex 32`")
    assert isinstance(key, Secret)
    return key


def _type_and_meta(name: str) -> tuple[Any, Meta]:
    kind, meta = get_args(_TYPES[name])
    return kind, meta


def _type_text(kind: Any, meta: Meta) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(kind))
    if kind is bool:
        return "`true` or `false`"
    text = {int: "integer", float: "number", Secret: "secret", str: "text"}.get(kind, "texts")
    if meta.le is None:
        return text
    least = f"≥ {meta.ge:,}" if meta.gt is None else f"> {meta.gt:,}"
    return f"{text}, {least}, ≤ {meta.le:,}"


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    # Options may hold a password as well.
    query = "***" if parts.query else ""
    return urlunsplit(parts._replace(netloc=("***" if user else "") + at + host, query=query))

"""Values of settings: from environment and files into their types, and back into text.

What `streams.settings` needs and no other file: it knows how a setting is read and refused, not
which settings there are.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, get_args, get_origin
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Meta

from profiler.errors import ConfigurationError
from streams.secret import Secret

PREFIX: Final = "PROFILER_"
BOOLEANS: Final = {
    **dict.fromkeys(("true", "1", "yes"), True),
    **dict.fromkeys(("false", "0", "no"), False),
}
"""Texts of a setting that is true or false, in any case."""


def variable(name: str) -> str:
    """Name the environment variable of a field."""
    return PREFIX + name.upper()


def refuse(name: str, problem: str) -> NoReturn:
    """Say what is wrong with a field."""
    raise ConfigurationError(variable(name), problem)


def read_file(path: str) -> dict[str, Any]:
    """Read a TOML file of settings.

    Raises
    ------
    ConfigurationError
        If it cannot be read, or is none.
    """
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as cause:
        raise ConfigurationError(
            "PROFILER_CONFIG", f"cannot read {path}: {cause.strerror}"
        ) from cause
    except ValueError as cause:
        # A TOML fault tells its line and column, never the line itself: no secret leaks.
        raise ConfigurationError("PROFILER_CONFIG", f"{path} is not TOML: {cause}") from cause


def converted(name: str, declared: Any, value: Any) -> Any:
    """Bring a text, or a value of TOML, to the type that its field declares.

    Raises
    ------
    ConfigurationError
        If it is out of its type or range.
    """
    kind, meta = get_args(declared)
    if kind is Secret:
        if not isinstance(value, str):
            refuse(name, "expected text")
        return Secret(value)
    if get_origin(kind) is tuple and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if kind is bool and isinstance(value, str):
        value = BOOLEANS.get(value.strip().lower(), value)
    try:
        return msgspec.convert(value, declared, strict=False)
    except msgspec.ValidationError as fault:
        also = " (or 1, yes, 0, no)" if kind is bool else ""
        problem = f"expected {type_text(kind, meta)}{also}: {meta.description}"
        raise ConfigurationError(variable(name), problem) from fault


def secret(name: str, values: Mapping[str, Any]) -> Secret | None:
    """Give a secret that is set as such, or by the file that holds it; None if by neither.

    Raises
    ------
    ConfigurationError
        If it is set by both, or the file cannot be read.
    """
    found, path = values.get(name), values.get(f"{name}_file")
    if found and path:
        refuse(f"{name}_file", f"is set beside {variable(name)}; set one of them")
    if path:
        try:
            return Secret(Path(path).read_text("utf-8").strip())
        except (OSError, UnicodeError) as cause:
            raise ConfigurationError(variable(f"{name}_file"), f"cannot read {path}") from cause
    assert found is None or isinstance(found, Secret)
    return found


def type_text(kind: Any, meta: Meta) -> str:
    """Describe the type and range of a field to people."""
    if get_origin(kind) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(kind))
    if kind is bool:
        return "`true` or `false`"
    text = {int: "integer", float: "number", Secret: "secret", str: "text"}.get(kind, "texts")
    if meta.le is None:
        return text
    least = f"≥ {meta.ge:,}" if meta.gt is None else f"> {meta.gt:,}"
    return f"{text}, {least}, ≤ {meta.le:,}"


def as_text(value: object) -> str:
    """Write a value as its variable would hold it; a secret as ``***``."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def without_password(url: str) -> str:
    """Write an address so that it may be logged."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    # Options may hold a password as well.
    query = "***" if parts.query else ""
    return urlunsplit(parts._replace(netloc=("***" if user else "") + at + host, query=query))

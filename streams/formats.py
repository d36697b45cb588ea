"""Which formats the records of the topic are in: what the settings and a mapping file say."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from profiler.decoding import Decoder
from profiler.errors import ConfigurationError, UsageError
from profiler.sources import FORMATS, Format, Messages, Source, source_named
from profiler.sources.mapping_file import parse_mapping
from streams.registry import schemas_of
from streams.settings import Settings, variable

NATIVE: Final = "native"


def decoder_of(settings: Settings) -> Decoder:
    """Make the decoder of records that the settings want; reads the mapping file.

    Where they name a schema registry, the decoder asks it for what it does not know.

    Raises
    ------
    ConfigurationError
        If the mapping file cannot be read or makes no sense, or the registry's authorities cannot
        be read.
    """
    schemas = schemas_of(settings)
    mapping: tuple[Format, ...] = ()
    if settings.mapping_file:
        mapping = (read_mapping(Path(settings.mapping_file), variable("mapping_file")),)
    known = (*mapping, *FORMATS)
    if settings.format == "auto":
        return Decoder(known, schemas=schemas)
    if settings.format == NATIVE:
        return Decoder((), schemas=schemas)
    only = next(format for format in known if format.name == settings.format)
    return Decoder(only=only, schemas=schemas)


def read_mapping(path: Path, option: str) -> Format:
    """Read a mapping file.

    Parameters
    ----------
    path
        The file.
    option
        The setting or option that names it, for messages.

    Raises
    ------
    ConfigurationError
        If it cannot be read or makes no sense: names the file, the section and the key.
    """
    try:
        text = path.read_bytes()
    except OSError as cause:
        raise ConfigurationError(option, f"cannot read {path}: {cause.strerror}") from cause
    return parse_mapping(text, str(path))


def source_of(name: str, mapping: Path | None) -> Source:
    """Give the source of that name, or the one that a mapping file describes.

    Raises
    ------
    UsageError
        If both are given.
    ConfigurationError
        If the mapping file cannot be read or makes no sense.
    """
    if mapping is None:
        return source_named(name)
    if name != NATIVE:
        raise UsageError(f"--mapping says what the rows are, and --source {name} says it too")
    return Messages(read_mapping(mapping, "--mapping"))

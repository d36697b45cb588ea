"""Foreign formats, one per file; a new one is a new file and its line in `SOURCES`."""

from __future__ import annotations

from typing import Final

from profiler.errors import UsageError
from profiler.sources import (
    cloudevents,
    ga4,
    movielens,
    native,
    online_retail,
    otto,
    rees46,
    retailrocket,
    segment,
    snowplow,
    taobao,
    yoochoose,
)
from profiler.sources.message import Format, Message, Messages
from profiler.sources.source import Columns, Converted, Form, Row, See, Source

__all__ = [
    "FORMATS",
    "FORMAT_NAMES",
    "SOURCES",
    "SOURCE_NAMES",
    "Columns",
    "Converted",
    "Form",
    "Format",
    "Message",
    "Messages",
    "Row",
    "See",
    "Source",
    "source_named",
]

FORMATS: Final[tuple[Format, ...]] = (
    cloudevents.FORMAT,
    snowplow.FORMAT,
    ga4.FORMAT,
    segment.FORMAT,
)
"""Foreign messages that are recognised, the first that claims one takes it."""

FORMAT_NAMES: Final[tuple[str, ...]] = tuple(format.name for format in FORMATS)

SOURCES: Final[tuple[Source, ...]] = (
    native.SOURCE,
    taobao.SOURCE,
    online_retail.SOURCE,
    retailrocket.SOURCE,
    rees46.SOURCE,
    otto.SOURCE,
    yoochoose.SOURCE,
    movielens.SOURCE,
    Messages(cloudevents.FORMAT),
    Messages(snowplow.FORMAT, "text"),
    Messages(ga4.FORMAT),
    Messages(segment.FORMAT),
)

SOURCE_NAMES: Final[tuple[str, ...]] = tuple(source.name for source in SOURCES)


def source_named(name: str) -> Source:
    """Find the source of that name.

    Raises
    ------
    UsageError
        If there is none; the message lists those that exist.
    """
    for source in SOURCES:
        if source.name == name:
            return source
    raise UsageError(f"unknown source {name!r}; there are {', '.join(SOURCE_NAMES)}")

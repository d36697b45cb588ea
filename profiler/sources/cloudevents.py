"""CloudEvents 1.0 over Kafka (CNCF): binary, structured and batched mode.

In binary mode the attributes are headers (``ce_id``, ``ce_type`` …) and the value is the data; in
the others attributes and data are one JSON document. The data is a native event, of which the
attributes complete what is missing: ``type`` (its last part: ``com.shop.click``), ``time``, ``id``
(with ``source``, as only both together are unique) and ``subject`` (the user's id). An event
without a time, which the specification allows, has that of its record.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from profiler.sources.message import Fields, Format, Message, event_id, present

_ATTRIBUTES: Final = ("specversion", "type", "source", "id", "time", "subject")
_SUBJECTS: Final = ("user_id", "device_id", "anonymous_id")


class CloudEvents(Struct, frozen=True):
    """Messages whose attributes say what their data is."""

    name: str = "cloudevents"

    def recognises(self, message: Message) -> bool:
        """By ``specversion``, which is in the headers or in the document, or in each of a list."""
        return message.header("ce_specversion") is not None or bool(_documents(message))

    def events(self, message: Message) -> list[Fields]:
        """Give one event, or one per document of a batch."""
        if message.header("ce_specversion") is not None:
            attributes = {name: message.header(f"ce_{name}") for name in _ATTRIBUTES}
            return [_event(attributes, message.document, message.stamped_ms)]
        return [
            _event(document, _data(document), message.stamped_ms)
            for document in _documents(message)
        ]


def _documents(message: Message) -> list[Fields]:
    document = message.document
    documents: Iterable[Any] = document if isinstance(document, list) else [document]
    found = [d for d in documents if isinstance(d, dict) and "specversion" in d]
    return found if len(found) == (len(document) if isinstance(document, list) else 1) else []


def _data(document: Fields) -> Any:
    if "data_base64" not in document:
        return document.get("data")
    try:
        return msgspec.json.decode(base64.b64decode(document["data_base64"], validate=True))
    except (msgspec.DecodeError, ValueError, TypeError, RecursionError):
        return None


def _event(attributes: Fields, data: Any, stamped_ms: int | None) -> Fields:
    event = dict(data) if isinstance(data, dict) else {}
    kind = attributes.get("type")
    completed = present(
        type=kind.rpartition(".")[2] if isinstance(kind, str) else kind,
        ts=attributes.get("time") or stamped_ms,
        event_id=event_id(attributes.get("source"), attributes.get("id")),
        source=attributes.get("source"),
    )
    if not any(event.get(name) for name in _SUBJECTS):
        completed |= present(user_id=attributes.get("subject"))
    return completed | event


FORMAT: Final[Format] = CloudEvents()

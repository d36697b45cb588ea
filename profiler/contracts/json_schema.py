"""JSON Schema (2020-12) of the events, all together and one file per type, and of items."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from profiler.catalogue import ITEM_BYTES_MAX, Item
from profiler.contracts.document import DIALECT, to_json
from profiler.contracts.examples import ITEM_EXAMPLES, examples_of
from profiler.events import EVENT_BYTES_MAX, EVENT_TYPES, TYPE_NAMES, AnyEvent, Event

SUBJECT_FIELDS: Final = ("user_id", "device_id", "anonymous_id")


def json_schemas() -> dict[str, bytes]:
    """Write ``events.schema.json``, ``events/<type>.json`` and ``item.schema.json``."""
    components = event_components("#/$defs/{name}")
    whole = {
        "$schema": DIALECT,
        "$id": "urn:profiler:events",
        "title": "Event",
        "description": (
            f"A record of the topic profiler.events, at most {EVENT_BYTES_MAX} bytes of UTF-8. "
            "Fields that are not listed are ignored."
        ),
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in components],
        "$defs": components,
    }
    item = {"$schema": DIALECT, "$id": "urn:profiler:item", **item_component()}
    files = {"events.schema.json": to_json(whole), "item.schema.json": to_json(item)}
    for event_type, name in zip(EVENT_TYPES, TYPE_NAMES, strict=True):
        files[f"events/{name}.json"] = to_json(
            {
                "$schema": DIALECT,
                "$id": f"urn:profiler:events:{name}",
                **components[event_type.__name__],
            }
        )
    return files


def event_components(ref_template: str) -> dict[str, dict[str, Any]]:
    """Give the schemas of the event types by name, with examples."""
    _, components = msgspec.json.schema_components([AnyEvent], ref_template=ref_template)
    return {t.__name__: _with_subject(components[t.__name__], t) for t in EVENT_TYPES}


def item_component() -> dict[str, Any]:
    """Give the schema of an item, with examples."""
    _, components = msgspec.json.schema_components([Item])
    return {
        **components[Item.__name__],
        "description": (
            f"Value of a record of the topic profiler.items, at most {ITEM_BYTES_MAX} bytes of "
            "UTF-8; its key is the item_id. Fields that are not listed are ignored."
        ),
        "examples": msgspec.to_builtins(ITEM_EXAMPLES),
    }


def _with_subject(schema: dict[str, Any], event_type: type[Event]) -> dict[str, Any]:
    return {
        **schema,
        # What `Event.__post_init__` asks for, which the types alone cannot say.
        "anyOf": [
            {"required": [name], "properties": {name: {"type": "string"}}}
            for name in SUBJECT_FIELDS
        ],
        "examples": msgspec.to_builtins(examples_of(event_type)),
    }

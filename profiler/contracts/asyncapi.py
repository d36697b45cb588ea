"""AsyncAPI 3.0: the topics, who sends and who receives, and what a record looks like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from profiler.catalogue import DEAD_LETTER_REASONS, Item
from profiler.contracts.document import VERSION, to_json
from profiler.contracts.examples import UPDATES
from profiler.contracts.json_schema import event_components, item_component
from profiler.events import EVENT_TYPES, TYPE_NAMES
from profiler.guard import BATCH_HEADER, Alert
from profiler.updates import Update

Action = Literal["send", "receive"]


class Topic(Struct, frozen=True, kw_only=True):
    """What the document says of a topic.

    Parameters
    ----------
    description
        What it holds, and what its key is.
    is_compacted
        Whether only the latest record of each key is kept.
    actions
        What a worker does with it; none where it is reserved for a later version.
    messages
        Names among the document's messages.
    """

    description: str
    messages: tuple[str, ...]
    is_compacted: bool = False
    actions: tuple[Action, ...] = ()


TOPICS: Final[Mapping[str, Topic]] = {
    "events": Topic(
        description=(
            "What people did, as producers tell it. The key is the subject's id (the first present "
            "of user_id, device_id, anonymous_id) in UTF-8, so that the default partitioner, "
            "murmur2, puts all events of a person in one partition."
        ),
        messages=TYPE_NAMES,
        actions=("receive",),
    ),
    "deadletter": Topic(
        description="Records that could not be applied: original key and value, reason in headers.",
        messages=("deadletter",),
        actions=("send",),
    ),
    "forwarded": Topic(
        description=(
            "Internal: events sent on to the partition of their home. Its number of partitions is "
            "fixed for ever. Reserved."
        ),
        messages=("reserved",),
    ),
    "updates": Topic(
        description=(
            "Which profile changed; the key is the pid. By default only whose events another "
            "profile shows now (`moved`), no longer shows (`returned`), and who was erased; with "
            "PROFILER_UPDATES=all every change. Sent after the profile is written, at least once. "
            "A worker that had stood still may send an older one late: whoever must not miss "
            "anything reads profile:{pid} then, which is never older than the record."
        ),
        messages=("update",),
        is_compacted=True,
        actions=("send",),
    ),
    "alerts": Topic(
        description=(
            "Profiles that are held as machines from now on, or no longer; the key is the pid. "
            "Sent just before the profile is written, at least once."
        ),
        messages=("alert",),
        actions=("send",),
    ),
    "models": Topic(
        description="Weights that workers exchange; the key names model and worker. Reserved.",
        messages=("reserved",),
        is_compacted=True,
    ),
    "items": Topic(
        description=(
            "The catalogue: what is known of items, for events that carry only an item's id. The "
            "key is the item_id; a record without a value removes the item."
        ),
        messages=("item",),
        is_compacted=True,
        actions=("receive",),
    ),
}

EVENT_HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    BATCH_HEADER: {
        "description": "any value: read from a file, and not counted by the guard against machines"
    },
}
"""Headers that a record of events may have."""

DEAD_LETTER_HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    "profiler.reason": {
        "enum": list(DEAD_LETTER_REASONS),
        "description": "why it could not be applied",
    },
    "profiler.topic": {"description": "topic of its origin"},
    "profiler.partition": {"pattern": "^[0-9]+$", "description": "partition of its origin"},
    "profiler.offset": {"pattern": "^[0-9]+$", "description": "offset of its origin"},
    "profiler.timestamp_ms": {
        "pattern": "^[0-9]*$",
        "description": "Kafka timestamp of the original record, empty if it had none",
    },
    "profiler.at_ms": {"pattern": "^[0-9]+$", "description": "when it was put here"},
}
"""Headers that every dead letter has, UTF-8 text; `streams.deadletter` writes them."""
CUT_HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    "profiler.no_value": {"const": "1", "description": "the original record had no value"},
    "profiler.length": {
        "pattern": "^[0-9]+$",
        "description": "length of the original value in bytes, where the broker refused all of it",
    },
    "profiler.sha256": {
        "pattern": "^[0-9a-f]{64}$",
        "description": "of the original value, where only its first 1,024 bytes are here",
    },
}


def asyncapi() -> dict[str, bytes]:
    """Write ``asyncapi.json``."""
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Streaming user profiles",
            "version": VERSION,
            "description": (
                "Behaviour events in, profiles in Redis out (redis-keys.json). Names of topics "
                "begin with PROFILER_TOPIC_PREFIX, here `profiler`. Operations are a worker's: "
                "what it receives, others send."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name, topic) for name, topic in TOPICS.items()},
        "operations": {
            f"{action}_{name}": _operation(name, action)
            for name, topic in TOPICS.items()
            for action in topic.actions
        },
        "components": {
            "messages": {
                **_event_messages(),
                "deadletter": _DEAD_LETTER,
                "update": _UPDATE,
                "alert": _ALERT,
                "reserved": _RESERVED,
                "item": _ITEM,
            },
            "schemas": {
                **event_components(_REFERENCE),
                Item.__name__: item_component(),
                "Update": update_schema(),
            },
        },
    }
    return {"asyncapi.json": to_json(document)}


def _channel(name: str, topic: Topic) -> dict[str, Any]:
    policy = "compact" if topic.is_compacted else "delete"
    return {
        "address": f"profiler.{name}",
        "description": topic.description,
        "messages": {m: {"$ref": f"#/components/messages/{m}"} for m in topic.messages},
        "bindings": {
            "kafka": {
                "topic": f"profiler.{name}",
                "topicConfiguration": {"cleanup.policy": [policy]},
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(name: str, action: Action) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{name}"}}


def _event_messages() -> dict[str, Any]:
    return {
        name: {
            "name": name,
            "summary": (event_type.__doc__ or "").strip(),
            "headers": {"type": "object", "properties": EVENT_HEADERS},
            "payload": {"$ref": f"#/components/schemas/{event_type.__name__}"},
            "bindings": {
                "kafka": {
                    "key": _SUBJECT_ID,
                    "bindingVersion": "0.5.0",
                }
            },
        }
        for event_type, name in zip(EVENT_TYPES, TYPE_NAMES, strict=True)
    }


def update_schema() -> dict[str, Any]:
    """JSON Schema of what `profiler.updates` holds."""
    _, components = msgspec.json.schema_components([Update], ref_template=_REFERENCE)
    schema: dict[str, Any] = components["Update"]
    return {**schema, "examples": [msgspec.to_builtins(update) for update in UPDATES]}


_REFERENCE: Final = "#/components/schemas/{name}"
_SUBJECT_ID: Final[dict[str, Any]] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 256,
    "description": "id of the subject, UTF-8",
}
_DEAD_LETTER: Final[dict[str, Any]] = {
    "name": "deadletter",
    "summary": (
        "The original key, value and headers, byte for byte; reason and origin in further headers."
    ),
    "contentType": "application/octet-stream",
    "headers": {
        "type": "object",
        "required": list(DEAD_LETTER_HEADERS),
        "properties": {
            name: {"type": "string", **schema}
            for name, schema in {**DEAD_LETTER_HEADERS, **CUT_HEADERS}.items()
        },
    },
    "payload": {"description": "bytes that the broker took once"},
}
_ALERT: Final[dict[str, Any]] = {
    "name": "alert",
    "summary": "A profile is held from now on, or no longer.",
    "payload": msgspec.json.schema_components([Alert], ref_template="{name}")[1]["Alert"],
    "bindings": {
        "kafka": {
            "key": {"type": "string", "description": "the pid"},
            "bindingVersion": "0.5.0",
        }
    },
}
_UPDATE: Final[dict[str, Any]] = {
    "name": "update",
    "summary": "What became of one profile.",
    "payload": {"$ref": "#/components/schemas/Update"},
    "bindings": {
        "kafka": {
            "key": {"type": "string", "description": "the pid"},
            "bindingVersion": "0.5.0",
        }
    },
}
_RESERVED: Final[dict[str, Any]] = {
    "name": "reserved",
    "summary": "Nothing is sent yet; the payload will be fixed with the first version that does.",
    "payload": {"description": "not fixed yet"},
}
_ITEM: Final[dict[str, Any]] = {
    "name": "item",
    "summary": "An item of the catalogue.",
    "payload": {"$ref": f"#/components/schemas/{Item.__name__}"},
    "bindings": {
        "kafka": {
            "key": {
                "type": "string",
                "minLength": 1,
                "maxLength": 256,
                "description": "the item_id, UTF-8",
            },
            "bindingVersion": "0.5.0",
        }
    },
}

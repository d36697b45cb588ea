"""The keys in Redis: types, fields, bounds, time to live, and who may read them."""

from __future__ import annotations

from typing import Any, Final

from profiler.behaviour.layout import COHORTS, EPOCH_MS, PARTS, WIDTH
from profiler.contracts.document import VERSION, to_json
from profiler.contracts.redis_rows import MIXES, ROWS, SHELVES
from profiler.privacy.pseudonym import PID_LENGTH
from profiler.spec import DEFAULT_SPEC, ROW_BYTES_MAX
from profiler.tokens import NAMED_KINDS
from profiler.traits import TRAIT_NAMES_MAX, TRAITS_BYTES_MAX, UNION_VALUES_MAX

NAMES_MAX: Final = 1_000_000
SUMMARY_BYTES_MAX: Final = 16_384
FENCE_ENTRIES_MAX: Final = 20_000
"""Two topics of 10,000 partitions; with the default partitioner there is one."""
_STATE_HEADER_BYTES: Final = 17
_FENCE_ENTRY_BYTES: Final = 13
LINKS_BYTES_MAX: Final = 18_432
"""64 claims, 64 members, 16 ties, and traits."""
_STATE_BYTES_MAX: Final = (
    _STATE_HEADER_BYTES
    + ROW_BYTES_MAX
    + 2
    + FENCE_ENTRIES_MAX * _FENCE_ENTRY_BYTES
    + LINKS_BYTES_MAX
)


def redis_keys() -> dict[str, bytes]:
    """Write ``redis-keys.json``."""
    document = {
        "title": "Keys in Redis",
        "version": VERSION,
        "description": (
            "{pid} is the keyed pseudonym of a subject: HMAC-SHA-256(key, kind NUL id), first 16 "
            f"bytes, URL-safe base64 without padding ({PID_LENGTH} characters). The braces are "
            "part of the key: a cluster hash tag, so that all keys of a profile live in one slot "
            "and change atomically. Readers accept fields they do not know."
        ),
        "keys": [
            _PROFILE,
            _state(),
            _SPEC,
            _NAMES,
            _MODELS,
            _METRICS,
            _BEHAVIOUR,
            _BEHAVIOUR_TIME,
            _MARK,
            _TOPICS,
            _REACHED,
            _LOADS,
            _LOADED,
            _TRAITS,
            ROWS,
            SHELVES,
            MIXES,
        ],
    }
    return {"redis-keys.json": to_json(document)}


_PROFILE: Final[dict[str, Any]] = {
    "key": "profile:{pid}",
    "pattern": f"^profile:\\{{[A-Za-z0-9_-]{{{PID_LENGTH}}}\\}}$",
    "type": "hash",
    "readers": "anyone who reads profiles",
    "ttl": "PROFILER_STATE_TTL_S, renewed by every commit",
    "description": "What readers see of one person. Deleted by erasure.",
    "fields": {
        "vector": {
            "encoding": "float32, little-endian",
            "bytes": 4 * DEFAULT_SPEC.dims,
            "description": "as of `as_of`; the slices are in vector-layout.json",
        },
        "summary": {
            "encoding": (
                "JSON object, UTF-8, one member per facet; `ties` ([pid, relation, strength]) and "
                "`consent` where there are any"
            ),
            "bytes_max": SUMMARY_BYTES_MAX,
            "description": "values for people; tokens as 16 hexadecimal digits of their hash",
        },
        "as_of": {
            "encoding": "decimal integer",
            "unit": "ms since 1970, UTC",
            "description": "greatest event time applied",
        },
        "spec": {
            "encoding": "16 hexadecimal digits",
            "description": "the layout that `vector` follows: profiler:spec:<hash>",
        },
        "rev": {"encoding": "decimal integer", "description": "number of commits so far"},
        "moved_to": {
            "encoding": f"profile id, {PID_LENGTH} characters",
            "description": (
                "the profile that shows this one's row, as both belong to one person; then there "
                "are no vector, summary and as_of: read that one instead, at most twice in turn"
            ),
        },
    },
}


_TRAITS: Final[dict[str, Any]] = {
    "key": "traits:{pid}",
    "pattern": f"^traits:\\{{[A-Za-z0-9_-]{{{PID_LENGTH}}}\\}}$",
    "type": "string",
    "readers": "anyone who reads profiles",
    "ttl": "PROFILER_STATE_TTL_S, renewed by every commit",
    "bytes_max": TRAITS_BYTES_MAX,
    "entries_max": TRAIT_NAMES_MAX,
    "encoding": "JSON object, UTF-8, by name of the trait",
    "description": (
        "What `identify` events told of a person, where they told something that counts. Of each "
        "trait a list of [value, source, ms since 1970]: one, or for a set at most "
        f"{UNION_VALUES_MAX}, the latest first. Values are texts, numbers, true and false; of what "
        "identifies people (e-mail, phone, name …) they are keyed hashes. Written and deleted "
        "together with the profile; there is none beside `moved_to`."
    ),
}


def _state() -> dict[str, Any]:
    return {
        "key": "state:{pid}",
        "pattern": f"^state:\\{{[A-Za-z0-9_-]{{{PID_LENGTH}}}\\}}$",
        "type": "string",
        "readers": "workers and the audit alone",
        "ttl": "PROFILER_STATE_TTL_S, renewed by every commit; none for a tombstone",
        "bytes_max": _STATE_BYTES_MAX,
        "description": "The row from which a profile is computed, or the tombstone of an erasure.",
        "layout": [
            {
                "offset": 0,
                "bytes": 1,
                "content": "format: 1 row, 2 tombstone, 3 row with links, traits and ties",
            },
            {"offset": 1, "bytes": 8, "content": "spec hash; zero in a tombstone"},
            {"offset": 9, "bytes": 8, "content": "rev: unsigned, little-endian"},
            {
                "offset": _STATE_HEADER_BYTES,
                "bytes": DEFAULT_SPEC.dtype.itemsize,
                "content": "format 1 and 3: the row, columns as in vector-layout.json",
            },
            {
                "offset": _STATE_HEADER_BYTES + DEFAULT_SPEC.dtype.itemsize,
                "bytes": 2,
                "content": "format 1 and 3: number of fence entries, little-endian",
            },
            {
                "offset": _STATE_HEADER_BYTES + DEFAULT_SPEC.dtype.itemsize + 2,
                "bytes": f"{_FENCE_ENTRY_BYTES} each",
                "content": (
                    "format 1 and 3: fence entries: topic (1 byte: 0 events, 1 forwarded, 2 more "
                    "for each time it was made anew), "
                    "partition (unsigned, 4 bytes), highest offset applied (8 bytes)"
                ),
            },
            {
                "offset": _STATE_HEADER_BYTES,
                "bytes": 8,
                "content": "format 2: time of erasure, ms since 1970",
            },
            {
                "offset": "after that",
                "bytes": f"at most {LINKS_BYTES_MAX}",
                "content": (
                    "format 3: links, traits and ties, as msgpack; "
                    "format 2, where there were some: links"
                ),
            },
        ],
    }


_SPEC: Final[dict[str, Any]] = {
    "key": "profiler:spec:<hash>",
    "pattern": "^profiler:spec:[0-9a-f]{16}$",
    "type": "string",
    "readers": "anyone who reads profiles",
    "ttl": "2 × PROFILER_STATE_TTL_S, renewed by every start of a worker",
    "bytes_max": 65_536,
    "description": "Layout of rows and vectors as JSON, e.g. vector-layout.json.",
}
_NAMES: Final[dict[str, Any]] = {
    "key": "profiler:names:<kind>",
    "pattern": f"^profiler:names:({'|'.join(NAMED_KINDS)})$",
    "type": "hash",
    "readers": "anyone who reads profiles",
    "ttl": "2 × PROFILER_STATE_TTL_S, renewed by every write",
    "entries_max": NAMES_MAX,
    "description": "Readable names of catalogue tokens; never words that a person typed.",
    "fields": {
        "<token hash>": {
            "encoding": "UTF-8",
            "bytes_max": 1_024,
            "description": "field: 16 hexadecimal digits of xxh3_64(kind NUL value)",
        }
    },
}
_MODELS: Final[dict[str, Any]] = {
    "key": "profiler:models:<task>",
    "pattern": "^profiler:models:[a-z0-9_.:-]{1,64}$",
    "type": "hash",
    "readers": "anyone",
    "ttl": "one day, renewed by every write",
    "entries_max": 64,
    "description": "How well a model predicts, prequentially. Nothing of any one person.",
    "fields": {
        "<figure>": {"encoding": "text", "bytes_max": 1_024},
        "weights": {
            "encoding": "JSON",
            "bytes_max": 1_048_576,
            "description": "in profiler:models:weights alone: what a worker starts from",
        },
    },
}
_METRICS: Final[dict[str, Any]] = {
    "key": "profiler:metrics:<worker>",
    "pattern": "^profiler:metrics:[A-Za-z0-9_.:-]{1,128}$",
    "type": "hash",
    "readers": "anyone",
    "ttl": "one day, renewed by every write",
    "entries_max": 64,
    "description": "Figures of a worker, the same as on its /metrics page.",
    "fields": {"<figure>": {"encoding": "text", "bytes_max": 1_024}},
}
_BEHAVIOUR: Final[dict[str, Any]] = {
    "key": "profiler:behaviour:<epoch>",
    "pattern": "^profiler:behaviour:[0-9]{1,5}$",
    "type": "hash",
    "readers": "anyone",
    "ttl": "280 days, renewed by every write",
    "entries_max": len(COHORTS) * WIDTH,
    "description": (
        "Decayed counts of what the crowd does, relative to the landmark epoch × "
        f"{EPOCH_MS} ms. Workers only ever add. Nothing of any one person."
    ),
    "fields": {
        "<cohort>:<part>:<place>": {
            "encoding": "decimal number",
            "bytes_max": 64,
            "parts": {
                part.name: {"length": part.length, "half_life_ms": part.half_life_ms}
                for part in PARTS.values()
            },
            "description": (
                "value at t = count · 2^(−(t − landmark) / half-life), of the epoch of the "
                "greatest time and the one before together"
            ),
        }
    },
}
_BEHAVIOUR_TIME: Final[dict[str, Any]] = {
    "key": "profiler:behaviour",
    "pattern": "^profiler:behaviour$",
    "type": "zset",
    "readers": "anyone",
    "ttl": "280 days, renewed by every write",
    "entries_max": 1,
    "description": "as_of: the greatest time of an event that the crowd's figures know, ms.",
}
_TOPICS: Final[dict[str, Any]] = {
    "key": "profiler:topics",
    "pattern": "^profiler:topics$",
    "type": "hash",
    "readers": "workers alone",
    "ttl": "none",
    "entries_max": 64,
    "description": "Which topics they are whose offsets stand in the fences of states.",
    "fields": {
        "<full name of the topic>": {
            "encoding": "JSON",
            "bytes_max": 256,
            "description": "id: the broker's; incarnation: how often it was made anew",
        }
    },
}
_REACHED: Final[dict[str, Any]] = {
    "key": "profiler:reached:<topic of events>",
    "pattern": "^profiler:reached:[A-Za-z0-9._-]{1,249}$",
    "type": "zset",
    "readers": "workers alone",
    "ttl": "none",
    "entries_max": 131_072,
    "description": (
        "How far states may know each partition: its code as in the fences, and an offset plus 1. "
        "Written before the states, so that a topic that lost its end behind it is noticed."
    ),
}
_LOADS: Final[dict[str, Any]] = {
    "key": "profiler:loads",
    "pattern": "^profiler:loads$",
    "type": "hash",
    "readers": "operators",
    "ttl": "none",
    "description": (
        "How far each load of history is, by its name: a JSON object with started_ms, updated_ms, "
        "finished_ms (0 until then), parts_done and parts. What is finished is not loaded again."
    ),
}
_LOADED: Final[dict[str, Any]] = {
    "key": "loaded:{pid}:<load>",
    "pattern": f"^loaded:\\{{[A-Za-z0-9_-]{{{PID_LENGTH}}}\\}}:[0-9a-f]{{16}}$",
    "type": "string",
    "readers": "loads alone",
    "ttl": "7 days",
    "description": "Empty. The events of this person in this load of history have been applied.",
}
_MARK: Final[dict[str, Any]] = {
    "key": "profiler:mark",
    "pattern": r"^profiler:mark(:\{[0-9]{1,5}\})?$",
    "type": "string",
    "readers": "nobody",
    "ttl": "one day, renewed by every write",
    "bytes_max": 0,
    "description": (
        "Empty. Written after the profiles by a worker that waits until the append-only file holds "
        "them. In a cluster one per server: the number stands for a slot of that server."
    ),
}

"""Small histories of a few people, each event one number, so that hypothesis draws them fast.

A number names a deed and a time. `expected` says from the definitions alone what must come of a
history; of the code under test it shares the facets, which have tests of their own.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from hypothesis import strategies as st

from profiler.columns import Rows
from profiler.dedupe import EVENTS, topic_code
from profiler.events import Identify, event_of
from profiler.models.bank import ModelBank
from profiler.pipeline import process, visible
from profiler.records import Chunk, RawRecord
from profiler.reference_links import ReferenceLinks
from profiler.state import decode_states, merge_rows
from streams.memory_store import MemoryStore
from tests.folding import assert_equal
from tests.histories.town import PSEUDONYMISER, SPEC, Town, preparer_of
from tests.strategies import START_MS

Event = dict[str, Any]
Subject = tuple[str, str]
"""Field of an event, and id."""

USERS: Final = (("user_id", "ann"), ("user_id", "bob"))
DEVICES: Final = (("device_id", "phone"), ("device_id", "tablet"))
COOKIES: Final = (("anonymous_id", "a1"), ("anonymous_id", "a2"))
GONE: Final = (("user_id", "eve"), ("anonymous_id", "a-eve"))
"""A user who may ask to be erased, and who belongs to nobody else: with a second owner it would be
a matter of order who of the two comes first."""
SUBJECTS: Final = (*USERS, *DEVICES, *COOKIES, *GONE)
PAIRS: Final = (
    *itertools.product(USERS, DEVICES),
    *itertools.product(USERS, COOKIES),
    *itertools.product(DEVICES, COOKIES),
)
TIMES: Final = 6
"""Moments at which anything happens: few, so that links and cuts clash."""
MOMENT_MS: Final = 3_600_000
EVENTS_MAX: Final = 10
REPEATS: Final = 0.1
"""Share of the records that a producer sends twice."""


def _deeds() -> list[Event]:
    behaviour = [
        {"type": kind, "item_id": f"i{k}", "price": 2.5 * k, **dict([subject])}
        for subject in SUBJECTS
        for k, kind in enumerate(("click", "purchase"), 1)
    ]
    links: list[Event] = [{"type": "identify", **dict(pair)} for pair in PAIRS]
    cuts = [{**link, "unlink": True} for link in links]
    triples = [
        {"type": "identify", **dict(three)} for three in itertools.product(USERS, DEVICES, COOKIES)
    ]
    eve: list[Event] = [{"type": "identify", **dict(GONE)}, {"type": "erase", **dict(GONE[:1])}]
    return [*behaviour, *links, *links, *cuts, *triples, *eve]


DEEDS: Final = _deeds()
"""New ones belong at the end: what a number means must not change."""
NUMBERS: Final = st.lists(st.integers(0, len(DEEDS) * TIMES - 1), min_size=1, max_size=EVENTS_MAX)
"""Histories. Events of behaviour come first, so that a failing history shrinks to few links."""


def events_of(numbers: Sequence[int]) -> list[Event]:
    """The events that numbers stand for, each with an id of its own."""
    return [
        {
            **DEEDS[number // TIMES],
            "ts": START_MS + number % TIMES * MOMENT_MS,
            "event_id": f"e{k}",
        }
        for k, number in enumerate(numbers)
    ]


def parted(events: Sequence[Event]) -> list[Event]:
    """The same, and then all links taken back."""
    ts = START_MS + TIMES * MOMENT_MS
    left = [event for event in events if not _is_of_the_gone(event)]
    linked = [event.items() for event in left if event["type"] == "identify"]
    cuts = [
        {"type": "identify", "unlink": True, "ts": ts, "event_id": f"c{k}", **dict(pair)}
        for k, pair in enumerate(PAIRS)
        if any(dict(pair).items() <= items for items in linked)
    ]
    return [*left, *cuts]


def without_links(events: Sequence[Event]) -> list[Event]:
    """The same, as if nobody had ever been linked."""
    return [e for e in events if e["type"] != "identify" and not _is_of_the_gone(e)]


def _is_of_the_gone(event: Event) -> bool:
    return any(event.get(name) == one for name, one in GONE)


class Known(NamedTuple):
    """What is known of people at the end.

    Parameters
    ----------
    pids, rows
        Of those who are not erased and have a row: (R,), own events only.
    vectors
        By pid of those whose profile shows some events.
    owners
        Profile that shows the row of whoever belongs to another, by pid.
    erased
        Pids of the erased.
    """

    pids: list[str]
    rows: Rows
    vectors: Mapping[str, Any]
    owners: Mapping[str, str]
    erased: set[str]


def lived(events: Sequence[Event], chance: random.Random) -> Known:
    """What a town knows that these events reached in any order, anywhere, some twice."""
    homes = chance.randint(1, 3)
    sent = [*events, *(event for event in events if chance.random() < REPEATS)]
    chance.shuffle(sent)
    arrivals: dict[int, list[RawRecord]] = {number: [] for number in range(homes)}
    for event in sent:
        log = arrivals[number := chance.randrange(homes)]
        value = msgspec.json.encode(event)
        log.append(RawRecord("profiler.events", number, len(log), None, None, value))
    return known(Town(arrivals, homes, chance).live())


def known(store: MemoryStore) -> Known:
    """What stands in a store, without those of whom nothing is known."""
    pids = sorted(store.states)
    stored = decode_states([store.states[pid] for pid in pids], SPEC, {})
    has_row = ~stored.erased & (stored.rows["core.n_accepted"] > 0)
    at = np.flatnonzero(has_row)
    owners = {
        pid: view["moved_to"].decode() for pid, view in store.profiles.items() if "moved_to" in view
    }
    claimed = {
        pids[k]: links.owner.owner
        for k, links in stored.links.items()
        if links.owner and not stored.erased[k]
    }
    assert owners == claimed, "readers are led elsewhere than the links say"
    vectors = {
        pid: np.frombuffer(view["vector"], dtype="<f4")
        for pid, view in store.profiles.items()
        # Who owned somebody for a moment, or only people who never did anything, is shown empty.
        if view.get("vector", NOTHING) != NOTHING
    }
    erased = {pids[k] for k in np.flatnonzero(stored.erased).tolist()}
    return Known([pids[k] for k in at.tolist()], stored.rows[at], vectors, owners, erased)


def expected(events: Sequence[Event]) -> Known:
    """The same by definition: everybody's own events at once, then who belongs to whom."""
    pid = PSEUDONYMISER.pid
    links, erased = ReferenceLinks(pid), set[str]()
    records: list[RawRecord] = []
    for fields in events:
        event = event_of(dict(fields))
        if isinstance(event, Identify):
            links.say(event, fields["event_id"])
        elif fields["type"] == "erase":
            erased.add(pid("user", fields["user_id"]))
        else:
            value = msgspec.json.encode(fields)
            records.append(RawRecord("profiler.events", 0, len(records), None, None, value))
    owners = links.owners()
    erased |= {one for one, owner in owners.items() if owner in erased}
    prepared = preparer_of(1).prepare([Chunk(topic_code(EVENTS), 0, records)])
    stored = decode_states([None] * len(prepared.pids), SPEC, {})
    process(SPEC, prepared, stored, ModelBank(SPEC))
    alive = sorted(set(prepared.pids) - erased)
    at = np.array([prepared.pids.index(one) for one in alive], dtype=np.intp)
    rows = stored.rows[at]
    owners = {one: owner for one, owner in owners.items() if one not in erased}
    return Known(alive, rows, _shown(alive, rows, owners), owners, erased)


def _shown(pids: Sequence[str], rows: Rows, owners: Mapping[str, str]) -> dict[str, Any]:
    """Vectors of all who show somebody's row: of all such rows, merged."""
    place = {pid: k for k, pid in enumerate(pids)}
    merged: dict[str, Rows] = {}
    for pid in pids:
        top = pid
        while top in owners:
            top = owners[top]
        row = rows[place[pid] : place[pid] + 1]
        merged[top] = merge_rows(SPEC, merged[top], row) if top in merged else row
    if not merged:
        return {}
    vectors, _ = visible(SPEC, np.concatenate(list(merged.values())))
    return dict(zip(merged, vectors, strict=True))


NOTHING: Final = visible(SPEC, SPEC.empty(1))[0].tobytes()
"""The vector of somebody of whom nothing is known."""
LINEAR: Final = np.concatenate(
    [
        np.arange(s.offset, s.offset + s.length)
        for s in SPEC.slices
        if s.name not in ("interest_focus", "sessions", "intent", "journey")
    ]
)
"""Places of the vector that depend on no order, that of merging included."""


def assert_same(found: Known, wanted: Known) -> None:
    """Equality of design §2: of identities, rows, and what readers see, as far as it is linear."""
    assert found.owners == wanted.owners
    assert found.erased == wanted.erased
    assert found.pids == wanted.pids
    assert_equal(found.rows, wanted.rows, linear_only=True)
    assert found.vectors.keys() == wanted.vectors.keys()
    for pid, vector in wanted.vectors.items():
        np.testing.assert_allclose(found.vectors[pid][LINEAR], vector[LINEAR], rtol=1e-5, atol=1e-5)

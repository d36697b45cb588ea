"""When what readers see counts as stale."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from profiler.dedupe import Fences
from profiler.peers import Peers
from profiler.pipeline import visible
from profiler.spec import DEFAULT_SPEC, Spec
from profiler.staleness import stale, stale_traits
from profiler.state import decode_states, encode_states, encode_tombstone
from profiler.traits import TraitRules
from tests.folding import Fold
from tests.strategies import START_MS, record

NAMES = ("ann", "bob", "eve")

PIDS = [f"p{k}" for k in range(100)]


def people() -> tuple[list[bytes], list[dict[str, bytes]]]:
    """Some states, and what readers see of them."""
    fold = Fold()
    for k in range(90):
        kind, user = ("purchase", "browse")[k % 2], NAMES[k % 3]
        fields = {"type": kind, "ts": START_MS + k * 7_000, "user_id": user, "item_id": f"i{k % 9}"}
        fold.apply([record({**fields, "price": 1.5 * k}, k)])
    values = list(fold.states.values())
    stored = decode_states(values, DEFAULT_SPEC, {})
    vectors, summaries = visible(DEFAULT_SPEC, stored.rows)
    views = [
        {
            "vector": vector.tobytes(),
            "summary": summary,
            "as_of": b"%d" % as_of,
            "rev": b"%d" % rev,
            "spec": DEFAULT_SPEC.hash.encode(),
        }
        for vector, summary, as_of, rev in zip(
            vectors,
            summaries,
            stored.rows["core.as_of"].tolist(),
            stored.rev.tolist(),
            strict=True,
        )
    ]
    return values, views


def stale_of(values: list[bytes], views: list[dict[str, bytes]]) -> list[tuple[int, str]]:
    stored = decode_states(values, DEFAULT_SPEC, {})
    return list(stale(DEFAULT_SPEC, PIDS[: len(values)], values, stored, views))


def test_what_was_made_from_the_state_is_not_stale() -> None:
    assert stale_of(*people()) == []


@pytest.mark.parametrize("field", ["vector", "summary", "as_of", "rev", "spec"])
@pytest.mark.parametrize("other", [None, b"1"])
def test_every_field_counts(field: str, other: bytes | None) -> None:
    values, views = people()
    if other is None:
        del views[1][field]
    else:
        views[1][field] = other

    assert stale_of(values, views) == [(1, field)]


def test_a_vector_may_differ_by_rounding_but_not_by_more() -> None:
    values, views = people()
    numbers = np.frombuffer(views[0]["vector"], dtype="<f4")
    views[0]["vector"] = (numbers * np.float32(1 + 1e-7)).tobytes()
    views[2]["vector"] = (numbers + np.float32(1e-3)).tobytes()

    assert stale_of(values, views) == [(2, "vector")]


def test_a_summary_may_differ_by_its_last_digit_but_not_by_a_count() -> None:
    values, views = people()
    first, last = (msgspec.json.decode(views[k]["summary"]) for k in (0, 2))
    first["value"]["spent"] += 0.01
    last["core"]["events"] += 1
    views[0]["summary"], views[2]["summary"] = map(msgspec.json.encode, (first, last))

    assert stale_of(values, views) == [(2, "summary")]


def test_who_is_erased_must_not_be_seen_and_who_is_not_must_be() -> None:
    values, views = people()
    values[0] = values[1] = encode_tombstone(9, START_MS)
    views[1], views[2] = {}, {}

    assert stale_of(values, views) == [(0, "profile"), (2, "profile")]


def test_of_a_state_of_another_spec_only_revision_and_time_are_compared() -> None:
    spec = Spec(DEFAULT_SPEC.facets[1:])
    rows = spec.empty(2)
    rows["core.as_of"] = START_MS
    values = encode_states(spec, rows, np.array([3, 3]), Fences.empty(2))
    view = {"vector": b"", "summary": b"{}", "as_of": b"%d" % START_MS, "rev": b"3"}
    views = [{**view, "spec": spec.hash.encode()}, {**view, "spec": DEFAULT_SPEC.hash.encode()}]
    stored = decode_states(values, DEFAULT_SPEC, {spec.hash: spec.layout()})

    assert list(stale(DEFAULT_SPEC, PIDS[: len(values)], values, stored, views)) == [(1, "spec")]


def test_traits_that_readers_see_otherwise_are_stale() -> None:
    rules = TraitRules({"plan": "recent"})
    fold = Fold(rules=rules)
    told = {"type": "identify", "ts": START_MS, "traits": {"plan": "gold"}}
    fold.apply([record({**told, "user_id": user}, k) for k, user in enumerate(NAMES)])
    erase = {"type": "erase", "ts": START_MS, "user_id": NAMES[2]}
    fold.apply([record(erase, 3), record({**told, "type": "click", "user_id": "dan"}, 4)])
    pids = list(fold.states)
    stored = decode_states(list(fold.states.values()), DEFAULT_SPEC, {})

    def found(shown: dict[str, bytes]) -> list[str]:
        seen = [shown.get(pid) for pid in pids]
        places = stale_traits(rules, pids, stored, seen, Peers.of({}, DEFAULT_SPEC, {}))
        return [pids[k] for k in places]

    other = dict(zip(pids, (b"{}", *[fold.traits[pids[0]]] * 3), strict=True))
    assert found(fold.traits) == []
    assert found({}) == pids[:2]
    # The first says something else, the third is erased, the last never told anything.
    assert found(other) == [pids[0], pids[2], pids[3]]

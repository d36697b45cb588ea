"""What readers see against the states that it was made from.

Revision, time and spec must be identical. Vector and summary may differ by what another processor
or NumPy may round otherwise than the worker's: what is really stale has another revision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from profiler.identity import NO_LINKS
from profiler.peers import Peers
from profiler.pipeline import visible
from profiler.spec import Spec
from profiler.state import Stored, spec_hash_of
from profiler.traits import TraitRules

VECTOR_RTOL: Final = 1e-5
VECTOR_ATOL: Final = 1e-6
SUMMARY_ATOL: Final = 0.1
"""One unit of the coarsest number in a summary, all of which are rounded; the vector is finer."""

View = Mapping[str, bytes]
"""Fields of what readers see; empty where there is nothing."""


def stale(
    spec: Spec,
    pids: Sequence[str],
    values: Sequence[bytes],
    stored: Stored,
    views: Sequence[View],
    peers: Peers | None = None,
) -> Iterator[tuple[int, str]]:
    """Give the places of people of whom readers see something else than their state says.

    Each comes with the first field that differs, or *profile* where there is none, or still one of
    somebody who is erased. Of a state of another spec, vector and summary are not compared.

    Parameters
    ----------
    pids, values, stored
        R people, with their states, encoded and decoded.
    views
        What readers see of the same people.
    peers
        Those who belong to them.
    """
    rows = stored.rows.copy()
    peers = peers or Peers.of({}, spec, {})
    for k, links in stored.links.items():
        if links.members:
            rows[k : k + 1] = peers.merged(spec, pids[k], links, rows[k : k + 1])
    ties = {k: peers.merged_ties(pids[k], links) for k, links in stored.links.items()}
    vectors, summaries = visible(spec, rows, ties)
    for k, (value, view) in enumerate(zip(values, views, strict=True)):
        if stored.erased[k] or not view:
            if bool(view) == bool(stored.erased[k]):
                yield k, "profile"
            continue
        if owner := stored.links.get(k, NO_LINKS).owner:
            if view.get("moved_to") != owner.owner.encode() or view.get("rev") != _rev(stored, k):
                yield k, "moved_to"
            continue
        found_under = spec_hash_of(value)
        expected = {
            "spec": found_under.encode(),
            "rev": _rev(stored, k),
            "as_of": b"%d" % rows["core.as_of"][k],
        }
        wrong = [name for name, text in expected.items() if view.get(name) != text]
        if found_under == spec.hash:
            if not _is_vector(view.get("vector", b""), vectors[k]):
                wrong.append("vector")
            if not _is_summary(view.get("summary", b""), summaries[k]):
                wrong.append("summary")
        if wrong:
            yield k, wrong[0]


def stale_traits(
    rules: TraitRules,
    pids: Sequence[str],
    stored: Stored,
    shown: Sequence[bytes | None],
    peers: Peers,
) -> Iterator[int]:
    """Give the places of people whose traits readers see otherwise than their state says.

    Parameters
    ----------
    rules
        Of the workers.
    pids, stored
        R people, with their states.
    shown
        What readers see of their traits.
    peers
        Those who belong to them.
    """
    for k, (pid, found) in enumerate(zip(pids, shown, strict=True)):
        links = stored.links.get(k, NO_LINKS)
        expected = b""
        if not stored.erased[k] and links.owner is None:
            expected = rules.shown(peers.traits(rules, pid, links))
        if (found or b"") != expected:
            yield k


def _rev(stored: Stored, k: int) -> bytes:
    return b"%d" % stored.rev[k]


def _is_vector(found: bytes, expected: np.ndarray[Any, np.dtype[np.float32]]) -> bool:
    if len(found) != 4 * len(expected):
        return False
    numbers = np.frombuffer(found, dtype="<f4")
    return bool(np.allclose(numbers, expected, rtol=VECTOR_RTOL, atol=VECTOR_ATOL))


def _is_summary(found: bytes, expected: bytes) -> bool:
    if found == expected:
        return True
    try:
        return _alike(msgspec.json.decode(found), msgspec.json.decode(expected))
    except msgspec.DecodeError:
        return False


def _alike(a: Any, b: Any) -> bool:
    """Whether two JSON values are the same but for the rounding of fractions."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[name], b[name]) for name in a)
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= SUMMARY_ATOL
    return type(a) is type(b) and bool(a == b)

"""What stands in the store of some people, also where it is damaged, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from profiler.audit import Difference, compare
from profiler.errors import CorruptState
from profiler.fold import Fold
from profiler.identity import NO_LINKS, Links
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.reference_cleaning import ReferenceCleaning
from profiler.spec import DEFAULT_SPEC
from profiler.state import REV_SLICE, Layout, decode_state, unknown_specs
from streams.homelog import Kept
from streams.references import feed_items, reference_cleaning, reference_of
from streams.settings import Settings
from streams.store import Store


@dataclass(frozen=True, slots=True)
class Standing:
    """One person's state as it stands in the store.

    Parameters
    ----------
    rev
        Its revision, 0 where there is none.
    row
        None where there is none, it is a tombstone, or it cannot be read.
    fences
        Highest offset applied, by code of the partition.
    links
        Who belongs to whom.
    erased
        Whether it is a tombstone.
    readable
        Whether it is a state, or none at all.
    """

    rev: int = 0
    row: np.void | None = None
    fences: Mapping[int, int] = field(default_factory=dict)
    links: Links = NO_LINKS
    erased: bool = False
    readable: bool = True


async def standing(store: Store, pids: Sequence[str]) -> dict[str, Standing]:
    """Load what stands in the store.

    Raises
    ------
    UnknownSpec
        If a state was written under a spec whose layout is not in the store.
    """
    values = await store.load(pids)
    layouts: dict[str, Layout] = {}
    for spec_hash in unknown_specs(values, DEFAULT_SPEC, {}):
        if (layout := await store.spec(spec_hash)) is not None:
            layouts[spec_hash] = msgspec.json.decode(layout)
    return {pid: _standing(v, layouts) for pid, v in zip(pids, values, strict=True)}


def differences(
    settings: Settings,
    kept: Sequence[Kept],
    homes: Mapping[str, int],
    found: Mapping[str, Standing],
    fold: Fold,
) -> list[Difference]:
    """Compare what stands in the store with the log, up to where each state says that it is.

    By the reference implementation, record by record, as an audit does.
    """
    cleaning = reference_cleaning(settings)
    feed_items(cleaning, settings)
    wrong: list[Difference] = []
    for pid, one in found.items():
        if not one.readable:
            wrong.append(Difference(pid, "profile", "a state", "bytes that are none"))
        elif not one.rev and pid in fold.states:
            wrong.append(Difference(pid, "profile", "stored", "none"))
        elif one.rev:
            theirs = [k for k in kept if k.partition == homes[pid]]
            wrong += _compared(settings, cleaning, pid, one, theirs)
    return wrong


def _compared(
    settings: Settings, cleaning: ReferenceCleaning, pid: str, one: Standing, kept: Sequence[Kept]
) -> list[Difference]:
    pseudonymiser = Pseudonymiser(settings.pseudonym_key.reveal().encode())
    reference = reference_of(settings, pseudonymiser.pid, cleaning)
    reference.from_ms = settings.live_from_ms
    codes = set()
    for k in kept:
        if one.erased or k.offset <= one.fences.get(k.code, -1):
            r = k.record
            reference.feed(r.value, r.topic, r.partition, r.offset, r.timestamp, r.headers)
            codes.add(k.code)
    person = reference.people.get(pid)
    if one.row is None or person is None:
        is_known = person is not None and bool(person.n_accepted)
        if one.row is not None and one.row["core.n_accepted"] and not is_known:
            return [Difference(pid, "profile", "none", "stored")]
        return []
    if person.erased:
        return [Difference(pid, "profile", "erased", "alive")]
    return compare(pid, person, one.row, ordered=len(codes) < 2)


def _standing(value: bytes | None, layouts: Mapping[str, Layout]) -> Standing:
    if value is None:
        return Standing()
    try:
        stored = decode_state(value, DEFAULT_SPEC, layouts)
    except CorruptState:
        # What the compare-and-set compares is there all the same.
        return Standing(int.from_bytes(value[REV_SLICE], "little"), readable=False)
    erased = bool(stored.erased[0])
    return Standing(
        int(stored.rev[0]),
        None if erased else stored.rows[0],
        stored.fences.of(0),
        stored.links.get(0, NO_LINKS),
        erased,
    )

"""Recomputes one person from the log, and puts them in the place of what the store has.

Workers may run meanwhile. What is written holds all that the stored state knew, which is made sure
of before: its fences lie within what was read, and so do its links. It is written by the same
compare-and-set as any commit. A worker that has computed the next revision is refused, loads what
stands there now, and applies again what its fences have not seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from profiler.audit import Difference
from profiler.batch import Preparer
from profiler.errors import UsageError
from profiler.excerpt import about
from profiler.fold import Fold
from profiler.homing import homes_of
from profiler.identity import Claim, Links
from profiler.linking import Subject
from profiler.models.bank import ModelBank
from profiler.pipeline import visible
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Chunk
from profiler.spec import DEFAULT_SPEC, guarded_spec
from profiler.state import encode_states, encode_tombstone
from profiler.traits import NO_TRAITS
from streams.asof import parse_subject
from streams.assembly import guard, screen
from streams.cleaning import cleaner_from_log
from streams.figures import WEIGHTS_KEY
from streams.formats import decoder_of
from streams.homelog import HomeLog, Kept, chunks_of, dead_origins
from streams.identity import identities
from streams.past import Past
from streams.settings import Settings
from streams.standing import Standing, differences, standing
from streams.store import Erasure, Move, ProfileWrite, Store, Write

Pid = Callable[[str, str], str]

PATIENCE_S: Final = 60.0
"""How long a rebuild runs after a person who changes all the time."""


class RebuildReport(Struct, frozen=True, kw_only=True):
    """What a rebuild found and did.

    Parameters
    ----------
    pids
        Profile ids of the subject and of all who were ever linked with them.
    written
        How many of their states were written.
    events
        Events of theirs that count.
    attempts
        How often it had to begin anew, as a worker wrote meanwhile, and once.
    is_cut
        Whether the log has lost its beginning.
    differences
        What stood in the store and was wrong, by the audit's own comparison.
    """

    pids: tuple[str, ...]
    written: int
    events: int
    attempts: int
    is_cut: bool
    differences: tuple[Difference, ...]


async def rebuild(
    settings: Settings,
    store: Store,
    past: Past,
    subject: str,
    *,
    dry_run: bool = False,
    force: bool = False,
    progress: bool | None = None,
) -> RebuildReport:
    """Recompute a person and all who were ever linked with them, and write what comes of it.

    Parameters
    ----------
    past
        The topic of events, for who was linked with whom.
    dry_run
        Only tell what differs.
    force
        Also if the log no longer reaches back to their first event.

    Raises
    ------
    UsageError
        If the log knows nothing of the subject or not all, or they change too fast.
    BrokerUnavailable, StoreUnavailable
        If they are.
    UnknownSpec
        If a state was written under a spec whose layout is not in the store.
    """
    named = parse_subject(subject)
    subjects = sorted(past.families(progress=progress).of(named), key=lambda one: one != named)
    pid = Pseudonymiser(settings.pseudonym_key.reveal().encode()).pid
    homes = await _with_stored_links(store, _homes(settings, subjects, pid))
    bank = ModelBank(DEFAULT_SPEC)
    if weights := (await store.figures(WEIGHTS_KEY)).get("weights"):
        bank.restore(weights)
    family = _Family(settings, homes, bank)
    before = await standing(store, list(homes))
    known = await identities(store)
    with HomeLog(settings, set(homes.values()), known, family.concerned) as log:
        kept = _without_dead(settings, log.catch_up(progress=progress))
        family.apply(kept)
        if not family.fold.states:
            raise UsageError(f"the log knows nothing of {subject}")
        if not force:
            is_all = not log.is_cut and not await store.loads()
            _require_reach(family.fold, before, is_all=is_all)
        wrong = differences(settings, kept, homes, before, family.fold)
        writer = _Writer(settings, store, log, family, before)
        written = 0 if dry_run else await writer.write()
        return RebuildReport(
            pids=tuple(homes),
            written=written,
            events=int(family.fold.stored(list(homes)).rows["core.n_accepted"].sum()),
            attempts=writer.attempts,
            is_cut=log.is_cut,
            differences=tuple(wrong),
        )


class _Family:
    """The people who are recomputed, as far as the log was read."""

    def __init__(self, settings: Settings, homes: Mapping[str, int], bank: ModelBank) -> None:
        self.homes = homes
        self._preparer = Preparer(
            Pseudonymiser(settings.pseudonym_key.reveal().encode()),
            screen(settings),
            homes=settings.partitions,
            decoder=decoder_of(settings),
            rules=settings.trait_rules(),
            cleaner=cleaner_from_log(settings),
        )
        self.rules = self._preparer.rules
        self.fold = Fold(guarded_spec(guard(settings)), self._preparer, bank)

    def concerned(self, chunk: Chunk) -> Collection[int]:
        """Places of the records of a chunk that are about somebody of the family."""
        theirs = about(self._preparer.prepare([chunk]), self.homes)
        return sorted({*theirs.record.tolist(), *(claim.record for claim in theirs.claims)})

    def apply(self, kept: list[Kept]) -> None:
        """Apply what was read."""
        if kept:
            prepared = self._preparer.prepare(list(chunks_of(kept)))
            self.fold.apply(about(prepared, self.homes))


class _Writer:
    """Puts a family into the store, in the place of a state that knows nothing more.

    A state may know of records beyond what was read when it was loaded after that. Those that its
    fences speak of, and its links, are looked for. What a state of some revision knows was in the
    log when it was loaded; so what is not found in the log as it ended later is not true.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        log: HomeLog,
        family: _Family,
        before: Mapping[str, Standing],
    ) -> None:
        self.attempts = 0
        self._topic = settings.topic("events")
        self._store = store
        self._log = log
        self._family = family
        self._pids = list(before)
        self._read_up_to = before
        self._untrue = self._unknown_claims(before)

    async def write(self) -> int:
        """Write until nobody has written meanwhile; give the number of states."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            self.attempts += 1
            found = await standing(self._store, self._pids)
            if not self._is_read(found):
                if more := self._log.read_on():
                    self._family.apply(more)
                else:
                    self._family.apply(self._log.catch_up())
                    self._read_up_to = found
                    self._untrue |= self._unknown_claims(found)
                continue
            writes = self._writes(found)
            if await self._commit(writes):
                return len(writes)
            self._family.apply(self._log.read_on())
        raise UsageError(f"workers wrote all the time for {PATIENCE_S:.0f} s: try again later")

    def _is_read(self, found: Mapping[str, Standing]) -> bool:
        """Whether all that these states know was read."""
        moved = {p: one for p, one in found.items() if one.rev > self._read_up_to[p].rev}
        fences = [fence for one in moved.values() for fence in one.fences.items()]
        return all(self._log.has_read(*fence) for fence in fences) and not (
            self._unknown_claims(moved) - self._untrue
        )

    def _unknown_claims(self, found: Mapping[str, Standing]) -> set[tuple[str, Claim]]:
        known = self._family.fold.links
        return {
            (pid, claim)
            for pid, one in found.items()
            for claim in one.links.claims
            if known(pid).with_claim(claim) != known(pid)
        }

    def _writes(self, found: Mapping[str, Standing]) -> list[Write]:
        """The next revisions of all of whom the log knows."""
        fold, writes = self._family.fold, list[Write]()
        theirs = [p for p in self._pids if p in fold.states and not found[p].erased]
        for pid in theirs:
            fold.relink(pid, self._links(pid, found[pid].links))
        for pid in theirs:
            rev, links, stored = found[pid].rev + 1, fold.links(pid), fold.stored([pid])
            if stored.erased[0]:
                erased_ms = stored.erased_ms[0]
                writes.append(Erasure(pid, rev, encode_tombstone(rev, erased_ms, links)))
                continue
            (state,) = encode_states(
                DEFAULT_SPEC, stored.rows, np.array([rev]), stored.fences, {0: links}
            )
            if links.owner:
                writes.append(Move(pid, rev, state, links.owner.owner))
                continue
            _, rows, ties, traits = fold.shown([pid])
            (vector,), (summary,) = visible(DEFAULT_SPEC, rows, ties)
            told = self._family.rules.shown(traits.get(0, NO_TRAITS))
            as_of = int(rows["core.as_of"][0])
            data = vector.astype("<f4").tobytes()
            writes.append(ProfileWrite(pid, rev, state, data, summary, as_of, True, told))
        return writes

    def _links(self, pid: str, stored: Links) -> Links:
        """What the log says; members are only those who may be asked, so all of them may stay."""
        links = self._family.fold.links(pid)
        if self._log.is_cut:
            for claim in stored.claims:
                links = links.with_claim(claim)
        for member in stored.members:
            links = links.with_member(member)
        return links

    async def _commit(self, writes: Sequence[Write]) -> bool:
        """Write members before those who show them; give whether nobody was there first."""
        reached: dict[int, int] = {}
        fold = self._family.fold
        for write in writes:
            for code, offset in fold.stored([write.pid]).fences.of(0).items():
                reached[code] = max(offset + 1, reached.get(code, 0))
        if reached:
            await self._store.put_reached(self._topic, reached)
        for is_move in (True, False):
            part = [write for write in writes if isinstance(write, Move) is is_move]
            if part and not all(await self._store.commit(part)):
                return False
        return True


def _homes(settings: Settings, subjects: Sequence[Subject], pid: Pid) -> dict[str, int]:
    pids = [pid(*(("user", one) if isinstance(one, str) else one)) for one in subjects]
    found = homes_of(subjects, settings.partitions).tolist()
    return dict(zip(pids, found, strict=True))


async def _with_stored_links(store: Store, homes: dict[str, int]) -> dict[str, int]:
    """Add those who are linked with them by the store: the log may have lost how."""
    new = list(homes)
    while new:
        found = await standing(store, new)
        peers = {peer.pid: peer.home for one in found.values() for peer in one.links.peers()}
        new = [pid for pid in peers if pid not in homes]
        homes |= {pid: peers[pid] for pid in new}
    return homes


def _without_dead(settings: Settings, kept: list[Kept]) -> list[Kept]:
    """Leave out what lies among the dead letters: it has not been applied."""
    origins = [(one.record.topic, one.record.partition, one.record.offset) for one in kept]
    dead = dead_origins(settings, origins)
    return [one for one, origin in zip(kept, origins, strict=True) if origin not in dead]


def _require_reach(fold: Fold, before: Mapping[str, Standing], *, is_all: bool) -> None:
    """Refuse to put less in the place of somebody.

    Parameters
    ----------
    is_all
        Whether the log has its beginning, and nothing was ever loaded past it: what the store has
        more of is wrong then, unless it is older.
    """
    for pid, one in before.items():
        row = fold.stored([pid]).rows[0]
        is_less = not (one.readable or is_all) or (
            one.row is not None
            and (
                (not is_all and row["core.n_accepted"] < one.row["core.n_accepted"])
                or row["core.first_ts"] > one.row["core.first_ts"]
            )
        )
        if is_less:
            raise UsageError(
                f"the log does not reach back to the first event of {pid}, or what `profiler "
                "backfill` loaded is not in it: --force puts what it has in the place of the "
                "profile"
            )

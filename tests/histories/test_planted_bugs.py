"""The histories find bugs: each of these is planted, and soon one must end otherwise."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pytest

from profiler.dedupe import Fences
from profiler.identity import Claim, Links, Peer
from profiler.linking import Claimed, Linker, Looked
from profiler.peers import Peers
from tests.histories.history import (
    DEEDS,
    EVENTS_MAX,
    TIMES,
    assert_same,
    events_of,
    expected,
    lived,
)
from tests.histories.town import Town

HISTORIES_MAX: Final = 1_000

Plant = Callable[[pytest.MonkeyPatch], None]


def ignore_cuts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Claim, "holds", property(lambda claim: claim.last_ms >= 0))


def keep_the_latest_link_as_the_first(patch: pytest.MonkeyPatch) -> None:
    def joined(claim: Claim, other: Claim) -> Claim:
        first_ms, first_id = max((claim.first_ms, claim.first_id), (other.first_ms, other.first_id))
        last_ms, cut_ms = max(claim.last_ms, other.last_ms), max(claim.cut_ms, other.cut_ms)
        return Claim(claim.owner, claim.home, claim.is_user, first_ms, first_id, last_ms, cut_ms)

    patch.setattr(Claim, "joined", joined)


def keep_the_earliest_cut(patch: pytest.MonkeyPatch) -> None:
    def joined(claim: Claim, other: Claim) -> Claim:
        right = real(claim, other)
        cuts = [cut for cut in (claim.cut_ms, other.cut_ms) if cut >= 0]
        return Claim(
            right.owner,
            right.home,
            right.is_user,
            right.first_ms,
            right.first_id,
            right.last_ms,
            min(cuts, default=-1),
        )

    real = Claim.joined
    patch.setattr(Claim, "joined", joined)


def let_the_earliest_own_user_or_not(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Claim, "rank", property(lambda c: (c.first_ms, c.first_id, c.owner)))


def forget_the_id_where_links_have_one_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Claim, "rank", property(lambda c: (not c.is_user, c.first_ms, c.owner)))


def take_members_from_memory(patch: pytest.MonkeyPatch) -> None:
    """Members are as they were when they were first met."""
    init, of = Town.__init__, Peers.of.__func__  # type: ignore[attr-defined]
    kept: dict[str, bytes | None] = {}

    def begin(town: Town, *given: Any) -> None:
        kept.clear()
        init(town, *given)

    def remembered(cls: type[Peers], values: Mapping[str, bytes | None], *rest: Any) -> Peers:
        found: Peers = of(cls, {p: kept.setdefault(p, v) for p, v in values.items()}, *rest)
        return found

    patch.setattr(Town, "__init__", begin)
    patch.setattr(Peers, "of", classmethod(remembered))


def show_direct_members_only(patch: pytest.MonkeyPatch) -> None:
    def family(peers: Peers, pid: str, links: Links) -> Iterator[str]:
        return (member.pid for member in links.members if peers.belongs(member.pid, pid))

    patch.setattr(Peers, "family", family)


def believe_that_members_stay(patch: pytest.MonkeyPatch) -> None:
    """Rows are shown of all who ever told that they belong there."""

    def family(peers: Peers, pid: str, links: Links) -> Iterator[str]:
        for member in links.members:
            yield member.pid
            yield from peers.family(member.pid, peers.links(member.pid))

    patch.setattr(Peers, "family", family)
    patch.setattr(Links, "without", lambda links, pid: links)


def tell_only_whom_a_claim_names(patch: pytest.MonkeyPatch) -> None:
    """Who owned somebody before does not hear of it."""

    def claim(linker: Linker, claims: Sequence[Claimed]) -> None:
        looks = linker.result.looks
        real(linker, claims)
        named = {(place, said.owner) for place, _, said in claims}
        for look in list(looks):
            place = linker._pids.index(look.peer.pid)
            if (place, look.at.pid) not in named:
                del looks[look]

    real = Linker._claim
    patch.setattr(Linker, "_claim", claim)
    patch.setattr(Linker, "tell_owners", lambda linker, places: None)


def tell_owners_only_of_what_is_new(patch: pytest.MonkeyPatch) -> None:
    """A worker that repeats what one wrote that died does not have owners look."""

    def tell(linker: Linker, places: Sequence[int]) -> None:
        real(linker, set(places) & linker.result.touched)

    real = Linker.tell_owners
    patch.setattr(Linker, "tell_owners", tell)


def spare_members_of_the_erased(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Peers, "is_erased", lambda peers, pid: False)


def drop_the_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Fences, "fenced", lambda self, row, partition, offset: np.zeros(len(row), bool))
    patch.setattr("profiler.pipeline.is_duplicate", lambda recent, n, row, ids: row < 0)


def lose_what_is_told_twice(patch: pytest.MonkeyPatch) -> None:
    """Only one look per worker and person: another that changed meanwhile is not looked at."""

    def tell(linker: Linker, place: int, peers: Sequence[Peer]) -> None:
        known = {look.at for look in linker.result.looks}
        real(linker, place, [peer for peer in peers if peer not in known])

    real = Linker._tell
    patch.setattr(Linker, "_tell", tell)


def look_at_the_first_only(patch: pytest.MonkeyPatch) -> None:
    def look(linker: Linker, looks: Sequence[Looked]) -> dict[int, int]:
        return real(linker, looks[:1])

    real = Linker._look
    patch.setattr(Linker, "_look", look)


PLANTS: Final = (
    ignore_cuts,
    keep_the_latest_link_as_the_first,
    keep_the_earliest_cut,
    let_the_earliest_own_user_or_not,
    forget_the_id_where_links_have_one_time,
    take_members_from_memory,
    show_direct_members_only,
    believe_that_members_stay,
    tell_only_whom_a_claim_names,
    tell_owners_only_of_what_is_new,
    spare_members_of_the_erased,
    drop_the_fence,
    lose_what_is_told_twice,
    look_at_the_first_only,
)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    found = next((k for k in range(HISTORIES_MAX) if not ends_right(k)), None)

    print("found by history", found)
    assert found is not None


def ends_right(k: int) -> bool:
    chance = random.Random(f"history {k}")
    n = len(DEEDS) * TIMES
    events = events_of([chance.randrange(n) for _ in range(chance.randint(1, EVENTS_MAX))])
    try:
        assert_same(lived(events, chance), expected(events))
    except AssertionError:
        return False
    return True

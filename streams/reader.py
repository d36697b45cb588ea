"""What readers ask the store and what its answers mean, without any input or output.

`ProfileReader` says it as generators: they yield the commands of a round trip, are sent the
replies, and return the result. `streams.client` makes the round trips.
"""

from __future__ import annotations

import collections
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from profiler.behaviour.crowd import crowd_from
from profiler.behaviour.layout import epochs_read
from profiler.behaviour.report import Behaviour, behaviour_of
from profiler.errors import ConfigurationError, CorruptState
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.trait_values import trait_digest, trait_name
from profiler.traits import read_shown
from streams.mixing import MIXED_SLICES, mixed_direction, mixed_lists, shares
from streams.profile import Layout as Layout  # its users get all three with the reader
from streams.profile import Profile as Profile
from streams.profile import Quarantine as Quarantine
from streams.store import (
    BEHAVIOUR_AS_OF,
    BEHAVIOUR_KEY,
    behaviour_key,
    names_key,
    profile_key,
    spec_key,
    traits_key,
)

NAMES_CACHED_MAX: Final = 100_000
LINKS_LONG: Final = 2
"""From anonymous to device to user."""

_Result = TypeVar("_Result")
Command = tuple[str, ...]
Steps = Generator[list[Command], list[Any], _Result]


class ProfileReader:
    """Asks for profiles, and remembers layouts and names.

    Parameters
    ----------
    pseudonym_key
        The workers' key.
    """

    def __init__(self, pseudonym_key: str | bytes) -> None:
        key = pseudonym_key.encode() if isinstance(pseudonym_key, str) else pseudonym_key
        try:
            self._pseudonymiser = Pseudonymiser(key)
        except ValueError as short:
            problem = f"the key of the workers is needed to read profiles: {short}"
            raise ConfigurationError("PROFILER_PSEUDONYM_KEY", problem) from short
        self._layouts: dict[str, Layout] = {}
        self._names: dict[tuple[str, str], str] = {}

    def pid(self, subject: str) -> str:
        """Profile id of ``user:<id>``, ``device:<id>``, ``anonymous:<id>`` or ``pid:<profile id>``.

        Anything else is a user id as it stands.
        """
        kind, colon, subject_id = subject.partition(":")
        if colon and kind == "pid":
            return subject_id
        if colon and kind in ("user", "device", "anonymous"):
            return self._pseudonymiser.pid(kind, subject_id)
        return self._pseudonymiser.pid("user", subject)

    def digest(self, name: str, value: str) -> str | None:
        """What stands in the place of a value that identifies a person, in a trait of that name."""
        return trait_digest(self._pseudonymiser.pid, trait_name(name), value)

    def profiles(
        self,
        pids: Sequence[str],
        *,
        with_names: bool,
        with_ties: bool = False,
        with_traits: bool = False,
    ) -> Steps[list[Profile | None]]:
        """Profiles in the order of `pids`: one round trip, one for ties, others for what is new."""
        bare = yield from self._read(pids, with_traits=with_traits)
        known = [profile for profile in bare if profile is not None]
        close: dict[str, Profile] = {}
        if with_ties and (tied := sorted({tie.pid for one in known for tie in one.ties})):
            others = yield from self._read(tied)
            close = {
                pid: one for pid, one in zip(tied, others, strict=True) if one and _agrees(one)
            }
        everybody = [*known, *close.values()]
        yield from self._learn_layouts({profile.spec for profile in everybody})
        if with_names:
            yield from self._learn_names(t for profile in everybody for t in _tokens(profile))
        return [None if one is None else self._mixed(self._dressed(one), close) for one in bare]

    def names(self, kind: str, tokens: Sequence[str]) -> Steps[list[str]]:
        """Readable names of tokens (hex), these themselves where the store has none."""
        yield from self._learn_names((kind, token) for token in tokens)
        return [self._names.get((kind, token), token) for token in tokens]

    def behaviour(self, cohort: str) -> Steps[Behaviour | None]:
        """Figures of the crowd, in two round trips; None where nothing was counted yet."""
        (found,) = yield [("ZSCORE", BEHAVIOUR_KEY, BEHAVIOUR_AS_OF)]
        as_of_ms = int(float(found or 0))
        epochs = epochs_read(as_of_ms)
        counts = yield [("HGETALL", behaviour_key(epoch)) for epoch in epochs]
        fields = {
            epoch: {name.decode(): float(count) for name, count in entries.items()}
            for epoch, entries in zip(epochs, counts, strict=True)
        }
        behaviour = behaviour_of(crowd_from(fields, as_of_ms), cohort)
        return behaviour if behaviour.cohorts else None

    def _read(
        self, pids: Sequence[str], *, with_traits: bool = False
    ) -> Steps[list[Profile | None]]:
        """Read profiles as they stand in the store, or those that they have joined."""
        pids = list(pids)
        found, traits = yield from _ask(pids, with_traits=with_traits)
        for _ in range(LINKS_LONG):
            moved = {i: entry[b"moved_to"] for i, entry in enumerate(found) if b"moved_to" in entry}
            if not moved:
                break
            for i, pid in moved.items():
                pids[i] = pid.decode()
            again = yield from _ask([pids[i] for i in moved], with_traits=with_traits)
            for i, entry, told in zip(moved, *again, strict=True):
                found[i], traits[i] = entry, told
        return [
            _decoded(pid, entry, told) if entry else None
            for pid, entry, told in zip(pids, found, traits, strict=True)
        ]

    def _mixed(self, profile: Profile, close: Mapping[str, Profile]) -> Profile:
        """Add what those are interested in whom a person is tied to; `close` is by their pids."""
        strengths: dict[str, float] = collections.defaultdict(float)
        others: dict[str, Profile] = {}
        for tie in profile.ties:
            other = close.get(tie.pid)
            # Several ties may lead to one profile, and even back to this one.
            if other and other.pid != profile.pid and other.spec in self._layouts:
                strengths[other.pid] += tie.strength
                others[other.pid] = other
        if not others:
            return profile
        weights = shares([strengths[pid] for pid in others])
        weighted = list(zip(weights, map(self._dressed, others.values()), strict=True))
        lists = mixed_lists([(w, other.summary.get("interest", {})) for w, other in weighted])
        named = {
            kind: [
                (self._names.get((kind, token), token), share) for token, share in entries.items()
            ]
            for kind, entries in lists.items()
        }
        parts = [
            mixed_direction([(w, other.vector_slice(name)) for w, other in weighted])
            for name in MIXED_SLICES
        ]
        vector = np.concatenate(parts)
        vector.flags.writeable = False
        return msgspec.structs.replace(profile, tie_interests=named, tie_vector=vector)

    def _learn_layouts(self, hashes: set[str]) -> Steps[None]:
        new = sorted(hashes - self._layouts.keys())
        if new:
            layouts = yield [("GET", spec_key(spec_hash)) for spec_hash in new]
            for spec_hash, layout in zip(new, layouts, strict=True):
                if layout is not None:
                    self._layouts[spec_hash] = msgspec.json.decode(layout, type=Layout)

    def _learn_names(self, tokens: Iterable[tuple[str, str]]) -> Steps[None]:
        new: dict[str, list[str]] = collections.defaultdict(list)
        for kind, token in dict.fromkeys(tokens):
            if (kind, token) not in self._names:
                new[kind].append(token)
        if not new:
            return
        if len(self._names) > NAMES_CACHED_MAX:
            self._names.clear()
        replies = yield [("HMGET", names_key(kind), *asked) for kind, asked in new.items()]
        for (kind, asked), names in zip(new.items(), replies, strict=True):
            for token, name in zip(asked, names, strict=True):
                if name is not None:
                    self._names[kind, token] = name.decode()

    def _dressed(self, profile: Profile) -> Profile:
        names: dict[str, dict[str, str]] = collections.defaultdict(dict)
        for kind, token in _tokens(profile):
            if (name := self._names.get((kind, token))) is not None:
                names[kind][token] = name
        layout = self._layouts.get(profile.spec)
        return msgspec.structs.replace(profile, layout=layout, names=names)


def _ask(
    pids: Sequence[str], *, with_traits: bool
) -> Steps[tuple[list[dict[bytes, bytes]], list[bytes | None]]]:
    """Fields of profiles, and their traits if wanted: in one round trip."""
    commands: list[Command] = [("HGETALL", profile_key(pid)) for pid in pids]
    if not with_traits:
        return (yield commands), [None] * len(pids)
    replies = yield commands + [("GET", traits_key(pid)) for pid in pids]
    return replies[: len(pids)], replies[len(pids) :]


def _decoded(pid: str, entry: Mapping[bytes, bytes], traits: bytes | None) -> Profile:
    try:
        return Profile(
            pid=pid,
            as_of_ms=int(entry[b"as_of"]),
            rev=int(entry[b"rev"]),
            spec=entry[b"spec"].decode(),
            vector=np.frombuffer(entry[b"vector"], dtype="<f4"),
            summary=msgspec.json.decode(entry[b"summary"], type=dict[str, Any]),
            traits=read_shown(traits),
        )
    except (KeyError, ValueError, msgspec.DecodeError) as fault:
        raise CorruptState(f"{profile_key(pid)} is not what a worker writes: {fault}") from fault


def _agrees(profile: Profile) -> bool:
    """Whether somebody may be mixed into what others are interested in: not if they said no."""
    return profile.summary.get("consent", {}).get("ties") is not False


def _tokens(profile: Profile) -> list[tuple[str, str]]:
    interest = profile.summary.get("interest", {})
    return [(kind, token) for kind, entries in interest.items() for token in entries]

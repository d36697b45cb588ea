"""What readers ask the store to recommend something, without any input or output.

Three round trips: the person's trail, the statistics of what is in it, and those of candidates that
the shelf does not have. The shelf and the mix of clues are remembered for some seconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct

from profiler.errors import CorruptState
from profiler.recommendation.associations import TokenRows
from profiler.recommendation.clues import Past
from profiler.recommendation.mix import Mix, MixState, merged
from profiler.recommendation.recommender import (
    Answer,
    Ranked,
    Wanted,
    category_mix,
    item_mix,
    rank_categories,
    rank_items,
)
from profiler.recommendation.recommender import Steps as RankSteps
from profiler.recommendation.shelf import Shelf
from profiler.recommendation.stored import HEAD_BYTES, decode_heads, decode_rows, decode_shelf
from profiler.tokens import token_hash
from streams.next_touch import mix_key
from streams.reader import Command, Profile, ProfileReader, Steps
from streams.statistics import SHELF
from streams.store import name_field, row_key

REMEMBERED_S: Final = 10.0
"""How long a shelf and a mix serve before they are read again."""

Kind = Literal["item", "category"]


class Recommendation(Struct, frozen=True):
    """Something that a person may touch next.

    Parameters
    ----------
    name
        As in events; the token's hash in hex where the store has no name.
    probability
        That it is the next one, if it is one of the candidates.
    clues
        What each clue adds to its score, which is their sum.
    """

    name: str
    probability: float
    clues: dict[str, float]

    @property
    def score(self) -> float:
        """Log-odds against other candidates, up to a constant."""
        return sum(self.clues.values())


class _Remembered:
    """Shelf and mix of one kind."""

    def __init__(self, mix: Mix) -> None:
        self.mix, self.shelf = mix, Shelf()
        self.until_s = 0.0


class Recommender:
    """Recommends from profiles and statistics.

    Parameters
    ----------
    reader
        Reads profiles and names.
    """

    def __init__(self, reader: ProfileReader) -> None:
        self._reader = reader
        self._of = {"item": _Remembered(item_mix()), "category": _Remembered(category_mix())}

    def recommend(
        self,
        pid: str,
        k: int,
        now_s: float,
        *,
        kind: Kind = "item",
        exclude: Collection[str] = (),
        new_only: bool = False,
    ) -> Steps[list[Recommendation]]:
        """The k most likely next items or categories, the likeliest first.

        Parameters
        ----------
        now_s
            Of any clock, to know when to read shelf and mix again.
        exclude
            What must not be recommended, as named in events.
        new_only
            Whether to leave out what is in the person's trail.
        """
        known = self._of[kind]
        (profile,) = yield from self._reader.profiles([pid], with_names=False)
        if now_s >= known.until_s:
            yield from self._fetch(kind, known)
            # Where there is nothing yet there may be something soon.
            known.until_s = now_s + (REMEMBERED_S if len(known.shelf) else 0.0)
        past = _past(profile)
        left_out = {token_hash(kind, name) for name in exclude}
        if new_only:
            left_out.update(past.items if kind == "item" else past.categories)
        now_ms = max(known.shelf.as_of, profile.as_of_ms if profile else 0)
        steps = (
            rank_items(past, known.shelf, now_ms, left_out)
            if kind == "item"
            else rank_categories(past, known.shelf, now_ms, left_out)
        )
        ranked = yield from self._ranked(steps)
        best = ranked.best(known.mix, k)
        tokens = [name_field(token) for token in ranked.tokens[best].tolist()]
        names = yield from self._reader.names(kind, tokens)
        return _told(ranked, known.mix, best, names)

    def _fetch(self, kind: Kind, known: _Remembered) -> Steps[None]:
        shelf, mixes = yield [("GET", row_key(SHELF, kind)), ("HVALS", mix_key(kind))]
        known.shelf = Shelf(decode_shelf(shelf))
        states = []
        for value in mixes:
            with contextlib.suppress(msgspec.DecodeError):
                states.append(msgspec.json.decode(value, type=MixState))
        if states:
            known.mix.restore(merged(states))

    def _ranked(self, steps: RankSteps) -> Steps[Ranked]:
        wanted = next(steps)
        while True:
            commands = _commands(wanted)
            replies = (yield commands) if commands else []
            try:
                wanted = steps.send(_answer(wanted, replies))
            except StopIteration as done:
                ranked: Ranked = done.value
                return ranked


def _past(profile: Profile | None) -> Past:
    trail = profile.summary.get("trail", {}) if profile else {}
    return Past(_tokens(trail.get("item", "")), _tokens(trail.get("category", "")))


def _tokens(digits: str) -> tuple[int, ...]:
    """Hashes from a trail as the summary has it.

    Examples
    --------
    >>> _tokens("00000000000000ff0000000000000001")
    (255, 1)
    """
    try:
        return tuple(np.frombuffer(bytes.fromhex(digits), dtype=">u8").tolist())
    except ValueError as fault:
        raise CorruptState(f"a trail is not what a worker writes: {fault}") from fault


def _commands(wanted: Wanted) -> list[Command]:
    last = str(HEAD_BYTES - 1)
    return [
        *(("GET", row_key("item", name_field(token))) for token in wanted.rows),
        *(("GET", row_key("category", name_field(token))) for token in wanted.categories),
        *(("GET", row_key("members", name_field(token))) for token in wanted.members),
        *(("GETRANGE", row_key("item", name_field(t)), "0", last) for t in wanted.heads),
    ]


def _answer(wanted: Wanted, replies: Sequence[Any]) -> Answer:
    rest = iter(replies)

    def rows(tokens: tuple[int, ...]) -> TokenRows:
        return decode_rows([next(rest) for _ in tokens])

    return Answer(
        rows(wanted.rows),
        rows(wanted.categories),
        rows(wanted.members),
        decode_heads(list(rest)),
    )


def _told(ranked: Ranked, mix: Mix, best: list[int], names: Sequence[str]) -> list[Recommendation]:
    scores = mix.scores(ranked.x)
    odds = np.exp(scores - scores.max(initial=-np.inf))
    shares = (odds[best] / odds.sum()).tolist()
    parts = (ranked.x[best] * mix.weights).tolist()
    return [
        Recommendation(name, share, {clue: v for clue, v in zip(mix.names, of, strict=True) if v})
        for name, share, of in zip(names, shares, parts, strict=True)
    ]

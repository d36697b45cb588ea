"""One watched series: stable, then a warning by a detector, then confirmed by labels to come.

The suspicion and its confirmation are apart. A detector that reacts fast is often wrong; what comes
*after* its warning has had no part in it, so an ordinary test of that against what was before means
what it says. It is looked at a few times, with the level of the test divided among the looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from profiler.drift.detectors import Kind
from profiler.drift.levels import (
    BEFORE_MIN,
    Block,
    Level,
    change_point,
    effect,
    level,
    p_value,
)

KEPT_BLOCKS: Final = 128
"""Latest blocks that are kept: where a change began is looked for among them."""

LOOKS: Final = (2, 4, 8, 16, 32, 64)
"""Blocks after a warning at which it is tested; after the last it is withdrawn."""

TOLD_BLOCKS: Final = 32
"""Blocks after an alarm for which the state is `confirmed`."""

ALPHA: Final = 0.01
"""Level of the test that confirms: the share of unfounded warnings that become alarms, at most."""

State = Literal["stable", "warning", "confirmed"]


class Drift(Struct, frozen=True):
    """A drift that was confirmed.

    Parameters
    ----------
    task
        Name of the task.
    on
        `watch.ERROR`, or the name of a feature.
    at, at_ms
        Number of labels before the likeliest change, and the time of the first after it.
    found, found_ms
        The same of when it was confirmed.
    before, after
        Mean loss, or mean of the feature, before the change and since.
    p_value
        Of the last look: the chance of such a difference if nothing had changed.
    """

    task: str
    on: str
    at: int
    at_ms: int
    found: int
    found_ms: int
    before: float
    after: float
    p_value: float


class Watched(Struct, frozen=True):
    """What is watched, and what counts as a drift of it.

    Parameters
    ----------
    task, on
        As in `Drift`.
    rises_only
        Whether only a rise is a drift; a fall is then the new level without further ado.
    effect_min
        Least difference, in standard deviations of single values (Cohen's d): with enough labels
        any real stream changes by more than chance.
    alpha
        Level of the test that confirms, divided among its looks.
    kind
        The detector that warns.
    """

    task: str
    on: str
    rises_only: bool
    effect_min: float
    alpha: float
    kind: Kind


class Warned(Struct):
    """A suspicion: the level before it, the block at which it begins, and how many came since.

    `n_since` counts that block and all after it, `n_after` those that came after the warning.
    """

    before: Level
    first: Block
    n_since: int
    n_after: int = 0


class Series:
    """A series of blocks and its state.

    Parameters
    ----------
    watched
        What is watched, and how strictly.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._warned: Warned | None = None
        self._n_told = 0
        self._scale = self._origin = 0.0
        self._begin()

    @property
    def state(self) -> State:
        """Stable; warning; or confirmed, for `TOLD_BLOCKS` after an alarm."""
        if self._warned:
            return "warning"
        return "confirmed" if self._n_told else "stable"

    def update(self, blocks: Sequence[Block]) -> list[Drift]:
        """Drifts that these blocks confirm."""
        return [found for block in blocks if (found := self._step(block))]

    def _step(self, block: Block) -> Drift | None:
        self._kept.append(block)
        self._n_told = max(0, self._n_told - 1)
        suspects = self._suspects(block)
        if self._warned is not None:
            self._warned.n_since += 1
            self._warned.n_after += 1
            return self._look(self._warned)
        if suspects:
            self._warn()
        return None

    def _suspects(self, block: Block) -> bool:
        """Whether the detector does, on values scaled by how the first blocks varied."""
        if self._scale:
            return self._feed(block)
        if len(self._kept) < BEFORE_MIN:
            return False
        first = level(self._kept)
        least = 1e-6 * max(1e-6, abs(first.mean))
        self._scale = max(first.block_deviation, least)
        self._origin = first.mean
        return sum(self._feed(one) for one in self._kept) > 0

    def _feed(self, block: Block) -> bool:
        self._detector.update((block.mean - self._origin) / self._scale)
        return bool(self._detector.drift_detected)

    def _warn(self) -> None:
        kept = list(self._kept)
        if len(kept) <= BEFORE_MIN:
            return
        cut = change_point(kept)
        before, after = level(kept[:cut]), level(kept[cut:])
        if self._watched.rises_only and after.mean <= before.mean:
            self._begin(kept[cut:])
        else:
            self._warned = Warned(before, kept[cut], len(kept) - cut)

    def _look(self, warned: Warned) -> Drift | None:
        n = warned.n_after
        if n not in LOOKS:
            return None
        watched, kept = self._watched, list(self._kept)
        p = p_value(warned.before, level(kept[-n:]), watched.rises_only)
        after = level(kept[-warned.n_since :])
        is_drift = (
            p <= watched.alpha / len(LOOKS)
            and effect(warned.before, after) >= watched.effect_min
            and not (watched.rises_only and after.told <= warned.before.told)
        )
        if not is_drift:
            if n == LOOKS[-1]:
                self._warned = None
            return None
        return self._confirm(warned, after, p)

    def _confirm(self, warned: Warned, after: Level, p: float) -> Drift:
        since = list(self._kept)[-warned.n_since :]
        found = Drift(
            task=self._watched.task,
            on=self._watched.on,
            at=warned.first.span.first,
            at_ms=warned.first.span.first_ms,
            found=since[-1].span.last + 1,
            found_ms=since[-1].span.last_ms,
            before=warned.before.told,
            after=after.told,
            p_value=p,
        )
        self._begin(since)
        self._n_told = TOLD_BLOCKS
        return found

    def _begin(self, kept: Sequence[Block] = ()) -> None:
        """Start anew with what came since a change."""
        self._warned = None
        self._scale = self._origin = 0.0
        self._detector = self._watched.kind.make()
        self._kept: deque[Block] = deque(kept, maxlen=KEPT_BLOCKS)
        if len(self._kept) >= BEFORE_MIN:
            self._suspects(self._kept[-1])

    def export(self) -> dict[str, Any]:
        """The kept blocks and the state, as plain data."""
        return {
            "kept": msgspec.to_builtins(list(self._kept)),
            "origin": self._origin,
            "scale": self._scale,
            "n_told": self._n_told,
            "warned": msgspec.to_builtins(self._warned),
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """Go on from what was exported; the detector is built anew from the kept blocks."""
        self._begin()
        self._kept.extend(msgspec.convert(kept["kept"], list[Block]))
        self._origin, self._scale = float(kept["origin"]), float(kept["scale"])
        self._n_told = int(kept["n_told"])
        self._warned = msgspec.convert(kept["warned"], Warned | None)
        if self._scale:
            for block in self._kept:
                self._feed(block)

"""Behaviour as text for people: of the crowd, and of one person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from profiler.behaviour.funnel import Funnel, Passage
from profiler.behaviour.nextstep import NEXT, NextSteps, shrunk
from profiler.behaviour.report import Behaviour
from profiler.behaviour.seasons import Seasons
from profiler.facets.journey import STAGES, STEPS
from streams.portrait import LABEL_WIDTH, duration, moment
from streams.profile import Profile

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SHADES: Final = ((0.25, " "), (0.75, "░"), (1.5, "▒"), (3.0, "▓"))
"""Of a seasonal index below each bound; "█" above."""

HOURS_PER_DAY: Final = 24
_WAYS: Final = ("look → cart", "cart → purchase", "look → purchase, with or without a cart")
_WIDE: Final = 12

Labelled = tuple[str, str]


class Habits(Struct, frozen=True):
    """How one person behaves.

    Parameters
    ----------
    pid, as_of_ms
        Whose profile it is, and of when.
    step, stage, entered_ms
        The latest step; how far the latest session came, and since when, 0: it has no stage.
    sessions
        Decayed number of sessions that looked or came further, were at the cart, bought.
    conversion
        Carts by sessions that looked, purchases through the cart by carts, and purchases by
        sessions that looked.
    mean_s
        Mean time from look to cart and from cart to purchase; None where there is none.
    ended
        Decayed number of sessions that ended at each of `STEPS`.
    next_steps
        Probability of what follows the latest step, by name; few observations are drawn towards
        what the crowd does.
    """

    pid: str
    as_of_ms: int
    step: str
    stage: str
    entered_ms: int
    sessions: tuple[float, ...]
    conversion: tuple[float, ...]
    mean_s: tuple[float | None, ...]
    ended: tuple[float, ...]
    next_steps: dict[str, float]


def habits_of(profile: Profile, crowd: Behaviour | None) -> Habits | None:
    """Read a profile's journey; None if it was written before there was any.

    Parameters
    ----------
    crowd
        What others do.
    """
    journey: dict[str, Any] | None = profile.summary.get("journey")
    if journey is None:
        return None
    prior: Sequence[float] = [0.0] * len(NEXT)
    if crowd is not None and journey["step"] in STEPS:
        prior = crowd.next_steps.probability[STEPS.index(journey["step"])]
    looked, _, bought = journey["reached"]
    carts, (_, from_cart) = journey["carts"], journey["passed"]
    return Habits(
        pid=profile.pid,
        as_of_ms=profile.as_of_ms,
        step=journey["step"],
        stage=journey["stage"],
        entered_ms=journey["entered"],
        sessions=(looked, carts, bought),
        conversion=tuple(
            went / came if came else 0.0
            for went, came in ((carts, looked), (from_cart, carts), (bought, looked))
        ),
        mean_s=tuple(
            mean_s if n else None
            for n, mean_s in zip(journey["passed"], journey["mean_s"], strict=True)
        ),
        ended=tuple(journey["ended"]),
        next_steps=dict(zip(NEXT, shrunk(journey["next"], prior), strict=True)),
    )


def habit_lines(habits: Habits) -> list[str]:
    """Lines that show how one person behaves."""
    since = f", since {moment(habits.entered_ms)}" if habits.entered_ms else ""
    stages = zip(("looked", "at the cart", "bought"), habits.sessions, strict=True)
    lines = [
        ("profile", habits.pid),
        ("as of", moment(habits.as_of_ms)),
        ("step", habits.step),
        ("stage", f"{habits.stage}{since}"),
        ("sessions", "  ".join(f"{name} {n:.1f}" for name, n in stages)),
    ]
    label = "conversion"
    for name, share, mean_s in zip(_WAYS, habits.conversion, (*habits.mean_s, None), strict=True):
        time = "" if mean_s is None else f", after {duration(mean_s)} on average"
        lines.append((label, f"{name}: {_percent(share)}{time}"))
        label = ""
    if sum(habits.ended):
        ended = zip(STEPS, habits.ended, strict=True)
        lines.append(("ended at", "  ".join(f"{name} {n:.1f}" for name, n in ended if n)))
    following = sorted(habits.next_steps.items(), key=lambda entry: -entry[1])
    lines.append(("next", "  ".join(f"{name} {_percent(p)}" for name, p in following)))
    return _joined(lines)


def behaviour_lines(behaviour: Behaviour) -> list[str]:
    """Lines that show how a cohort behaves."""
    others = ", ".join(name for name in behaviour.cohorts if name != behaviour.cohort)
    return _joined(
        [
            ("cohort", behaviour.cohort + (f" (others: {others})" if others else "")),
            ("as of", f"{moment(behaviour.as_of_ms)}: the latest event; older ones count less"),
            ("", ""),
            *_funnel(behaviour.funnel),
            ("", ""),
            *_times(behaviour.funnel.passages),
            ("", ""),
            *_next_steps(behaviour.next_steps),
            ("", ""),
            *_seasons(behaviour.seasons),
        ]
    )


def _funnel(funnel: Funnel) -> Iterator[Labelled]:
    yield "funnel", f"{_percent(funnel.conversion)} of sessions buy"
    ways = [f"to {name}" for name in STAGES[1:]]
    yield "", _row("stage", ["sessions", *ways, "leave"])
    for stage in funnel.stages:
        name = "session" if stage.name == "none" else stage.name
        on = [_share(stage.to.get(name, 0.0)) for name in STAGES[1:]]
        left = _percent(stage.left) if stage.name != STAGES[-1] else "–"
        yield "", _row(name, [f"{stage.sessions:,.1f}", *on, left])


def _times(passages: Sequence[Passage]) -> Iterator[Labelled]:
    label = "times"
    for passage in passages:
        before, _, after = passage.name.partition("_to_")
        text = f"{before} → {after}"
        if passage.name == "look_to_purchase":
            text += " without a cart"
        if passage.median_s is None or passage.slow_s is None:
            text += ": never"
        else:
            half, most = duration(passage.median_s), duration(passage.slow_s)
            text += f": {passage.passages:,.1f} times, half within {half}, 9 of 10 within {most}"
        yield label, text
        label = ""


def _next_steps(steps: NextSteps) -> Iterator[Labelled]:
    yield "next step", _row("after", NEXT)
    for name, shares in (
        ("start", (*steps.starts, 0.0)),
        *zip(STEPS, steps.probability, strict=True),
    ):
        yield "", _row(name, [_share(share) for share in shares])


def _seasons(seasons: Seasons) -> Iterator[Labelled]:
    width = HOURS_PER_DAY + 4
    hours = "".join(f"{hour:<6}" for hour in range(0, HOURS_PER_DAY, 6))
    yield "seasons", f"    {'events':{width}}purchases"
    yield "UTC", f"    {hours:{width}}{hours}".rstrip()
    for day, name in enumerate(DAYS):
        place = slice(day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY)
        maps = [
            "".join(_shade(index) for index in indices[place])
            for indices in (seasons.events_index, seasons.purchases_index)
        ]
        yield "", f"{name} {maps[0]:{width}}{maps[1]}".rstrip()
    bounds = "  ".join(f"{shade} below {bound:g}" for bound, shade in SHADES[1:])
    yield "", f"blank below {SHADES[0][0]:g}  {bounds}  █ above, times the mean hour"


def _shade(index: float) -> str:
    return next((shade for bound, shade in SHADES if index < bound), "█")


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:{_WIDE}}" + "".join(f"{cell:>{_WIDE}}" for cell in cells)


def _share(share: float) -> str:
    return _percent(share) if share else "–"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _joined(lines: Sequence[Labelled]) -> list[str]:
    return [f"{label:{LABEL_WIDTH}}{text}".rstrip() for label, text in lines]

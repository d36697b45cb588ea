"""A profile as text for people."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any, Final

from streams.reader import Profile, Quarantine

KINDS: Final = ("category", "brand", "item")
LISTED: Final = 5
WEEKDAYS: Final = (
    *("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays"),
)
SHARP: Final = 0.2
"""Below this sharpness (0: any time, 1: always the same) a habit is not worth a word."""

LIVE_S: Final = 86_400
LABEL_WIDTH: Final = 11

HELD: Final = {
    "rate": "held: more events at once than a person makes",
    "rhythm": "held: two days and nights without rest",
    "operator": "held by an operator",
}

Part = dict[str, Any]


def portrait(profile: Profile, now_ms: int) -> list[str]:
    """Lines that show a profile, a label before each.

    Everything is as of the profile's own moment, not as of now: `Profile.at` brings it there.
    """
    facts = profile.summary
    if not facts["core"]["events"]:
        lines = [("profile", profile.pid), ("known", "no event yet")]
        lines += [*_quarantine(profile.quarantine), *_traits(profile)]
        return [f"{label:{LABEL_WIDTH}}{text}" for label, text in lines]
    lines = [
        ("profile", profile.pid),
        ("as of", moment(profile.as_of_ms) + _freshness(profile, now_ms)),
        *_quarantine(profile.quarantine),
        ("known", _known(facts["core"], profile.rev)),
        ("events", "  ".join(f"{name} {n:,}" for name, n in facts["activity"].items())),
        *_interests(profile),
        ("value", _value(facts["value"], profile.as_of_ms)),
        ("rhythm", _rhythm(facts["rhythm"])),
        ("sessions", _sessions(facts["sessions"])),
        ("journey", _journey(facts.get("journey"))),
        ("scores", _scores(facts["intent"])),
        *_ties(profile),
        *_traits(profile),
    ]
    return [f"{label:{LABEL_WIDTH}}{text}" for label, text in lines if text]


def slices(profile: Profile) -> list[str]:
    """Lines that show the vector, slice by slice."""
    assert profile.layout is not None
    width = max(len(part.name) for part in profile.layout.slices) + 2
    indent = " " * width
    lines = []
    for part in profile.layout.slices:
        numbers = [f"{x:8.3f}" for x in profile.vector_slice(part.name).tolist()]
        rows = ["".join(numbers[i : i + 8]) for i in range(0, len(numbers), 8)]
        lines += [f"{part.name:{width}}{rows[0]}", *(indent + row for row in rows[1:])]
    return lines


def duration(seconds: float) -> str:
    """Name a length of time, in the two greatest units that say something.

    Examples
    --------
    >>> duration(4.2), duration(75), duration(93_600), duration(31_600_000)
    ('4.2 s', '1 min 15 s', '1 d 2 h', '365 d')
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    for unit, n_s, smaller, n_smaller_s in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if seconds >= n_s:
            whole, rest = divmod(seconds, n_s)
            more = int(rest // n_smaller_s)
            return f"{whole:,.0f} {unit}" + (f" {more} {smaller}" if more and whole < 100 else "")
    raise AssertionError("below a minute returned above")


def moment(ms: int) -> str:
    """Name a moment, in UTC.

    Examples
    --------
    >>> moment(1_700_000_000_000)
    '2023-11-14 22:13:20 UTC'
    """
    return dt.datetime.fromtimestamp(ms / 1_000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _day(ms: int) -> str:
    return dt.datetime.fromtimestamp(ms / 1_000, dt.UTC).strftime("%Y-%m-%d")


def _freshness(profile: Profile, now_ms: int) -> str:
    age_s = (now_ms - profile.as_of_ms) / 1_000
    quiet_s = (profile.as_of_ms - profile.summary["core"]["last_ts"]) / 1_000
    parts = [f", {duration(age_s)} ago"] if age_s >= 0 else []
    if quiet_s > 0:
        parts.append(f"; the latest event {duration(quiet_s)} before")
    elif age_s >= LIVE_S:
        parts.append(": the latest event; all below is as of then")
    return "".join(parts)


def _known(core: Part, rev: int) -> str:
    since = _day(core["first_ts"])
    known = f"since {since}, {_count(core['events'], 'event')}"
    # What was computed from the past has never been committed.
    return f"{known}, {_count(rev, 'commit')}" if rev else known


def _quarantine(held: Quarantine | None) -> Iterator[tuple[str, str]]:
    if held is not None:
        yield "quarantine", f"{HELD[held.reason]} (since {moment(held.since_ms)})"


def _interests(profile: Profile) -> Iterator[tuple[str, str]]:
    label = "interests"
    for kind in KINDS:
        favourites = profile.top(kind)[:LISTED]
        if favourites:
            named = "  ".join(f"{name} {weight:.2f}" for name, weight in favourites)
            yield label, f"{kind:10}{named}"
            label = ""
    if label:
        yield label, "none yet"


def _traits(profile: Profile) -> Iterator[tuple[str, str]]:
    if profile.traits:
        told = [
            f"{name} {', '.join(str(one.value) for one in values)}"
            for name, values in profile.traits.items()
        ]
        yield "traits", "  ".join(told)


def _value(value: Part, as_of_ms: int) -> str:
    if value["last_purchase"] is None:
        return "nothing bought yet"
    ago_s = max(0.0, (as_of_ms - value["last_purchase"]) / 1_000)
    parts = [
        f"spent {value['spent']:,.2f}",
        f"last purchase {duration(ago_s)} before" if ago_s else "last purchase just then",
        f"about a month: {value['money_month']:,.2f} in {value['orders_month']:.1f} purchases"
        f" of {value['basket_units']:.1f} units",
    ]
    if value["refunded"]:
        share = f"{100 * value['return_share']:.0f} %"
        parts.insert(1, f"refunded {value['refunded']:,.2f} ({share})")
    return ", ".join(parts)


def _rhythm(rhythm: Part) -> str:
    hour = rhythm["hour"]
    minutes = round(hour * 4) * 15 % 1_440
    clock = f"{minutes // 60:02d}:{minutes % 60:02d} UTC"
    parts = []
    if rhythm["hour_sharpness"] >= SHARP:
        parts.append(f"mostly around {clock} (sharpness {rhythm['hour_sharpness']:.2f})")
    else:
        parts.append(f"at any hour (sharpness {rhythm['hour_sharpness']:.2f})")
    if rhythm["weekday_sharpness"] >= SHARP:
        day = WEEKDAYS[math.floor(rhythm["weekday"]) % 7]
        parts.append(f"{day} (sharpness {rhythm['weekday_sharpness']:.2f})")
    else:
        parts.append(f"any day of the week (sharpness {rhythm['weekday_sharpness']:.2f})")
    return ", ".join(parts)


def _sessions(sessions: Part) -> str:
    parts = [
        f"{sessions['count']:,}",
        f"mean length {duration(sessions['mean_length_s'])}",
        f"{_count(sessions['depth'], 'event')} in the latest one",
    ]
    if sessions["count"] > 1:
        parts.insert(2, f"mean gap {duration(sessions['mean_gap_s'])}")
    if sessions["late_events"]:
        parts.append(f"{_count(sessions['late_events'], 'late event')}")
    return ", ".join(parts)


def _journey(journey: Part | None) -> str:
    if journey is None or not sum(journey["reached"]):
        return ""
    looked, _, bought = journey["reached"]
    carts = journey["carts"]
    return (
        f"at {journey['step']}, the latest session came to {journey['stage']}, about a month: "
        f"{looked:.1f} sessions looked, {carts:.1f} came to the cart, {bought:.1f} bought"
    )


def _scores(intent: Part) -> str:
    return "  ".join(f"{task.replace('_', ' ')} {score:.3f}" for task, score in intent.items())


def _ties(profile: Profile) -> Iterator[tuple[str, str]]:
    if strongest := profile.ties[:LISTED]:
        named = "  ".join(f"{t.relation} {t.pid} {t.strength:.2f}" for t in strongest)
        yield "ties", named
    for kind in KINDS:
        if shares := profile.tie_interests.get(kind, [])[:LISTED]:
            named = "  ".join(f"{name} {100 * share:.0f} %" for name, share in shares)
            yield "", f"their {kind:10}{named}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")

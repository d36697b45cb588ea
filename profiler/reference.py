"""`docs/facets.md` once more, one event at a time: what every profile must be.

The columnar core computes profiles with array operations over batches; this module computes them
again from the definition alone, with numbers, lists and dicts, and an audit compares the two. It is
deliberately simple, shares nothing with the core but the decoding of events, and must stay so: a
fault that both make is a fault that nobody finds.

One thing is kept beyond the definition: the total length of what was added to the interest vectors,
against which rounding errors are measured (`profiler.audit`). All other sums tell theirs.
"""

from __future__ import annotations

import math
from typing import Final

import xxhash

from profiler.events import (
    BEHAVIOUR_TYPES,
    TYPE_CODES,
    AnyEvent,
    Follow,
    Purchase,
    Refund,
    Search,
    timestamp_ms,
)
from profiler.reference_interest import DIMENSIONS, TopList, content_direction, token_hash
from profiler.reference_journey import ReferenceJourney
from profiler.reference_quarantine import ReferenceQuarantine

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MONTH_MS: Final = 30 * DAY_MS
WEEK_MS: Final = 7 * DAY_MS
MONDAY_MS: Final = 4 * DAY_MS
"""1970-01-05T00:00:00Z, the first Monday."""
SESSION_GAP_MS: Final = 1_800_000
LANDMARK_HALF_LIVES: Final = 64
RECENT_IDS: Final = 32
N_TYPES: Final = len(BEHAVIOUR_TYPES)
HALF_LIVES_MS: Final = (HOUR_MS, DAY_MS, MONTH_MS)
INTEREST: Final = {"click": 1, "browse": 1, "cart": 3, "purchase": 5, "search": 1}

SUMS: Final[dict[str, tuple[int, int | None]]] = {
    "activity.hour": (N_TYPES, HOUR_MS),
    "activity.day": (N_TYPES, DAY_MS),
    "activity.month": (N_TYPES, MONTH_MS),
    "interest.short": (DIMENSIONS, DAY_MS),
    "interest.long": (DIMENSIONS, MONTH_MS),
    "value.spent": (1, None),
    "value.refunded": (1, None),
    "value.money_day": (1, DAY_MS),
    "value.money": (1, MONTH_MS),
    "value.money_back": (1, MONTH_MS),
    "value.orders": (1, MONTH_MS),
    "value.units": (1, MONTH_MS),
    "rhythm.of_day": (4, MONTH_MS),
    "rhythm.of_week": (4, MONTH_MS),
    "rhythm.mass": (1, MONTH_MS),
    "social.out": (1, MONTH_MS),
    "social.out_strength": (1, MONTH_MS),
    "social.reach": (1, MONTH_MS),
    "social.reach_strength": (1, MONTH_MS),
    "social.ended": (1, MONTH_MS),
}
"""Every floating-point sum: how many numbers it has, and the half-life of a decayed one."""

TOP_LISTS: Final = ("category", "brand", "item")
TRAILS: Final = {"item": 16, "category": 4}
"""How many tokens each trail keeps."""


def landmark_ms(as_of: int, half_life_ms: int) -> int:
    """Moment that sums with this half-life are stored relative to.

    Examples
    --------
    >>> landmark_ms(65 * HOUR_MS, HOUR_MS) // HOUR_MS
    64
    """
    span = LANDMARK_HALF_LIVES * half_life_ms
    return as_of // span * span


def stored_weight(ts: int, as_of: int, half_life_ms: int) -> float:
    """Weigh a contribution at time `ts` to a stored sum: ``2^((ts - L) / half_life)``.

    Notes
    -----
    L is a multiple of the half-life. With the exponent split into its whole and fractional part,
    moving L is therefore exact to the last bit, and so is every tie between weights.

    Examples
    --------
    >>> stored_weight(3 * HOUR_MS, 5 * HOUR_MS, HOUR_MS)
    8.0
    """
    periods, rest = divmod(ts - landmark_ms(as_of, half_life_ms), half_life_ms)
    return math.ldexp(math.exp2(rest / half_life_ms), periods)


def value_at(stored: float, as_of: int, half_life_ms: int, at_ms: int) -> float:
    """Value of a stored sum at a time.

    Examples
    --------
    >>> value_at(8.0, 5 * HOUR_MS, HOUR_MS, 4 * HOUR_MS)
    0.5
    """
    return stored * math.exp2((landmark_ms(as_of, half_life_ms) - at_ms) / half_life_ms)


class ReferencePerson:
    """All that is known of one person, column by column.

    Attributes
    ----------
    sums
        By column name of `SUMS`, in the stored scale.
    lengths
        By name of an interest vector, the total length of the directions that were added.
    tops
        By kind of `TOP_LISTS`.
    trails
        By kind of `TRAILS`, the hashes of the tokens that were touched last, latest first.
    recent
        Ring of the ids' hashes.
    quarantine
        What the guard knows; whoever applies events has it counted.
    journey
        Steps and stages of sessions.
    erased
        Nothing is known any more, and nothing may be.
    partition, ordered
        Where the person's events came from, and whether all came from there, so that the order in
        which they were applied is known.
    """

    __slots__ = (
        *("as_of", "first_ts", "n_accepted", "recent", "count", "sums", "lengths", "tops"),
        "trails",
        *("last_purchase", "n_sessions", "depth", "n_late"),
        *("started", "last", "length_sum", "gap_sum", "erased", "partition", "ordered"),
        *("quarantine", "journey"),
    )

    def __init__(self) -> None:
        self.as_of = self.first_ts = self.n_accepted = self.last_purchase = 0
        self.recent: list[int] = []
        self.count = [0] * N_TYPES
        self.sums = {name: [0.0] * length for name, (length, _) in SUMS.items()}
        self.lengths = {"interest.short": 0.0, "interest.long": 0.0}
        self.tops = {kind: TopList() for kind in TOP_LISTS}
        self.trails: dict[str, list[int]] = {kind: [] for kind in TRAILS}
        self.n_sessions = self.depth = self.n_late = 0
        self.started = self.last = self.length_sum = self.gap_sum = 0
        self.quarantine = ReferenceQuarantine()
        self.journey = ReferenceJourney()
        self.erased = False
        self.partition: tuple[str, int] | None = None
        self.ordered = True

    def exact(self) -> dict[str, int | list[int]]:
        """Integer columns that do not depend on the order of events."""
        return {
            "core.as_of": self.as_of,
            "core.first_ts": self.first_ts,
            "core.n_accepted": self.n_accepted,
            "activity.count": self.count,
            "value.last_purchase": self.last_purchase,
            "sessions.last": self.last,
        }

    def sessions(self) -> dict[str, int]:
        """Columns of sessions that do depend on it."""
        names = ("n_sessions", "depth", "n_late", "started", "length_sum", "gap_sum")
        return {f"sessions.{name}": getattr(self, name) for name in names}


def apply(person: ReferencePerson, event: AnyEvent, origin_id: str) -> bool:
    """Apply a behaviour event to a person.

    Parameters
    ----------
    person
        Changed in place.
    event
        One of the behaviour types.
    origin_id
        ``topic:partition:offset``, the id of an event that brings none.

    Returns
    -------
    Whether it was applied; False for a duplicate.
    """
    if not _accept(person, event, origin_id):
        return False
    ts = timestamp_ms(event.ts)
    code = TYPE_CODES[type(event)]
    person.count[code] += 1
    hour, day, month = (stored_weight(ts, person.as_of, h) for h in HALF_LIVES_MS)
    person.sums["activity.hour"][code] += hour
    person.sums["activity.day"][code] += day
    person.sums["activity.month"][code] += month
    _interest(person, event, INTEREST.get(BEHAVIOUR_TYPES[code], 0), day, month)
    _value(person, event, ts, day, month)
    _rhythm(person, ts, month)
    _session(person, ts, BEHAVIOUR_TYPES[code], month)
    if isinstance(event, Follow):
        _tie(person, event, "out", month)
    return True


def receive(person: ReferencePerson, event: Follow, origin_id: str) -> bool:
    """Apply somebody else's event to the person whom it ties them to; as `apply`."""
    if not _accept(person, event, origin_id):
        return False
    _tie(person, event, "reach", stored_weight(timestamp_ms(event.ts), person.as_of, MONTH_MS))
    return True


def _accept(person: ReferencePerson, event: AnyEvent, origin_id: str) -> bool:
    """Count an event and remember its id; False if that is remembered already."""
    id_hash = xxhash.xxh3_64_intdigest((event.event_id or origin_id).encode())
    if id_hash in person.recent:
        return False
    if len(person.recent) < RECENT_IDS:
        person.recent.append(id_hash)
    else:
        person.recent[person.n_accepted % RECENT_IDS] = id_hash
    ts = timestamp_ms(event.ts)
    person.n_accepted += 1
    person.first_ts = min(person.first_ts, ts) if person.first_ts else ts
    if ts > person.as_of:
        _advance(person, ts)
    return True


def _advance(person: ReferencePerson, as_of: int) -> None:
    """Move the landmarks to where a later `as_of` wants them."""
    for half_life_ms in HALF_LIVES_MS:
        moved_ms = landmark_ms(as_of, half_life_ms) - landmark_ms(person.as_of, half_life_ms)
        if moved_ms and person.as_of:
            _rescale(person, half_life_ms, -moved_ms // half_life_ms)
    person.as_of = as_of


def _rescale(person: ReferencePerson, half_life_ms: int, exponent: int) -> None:
    for name, (_, half_life_of_sum_ms) in SUMS.items():
        if half_life_of_sum_ms == half_life_ms:
            person.sums[name] = [math.ldexp(value, exponent) for value in person.sums[name]]
            if name in person.lengths:
                person.lengths[name] = math.ldexp(person.lengths[name], exponent)
    if half_life_ms == MONTH_MS:
        for top in person.tops.values():
            top.rescale(exponent)
        person.journey.rescale(exponent)


def _interest(
    person: ReferencePerson, event: AnyEvent, interest: int, day: float, month: float
) -> None:
    if interest == 0:
        return
    text = event.query if isinstance(event, Search) else event.title
    direction, size = content_direction(event.item_id, event.category, event.brand, text)
    for name, weight in (("interest.short", day), ("interest.long", month)):
        c = interest * weight
        values = zip(person.sums[name], direction, strict=True)
        person.sums[name] = [value + c * r for value, r in values]
        person.lengths[name] += c * size
    tokens = (("category", event.category), ("brand", event.brand), ("item", event.item_id))
    for kind, token in tokens:
        # An event so late that its weight vanished adds nothing and must evict nothing.
        if token is not None and interest * month > 0:
            person.tops[kind].add(token_hash(kind, token), interest * month)
        if token is not None and kind in TRAILS:
            touched = token_hash(kind, token)
            others = [known for known in person.trails[kind] if known != touched]
            person.trails[kind] = [touched, *others][: TRAILS[kind]]


def _value(person: ReferencePerson, event: AnyEvent, ts: int, day: float, month: float) -> None:
    sums = person.sums
    if isinstance(event, Purchase):
        money = (event.price or 0.0) * event.quantity
        person.last_purchase = max(person.last_purchase, ts)
        sums["value.spent"][0] += money
        sums["value.money_day"][0] += money * day
        sums["value.money"][0] += money * month
        sums["value.orders"][0] += month
        sums["value.units"][0] += event.quantity * month
    elif isinstance(event, Refund):
        money = (event.price or 0.0) * event.quantity
        sums["value.refunded"][0] += money
        sums["value.money_back"][0] += money * month


def _rhythm(person: ReferencePerson, ts: int, month: float) -> None:
    person.sums["rhythm.mass"][0] += month
    for name, share in (
        ("rhythm.of_day", ts % DAY_MS / DAY_MS),
        ("rhythm.of_week", (ts - MONDAY_MS) % WEEK_MS / WEEK_MS),
    ):
        a = 2 * math.pi * share
        values = person.sums[name]
        for k, x in enumerate((math.cos(a), math.sin(a), math.cos(2 * a), math.sin(2 * a))):
            values[k] += x * month


def _tie(person: ReferencePerson, event: Follow, direction: str, month: float) -> None:
    if event.action == "remove":
        person.sums["social.ended"][0] += month
    else:
        person.sums[f"social.{direction}"][0] += month
        person.sums[f"social.{direction}_strength"][0] += event.weight * month


def _session(person: ReferencePerson, ts: int, type_name: str, month: float) -> None:
    gap = ts - person.last
    opens = person.n_sessions == 0 or gap > SESSION_GAP_MS
    if opens:
        person.journey.end(stored_weight(person.last, person.as_of, MONTH_MS))
    else:
        person.journey.go_on(type_name, month)
    person.journey.reach(type_name, ts, month)
    if opens:
        if person.n_sessions:
            person.length_sum += person.last - person.started
            person.gap_sum += gap
        person.n_sessions += 1
        person.depth = 1
        person.started = person.last = ts
    else:
        person.depth += 1
        person.n_late += gap < 0
        person.last = max(person.last, ts)

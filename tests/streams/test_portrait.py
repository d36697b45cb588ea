"""A profile as people read it."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from profiler.batch import Preparer, Screen
from profiler.models.bank import ModelBank
from profiler.pipeline import process, visible
from profiler.privacy.pseudonym import Pseudonymiser
from profiler.records import Chunk, RawRecord
from profiler.spec import DEFAULT_SPEC
from profiler.state import decode_states
from profiler.tokens import hash_text
from profiler.traits import Value
from streams.portrait import portrait, slices
from streams.reader import Layout, Profile, Quarantine

SATURDAY_MS = 1_700_338_500_000  # 2023-11-18 20:15 UTC
DAY_MS = 86_400_000


def profile_of(events: list[dict[str, Any]]) -> Profile:
    """What a reader gets after these events of one person."""
    values = [msgspec.json.encode({"user_id": "alice", **event}) for event in events]
    records = [RawRecord("t", 0, k, None, None, value) for k, value in enumerate(values)]
    prepared = Preparer(Pseudonymiser(b"k" * 32), Screen()).prepare([Chunk(0, 0, records)])
    stored = decode_states([None] * len(prepared.pids), DEFAULT_SPEC, {})
    done = process(DEFAULT_SPEC, prepared, stored, ModelBank(DEFAULT_SPEC))
    names = ("teapots", "lamps")
    return Profile(
        pid=prepared.pids[0],
        as_of_ms=int(done.rows["core.as_of"][0]),
        rev=1,
        spec=DEFAULT_SPEC.hash,
        vector=np.asarray(done.vectors[0]),
        summary=msgspec.json.decode(done.summaries[0]),
        layout=msgspec.convert(DEFAULT_SPEC.layout(), Layout),
        names={"category": {f"{hash_text(f'category{chr(0)}{n}'):016x}": n for n in names}},
    )


@pytest.fixture(scope="module")
def shopper() -> Profile:
    clicks = [
        {"type": "click", "ts": SATURDAY_MS - k * 7 * DAY_MS, "category": "teapots"}
        for k in range(3)
    ]
    bought = {"type": "purchase", "ts": SATURDAY_MS, "category": "lamps", "price": 12.5}
    return profile_of([*clicks, bought, {**bought, "type": "refund"}])


def line(profile: Profile, label: str, now_ms: int = SATURDAY_MS) -> str:
    return next(x for x in portrait(profile, now_ms) if x.startswith(label))


def test_interests_are_named_heaviest_first(shopper: Profile) -> None:
    assert line(shopper, "interests").split() == [
        *("interests", "category", "lamps", "5.00", "teapots", "2.57")
    ]


def test_habits_are_told_in_words(shopper: Profile) -> None:
    assert "around 20:15 UTC (sharpness 1.00), Saturdays" in line(shopper, "rhythm")


def test_money_is_what_was_spent_and_refunded(shopper: Profile) -> None:
    assert "spent 12.50, refunded 12.50 (100 %), last purchase just then" in line(shopper, "value")


def test_traits_are_told_also_of_somebody_without_events(shopper: Profile) -> None:
    traits = {"plan": (Value("gold", "crm", 5),), "tags": (Value("b", "", 6), Value("a", "", 5))}
    ((vector,), (summary,)) = visible(DEFAULT_SPEC, DEFAULT_SPEC.empty(1))
    facts = {"vector": vector, "summary": msgspec.json.decode(summary), "as_of_ms": 0}

    told = msgspec.structs.replace(shopper, traits=traits)
    stranger = msgspec.structs.replace(told, **facts)

    assert line(told, "traits") == "traits     plan gold  tags b, a"
    assert portrait(stranger, SATURDAY_MS) == [
        f"profile    {shopper.pid}",
        "known      no event yet",
        "traits     plan gold  tags b, a",
    ]


def test_counts_are_by_type(shopper: Profile) -> None:
    assert line(shopper, "events") == "events     click 3  purchase 1  refund 1"


def test_a_fresh_profile_tells_its_age(shopper: Profile) -> None:
    told = line(shopper, "as of", SATURDAY_MS + 4_200)

    assert told == "as of      2023-11-18 20:15:00 UTC, 4.2 s ago"


def test_a_historic_profile_says_that_all_is_as_of_then(shopper: Profile) -> None:
    told = line(shopper, "as of", SATURDAY_MS + 400 * DAY_MS)

    assert told.endswith(", 400 d ago: the latest event; all below is as of then")


def test_a_profile_that_was_brought_to_a_later_time_says_what_it_is_as_of(
    shopper: Profile,
) -> None:
    month_ms = 30 * DAY_MS
    later = shopper.at(SATURDAY_MS + month_ms)
    now, then = shopper.summary["value"], later.summary["value"]

    assert line(later, "as of", SATURDAY_MS + 2 * month_ms).endswith(
        ", 30 d ago; the latest event 30 d before"
    )
    assert then["orders_month"] == now["orders_month"] / 2 > 0
    assert then["spent"] == now["spent"]


def test_somebody_who_only_looked_has_bought_nothing() -> None:
    looked = profile_of([{"type": "browse", "ts": SATURDAY_MS}])

    assert line(looked, "value") == "value      nothing bought yet"
    assert line(looked, "interests") == "interests  none yet"


def test_the_vector_is_shown_whole_and_by_name(shopper: Profile) -> None:
    lines = slices(shopper)

    numbers = [word for x in lines for word in x[16:].split()]
    assert len(numbers) == DEFAULT_SPEC.dims
    assert {x[:16].strip() for x in lines} - {""} == {part.name for part in DEFAULT_SPEC.slices}


def test_ties_and_what_these_like_are_shown_if_there_are_any(shopper: Profile) -> None:
    follow = {"type": "follow", "ts": SATURDAY_MS, "target_id": "bob", "relation": "friend"}
    friendly = profile_of([follow])
    mixed = msgspec.structs.replace(friendly, tie_interests={"category": [("tea", 0.75)]})

    lines = portrait(mixed, SATURDAY_MS)

    bob = Pseudonymiser(b"k" * 32).pid("user", "bob")
    assert lines[-2:] == [f"ties       friend {bob} 1.00", "           their category  tea 75 %"]
    assert not any(x.startswith("ties") for x in portrait(shopper, SATURDAY_MS))


def test_it_says_who_is_taken_for_a_machine_and_of_others_nothing(shopper: Profile) -> None:
    held = profile_of([{"type": "verdict", "ts": SATURDAY_MS, "automated": True}])

    assert line(held, "quarantine") == (
        "quarantine held by an operator (since 2023-11-18 20:15:00 UTC)"
    )
    assert held.quarantine == Quarantine("operator", SATURDAY_MS)
    assert shopper.quarantine is None
    assert not [x for x in portrait(shopper, SATURDAY_MS) if x.startswith("quarantine")]

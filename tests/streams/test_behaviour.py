"""Behaviour as people read it."""

from __future__ import annotations

import msgspec
import pytest

from profiler.behaviour.report import Behaviour, behaviour_of
from streams.behaviour import Habits, behaviour_lines, habit_lines, habits_of
from streams.portrait import portrait
from streams.profile import Profile
from tests.profiler.behaviour.test_crowd import MONDAY_MS, a_shop, crowd_after
from tests.streams.test_portrait import profile_of

MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def crowd() -> Behaviour:
    return behaviour_of(crowd_after(a_shop()))


@pytest.fixture(scope="module")
def shopper() -> Profile:
    steps = (("browse", 0), ("cart", 2), ("purchase", 3), ("browse", 60), ("cart", 64))
    return profile_of(
        [{"type": name, "ts": MONDAY_MS + minute * MINUTE_MS} for name, minute in steps]
    )


def habits(shopper: Profile, crowd: Behaviour | None) -> Habits:
    found = habits_of(shopper, crowd)
    assert found is not None
    return found


def test_the_funnel_is_a_table_of_ways_from_stage_to_stage(crowd: Behaviour) -> None:
    lines = [line.split() for line in behaviour_lines(crowd)]

    assert [*["funnel", "25.0", "%", "of", "sessions", "buy"]] in lines
    assert ["session", "200.0", "100.0", "%", "–", "–", "0.0", "%"] in lines
    assert ["look", "200.0", "–", "50.0", "%", "–", "50.0", "%"] in lines
    assert ["cart", "100.0", "–", "–", "50.0", "%", "50.0", "%"] in lines
    assert ["purchase", "50.0", "–", "–", "–", "–"] in lines


def test_times_and_next_steps_are_told(crowd: Behaviour) -> None:
    text = "\n".join(behaviour_lines(crowd))

    assert "times      look → cart: 100.0 times, half within " in text
    assert "look → purchase without a cart: never" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["cart", "–", "–", "–", "50.0", "%", "50.0", "%"] in rows


def test_the_busiest_hour_is_the_darkest(crowd: Behaviour) -> None:
    (monday,) = (line for line in behaviour_lines(crowd) if line.strip().startswith("Mon"))

    events, purchases = monday.strip().removeprefix("Mon ").split("    ")
    # 350 events are few: where there was none, the index is 20 / (20 + 350 / 168), 0.91.
    assert events.rstrip() == "█" + "▒" * 23
    assert len(purchases) == 24


def test_all_lines_fit_a_terminal(crowd: Behaviour) -> None:
    assert max(map(len, behaviour_lines(crowd))) <= 100


def test_habits_of_one_person_are_conversion_times_and_what_comes_next(
    shopper: Profile, crowd: Behaviour
) -> None:
    found = habits(shopper, crowd)

    assert (found.step, found.stage) == ("cart", "cart")
    assert found.sessions == pytest.approx((2, 2, 1), rel=0.01)
    assert found.conversion == pytest.approx((1, 0.5, 0.5), rel=0.01)
    assert found.mean_s == pytest.approx((180, 60), rel=0.01)
    assert found.ended == pytest.approx((0, 0, 0, 1), rel=0.01)
    text = "\n".join(habit_lines(found))
    assert "look → cart: 100.0 %, after 3 min on average" in text
    assert "ended at   purchase 1.0" in text


def test_what_is_not_known_of_a_person_is_what_the_crowd_does(
    shopper: Profile, crowd: Behaviour
) -> None:
    # Of one cart of theirs a purchase came; of the crowd's half do, and these weigh five.
    with_crowd, alone = habits(shopper, crowd).next_steps, habits(shopper, None).next_steps

    assert with_crowd["purchase"] == pytest.approx((1 + 5 * 0.5) / 6, abs=1e-3)
    assert with_crowd["end"] == pytest.approx(5 * 0.5 / 6, abs=1e-3)
    assert alone["look"] == pytest.approx(5 * 0.2 / 6, abs=1e-3)
    assert sum(with_crowd.values()) == pytest.approx(1)
    assert sum(alone.values()) == pytest.approx(1)


def test_a_profile_of_an_older_worker_has_no_habits(shopper: Profile) -> None:
    older = {name: part for name, part in shopper.summary.items() if name != "journey"}
    profile = msgspec.structs.replace(shopper, summary=older)

    assert habits_of(profile, None) is None
    assert not [line for line in portrait(profile, MONDAY_MS) if line.startswith("journey")]


def test_the_portrait_tells_the_journey_in_one_line(shopper: Profile) -> None:
    (line,) = (line for line in portrait(shopper, MONDAY_MS) if line.startswith("journey"))

    assert line == (
        "journey    at cart, the latest session came to cart, about a month: "
        "2.0 sessions looked, 2.0 came to the cart, 1.0 bought"
    )

"""Rates by their date, and files of rates that are refused with the place of their fault."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.columns import DAY_MS
from profiler.currency import Rates, parse_rates
from profiler.errors import ConfigurationError
from profiler.events import Purchase
from profiler.reference_cleaning import ReferenceCleaning

LONG = "date,currency,rate\n2026-01-05,USD,1.25\n2026-01-07,USD,2\n2026-01-05,JPY,160\n"
WIDE = "Date,USD,JPY,\n2026-01-07,2,N/A,\n2026-01-05,1.25,160,\n"


def at(day: int, hour: int = 12) -> int:
    moment = dt.datetime(2026, 1, day, hour, tzinfo=dt.UTC)
    return int(moment.timestamp() * 1_000)


@pytest.mark.parametrize("text", [LONG, WIDE], ids=["long", "wide"])
@pytest.mark.parametrize(
    ("day", "worth"),
    [(1, 8.0), (5, 8.0), (6, 8.0), (7, 5.0), (9, 5.0)],
    ids=["before the first", "on it", "between", "on the last", "after it"],
)
def test_an_amount_takes_the_latest_rate_on_or_before_its_date(
    text: str, day: int, worth: float
) -> None:
    rates = parse_rates(text, "EUR", "rates.csv")

    found = rates.in_base("USD", np.array([10.0]), np.array([at(day)]))

    assert found.tolist() == [worth]


def test_a_day_begins_at_midnight_utc() -> None:
    rates = parse_rates(LONG, "EUR", "rates.csv")

    found = rates.in_base("USD", np.array([10.0, 10.0]), np.array([at(7, 0) - 1, at(7, 0)]))

    assert found.tolist() == [8.0, 5.0]


def test_columns_may_stand_in_any_order() -> None:
    rates = parse_rates("rate,date,currency\n1.5,2026-01-05,USD\n", "EUR", "rates.csv")

    assert rates.dated == {"USD": {at(5) // DAY_MS: 1.5}}


def test_the_base_may_stand_in_the_file_at_one() -> None:
    rates = parse_rates(LONG + "2026-01-05,EUR,1\n", "EUR", "rates.csv")

    assert set(rates.dated) == {"USD", "JPY"}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "row 1: the header must be"),
        ("day,currency,rate\n", "row 1: the header must be"),
        ("date,currency,rate\n", "has no rates"),
        ("date,currency,rate\n2026-01-05,USD\n", "row 2: 2 fields, but the header has 3"),
        ("date,currency,rate\n2026-01-05,usd,1\n", "row 2, column currency"),
        ("date,currency,rate\n5.1.2026,USD,1\n", "row 2, column date"),
        (LONG + "2026-01-09,USD,0\n", "row 5, column rate"),
        (LONG + "2026-01-09,USD,NaN\n", "row 5, column rate"),
        (LONG + "2026-01-09,USD,\n", "row 5, column rate"),
        (LONG + "2026-01-07,USD,3\n", "row 5, column rate: a second rate of USD"),
        (LONG + "2026-01-07,EUR,3\n", "row 5, column rate: EUR is the base"),
        (LONG + '2026-01-07,"USD,3\n', "row 4"),
        ("Date,USD,Yen,\n", "row 1, column Yen: a code"),
        ("Date,USD,\n2026-01-05,one,\n", "row 2, column USD"),
        ("Date,USD,\nyesterday,1,\n", "row 2, column date"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_the_place(text: str, place: str) -> None:
    with pytest.raises(ConfigurationError, match=f"PROFILER_RATES_FILE: rates.csv {place}"):
        parse_rates(text, "EUR", "rates.csv")


days = st.integers(0, 60)


@given(
    dated=st.dictionaries(days, st.floats(0.01, 100.0), min_size=1),
    sales=st.lists(st.tuples(days, st.floats(0, 1e6)), min_size=1, max_size=20),
)
def test_the_columns_give_what_the_definition_gives(
    dated: dict[int, float], sales: list[tuple[int, float]]
) -> None:
    rates = Rates("EUR", {"USD": dated})
    reference = ReferenceCleaning(rates)
    events = [
        Purchase(ts=day * DAY_MS + 1, user_id="u", price=price, currency="USD")
        for day, price in sales
    ]

    found = rates.in_base(
        "USD", np.array([p for _, p in sales]), np.array([d * DAY_MS + 1 for d, _ in sales])
    )

    assert found.tolist() == [
        cleaned.price
        for event in events
        if isinstance(cleaned := reference.clean(event, 1), Purchase)
    ]

"""Amounts in one currency: dated rates, and what an amount is worth in the base.

Which rate an amount takes is decided by the event alone, by its currency and its date, so that a
replay decides the same. The file says how many units of a currency one unit of the base buys, as
the European Central Bank publishes it.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NoReturn

import numpy as np

from profiler.columns import DAY_MS, Floats, Ints
from profiler.errors import ConfigurationError

SETTING: Final = "PROFILER_RATES_FILE"
RATES_MAX: Final = 2_000_000
"""All that the European Central Bank has published since 1999 are some 300,000."""
RATE_MIN: Final = 1e-9
RATE_MAX: Final = 1e12
LONG_HEADER: Final = ("date", "currency", "rate")
ABSENT: Final = ("", "N/A")
"""How a table with a column for each currency says that there is no rate on a day."""

_CODE_LENGTH: Final = 3
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()

Dated = Mapping[int, float]
"""Rates of one currency by day since 1970."""


class Rates:
    """Dated rates against one base currency.

    Parameters
    ----------
    base
        Code of the base.
    dated
        Units of a currency for one of the base, by currency and day.

    Examples
    --------
    >>> rates = Rates("EUR", {"USD": {0: 1.25, 2: 2.0}})
    >>> rates.in_base("USD", np.array([5.0, 5.0, 5.0]), np.array([0, 1, 2]) * DAY_MS)
    array([4. , 4. , 2.5])
    >>> rates.knows("USD"), rates.knows("EUR"), rates.knows(None), rates.knows("XXX")
    (True, True, True, False)
    """

    def __init__(self, base: str, dated: Mapping[str, Dated]) -> None:
        self.base = base
        self.dated = dated
        self.own = frozenset((None, base))
        """What amounts in the base say of their currency."""
        self._known = self.own | dated.keys()
        self._columns = {currency: _columns(rates) for currency, rates in dated.items()}

    def knows(self, currency: str | None) -> bool:
        """Whether amounts in this currency can be converted; without one they are in the base."""
        return currency in self._known

    def in_base(self, currency: str, amounts: Floats, ts: Ints) -> Floats:
        """Convert amounts by the latest rate on or before the date, or else the earliest.

        Parameters
        ----------
        currency
            A known one that is not the base.
        amounts, ts
            (N,) amounts and their times, ms; the date is that in UTC.
        """
        days, rates = self._columns[currency]
        latest = np.searchsorted(days, ts // DAY_MS, side="right") - 1
        return np.asarray(amounts / rates[np.maximum(latest, 0)])


def parse_rates(text: str, base: str, name: str) -> Rates:
    r"""Read a table of rates: ``date,currency,rate``, or ``Date,USD,JPY,…``.

    Parameters
    ----------
    text
        CSV with a header.
    base
        Currency that the rates are for one unit of.
    name
        Of the file, for messages.

    Raises
    ------
    ConfigurationError
        Naming row and column of the first thing that makes no sense.

    Examples
    --------
    >>> parse_rates("date,currency,rate\n1970-01-02,USD,1.5\n", "EUR", "r.csv").dated
    {'USD': {1: 1.5}}
    >>> text = "Date,USD,JPY,\n1970-01-02,1.5,N/A,\n1970-01-01,1.4,130,\n"
    >>> parse_rates(text, "EUR", "eurofxref-hist.csv").dated
    {'USD': {1: 1.5, 0: 1.4}, 'JPY': {0: 130.0}}
    """
    at = _Place(name)
    dated: dict[str, dict[int, float]] = {}
    rows = csv.reader(text.splitlines(), strict=True)
    try:
        header = [field.strip() for field in next(rows, [])]
        for number, (currency, day, rate) in enumerate(_cells(rows, header, at), 1):
            rates = dated.setdefault(currency, {})
            if rates.setdefault(day, rate) != rate:
                at.refuse(f"a second rate of {currency} for the same day")
            if currency == base and rate != 1.0:
                at.refuse(f"{base} is the base: its rate can only be 1")
            if number > RATES_MAX:
                at.refuse(f"more than {RATES_MAX} rates")
    except csv.Error as fault:
        at.refuse(str(fault))
    dated.pop(base, None)
    if not dated:
        raise ConfigurationError(SETTING, f"{name} has no rates")
    return Rates(base, dated)


class _Place:
    """Where the parser is, for messages."""

    def __init__(self, name: str) -> None:
        self.name, self.row, self.column = name, 1, ""

    def refuse(self, problem: str) -> NoReturn:
        column = f", column {self.column}" if self.column else ""
        raise ConfigurationError(SETTING, f"{self.name} row {self.row}{column}: {problem}")


def _cells(
    rows: Iterator[list[str]], header: Sequence[str], at: _Place
) -> Iterator[tuple[str, int, float]]:
    """Currency, day and rate of all that the table has; row 1 is the header."""
    names = [name.lower() for name in header]
    is_long = sorted(names) == sorted(LONG_HEADER)
    if not is_long and (names[:1] != ["date"] or len(names) < len(LONG_HEADER) - 1):
        at.refuse(f"the header must be {','.join(LONG_HEADER)}, or Date and codes of currencies")
    order = [names.index(name) for name in LONG_HEADER] if is_long else []
    # The European Central Bank ends each line with a comma.
    currencies = [] if is_long else [(k, code) for k, code in enumerate(header) if k and code]
    codes = [(currency, _code(currency, at)) for _, currency in currencies]
    for at.row, row in enumerate(rows, 2):
        at.column = ""
        if not row:
            continue
        if len(row) != len(header):
            at.refuse(f"{len(row)} fields, but the header has {len(header)}")
        if is_long:
            day, currency, rate = (row[k].strip() for k in order)
            yield _code(currency, at, "currency"), _day(day, at), _rate(rate, at, "rate")
            continue
        when = _day(row[0].strip(), at)
        for (k, _), (name, code) in zip(currencies, codes, strict=True):
            if (cell := row[k].strip()) not in ABSENT:
                yield code, when, _rate(cell, at, name)


def _code(text: str, at: _Place, column: str = "") -> str:
    at.column = column or text
    if len(text) != _CODE_LENGTH or not (text.isascii() and text.isalpha() and text.isupper()):
        at.refuse("a code of a currency has three capital letters")
    return text


def _day(text: str, at: _Place) -> int:
    at.column = "date"
    try:
        return dt.date.fromisoformat(text).toordinal() - _EPOCH_DAY
    except ValueError:
        at.refuse("no date like 2026-01-31")


def _rate(text: str, at: _Place, column: str) -> float:
    at.column = column
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not RATE_MIN <= rate <= RATE_MAX:
        at.refuse(f"no number from {RATE_MIN:g} to {RATE_MAX:g}")
    return rate


def _columns(dated: Dated) -> tuple[Ints, Floats]:
    """Days in their order, and the rates of these days."""
    days = sorted(dated)
    return np.array(days, dtype=np.int64), np.array([dated[day] for day in days])

"""UCI Online Retail: invoice lines of a British gift shop, 2010-12-01 to 2011-12-09.

``InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country``, exported from
the original spreadsheet as CSV. An invoice that starts with C is a cancellation: a refund of the
positive quantity. The data are dirty, and the worker decides what it refuses: other negative
quantities (stock corrections), negative prices and rows without customer are passed on as they are.
The shop's local times are taken as UTC; the country is left out.
"""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import Final

from profiler.sources.table import Fields, Table, identifier, integer, moment, real


def _event(fields: Fields) -> dict[str, object]:
    invoice, item, title, quantity_text, date, price, customer_text, _ = fields
    quantity = integer(identifier(quantity_text))
    is_cancellation = invoice[:1] in ("C", "c")
    event: dict[str, object] = {
        "type": "refund" if is_cancellation else "purchase",
        "ts": _ts(date),
        "item_id": item,
        "quantity": abs(quantity) if is_cancellation and isinstance(quantity, int) else quantity,
        "price": real(price),
        "currency": "GBP",
    }
    if title := title.strip():
        event["title"] = title
    if customer := identifier(customer_text):
        event["user_id"] = customer
    return event


@lru_cache(maxsize=4_096)
def _ts(text: str) -> int | str:
    """`2010-12-01 08:26:00`, or as spreadsheets export it, `12/1/2010 8:26`."""
    found = _SPREADSHEET_DATE.fullmatch(text)
    if found is None:
        return moment(text)
    month, day, year, hour, minute = (int(part) for part in found.groups())
    try:
        date = dt.datetime(
            year + 2_000 if year < 100 else year, month, day, hour, minute, tzinfo=dt.UTC
        )
    except ValueError:
        return text
    return int(date.timestamp()) * 1000


_SPREADSHEET_DATE: Final = re.compile(r"(\d\d?)/(\d\d?)/(\d{4}|\d\d) (\d\d?):(\d\d)(?::\d\d)?")

SOURCE: Final = Table(
    name="online-retail",
    columns=(
        "InvoiceNo",
        "StockCode",
        "Description",
        "Quantity",
        "InvoiceDate",
        "UnitPrice",
        "CustomerID",
        "Country",
    ),
    event=_event,
    people=frozenset({"CustomerID"}),
    steady=(
        ("InvoiceNo", "CustomerID"),
        ("InvoiceNo", "InvoiceDate"),
        ("CustomerID", "Country"),
    ),
)

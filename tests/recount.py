"""What profiles of Online Retail must hold, counted by DuckDB from the file itself.

Written from docs/facets.md and docs/quality.md, not from our code: it shares nothing with it, not
even the reading of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from profiler.columns import DAY_MS, MONTH_MS, Rows, Snapshot
from profiler.events import BEHAVIOUR_TYPES

SQL = """
WITH original AS (
    SELECT {distinct} * FROM read_csv($path, all_varchar = true, header = true)
), event AS (
    SELECT
        CustomerID AS customer,
        InvoiceNo LIKE 'C%' AS is_refund,
        epoch_ms(CAST(InvoiceDate AS TIMESTAMP)) AS ts,
        abs(CAST(Quantity AS DOUBLE)) AS units,
        CAST(UnitPrice AS DOUBLE) AS price
    FROM original
    WHERE CustomerID IS NOT NULL
      AND CAST(UnitPrice AS DOUBLE) >= 0
      AND (CAST(Quantity AS INTEGER) > 0 OR InvoiceNo LIKE 'C%')
), aged AS (
    SELECT
        *,
        pow(2, -(max(ts) OVER person - ts) / {day_ms}) AS daily,
        pow(2, -(max(ts) OVER person - ts) / {month_ms}) AS monthly,
        ts - lag(ts) OVER in_time > 1800000 AS begins_session
    FROM event
    WINDOW
        person AS (PARTITION BY customer),
        in_time AS (PARTITION BY customer ORDER BY ts)
)
SELECT
    customer,
    count(*) FILTER (NOT is_refund) AS purchases,
    count(*) FILTER (is_refund) AS refunds,
    min(ts) AS first_ts,
    max(ts) AS as_of,
    coalesce(max(ts) FILTER (NOT is_refund), 0) AS last_purchase,
    coalesce(sum(price * units) FILTER (NOT is_refund), 0) AS spent,
    coalesce(sum(price * units) FILTER (is_refund), 0) AS refunded,
    coalesce(sum(price * units * daily) FILTER (NOT is_refund), 0) AS money_day,
    coalesce(sum(price * units * monthly) FILTER (NOT is_refund), 0) AS money,
    coalesce(sum(price * units * monthly) FILTER (is_refund), 0) AS money_back,
    coalesce(sum(monthly) FILTER (NOT is_refund), 0) AS orders,
    coalesce(sum(units * monthly) FILTER (NOT is_refund), 0) AS units,
    1 + count(*) FILTER (begins_session) AS n_sessions,
    sum(monthly) AS mass
FROM aged
GROUP BY customer
ORDER BY customer
"""
DECAYED = {
    "money_day": ("value.money_day", DAY_MS),
    "money": ("value.money", MONTH_MS),
    "money_back": ("value.money_back", MONTH_MS),
    "orders": ("value.orders", MONTH_MS),
    "units": ("value.units", MONTH_MS),
    "mass": ("rhythm.mass", MONTH_MS),
}
PLAIN = {
    "first_ts": "core.first_ts",
    "as_of": "core.as_of",
    "last_purchase": "value.last_purchase",
    "spent": "value.spent",
    "refunded": "value.refunded",
    "n_sessions": "sessions.n_sessions",
}


def recounted(path: Path, *, distinct: bool) -> dict[str, NDArray[Any]]:
    """Columns of what must be known of each customer, who stand in `customer`, in order."""
    sql = SQL.format(distinct="DISTINCT" if distinct else "", day_ms=DAY_MS, month_ms=MONTH_MS)
    with duckdb.connect() as connection:
        found = connection.execute(sql, {"path": str(path)}).fetchnumpy()
    return {name: np.asarray(column) for name, column in found.items()}


def assert_as_recounted(rows: Rows, expected: dict[str, NDArray[Any]]) -> None:
    """Compare (R,) rows, in the order of `expected`, with what was counted."""
    counts = rows["activity.count"]
    purchases, refunds = (BEHAVIOUR_TYPES.index(name) for name in ("purchase", "refund"))
    np.testing.assert_array_equal(counts[:, purchases], expected["purchases"])
    np.testing.assert_array_equal(counts[:, refunds], expected["refunds"])
    np.testing.assert_array_equal(counts.sum(axis=1), rows["core.n_accepted"])
    for name, column in PLAIN.items():
        np.testing.assert_allclose(rows[column], expected[name], rtol=1e-9, err_msg=name)
    now = Snapshot(rows)
    for name, (column, half_life_ms) in DECAYED.items():
        found = now.decayed(column, half_life_ms)
        np.testing.assert_allclose(found, expected[name], rtol=1e-9, atol=1e-9, err_msg=name)

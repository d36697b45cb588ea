from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.errors import UsageError
from profiler.events import AnyEvent, Purchase, Refund, decode_batch
from profiler.sources import source_named
from profiler.sources.table import ROW_LINES_MAX

Convert = Callable[..., list[AnyEvent]]
Reasons = Callable[[str, str], list[str]]

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
GOOD = "536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850,United Kingdom\n"
QUOTED = GOOD.replace("HOLDER", '"HOLDER, 5"" WIDE"')
STRAY_QUOTE = GOOD.replace("HOLDER", '"HOLDER')


def values_of(rows: list[str]) -> list[bytes]:
    """Values of the records of these rows under a header."""
    lines = (HEADER + "".join(rows)).encode().splitlines(keepends=True)
    return [record.value for record in source_named("online-retail").convert(lines, "sample")]


def refused(values: list[bytes]) -> list[int]:
    """Which of the values the worker refuses as malformed."""
    _, rejected = decode_batch(values)
    return [r.index for r in rejected if r.reason == "malformed"]


def test_an_invoice_line_is_a_purchase(convert: Convert) -> None:
    row = '536365,85123A,"HOLDER, WHITE",6,2010-12-01 08:26:00,2.55,17850,United Kingdom\n'

    assert convert("online-retail", HEADER + row) == [
        Purchase(
            ts=1_291_191_960_000,
            user_id="17850",
            item_id="85123A",
            title="HOLDER, WHITE",
            price=2.55,
            currency="GBP",
            quantity=6,
            event_id="online-retail:sample:1",
            source="online-retail",
        )
    ]


def test_a_cancelled_invoice_is_a_refund_of_the_positive_quantity(convert: Convert) -> None:
    row = "C536379,D,Discount,-3,2010-12-01 09:41:00,27.50,14527,United Kingdom\n"

    (event,) = convert("online-retail", HEADER + row)

    assert isinstance(event, Refund)
    assert (event.quantity, event.price) == (3, 27.5)


def test_a_spreadsheets_export_reads_the_same(convert: Convert) -> None:
    iso = "536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850,United Kingdom\n"
    exported = "536365,85123A,HOLDER ,6,12/1/2010 8:26,2.55,17850.0,United Kingdom\n"

    assert convert("online-retail", HEADER + exported) == convert("online-retail", HEADER + iso)


def test_a_price_of_zero_is_fine(convert: Convert) -> None:
    row = "536365,85123A,HOLDER,6,2010-12-01 08:26:00,0,17850,United Kingdom\n"

    (event,) = convert("online-retail", HEADER + row)

    assert event.price == 0.0


def test_dirty_rows_are_refused_by_the_worker_not_by_the_source(reasons: Reasons) -> None:
    rows = (
        "536589,21777,,-10,2010-12-01 16:50:00,1.0,17850,United Kingdom\n"
        "536414,22139,,56,2010-12-01 11:52:00,0.0,,United Kingdom\n"
        "A563186,B,Adjust bad debt,1,2011-08-12 14:51:00,-11062.06,1,United Kingdom\n"
        "536365,85123A,HOLDER,6,13/45/2010 8:26,2.55,17850,United Kingdom\n"
        "536365,85123A,HOLDER,0,2010-12-01 08:26:00,2.55,17850,United Kingdom\n"
        "536365,85123A,HOLDER,6,2010-12-01 08:26:00,NaN,17850,United Kingdom\n"
    )

    assert reasons("online-retail", HEADER + rows) == [
        "invalid:quantity",
        "invalid:subject",
        "invalid:price",
        "invalid:ts",
        "invalid:quantity",
        "invalid:price",
    ]


def test_latin_1_is_read_as_such() -> None:
    row = "536365,1,CAFÉ £,6,2010-12-01 08:26:00,2.55,17850,United Kingdom\n".encode("latin-1")

    (record,) = source_named("online-retail").convert([HEADER.encode(), row], "sample")

    (event,), _ = decode_batch([record.value])
    assert event is not None
    assert event.title == "CAFÉ £"


@pytest.mark.parametrize("n_after", [0, 1, 3, 500])
def test_a_quote_that_never_closes_costs_only_its_own_row(n_after: int) -> None:
    broken = STRAY_QUOTE
    rows = [GOOD, broken, *[GOOD] * n_after]

    values = values_of(rows)

    assert values[1] == broken.rstrip().encode()
    assert refused(values) == [1]
    assert len(values) == len(rows)


def test_a_quote_that_a_later_rows_quote_seems_to_close_costs_only_its_own_row() -> None:
    # Read leniently, the first two rows together would have the right number of fields.
    rows = [STRAY_QUOTE, QUOTED, GOOD, GOOD]

    values = values_of(rows)

    assert refused(values) == [0]
    assert len(values) == 4


@given(st.lists(st.sampled_from(["good", "quoted", "broken"]), max_size=60))
def test_a_row_is_refused_exactly_where_its_own_quote_is_stray(kinds: list[str]) -> None:
    rows = [{"good": GOOD, "quoted": QUOTED, "broken": STRAY_QUOTE}[kind] for kind in kinds]

    values = values_of(rows)

    assert refused(values) == [n for n, kind in enumerate(kinds) if kind == "broken"]
    assert len(values) == len(rows)


def test_a_quoted_field_may_have_line_breaks(convert: Convert) -> None:
    title = "\n".join(f"line {number}" for number in range(ROW_LINES_MAX))

    events = convert("online-retail", HEADER + GOOD.replace("HOLDER", f'"{title}"') + GOOD)

    assert [getattr(event, "title", None) for event in events] == [title, "HOLDER"]


def test_a_file_of_another_source_is_refused_with_the_missing_columns() -> None:
    lines = [b"InvoiceNo,StockCode,When\n", b"1,2,3\n"]

    with pytest.raises(UsageError, match="no column Description, Quantity"):
        list(source_named("online-retail").convert(lines, "other"))


def test_the_real_file_is_refused_exactly_where_an_independent_count_says(
    data_lines: Callable[[str], list[bytes]],
) -> None:
    lines = data_lines("online_retail.csv.gz")
    expected: Counter[str] = Counter()
    for row in csv.DictReader(line.decode() for line in lines):
        is_cancelled = row["InvoiceNo"].startswith("C")
        if int(row["Quantity"]) <= 0 and not is_cancelled:
            expected["invalid:quantity"] += 1
        elif float(row["UnitPrice"]) < 0:
            expected["invalid:price"] += 1
        elif not row["CustomerID"]:
            expected["invalid:subject"] += 1
        else:
            expected["refund" if is_cancelled else "purchase"] += 1

    records = list(source_named("online-retail").convert(lines, "online_retail"))

    events, rejected = decode_batch([record.value for record in records])
    found = Counter(r.reason for r in rejected)
    found.update(
        "refund" if isinstance(event, Refund) else "purchase"
        for event in events
        if event is not None
    )
    assert found == expected
    assert len(records) == 541_909

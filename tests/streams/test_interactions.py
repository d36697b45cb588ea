"""Data files as logs for rankers."""

from __future__ import annotations

from pathlib import Path

from profiler.sources import source_named
from streams.interactions import interactions, rated, sold

TAOBAO = "9,cup,7,pv,1511658010\n8,tea,7,buy,1511658000\n9,tea,6,pv,1511658010\n9,,6,pv,x\n"


def test_rows_come_in_the_order_of_time_then_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "taobao.csv"
    path.write_text(TAOBAO)

    found = interactions(path, source_named("taobao"))

    log = found.items()
    assert log.person.tolist() == [0, 1, 1]
    assert log.item.tolist() == [0, 1, 0]
    assert log.ts.tolist() == [1511658000000, 1511658010000, 1511658010000]
    assert found.categories().item.tolist() == [0, 0, 1]
    assert found.unreadable == 1


def test_the_limit_counts_what_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "taobao.csv"
    path.write_text(TAOBAO)

    found = interactions(
        path, source_named("taobao"), wanted=lambda row: row.type == "browse", limit=2
    )

    assert [row.item_id for row in found.rows] == ["cup", "tea"]


def test_only_goods_sold_to_somebody_count_as_sold(tmp_path: Path) -> None:
    path = tmp_path / "retail.csv"
    path.write_text(
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "1,A,x,2,2010-12-01 08:26:00,1.5,17850,UK\n"
        "2,B,x,2,2010-12-01 08:26:00,1.5,,UK\n"
        "3,C,x,-2,2010-12-01 08:26:00,1.5,17850,UK\n"
        "C4,D,x,-2,2010-12-01 08:26:00,1.5,17850,UK\n"
        "5,E,x,1,2010-12-01 08:26:00,0,17850,UK\n"
    )

    found = interactions(path, source_named("online-retail"), wanted=sold)

    assert [row.item_id for row in found.rows] == ["A"]


def test_ratings_are_chosen_by_their_stars(tmp_path: Path) -> None:
    path = tmp_path / "u.data"
    path.write_text("1\t10\t5\t9\n1\t11\t4\t8\n2\t12\t5\t7\n")

    found = interactions(path, source_named("movielens"), see=rated({5.0}))

    assert [row.item_id for row in found.rows] == ["10", "12"]
